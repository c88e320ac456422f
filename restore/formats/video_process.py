"""Owns the parent's side of decoding video: what `video` and `video_read` do, in a child that may crash or hang.

Planes come through a pipe, so no memory is shared with what parses hostile files, and one frame is held at a time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.formats import wire
from restore.formats.video import Clip, Index
from restore.formats.video_pixels import Planes
from restore.formats.video_plain import clip_from_plain, index_from_plain, index_to_plain
from restore.formats.video_read import Frame

DEFAULT_MEMORY_BYTES = 8 << 30
DEFAULT_TIMEOUT_S = 600.0
"""For the next answer: one frame, which may lie far behind its key frame, or the index of a whole film."""
_LINE_BYTES = 1 << 26
_PACKAGE_PARENT = Path(__file__).resolve().parents[2]


def look(path: Path, *, memory_bytes: int = DEFAULT_MEMORY_BYTES, timeout_s: float = 4 * 3600) -> tuple[Clip, Index]:
    """`video.probe` and `video.index`.  ImageError, too, when the child crashed over it or took too long."""
    with _Child({"op": "look", "path": os.fsencode(path)}, path, memory_bytes, timeout_s) as child:
        answer = child.line()
        try:
            return clip_from_plain(answer["clip"]), index_from_plain(answer["index"])
        except (KeyError, TypeError, ValueError) as error:
            raise ImageError(f"{path}: the decoder's answer makes no sense ({error!r})") from error


def frames(
    clip: Clip,
    start: int,
    stop: int,
    known: Index,
    *,
    keep_damaged: bool = False,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Iterator[Frame]:
    """`video_read.frames`.  ImageError, too, with the frame's number, when the child crashes or takes too long."""
    request = {
        "op": "frames",
        "path": os.fsencode(clip.path),
        "start": start,
        "stop": stop,
        "index": index_to_plain(known),
        "keep_damaged": keep_damaged,
    }
    number = start
    with _Child(request, clip.path, memory_bytes, timeout_s) as child:
        while True:
            head = child.line(f"frame {number}: ")
            if head.get("done"):
                return
            planes = child.planes(clip)
            yield Frame(
                number=int(head["number"]),
                pts=int(head["pts"]),
                time_base=clip.time_base,
                duration=int(head["duration"]),
                planes=planes,
                layout=clip.layout,
                is_key=bool(head["key"]),
                is_interlaced=bool(head["interlaced"]),
                damage=str(head["damage"]),
            )
            number = int(head["number"]) + 1


class _Child:
    """One request's process; killed when its answers are no longer wanted."""

    def __init__(self, request: dict[str, Any], path: Path, memory_bytes: int, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        parents = [str(_PACKAGE_PARENT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "restore.formats.video_child", str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the parent's to handle
            env={**os.environ, "PYTHONPATH": os.pathsep.join(parents)},
        )
        assert self._process.stdin is not None  # Popen was given pipes
        assert self._process.stdout is not None
        self._answers = self._process.stdout
        self._late = False
        try:
            self._process.stdin.write(wire.pack(request))
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it died at once: reading its answer says so

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._answers.close()

    def line(self, about: str = "") -> dict[str, Any]:
        """The next answer.  ImageError with the child's own reason, or with how it died."""
        timer = threading.Timer(self._timeout_s, self._kill)
        timer.daemon = True
        timer.start()
        try:
            text = self._answers.readline(_LINE_BYTES)
        finally:
            timer.cancel()
        if not text.endswith(b"\n"):
            raise self._died(about)
        try:
            answer = wire.unpack(text)
        except ValueError as error:
            raise ImageError(f"{self._path}: {about}the decoder gave no sensible answer") from error
        if "error" in answer:
            raise ImageError(str(answer["error"]))
        return answer

    def planes(self, clip: Clip) -> Planes:
        planes = []
        for shape in clip.layout.shapes(clip.height, clip.width):
            plane: NDArray[Any] = np.empty(shape, clip.layout.dtype)
            view = plane.data.cast("B")
            got = 0
            while got < len(view):
                read = self._answers.readinto(view[got:])  # type: ignore[attr-defined]
                if not read:
                    raise self._died("")
                got += read
            planes.append(plane)
        return tuple(planes)

    def _kill(self) -> None:
        self._late = True
        self._process.kill()

    def _died(self, about: str) -> ImageError:
        code = self._process.wait()
        if self._late:
            return ImageError(f"{self._path}: {about}decoding took longer than {self._timeout_s:g} s and was stopped")
        how = f"exit status {code}"
        if code < 0:
            how = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return ImageError(f"{self._path}: {about}the decoding process died over it ({how})")
