"""Owns scratches taken out of a frame without their texture.

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

from restore.film.lines import Line
from restore.film.scratches import ScratchLaw
from restore.film.working import Frame, Holes, as_float32, from_float, to_float
from restore.tiling import Box
from restore.trust.ledger import Fill, Repair


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
