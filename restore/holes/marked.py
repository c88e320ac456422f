"""Owns mask files: which pixels of a picture somebody painted mean "missing", and how holes become such a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restore.holes.found import Holes
from restore.holes.levels import top_of
from restore.image import Alpha, Image, Stored, Transfer

_BAND_ROWS = 512
_LEAST_CONTRAST = 0.25
"""Share of the full range between a mask's darkest and lightest pixel, below which it says one thing everywhere."""
_ONE_COLOUR = 0.1
"""Painted pixels whose colours differ by less than this share of the range were painted with one brush."""


@dataclass(frozen=True)
class Marks:
    """What a mask file says."""

    level: NDArray[np.float32]
    """(H, W): 0 = surely black, 1 = surely white, with whatever lies between."""
    holes: Holes
    """(H, W), True = missing."""
    because: str
    """How it was read: "white = missing"."""


def read_marks(marked: Image, *, invert: bool = False) -> Marks:
    """The holes that a mask picture marks: white, or any light colour, = missing; `invert`: black = missing.

    The border is halfway between the darkest and the lightest pixel, so that smooth rims, JPEG's ringing, a black of
    1, 1, 1 and a tint don't matter, nor that 16-bit files sometimes hold 8-bit values, or masks only 0 and 1.  A mask
    of one level is all white or all black.  Colour counts by its strongest channel: red paint is as good as white.
    Strokes of one colour on a transparent layer are read by their alpha.
    """
    return reading_of(lambda: (marked,)).marks(marked, invert=invert)


@dataclass(frozen=True)
class Reading:
    """How a mask is read, decided once over all of it."""

    from_alpha: bool
    border: float
    """From here on it is white, in the file's own steps."""
    black: float
    white: float

    def marks(self, marked: Image, *, invert: bool) -> Marks:
        """What the mask, or some rows of it, says."""
        plane = _plane(marked, self.from_alpha)
        holes = plane >= self.border
        level = (plane - np.float32(self.black)) / np.float32(self.white - self.black)
        if invert:
            np.logical_not(holes, out=holes)
            level = np.float32(1.0) - level
        return Marks(level, holes, self.because(invert=invert))

    def because(self, *, invert: bool) -> str:
        painted, bare = ("painted", "clear") if self.from_alpha else ("white", "black")
        return f"{bare if invert else painted} = missing"


def reading_of(parts: Callable[[], Iterable[Image]]) -> Reading:
    """How to read the mask that `parts` gives from its top to its bottom, whenever it is called."""
    from_alpha = _is_painted_in_alpha(parts)
    low, high, marked = np.inf, -np.inf, None
    for marked in parts():
        plane = _plane(marked, from_alpha)
        low, high = min(low, float(plane.min())), max(high, float(plane.max()))
    if marked is None:
        raise ValueError("a mask has at least one row")
    top = _top(marked, high)
    if low == 0.0 and high == 1.0 and not marked.stored.is_float:  # class numbers, as segmentation tools write them
        return Reading(from_alpha, 0.5, 0.0, 1.0)
    if high - low < _LEAST_CONTRAST * top:
        return Reading(from_alpha, 0.5 * top, 0.0, top)
    return Reading(from_alpha, 0.5 * (low + high), low, high)


def as_mask(holes: Holes) -> Image:
    """`holes` (H, W) as a picture that a person can correct: one 8-bit channel, white = missing, nothing else in it.

    `read_marks` gives the same holes back, also where all or none are missing.
    """
    stored = Stored("png", 8, False, Transfer.SRGB, Alpha.NONE, ("Y",))
    return Image(holes.astype(np.uint8)[..., None] * np.uint8(255), stored)


def _plane(marked: Image, from_alpha: bool) -> NDArray[np.float32]:
    """(H, W) of what was painted, in the file's own steps."""
    height, width = marked.pixels.shape[:2]
    channels = list(marked.color_channels) or [0]
    alpha_at = marked.alpha_channel
    alpha = None if alpha_at is None else marked.pixels[..., alpha_at]
    if alpha is not None and from_alpha:
        return np.nan_to_num(alpha.astype(np.float32), nan=0.0)
    top = top_of(marked.pixels)
    plane = np.empty((height, width), np.float32)
    for start in range(0, height, _BAND_ROWS):
        rows = slice(start, start + _BAND_ROWS)
        band = marked.pixels[rows][..., channels].max(axis=2).astype(np.float32)
        if alpha is not None:
            band *= alpha[rows].astype(np.float32) / np.float32(top)
        plane[rows] = np.nan_to_num(band, nan=0.0, posinf=top, neginf=0.0)
    return plane


def _is_painted_in_alpha(parts: Callable[[], Iterable[Image]]) -> bool:
    """Whether alpha varies and all that is opaque has about one colour, so that only alpha can say what was painted."""
    low, high = np.inf, -np.inf
    for marked in parts():
        if marked.alpha_channel is None:
            return False
        alpha = marked.pixels[..., marked.alpha_channel]
        low, high = min(low, float(alpha.min())), max(high, float(alpha.max()))
    if not low < high:
        return False
    darkest: NDArray[np.float32] | None = None
    lightest: NDArray[np.float32] | None = None
    top = 1.0
    for marked in parts():
        channels = list(marked.color_channels) or [0]
        opaque = marked.pixels[..., marked.alpha_channel] > 0.5 * high
        top = top_of(marked.pixels)
        painted = marked.pixels[opaque][:, channels].astype(np.float32)
        if not painted.size:
            continue
        least, most = np.nanmin(painted, axis=0), np.nanmax(painted, axis=0)
        darkest = least if darkest is None else np.fmin(darkest, least)
        lightest = most if lightest is None else np.fmax(lightest, most)
    if darkest is None or lightest is None:
        return False
    return bool((lightest - darkest).max() < _ONE_COLOUR * top)


def _top(marked: Image, high: float) -> float:
    """White's level where the lightest pixel has level `high`: the type's own, or 255 where a 16-bit file holds 8-bit
    values, or more than 1 in floats."""
    if marked.pixels.dtype == np.uint16:
        return 255.0 if 128.0 <= high <= 255.0 else 65535.0
    return max(top_of(marked.pixels), high)
