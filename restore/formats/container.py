"""Owns what a file says beside its pixels, in one shape for all formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any

from restore.image import Transfer

View = mmap | bytes
"""A whole file, readable at any place; slices are copies."""

MAX_METADATA_BYTES = 64 << 20
"""Everything carried beside the pixels of one file."""


@dataclass
class Container:
    """What one format's own reader found in a file.

    Keys of `extras` that every format understands: "exif" (a TIFF block, without "Exif\\0\\0"), "icc", "xmp", "iptc",
    "density" ((x, y) pixels per metre).  Other keys begin with their format's name and only that format reads them.
    """

    extras: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    orientation: int = 1
    transfer: Transfer | None = None
    """None: sRGB for integers, linear for floats."""
    premultiplied: bool = False
    broken: str = ""
    """Why decoding must fail although a decoder may return pixels; empty when the file is whole."""
    page_extras: list[dict[str, Any]] = field(default_factory=list)
    """Beside `extras`, for each page of a file with several."""
    size: tuple[int, int] | None = None


Describe = Callable[[View], Container]
"""Reads a format's own structure; raises ImageError for what is refused."""


def grew(stored_size: tuple[int, int] | None, width: int, height: int) -> tuple[float, float]:
    """(x, y) factors by which a picture grew since it was read; (1, 1) when nobody knows."""
    return (width / stored_size[0], height / stored_size[1]) if stored_size else (1.0, 1.0)
