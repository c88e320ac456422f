"""Owns mask files: which pixels of a picture somebody painted mean "missing", and how holes become such a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restore.holes.found import Holes
from restore.holes.levels import top_of
from restore.image import Alpha, Image, Pixels, Stored, Transfer

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
    plane, from_alpha = _plane(marked)
    top = _top(marked, plane)
    low, high = float(plane.min()), float(plane.max())
    if low == 0.0 and high == 1.0 and not marked.stored.is_float:  # class numbers, as segmentation tools write them
        border, level = 0.5, plane
    elif high - low < _LEAST_CONTRAST * top:
        border, level = 0.5 * top, plane / np.float32(top)
    else:
        border, level = 0.5 * (low + high), (plane - np.float32(low)) / np.float32(high - low)
    holes = plane >= border
    if invert:
        np.logical_not(holes, out=holes)
        level = np.float32(1.0) - level
    painted, bare = ("painted", "clear") if from_alpha else ("white", "black")
    return Marks(level, holes, f"{bare if invert else painted} = missing")


def as_mask(holes: Holes) -> Image:
    """`holes` (H, W) as a picture that a person can correct: one 8-bit channel, white = missing, nothing else in it.

    `read_marks` gives the same holes back, also where all or none are missing.
    """
    stored = Stored("png", 8, False, Transfer.SRGB, Alpha.NONE, ("Y",))
    return Image(holes.astype(np.uint8)[..., None] * np.uint8(255), stored)


def _plane(marked: Image) -> tuple[NDArray[np.float32], bool]:
    """(H, W) of what was painted, in the file's own steps, and whether that is its alpha."""
    height, width = marked.pixels.shape[:2]
    channels = list(marked.color_channels) or [0]
    alpha_at = marked.alpha_channel
    alpha = None if alpha_at is None else marked.pixels[..., alpha_at]
    if alpha is not None and alpha.min() < alpha.max() and _one_colour(marked, channels, alpha):
        return np.nan_to_num(alpha.astype(np.float32), nan=0.0), True
    top = top_of(marked.pixels)
    plane = np.empty((height, width), np.float32)
    for start in range(0, height, _BAND_ROWS):
        rows = slice(start, start + _BAND_ROWS)
        band = marked.pixels[rows][..., channels].max(axis=2).astype(np.float32)
        if alpha is not None:
            band *= alpha[rows].astype(np.float32) / np.float32(top)
        plane[rows] = np.nan_to_num(band, nan=0.0, posinf=top, neginf=0.0)
    return plane, False


def _one_colour(marked: Image, channels: list[int], alpha: Pixels) -> bool:
    """Whether all that is opaque has about one colour, so that only alpha can say what was painted."""
    opaque = alpha > 0.5 * float(alpha.max())
    if not opaque.any():
        return False
    painted = marked.pixels[opaque][:, channels].astype(np.float32)
    top = top_of(marked.pixels)
    spread: float = (np.nanmax(painted, axis=0) - np.nanmin(painted, axis=0)).max()
    return bool(spread < _ONE_COLOUR * top)


def _top(marked: Image, plane: NDArray[np.float32]) -> float:
    """White's level: the type's own, or 255 where a 16-bit file holds 8-bit values, or more than 1 in floats."""
    high = float(plane.max())
    if marked.pixels.dtype == np.uint16:
        return 255.0 if 128.0 <= high <= 255.0 else 65535.0
    return max(top_of(marked.pixels), high)
