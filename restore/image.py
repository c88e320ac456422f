"""Owns the one in-memory picture, and how its file held it.

Pixels stay in the file's own number type from reading to writing; floats exist only for a batch of tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""(H, W, C) of uint8, uint16, float16 or float32."""

PIXEL_TYPES = (np.uint8, np.uint16, np.float16, np.float32)


class Transfer(StrEnum):
    """How a stored value maps to light."""

    SRGB = "srgb"
    LINEAR = "linear"


class Alpha(StrEnum):
    """How the file held alpha.  In memory it is always straight."""

    NONE = "none"
    STRAIGHT = "straight"
    PREMULTIPLIED = "premultiplied"


class Arrangement(StrEnum):
    """What several pages of one document are to each other."""

    PAGES = "pages"
    CUBE_STRIP = "cube strip"  # six square faces, one under the other in the file's strip


@dataclass(frozen=True)
class Stored:
    """How the file held one picture, so that it can go back the same way."""

    format: str
    """A key of `formats.FORMATS`: "png", "tga", ..., told by content, not by suffix."""
    bits: int
    """Per channel in memory after reading: 8 or 16, or 16 or 32 for floats."""
    is_float: bool
    transfer: Transfer
    alpha: Alpha
    channels: tuple[str, ...]
    """One name a channel, upper case for colour: ("Y",), ("Y", "A"), ("R", "G", "B"), ("R", "G", "B", "A"),
    then any further ones under their own names: ("R", "G", "B", "ir")."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """ICC, EXIF, resolution tags, compression, JPEG tables: carried, read by nobody but `formats`."""
    notes: tuple[str, ...] = ()
    """What a person should know: "palette of 37 colours expanded to RGB"."""


@dataclass(frozen=True)
class Image:
    """One picture: straight alpha, rows top to bottom, channels in the order of `stored.channels`."""

    pixels: Pixels
    stored: Stored

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3:
            raise ValueError(f"pixels must be (H, W, C), got {self.pixels.shape = }")
        if self.pixels.shape[2] != len(self.stored.channels):
            raise ValueError(f"{self.pixels.shape = } does not match {self.stored.channels = }")
        if self.pixels.dtype.type not in PIXEL_TYPES:
            raise ValueError(f"{self.pixels.dtype = } is none of {[t.__name__ for t in PIXEL_TYPES]}")

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def color_channels(self) -> tuple[int, ...]:
        """Indices of Y or of R, G, B."""
        return tuple(i for i, name in enumerate(self.stored.channels) if name in ("Y", "R", "G", "B"))

    @property
    def alpha_channel(self) -> int | None:
        return self.stored.channels.index("A") if "A" in self.stored.channels else None

    def with_pixels(self, pixels: Pixels) -> Image:
        """The same kind of picture with other pixels (any size, same channels and type)."""
        return replace(self, pixels=pixels)


@dataclass(frozen=True)
class Banded:
    """A picture that is read by rows, because as a whole it may not fit into memory."""

    height: int
    width: int
    rows: Callable[[int, int], Image]
    """(first row, row after the last) -> that part of it, over the whole width."""

    @classmethod
    def of(cls, page: Image) -> Banded:
        """A picture that is in memory."""
        return cls(page.height, page.width, lambda top, stop: page.with_pixels(page.pixels[top:stop]))

    def bands(self, height: int) -> Iterator[tuple[int, Image]]:
        """(first row, `height` rows; the last band may have fewer)."""
        for top in range(0, self.height, height):
            yield top, self.rows(top, min(top + height, self.height))


@dataclass(frozen=True)
class Document:
    """What one file holds: its pages in order, or the six faces of a cube map."""

    pages: tuple[Image, ...]
    arrangement: Arrangement = Arrangement.PAGES

    @property
    def first(self) -> Image:
        return self.pages[0]
