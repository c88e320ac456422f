"""Owns patch files: the repairs of one picture, with the pixels before and after, in about 1 % of its bytes.

One compact file a picture, not rows of the journal: pixels would swell the database that only the driver may write and
that every dry run copies, while files are written by the threads that have the pixels, go with a tree wherever it is
copied, and are the very thing that `restore apply` puts on another copy of the source.

A file is a ZIP archive of `repairs.json` and three members of plain bytes, deflated: `touched` (for each patch the
bits of its box, rows filled up to whole bytes), `before` and `after` (for each patch the touched pixels of its box,
row by row, channels side by side, in the file's own number type, little endian).
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np

from restore.errors import ImageError
from restore.image import PIXEL_TYPES, Document, Image, Pixels
from restore.tiling import Box
from restore.trust.ledger import Fill, Repair
from restore.trust.untouched import Touched

SUFFIX = ".patches"
VERSION = 1
_INDEX = "repairs.json"
_LIMIT_BYTES = 8 << 30
"""Of what one file may unpack to."""


@dataclass(frozen=True)
class Patch:
    """One repair with its pixels."""

    repair: Repair
    touched: Touched
    """(H, W) of the repair's box: which of its pixels are this repair's."""
    before: Pixels
    """(N, C): the touched pixels, row by row, as the source has them."""
    after: Pixels
    """(N, C): as repaired."""


@dataclass(frozen=True)
class PageSize:
    height: int
    width: int
    channels: tuple[str, ...]
    dtype: str
    """"uint8", "uint16", "float16" or "float32"."""


@dataclass(frozen=True)
class Patches:
    """Everything that was repaired in one file."""

    source_sha256: str
    """Of the file that they were made from, and fit on."""
    format: str
    """A key of `formats.FORMATS`: what the repaired picture was, or would have been, written as."""
    fingerprint: str
    """Of the recipe that made them."""
    pages: tuple[PageSize, ...]
    patches: tuple[Patch, ...]
    """In order of pages, then of blobs; no pixel belongs to two."""

    def touched(self) -> tuple[Touched, ...]:
        """The touched plane of every page."""
        planes = tuple(np.zeros((page.height, page.width), np.bool_) for page in self.pages)
        for patch in self.patches:
            _window(planes[patch.repair.page], patch.repair.box)[patch.touched] = True
        return planes

    def applied(self, document: Document) -> Document:
        """`document` with every repair put on.  ImageError where it isn't of the size and kind they were made for."""
        return self._with(document, self.patches, lambda patch: patch.after)

    def undone(self, document: Document, blobs: frozenset[tuple[int, int]] | None = None) -> Document:
        """`document` with the source's own pixels under the repairs (page, blob) in `blobs`; None: under all."""
        chosen = [p for p in self.patches if blobs is None or (p.repair.page, p.repair.blob) in blobs]
        return self._with(document, chosen, lambda patch: patch.before)

    def _with(self, document: Document, patches: Sequence[Patch], pixels_of: Any) -> Document:
        found = tuple(_size_of(page) for page in document.pages)
        if found != self.pages:
            raise ImageError(f"the repairs were made for {self.pages}, this is {found}: it is another picture")
        pages = [page.pixels.copy() for page in document.pages]
        for patch in patches:
            _window(pages[patch.repair.page], patch.repair.box)[patch.touched] = pixels_of(patch)
        made = tuple(page.with_pixels(pixels) for page, pixels in zip(document.pages, pages, strict=True))
        return Document(made, document.arrangement)


def made_from(
    before: Document,
    after: Document,
    repairs: Sequence[tuple[Repair, Touched]],
    *,
    source_sha256: str,
    format: str,  # noqa: A002
    fingerprint: str,
) -> Patches:
    """The patches of `repairs`, each with the (H, W) plane of its box that is its own."""
    patches = []
    for repair, touched in repairs:
        windows = [_window(side.pages[repair.page].pixels, repair.box)[touched] for side in (before, after)]
        patches.append(Patch(repair, touched, *windows))
    pages = tuple(_size_of(page) for page in before.pages)
    return Patches(source_sha256, format, fingerprint, pages, tuple(patches))


def same(one: Patches, other: Patches) -> bool:
    """Whether both hold the same repairs, bit for bit (NaN equals itself)."""
    kinds = [(p.source_sha256, p.format, p.fingerprint, p.pages, [q.repair for q in p.patches]) for p in (one, other)]
    return kinds[0] == kinds[1] and all(
        np.array_equal(a.touched, b.touched)
        and a.before.tobytes() == b.before.tobytes()
        and a.after.tobytes() == b.after.tobytes()
        for a, b in zip(one.patches, other.patches, strict=True)
    )


def write(patches: Patches) -> BinaryIO:
    """A patch file's bytes, in memory, positioned at 0; the same patches give the same bytes."""
    index = {
        "version": VERSION,
        "source_sha256": patches.source_sha256,
        "format": patches.format,
        "fingerprint": patches.fingerprint,
        "pages": [asdict(page) for page in patches.pages],
        "repairs": [_plain(patch.repair) for patch in patches.patches],
    }
    members = {
        _INDEX: json.dumps(index, separators=(",", ":")).encode(),
        "touched": b"".join(np.packbits(patch.touched, axis=1).tobytes() for patch in patches.patches),
        "before": b"".join(_little(patch.before) for patch in patches.patches),
        "after": b"".join(_little(patch.after) for patch in patches.patches),
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # dated 1980: no clock in the bytes
    file.seek(0)
    return file


def read(file: BinaryIO) -> Patches:
    """Raises ImageError where the file is damaged, hostile or of a newer version."""
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(info.file_size for info in archive.infolist()) > _LIMIT_BYTES:
                raise ImageError(f"it would unpack to more than {_LIMIT_BYTES >> 30} GiB: it is no patch file")
            index = json.loads(archive.read(_INDEX))
            if index["version"] > VERSION:
                raise ImageError("it was made by a newer version of restore: update restore")
            members = [archive.read(name) for name in ("touched", "before", "after")]
        pages = tuple(PageSize(**{**page, "channels": tuple(page["channels"])}) for page in index["pages"])
        patches = tuple(_unpacked([_repair(plain) for plain in index["repairs"]], pages, *members))
        return Patches(index["source_sha256"], index["format"], index["fingerprint"], pages, patches)
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, IndexError, OSError, EOFError) as error:
        raise ImageError(f"it is no whole patch file ({error}): make it again, or copy it again") from error


def _unpacked(
    repairs: Sequence[Repair], pages: Sequence[PageSize], touched: bytes, before: bytes, after: bytes
) -> list[Patch]:
    if any(page.dtype not in {kind.__name__ for kind in PIXEL_TYPES} for page in pages):
        raise ValueError("an unknown number type")
    patches, bit_at, pixel_at = [], 0, 0
    for repair in repairs:
        box, page = repair.box, pages[repair.page]
        if not (0 <= box.y0 < box.y1 <= page.height and 0 <= box.x0 < box.x1 <= page.width):
            raise ValueError(f"{box} lies outside its page")
        row_bytes = -(-box.width // 8)
        bits = np.frombuffer(touched, np.uint8, row_bytes * box.height, bit_at).reshape(box.height, row_bytes)
        plane = np.unpackbits(bits, axis=1, count=box.width).astype(np.bool_)
        bit_at += bits.size
        count = int(plane.sum()) * len(page.channels)
        kind = np.dtype(page.dtype).newbyteorder("<")
        sides = [
            np.frombuffer(data, kind, count, pixel_at).reshape(-1, len(page.channels)).astype(page.dtype)
            for data in (before, after)
        ]
        pixel_at += count * kind.itemsize
        patches.append(Patch(repair, plane, *sides))
    if (bit_at, pixel_at, pixel_at) != (len(touched), len(before), len(after)):
        raise ValueError("bytes are left over")
    return patches


def _plain(repair: Repair) -> dict[str, Any]:
    box = repair.box
    return {**asdict(repair), "box": [box.y0, box.x0, box.y1, box.x1]}


def _repair(plain: Mapping[str, Any]) -> Repair:
    return Repair(**{**plain, "box": Box(*(int(edge) for edge in plain["box"])), "fill": Fill(plain["fill"])})


def _size_of(page: Image) -> PageSize:
    return PageSize(page.height, page.width, page.stored.channels, page.pixels.dtype.name)


def _window(pixels: Pixels, box: Box) -> Pixels:
    return pixels[box.y0 : box.y1, box.x0 : box.x1]


def _little(pixels: Pixels) -> bytes:
    return pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
