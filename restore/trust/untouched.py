"""Owns the proof that nothing changed outside repairs: digests that can be checked again later, and comparison.

Definition, for other tools to check: `touched_sha256` is sha256 over, for each page, the text "HEIGHTxWIDTH\n" and the
page's touched plane, 1 = touched, row by row from the top, 8 pixels a byte, the leftmost in the highest bit, each row
filled up with 0 to whole bytes.  `untouched_sha256` is sha256 over, for each page, the text
"HEIGHTxWIDTH TYPE CHANNEL,CHANNEL,...\n" and all pixels row by row, channels side by side, in the file's own number
type (uint8, uint16, float16, float32; little endian; straight alpha), with 0 in all channels of touched pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from restore.image import Document, Pixels

Touched = NDArray[np.bool_]
"""(H, W), True where a repair may have changed the pixel; one a page."""

_BAND_ROWS = 256


class TouchedDigest:
    """`touched_sha256` of the module's definition, of pages that come in bands of rows."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def begin(self, height: int, width: int) -> None:
        """The next page."""
        self._digest.update(f"{height}x{width}\n".encode())

    def add(self, rows: Touched) -> None:
        """Its next rows."""
        self._digest.update(np.packbits(rows, axis=1).tobytes())

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


class UntouchedDigest:
    """`untouched_sha256` of the module's definition, of pages that come in bands of rows."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def begin(self, height: int, width: int, dtype: str, channels: Sequence[str]) -> None:
        """The next page."""
        self._digest.update(f"{height}x{width} {dtype} {','.join(channels)}\n".encode())

    def add(self, rows: Pixels, touched: Touched) -> None:
        """Its next rows."""
        kept = rows.astype(rows.dtype.newbyteorder("<"))
        kept[touched] = 0
        self._digest.update(np.ascontiguousarray(kept).tobytes())

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def touched_digest(touched: Sequence[Touched]) -> str:
    """`touched_sha256` of the module's definition."""
    digest = TouchedDigest()
    for plane in touched:
        digest.begin(*plane.shape)
        for top in range(0, plane.shape[0], _BAND_ROWS):
            digest.add(plane[top : top + _BAND_ROWS])
    return digest.hexdigest()


def untouched_digest(document: Document, touched: Sequence[Touched]) -> str:
    """`untouched_sha256` of the module's definition; works in bands of rows."""
    digest = UntouchedDigest()
    for page, plane in zip(document.pages, touched, strict=True):
        if plane.shape != page.pixels.shape[:2]:
            raise ValueError(f"{plane.shape = } is not the page's {page.pixels.shape[:2]}")
        digest.begin(page.height, page.width, page.pixels.dtype.name, page.stored.channels)
        for top, band in _bands(page.pixels):
            digest.add(band, plane[top : top + len(band)])
    return digest.hexdigest()


def first_difference(one: Document, other: Document, touched: Sequence[Touched] | None = None) -> str | None:
    """Where two documents differ outside `touched` (anywhere, if None), in words; None: nowhere, bit for bit."""
    if len(one.pages) != len(other.pages):
        return f"{len(one.pages)} pages against {len(other.pages)}"
    for number, (a, b) in enumerate(zip(one.pages, other.pages, strict=True)):
        where = f"page {number + 1}: " if len(one.pages) > 1 else ""
        if a.pixels.shape != b.pixels.shape or a.pixels.dtype != b.pixels.dtype:
            return f"{where}{_kind(a.pixels)} against {_kind(b.pixels)}"
        if a.stored.channels != b.stored.channels:
            return f"{where}channels {','.join(a.stored.channels)} against {','.join(b.stored.channels)}"
        for top, band in _bands(a.pixels):
            theirs = b.pixels[top : top + len(band)]
            differs = (_bits(band) != _bits(theirs)).any(axis=2)
            if touched is not None:
                differs &= ~touched[number][top : top + len(band)]
            if differs.any():
                y, x = (int(i) for i in np.argwhere(differs)[0])
                values = f"{band[y, x].tolist()} against {theirs[y, x].tolist()}"
                return f"{where}{int(differs.sum())} pixels, the first at x {x}, y {top + y}: {values}"
    return None


def _bands(pixels: Pixels) -> Iterator[tuple[int, Pixels]]:
    for top in range(0, len(pixels), _BAND_ROWS):
        yield top, pixels[top : top + _BAND_ROWS]


def _bits(pixels: Pixels) -> Pixels:
    """Integers, so that NaN equals itself and -0 doesn't equal 0."""
    if pixels.dtype.kind == "u":
        return pixels
    return np.ascontiguousarray(pixels).view(f"u{pixels.itemsize}")


def _kind(pixels: Pixels) -> str:
    height, width, channels = pixels.shape
    return f"{width}x{height} of {channels} channels, {pixels.dtype.name}"
