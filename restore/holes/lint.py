"""Owns what is doubtful about a mask file, told before any work begins."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from restore.holes.marked import Marks, Reading, reading_of
from restore.image import Image

_MOST_COVERAGE = 0.5
_MOST_GREY = 0.005
"""Share of pixels that are neither black nor white, away from the rims of holes."""
RIM_PX = 4
"""How far from a hole's rim smooth edges and JPEG's 8 px blocks explain grey."""
_GREY = (0.15, 0.85)


class DoubtKind(StrEnum):
    WRONG_SIZE = "wrong size"
    INVERTED = "inverted"
    GREY = "grey levels"
    EMPTY = "empty"
    EVERYTHING = "everything"


@dataclass(frozen=True)
class Doubt:
    kind: DoubtKind
    words: str
    fatal: bool
    """Whether the picture can't be restored with this mask; otherwise a person should look."""


def doubts(marked: Image, *, width_px: int, height_px: int, invert: bool = False) -> tuple[Doubt, ...]:
    """What is doubtful about using `marked` for a picture of that size."""
    size = size_doubt(marked.width, marked.height, width_px, height_px)
    reading = reading_of(lambda: (marked,))
    said = count_doubts(count(reading.marks(marked, invert=invert)), reading, invert=invert)
    return said if size is None else (size, *said)


@dataclass(frozen=True)
class Counts:
    """Pixels of a mask, or of some of its rows; they add up."""

    pixels: int = 0
    missing: int = 0
    grey: int = 0
    """Neither black nor white."""
    grey_off_rims: int = 0
    """Of those, the ones that no smooth edge explains."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.pixels + other.pixels,
            self.missing + other.missing,
            self.grey + other.grey,
            self.grey_off_rims + other.grey_off_rims,
        )


def count(marks: Marks, first: int = 0, last: int | None = None) -> Counts:
    """Of the rows `first`..`last` of `marks`; `RIM_PX` more on each side have a say."""
    rows = slice(first, last)
    missing, grey = marks.holes[rows], (marks.level > _GREY[0]) & (marks.level < _GREY[1])
    number = int(np.count_nonzero(grey[rows]))
    off_rims = 0
    if number:
        side = np.ones((2 * RIM_PX + 1, 2 * RIM_PX + 1), np.uint8)
        rim = cv2.morphologyEx(marks.holes.view(np.uint8), cv2.MORPH_GRADIENT, side).view(np.bool_)
        off_rims = int(np.count_nonzero((grey & ~rim)[rows]))
    return Counts(missing.size, int(np.count_nonzero(missing)), number, off_rims)


def count_doubts(counts: Counts, reading: Reading, *, invert: bool) -> tuple[Doubt, ...]:
    """What is doubtful about a mask with so many pixels of each kind."""
    because = reading.because(invert=invert)
    both = (_coverage_doubt(counts, because, invert), _grey_doubt(counts))
    return tuple(doubt for doubt in both if doubt is not None)


def size_doubt(width: int, height: int, width_px: int, height_px: int) -> Doubt | None:
    """What a mask's size alone says, before it is decoded; None: it is the picture's own."""
    if (width, height) == (width_px, height_px):
        return None
    said = f"the mask is {width}x{height}, the picture {width_px}x{height_px}"
    across, down = width / width_px, height / height_px
    if (width, height) == (height_px, width_px):
        said += ": its sides are swapped, so one of them was turned by 90 degrees"
    elif abs(across - down) * max(width_px, height_px) <= 1.0 * max(1.0, across):
        said += f": it looks scaled by {across:.3g}; make the mask at the picture's own size"
    elif abs(width - width_px) <= 64 and abs(height - height_px) <= 64:
        said += ": it looks cropped or padded; make the mask from this very picture"
    else:
        said += ": it belongs to another picture, or was made from a changed copy"
    return Doubt(DoubtKind.WRONG_SIZE, said, fatal=True)


def _coverage_doubt(counts: Counts, because: str, invert: bool) -> Doubt | None:
    coverage = counts.missing / counts.pixels
    other = "without --invert-mask" if invert else "with --invert-mask"
    if counts.missing == 0:
        return Doubt(DoubtKind.EMPTY, f"marks nothing ({because}): there is nothing to do", fatal=False)
    if counts.missing == counts.pixels:
        words = f"marks every pixel as missing ({because}): nothing is left to fill from; try {other}"
        return Doubt(DoubtKind.EVERYTHING, words, fatal=True)
    if coverage > _MOST_COVERAGE:
        words = f"marks {coverage:.0%} of the picture as missing ({because}): it looks inverted; try {other}"
        return Doubt(DoubtKind.INVERTED, words, fatal=False)
    return None


def _grey_doubt(counts: Counts) -> Doubt | None:
    share = counts.grey_off_rims / counts.pixels
    if share <= _MOST_GREY:
        return None
    words = f"{share:.0%} of it is neither black nor white: is it a mask? Halfway between them is the border"
    return Doubt(DoubtKind.GREY, words, fatal=False)
