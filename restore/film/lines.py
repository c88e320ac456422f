"""Owns thin upright lines in a picture: found by summing along the line over a fan of slopes.

One pixel of a faint scratch drowns in grain; summed over a frame's height it doesn't: a line of 0.7 sigma a pixel
stands out by six.  So thin upright structure is measured against what is usual around it, added up in bands of rows,
and the bands along every slope of a fan.  How far a sum stands out is told by the sums beside it: where a picture is
full of upright texture, more is asked of a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.working import Grey, as_float32

Bands = NDArray[np.float32]
"""(bands, W): how far each column stands out from its sides, summed over a band of rows, in local sigmas."""

BAND_ROWS = 24
WIDTHS_PX = (2, 4)
_STEEPEST = 0.035
"""Pixels to the side a row: two degrees."""
_CLIP_SIGMAS = 2.5
_AROUND_PX = 121
_PLAIN_SIGMAS = 3.0
_CANDIDATE_SIGMAS = 4.5
_APART_PX = 6
_IN_BAND_SIGMAS = 0.5
_BANDS_SHARE = 0.75
"""A scratch is in this share of its bands at least: scene content seldom is."""
BESIDE_PX = 16
BESIDE_PART = 0.5
"""What lies so near a line of the other sign, and is that much weaker, is its shadow in the measurement."""
SHARES = (1.0, 0.5)
"""Of the height: how much of it a line runs through."""


@dataclass(frozen=True)
class Line:
    """A thin, nearly upright line in one frame."""

    x: float
    """At half the frame's height, in pixels."""
    slope: float
    """Pixels to the right a row down."""
    score: float
    """Sigmas; positive is lighter than its sides."""
    top: int
    bottom: int
    """Rows that it runs through, half-open."""
    width_px: int
    whole: bool
    """It runs from the top of the frame to the bottom."""

    def at(self, rows: NDArray[np.float32], height: int) -> NDArray[np.float32]:
        """Its place in these rows of a frame of that height."""
        return np.float32(self.x) + np.float32(self.slope) * (rows - np.float32((height - 1) / 2))


def lines_in(grey: Grey) -> list[Line]:
    """Lines that may be scratches in one frame (H, W), the clearest first."""
    height, width = grey.shape
    if height < 4 * BAND_ROWS or width < 64:
        return []
    return lines_along([(thick, bands_of(grey, thick)) for thick in WIDTHS_PX], height)


def lines_along(measured: Iterable[tuple[int, Bands]], height: int, shares: Sequence[float] = SHARES) -> list[Line]:
    """Lines that bands add up to; `measured`: pairs of a line's width in pixels and the bands for that width."""
    slopes = np.arange(-_STEEPEST, _STEEPEST + 1e-9, 1.0 / height)
    found: list[Line] = []
    for thick, bands in measured:
        sheared = np.stack([sheared_by(bands, slope, height) for slope in slopes])
        for share in shares:
            count = max(2, round(share * len(bands)))
            steps = round(2 / share) - 1
            for first in sorted({round(i / max(1, steps - 1) * (len(bands) - count)) for i in range(steps)}):
                found += _peaks(sheared[:, first : first + count], slopes, thick, first, height)
    return _strongest(found)


def bands_of(grey: Grey, thick: int) -> Bands:
    """Of a picture (H, W), for lines `thick` pixels wide."""
    core = as_float32(cv2.blur(grey, (thick, 1)))
    gap, side = thick + 1, 2 * thick
    sides = as_float32(cv2.blur(grey, (side, 1)))
    left, right = np.roll(sides, gap + side // 2, axis=1), np.roll(sides, -(gap + side // 2), axis=1)
    # The milder of both sides: an edge isn't a line.
    off = milder(core - left, core - right)
    # Half of all pixels lie between their sides and say nothing; signs make up for it.
    off[:, : 4 * thick] = off[:, -4 * thick :] = 0
    usual = as_float32(cv2.blur(np.abs(off), (_AROUND_PX, BAND_ROWS * 2 + 1))) * 1.8 + 1e-4
    clipped = np.clip(off / usual, -_CLIP_SIGMAS, _CLIP_SIGMAS)
    rows = grey.shape[0] // BAND_ROWS * BAND_ROWS
    summed = clipped[:rows].reshape(-1, BAND_ROWS, grey.shape[1]).sum(axis=1)
    around = as_float32(cv2.blur(as_float32(np.abs(summed)), (_AROUND_PX, 5)))
    return as_float32(summed / (1.25 * around + 1e-3))


def milder(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """The one nearer to zero where both have the same sign, else 0."""
    return as_float32(np.where(a * b > 0, np.where(np.abs(a) < np.abs(b), a, b), 0))


def sheared_by(bands: Bands, slope: float, height: int) -> Bands:
    """Bands moved so that a line of that slope stands upright where it is at half the height."""
    count, width = bands.shape
    by = ((np.arange(count) + 0.5) * BAND_ROWS - height / 2) * slope
    x = np.arange(width, dtype=np.float32)[None, :] + by[:, None].astype(np.float32)
    y = np.arange(count, dtype=np.float32)[:, None].repeat(width, 1)
    return as_float32(cv2.remap(bands, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))


def _peaks(
    stretch: NDArray[np.float32], slopes: NDArray[np.float64], thick: int, first: int, height: int
) -> list[Line]:
    """Where bands (slopes, bands, W) add up to a line, most of them having it."""
    summed = as_float32(stretch.sum(axis=1) / stretch.shape[1] ** 0.5)
    strength = np.abs(summed)
    # In a narrow frame a line itself is much of what is around it.
    most = _PLAIN_SIGMAS if strength.shape[1] < 4 * _AROUND_PX else np.inf
    around = 1.25 * as_float32(cv2.blur(np.minimum(strength, most), (2 * _AROUND_PX + 1, 9)))
    summed = summed / np.maximum(around, 1)
    strength = np.abs(summed)
    best = strength.max(axis=0)
    local = cv2.dilate(best[None, :], np.ones((1, 2 * _APART_PX + 1), np.uint8))[0]
    peaks = np.nonzero((best >= local) & (best > _CANDIDATE_SIGMAS))[0]
    top, bottom = first * BAND_ROWS, (first + stretch.shape[1]) * BAND_ROWS
    whole = first == 0 and bottom + BAND_ROWS > height
    bottom = height if bottom + BAND_ROWS > height else bottom
    lines = []
    for x in peaks:
        slope = int(strength[:, x].argmax())
        have_it = np.mean(stretch[slope, :, x] * np.sign(summed[slope, x]) > _IN_BAND_SIGMAS)
        if have_it < _BANDS_SHARE:
            continue
        lines.append(Line(float(x), float(slopes[slope]), float(summed[slope, x]), top, bottom, thick, whole))
    return lines


def _strongest(lines: list[Line]) -> list[Line]:
    kept: list[Line] = []
    for line in sorted(lines, key=lambda one: (-abs(one.score), one.x)):
        if not any(_same_or_shadow(line, other) for other in kept):
            kept.append(line)
    return kept


def _same_or_shadow(line: Line, stronger: Line) -> bool:
    apart = abs(line.x - stronger.x)
    weak = abs(line.score) < BESIDE_PART * abs(stronger.score)
    return apart <= _APART_PX or (apart <= BESIDE_PX and weak and line.score * stronger.score < 0)
