"""Owns scratches taken out of a frame without their texture.

A scratch that light still passes is a profile added to the picture: the profile is measured along the line and
subtracted, and texture and grain stay what they were.  One that hides the picture becomes holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from restore.film.lines import Line
from restore.film.profile import Neighbour, Profile, profile_of
from restore.film.scratches import Look, ScratchLaw, flow_to, sides_of
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


_LEAST_PART = 0.05
"""A profile ends where it is less than this of its depth."""
_PASSES = 2
_BESIDE_PX = 48
"""Scratches side by side are in each other's way: each is measured again without the others."""


def without_scratches(
    window: Sequence[Look], at: int, lines: Sequence[Line], law: ScratchLaw, number: int = 0
) -> Unscratched:
    """The frame `window[at]` with the profile of each line subtracted, or with holes where there is nothing under it.

    `window` has the frames around it, too, in order; `number` is the frame's, for the ledger.
    """
    frame = window[at].frame
    height, width = frame.shape[:2]
    subtracted, holes = np.zeros((height, width), np.bool_), np.zeros((height, width), np.bool_)
    if not lines:
        return Unscratched(frame, subtracted, holes, ())
    values = to_float(frame)
    near = sides_of(len(window), at)
    neighbours = [Neighbour(to_float(window[o].frame), flow_to(window[at], window[o])) for o in near if len(near) > 1]
    profiles: list[Profile | None] = [None] * len(lines)
    strongest = sorted(range(len(lines)), key=lambda index: -abs(lines[index].score))
    for _ in range(_PASSES if len(lines) > 1 else 1):
        for index in strongest:
            others = [
                one
                for other, one in enumerate(profiles)
                if one is not None and other != index and abs(lines[other].x - lines[index].x) <= _BESIDE_PX
            ]
            beside = [replace(one, values=_without(one.values, others)) for one in neighbours]
            profiles[index] = profile_of(_without(values, others), lines[index], beside)
    rest = values.copy()
    repairs: list[Repair] = []
    for line, profile in zip(lines, profiles, strict=True):
        assert profile is not None
        y, x, added = _pixels(profile, width)
        if profile.deep > law.deepest:
            holes[y, x] = True
        elif len(y):
            rest[y, x] -= added
            mine = np.zeros((height, width), np.bool_)
            mine[y, x] = True
            subtracted |= mine
            repairs.append(_record(line, mine, law, number, len(repairs)))
    result = frame.copy()
    result[subtracted] = from_float(rest, frame)[subtracted]
    return Unscratched(result, subtracted & ~holes, holes, tuple(repairs))


def _without(values: NDArray[np.float32], profiles: Sequence[Profile]) -> NDArray[np.float32]:
    if not profiles:
        return values
    rest = values.copy()
    for profile in profiles:
        y, x, added = _pixels(profile, values.shape[1])
        rest[y, x] -= added
    return rest


def _pixels(profile: Profile, width: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Rows, columns and what is added there (n, C), wherever that is enough to see."""
    half, base = profile.half_px, np.rint(profile.middle).astype(np.int32)
    x = base[:, None] + np.arange(-half, half + 1, dtype=np.int32)[None, :]
    place = np.clip(x - profile.middle[:, None] + half, 0, 2 * half)
    low = np.minimum(place.astype(np.int32), 2 * half - 1)
    part = (place - low)[..., None]
    row = np.arange(len(x))[:, None]
    here = profile.added[row, low] * (1 - part) + profile.added[row, low + 1] * part
    seen = (np.abs(here).max(axis=2) > _LEAST_PART * profile.deep) & (x >= 0) & (x < width)
    y = profile.rows[:, None].repeat(x.shape[1], 1)
    return y[seen], x[seen], as_float32(here[seen])


def _record(line: Line, changed: Holes, law: ScratchLaw, number: int, blob: int) -> Repair:
    rows, columns = np.nonzero(changed.any(axis=1))[0], np.nonzero(changed.any(axis=0))[0]
    box = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    clear = abs(line.score)
    return Repair(
        page=number, blob=blob, box=box, area_px=int(changed.sum()), kind="scratch", fill=Fill.SUBTRACTED,
        confidence=clear / (clear + law.sigmas), score=clear,
    )  # fmt: skip
