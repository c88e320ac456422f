"""Owns upright line scratches: found by summing along the line, confirmed by staying, taken out without their texture.

One pixel of a faint scratch drowns in grain; summed over a frame's height it doesn't: a line of 0.7 sigma a pixel
stands out by six.  So thin upright structure is measured against what is usual around it, added up in bands of rows,
and the bands along every slope of a fan.
Dirt is gone in the next frame; a scratch stays where it is while the scene moves on.

A scratch that light still passes is a profile added to the picture: the profile is measured along the line and
subtracted, and texture and grain stay what they were.  One that hides the picture becomes holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.working import Frame, Grey, Holes, as_float32, from_float, grey_of, to_float
from restore.tiling import Box
from restore.trust.ledger import Fill, Repair

_BAND_ROWS = 24
_STEEPEST = 0.035
"""Pixels to the side a row: two degrees."""
_WIDTHS_PX = (2, 4)
_CLIP_SIGMAS = 2.5
_AROUND_PX = 121
_CANDIDATE_SIGMAS = 4.5
_APART_PX = 6
_IN_BAND_SIGMAS = 0.5
_BANDS_SHARE = 0.75
"""A scratch is in this share of its bands at least: scene content seldom is."""
_BESIDE_PX = 16
_BESIDE_PART = 0.5
"""What lies so near a line of the other sign, and is that much weaker, is its shadow in the measurement."""
_SHORT_NEEDS = 1.5
"""A line through part of the frame must be so much clearer: poles and door frames are."""
_SHARES = (1.0, 0.5)
"""Of the height: how much of it a line runs through."""


@dataclass(frozen=True)
class ScratchLaw:
    sigmas: float = 9.0
    """From which a line is a scratch: the mean of the frames that have it."""
    frames: int = 3
    """In how many of the five frames around, its own included, it must be."""
    stays_px: float = 3.0
    """How far it may wander between two frames."""
    deepest: float = 0.25
    """Deeper ones hide the picture and become holes."""


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
    if height < 4 * _BAND_ROWS or width < 64:
        return []
    slopes = np.arange(-_STEEPEST, _STEEPEST + 1e-9, 1.0 / height)
    found: list[Line] = []
    for thick in _WIDTHS_PX:
        bands = _bands(grey, thick)
        middles = (np.arange(len(bands)) + 0.5) * _BAND_ROWS - height / 2
        sheared = np.stack([_sheared(bands, middles * slope) for slope in slopes])
        for share in _SHARES:
            count = max(2, round(share * len(bands)))
            for first in sorted({round(f * (len(bands) - count)) for f in (0.0, 0.5, 1.0)}):
                found += _peaks(sheared[:, first : first + count], slopes, thick, first, height)
    return _strongest(found)


def _bands(grey: Grey, thick: int) -> NDArray[np.float32]:
    """(bands, W): how far each column stands out from its sides, summed over a band of rows, in local sigmas."""
    core = as_float32(cv2.blur(grey, (thick, 1)))
    gap, side = thick + 1, 2 * thick
    sides = as_float32(cv2.blur(grey, (side, 1)))
    left, right = np.roll(sides, gap + side // 2, axis=1), np.roll(sides, -(gap + side // 2), axis=1)
    # The milder of both sides: an edge isn't a line.
    a, b = core - left, core - right
    off = np.where(a * b > 0, np.where(np.abs(a) < np.abs(b), a, b), 0)
    # Half of all pixels lie between their sides and say nothing; signs make up for it.
    off[:, : 4 * thick] = off[:, -4 * thick :] = 0
    usual = as_float32(cv2.blur(np.abs(off), (_AROUND_PX, _BAND_ROWS * 2 + 1))) * 1.8 + 1e-4
    clipped = np.clip(off / usual, -_CLIP_SIGMAS, _CLIP_SIGMAS)
    rows = grey.shape[0] // _BAND_ROWS * _BAND_ROWS
    summed = clipped[:rows].reshape(-1, _BAND_ROWS, grey.shape[1]).sum(axis=1)
    around = as_float32(cv2.blur(as_float32(np.abs(summed)), (_AROUND_PX, 5)))
    return as_float32(summed / (1.25 * around + 1e-3))


def _sheared(bands: NDArray[np.float32], by: NDArray[np.float64]) -> NDArray[np.float32]:
    """Each band moved so that a line that leans `by` pixels there stands upright."""
    width = bands.shape[1]
    x = np.arange(width, dtype=np.float32)[None, :] + by[:, None].astype(np.float32)
    y = np.arange(len(bands), dtype=np.float32)[:, None].repeat(width, 1)
    return as_float32(cv2.remap(bands, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))


def _peaks(
    stretch: NDArray[np.float32], slopes: NDArray[np.float64], thick: int, first: int, height: int
) -> list[Line]:
    """Where bands (slopes, bands, W) add up to a line, most of them having it."""
    summed = stretch.sum(axis=1) / stretch.shape[1] ** 0.5
    strength = np.abs(summed)
    best = strength.max(axis=0)
    local = cv2.dilate(best[None, :], np.ones((1, 2 * _APART_PX + 1), np.uint8))[0]
    peaks = np.nonzero((best >= local) & (best > _CANDIDATE_SIGMAS))[0]
    top, bottom = first * _BAND_ROWS, (first + stretch.shape[1]) * _BAND_ROWS
    whole = first == 0 and bottom + _BAND_ROWS > height
    bottom = height if bottom + _BAND_ROWS > height else bottom
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
    weak = abs(line.score) < _BESIDE_PART * abs(stronger.score)
    return apart <= _APART_PX or (apart <= _BESIDE_PX and weak and line.score * stronger.score < 0)


def scratches_in(window: Sequence[Sequence[Line]], at: int, law: ScratchLaw) -> list[Line]:
    """Lines that stay, of the frame whose lines are `window[at]`; `window` has those of the frames around it, too."""
    confirmed = []
    for line in window[at]:
        total, frames = abs(line.score), 1
        for way in (1, -1):
            x = line.x
            near = at + way
            while 0 <= near < len(window):
                same = [o for o in window[near] if abs(o.x - x) <= law.stays_px and o.score * line.score > 0]
                if not same:
                    break
                nearest = min(same, key=lambda o: abs(o.x - x))
                total, frames, x = total + abs(nearest.score), frames + 1, nearest.x
                near += way
        needed = law.sigmas * (1 if line.whole else _SHORT_NEEDS)
        if frames >= min(law.frames, len(window)) and total / frames >= needed:
            confirmed.append(line)
    return sorted(confirmed, key=lambda line: line.x)


@dataclass(frozen=True)
class Unscratched:
    """A frame without its see-through scratches."""

    frame: Frame
    """(H, W, C), in its number type; changed only in scratches."""
    subtracted: Holes
    """(H, W): where a profile was subtracted."""
    holes: Holes
    """(H, W): where nothing of the picture was left: to be filled."""
    repairs: tuple[Repair, ...]
    """One a line that was subtracted, numbered from 0."""


_HALF_PX = 10
_PROFILE_ROWS = 120
_SIDE_FROM_PX = 5
_LEAST_PART = 0.08
"""A profile ends where it is less than this of its depth."""


def without_scratches(frame: Frame, lines: Sequence[Line], law: ScratchLaw, number: int = 0) -> Unscratched:
    """`frame` with the profile of each line subtracted, or with holes where there is nothing under it.

    `number` is the frame's, for the ledger.
    """
    repairs: list[Repair] = []
    values = to_float(frame).copy()
    subtracted = np.zeros(frame.shape[:2], np.bool_)
    holes = np.zeros(frame.shape[:2], np.bool_)
    for line in lines:
        profile = _profile(values, line)
        deep = float(np.abs(profile).max()) if profile.size else 0.0
        if deep == 0:
            continue
        height = frame.shape[0]
        rows = np.arange(line.top, line.bottom, dtype=np.float32)
        middle = line.at(rows, height)
        mine = np.zeros(frame.shape[:2], np.bool_)
        base = np.rint(middle).astype(np.int32)
        for column in range(-_HALF_PX, _HALF_PX + 1):
            x = base + column
            inside = (x >= 0) & (x < frame.shape[1])
            y = rows[inside].astype(np.int32)
            place = np.clip(x[inside] - middle[inside] + _HALF_PX, 0, 2 * _HALF_PX)
            low = np.minimum(place.astype(np.int32), 2 * _HALF_PX - 1)
            part = (place - low)[:, None]
            row = profile[inside]
            index = np.arange(len(y))
            here = row[index, low] * (1 - part) + row[index, low + 1] * part
            touched = np.abs(here).max(axis=1) > _LEAST_PART * deep
            if deep > law.deepest:
                holes[y[touched], x[inside][touched]] = True
            else:
                values[y[touched], x[inside][touched]] -= here[touched]
                mine[y[touched], x[inside][touched]] = True
        if mine.any():
            subtracted |= mine
            repairs.append(_record(line, mine, law, number, len(repairs)))
    result = frame.copy()
    result[subtracted] = from_float(values, frame)[subtracted]
    return Unscratched(result, subtracted & ~holes, holes, tuple(repairs))


def _record(line: Line, changed: Holes, law: ScratchLaw, number: int, blob: int) -> Repair:
    rows, columns = np.nonzero(changed.any(axis=1))[0], np.nonzero(changed.any(axis=0))[0]
    box = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    clear = abs(line.score)
    return Repair(
        page=number, blob=blob, box=box, area_px=int(changed.sum()), kind="scratch", fill=Fill.SUBTRACTED,
        confidence=clear / (clear + law.sigmas), score=clear,
    )  # fmt: skip


def _profile(values: NDArray[np.float32], line: Line) -> NDArray[np.float32]:
    """(rows of the line, 2 * _HALF_PX + 1, C): what the scratch adds, smooth along the line, zero at its sides."""
    height = values.shape[0]
    rows = np.arange(line.top, line.bottom, dtype=np.float32)
    offsets = np.arange(-_HALF_PX, _HALF_PX + 1, dtype=np.float32)
    x = line.at(rows, height)[:, None] + offsets[None, :]
    y = rows[:, None].repeat(len(offsets), 1)
    strip = as_float32(cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    strip = strip.reshape(len(rows), len(offsets), values.shape[2])
    sides = np.abs(offsets) >= _SIDE_FROM_PX
    left, right = strip[:, sides & (offsets < 0)].mean(axis=1), strip[:, sides & (offsets > 0)].mean(axis=1)
    share = ((offsets + _HALF_PX) / (2 * _HALF_PX))[None, :, None]
    off = strip - (left[:, None] * (1 - share) + right[:, None] * share)
    # Robust along the line: medians of stretches, joined smoothly.
    count = max(1, round(len(rows) / _PROFILE_ROWS))
    ends = np.linspace(0, len(rows), count + 1).astype(int)
    medians = np.stack([np.median(off[a:b], axis=0) for a, b in pairwise(ends)])
    medians -= (medians[:, sides].mean(axis=1))[:, None]
    fade = np.clip(_SIDE_FROM_PX + 2 - np.abs(offsets), 0, 1)[None, :, None]
    medians = as_float32(medians * fade)
    at = np.clip((np.arange(len(rows)) + 0.5) * count / len(rows) - 0.5, 0, count - 1)
    low = np.minimum(at.astype(int), max(0, count - 2))
    high = np.minimum(low + 1, count - 1)
    part = (at - low)[:, None, None]
    return as_float32(medians[low] * (1 - part) + medians[high] * part)


def lines_of(frame: Frame) -> list[Line]:
    """`lines_in` for a working frame."""
    return lines_in(grey_of(frame))
