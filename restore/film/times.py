"""Owns when frames are shown, in few numbers: films of one rate are one run, those of a variable rate some thousand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

Numbers = Sequence[int] | NDArray[np.int64]


@dataclass(frozen=True)
class Times:
    """Frames that follow each other without a pause."""

    time_base: Fraction
    """Seconds of one unit."""
    start: int
    """When the first one is shown, in units."""
    runs: tuple[tuple[int, int], ...]
    """(length in units, how many frames are shown that long), in order."""

    @property
    def frames(self) -> int:
        return sum(count for _, count in self.runs)

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(when each is shown, how long), in units."""
        lengths = np.repeat(*(np.array([run[i] for run in self.runs], np.int64) for i in (0, 1)))
        return self.start + np.cumsum(lengths) - lengths, lengths


def times_of(
    pts: Sequence[int] | NDArray[np.int64], lengths: Sequence[int] | NDArray[np.int64], base: Fraction
) -> Times:
    """Of frames shown at `pts` for `lengths`; a frame is shown until the next one."""
    runs = tuple((int(length), len(list(same))) for length, same in groupby(lengths))
    return Times(base, int(pts[0]), runs)


def steady(frames: int, rate: Fraction) -> Times:
    """`frames` at one rate, from 0."""
    return Times(1 / rate, 0, ((1, frames),))
