"""Owns the parent's side of decoding: a limited child process that may crash, hang or eat memory without harm.

The parent opens the source and hands the descriptor over, so names never matter and the source can be compared before
and after.  Pixels come back in memory that both processes map: no pickling, no copy.
"""

from __future__ import annotations

import mmap
import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from restore.errors import ImageError
from restore.formats import shared
from restore.formats.catalogue import Header, PixelFacts, target_suffix
from restore.formats.process import Child
from restore.formats.shared import anonymous_file
from restore.image import Alpha, Arrangement, Document, Image, Stored, Transfer

DEFAULT_MEMORY_BYTES = 8 << 30
DEFAULT_TIMEOUT_S = 120.0
DEFAULT_MAX_PIXELS = 1 << 30
DEFAULT_MAX_PAGES = 1024


class Decoder:
    """Reads files in one child process, which is started when first needed and again after it died.

    Use it as a context manager, and one in each thread.  `memory_bytes` limits the child's address space, pixels
    included; `timeout_s` is wall-clock time for one file; `max_pixels` counts all pages of one file, and is checked
    before anything is decoded, as is `max_pages`.
    """

    def __init__(
        self,
        *,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        max_pages: int = DEFAULT_MAX_PAGES,
    ) -> None:
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._max_pixels = max_pixels
        self._max_pages = max_pages
        self._child: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child; the next call starts another."""
        if self._child is not None:
            self._child.close()
            self._child = None

    @property
    def child_pid(self) -> int | None:
        """The running child's process id."""
        return self._child.pid if self._child is not None else None

    def probe(self, path: Path) -> Header:
        """What the file's headers say.  ImageError when it is unreadable, unsupported or too large."""
        with anonymous_file() as unused:
            return _header(self._of_path(path, {"op": "probe"}, unused)["header"])

    def read(self, path: Path) -> Document:
        """All pages, or the six faces of a cube map, with straight alpha, in the file's own number type.

        ImageError names the file when it is damaged, truncated, unsupported or too large, when it changed while it was
        being read, and when the child crashed over it, ran out of time or out of memory.
        """
        try:
            with anonymous_file() as pixels:
                return _document(self._of_path(path, {"op": "read"}, pixels), pixels)
        except (KeyError, ValueError, TypeError) as error:
            self.close()  # whatever says such things is no longer to be trusted
            raise ImageError(f"{_shown(path)}: the decoder's answer makes no sense ({error!r})") from error

    def rows(self, path: Path, page: int, top: int, stop: int) -> Image:
        """Rows `top`..`stop` of a page (from 0), so that a picture can be gone through in bands.  Raises as `read`."""
        request = {"op": "rows", "rows": [page, top, stop]}
        try:
            with anonymous_file() as pixels:
                return _document(self._of_path(path, request, pixels), pixels).first
        except (KeyError, ValueError, TypeError) as error:
            self.close()
            raise ImageError(f"{_shown(path)}: the decoder's answer makes no sense ({error!r})") from error

    def rows_back(self, file: BinaryIO, format: str, page: int, top: int, stop: int) -> Image:  # noqa: A002
        """`rows` of a staged output; `file` is any real file, open for reading."""
        request = {"op": "rows", "rows": [page, top, stop], "suffix": target_suffix(format)}
        with anonymous_file() as pixels:
            return _document(self._ask(request, file.fileno(), pixels, "the encoded output"), pixels).first

    def read_back(self, file: BinaryIO, format: str) -> Document:  # noqa: A002
        """All pages of a staged output; `file` is any real file, open for reading.  ImageError when it is not whole."""
        file.flush()
        request = {"op": "read", "suffix": target_suffix(format)}
        with anonymous_file() as pixels:
            return _document(self._ask(request, file.fileno(), pixels, "the encoded output"), pixels)

    def check(self, file: BinaryIO, format: str) -> tuple[Header, PixelFacts]:  # noqa: A002
        """Decodes a staged output completely, in bands of rows, and keeps none of it.

        `file` is any real file, open for reading; its position is left alone.  ImageError when it is not a whole file
        of that format.
        """
        file.flush()
        request = {"op": "check", "format": format}
        with anonymous_file() as unused:
            answer = self._ask(request, file.fileno(), unused, "the encoded output")
        facts = answer["facts"]
        width, height = facts["size"]
        return _header(answer["header"]), PixelFacts(bool(facts["finite"]), bool(facts["constant"]), (width, height))

    def _of_path(self, path: Path, request: dict[str, Any], pixels: BinaryIO) -> dict[str, Any]:
        shown = _shown(path)
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise ImageError(f"{shown}: {error.strerror}") from error
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise ImageError(f"{shown}: not a regular file")
            if before.st_size == 0:
                raise ImageError(f"{shown}: the file is empty")
            try:
                return self._ask({**request, "suffix": path.suffix}, descriptor, pixels, shown)
            finally:
                _refuse_change(before, os.fstat(descriptor), shown)
        finally:
            os.close(descriptor)

    def _ask(self, request: dict[str, Any], source: int, pixels: BinaryIO, shown: str) -> dict[str, Any]:
        limits = {
            "max_pixels": self._max_pixels,
            "max_pages": self._max_pages,
            "memory_bytes": self._memory_bytes,
            "seconds": self._timeout_s,
        }
        try:
            if self._child is None:
                self._child = Child(self._memory_bytes)
            answer = self._child.ask({**request, **limits}, source, pixels, self._timeout_s)
        except ImageError as error:
            self.close()
            raise ImageError(f"{shown}: {error}") from error
        if "error" in answer:
            raise ImageError(f"{shown}: {answer['error']}{_quoted(self._child.said())}")
        return answer


def _quoted(said: str) -> str:
    return f" (the library also said: {said})" if said else ""


def _shown(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _refuse_change(before: os.stat_result, after: os.stat_result, shown: str) -> None:
    if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
        raise ImageError(f"{shown}: it changed while it was being read: run again once nothing writes to it")


def _header(plain: dict[str, Any]) -> Header:
    return Header(
        **{
            **plain,
            "channels": tuple(plain["channels"]),
            "notes": tuple(plain["notes"]),
            "arrangement": Arrangement(plain["arrangement"]),
        }
    )


def _document(answer: dict[str, Any], pixels: BinaryIO) -> Document:
    header = _header(answer["header"])
    pages = answer["pages"]
    _forbid_shrinking(pixels.fileno())
    memory = mmap.mmap(pixels.fileno(), os.fstat(pixels.fileno()).st_size)
    images = tuple(_image(page, memory, header.notes) for page in pages)
    if header.arrangement is Arrangement.CUBE_STRIP:
        strip = images[0]
        side = strip.height // 6
        faces = tuple(strip.with_pixels(strip.pixels[i * side : (i + 1) * side]) for i in range(6))
        return Document(faces, Arrangement.CUBE_STRIP)
    return Document(images)


def _image(page: dict[str, Any], memory: mmap.mmap, notes: tuple[str, ...]) -> Image:
    plain = page["stored"]
    stored = Stored(
        **{
            **plain,
            "transfer": Transfer(plain["transfer"]),
            "alpha": Alpha(plain["alpha"]),
            "channels": tuple(plain["channels"]),
            "notes": notes,
        }
    )
    height, width, depth = int(page["height"]), int(page["width"]), len(stored.channels)
    flat = np.frombuffer(memory, np.dtype(page["dtype"]), height * width * depth, int(page["offset"]))
    return Image(flat.reshape(height, width, depth), stored)


def _forbid_shrinking(descriptor: int) -> None:
    """A child that cut the memory after the parent mapped it would kill the parent."""
    if not shared.BY_DESCRIPTOR:
        return
    import fcntl

    with suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
