"""Owns dissolves: where one shot turns into the next by and by.

In the middle of a dissolve a frame is the sum of one before and one after, each moved a little, and neither of them
alone explains it; and as the sum of two pictures that have nothing in common it has less contrast than both.  Fast
motion has the first of these marks at times, an actor who leaves the picture the second: a dissolve has all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from restore.film.small import HEIGHT, MOVE_X, MOVE_Y, WIDTH, Small, apart, inner
from restore.film.working import as_float32

REACHES = (4, 6, 8, 11, 16, 24)
"""How far before and after the middle frames are taken that belong to one shot alone."""
_APART = 0.25
_DIPS = 0.92
_DARK = 0.05
"""Contrast (squared) in the middle, as a part of that before and after."""
_LEVEL = 0.03
"""The sum of two pictures is no darker than both and no lighter; a flash, an explosion, a lamp that is turned are."""
_FLICKER_FRAMES = 2
_LEAST_POWER = 1e-4
_LEAST_SHARE = 0.15
_LEAST_PART = 0.2
_GRAIN = 0.05
"""What no picture explains: grain, and what moved within it."""
_NEAR_FRAMES = 24
_RETURNS = 0.5
_RETURN_STEP = 4
_NEARLY = 1.0
"""Of reaches that score nearly as well, the shortest."""


@dataclass(frozen=True)
class Dissolve:
    middle: int
    reach: int
    score: float
    """Log-odds."""


@dataclass(frozen=True)
class Marks:
    """What a frame and two others, one before and one after, have of a dissolve."""

    part: float
    """Of what one of them leaves unexplained, the share that a sum of both explains."""
    dip: float
    """Contrast (squared), as a part of that of the two others."""


def dissolves_in(held: Sequence[Small], taken: NDArray[np.bool_]) -> list[Dissolve]:
    """Dissolves among small copies of frames; none reaches over a frame that is `taken`, by a cut or a fade."""
    found: dict[int, Dissolve] = {}
    level = level_of(held)
    power = power_of(held)
    for reach in REACHES:
        for at in range(reach, len(held) - reach):
            if taken[at - reach : at + reach + 1].any():
                continue
            marks = marks_of(held, power, level, at, reach)
            score = -np.inf if marks is None else log_odds(marks)
            if score < 0 or (at in found and score <= found[at].score + _NEARLY):
                continue
            if not _returns(held, at - reach, at + reach):
                found[at] = Dissolve(at, reach, score)
    told: list[Dissolve] = []
    while found:
        best = max(found.values(), key=lambda one: one.score)
        told.append(best)
        clear = max(_NEAR_FRAMES, best.reach)
        found = {at: one for at, one in found.items() if abs(at - best.middle) > clear}
    return told


def _returns(held: Sequence[Small], before: int, behind: int) -> bool:
    """Whether the picture that was there before it comes back: after an explosion, or someone who walked by."""
    enough = _RETURNS * apart(held[before], held[behind])
    earlier = range(max(0, before - _NEAR_FRAMES), before, _RETURN_STEP)
    later = range(behind + _RETURN_STEP, min(len(held), behind + _NEAR_FRAMES + 1), _RETURN_STEP)
    return any(apart(held[one], held[behind]) < enough for one in earlier) or any(
        apart(held[before], held[one]) < enough for one in later
    )


def log_odds(marks: Marks) -> float:
    """That it is a dissolve.  Fitted to 247 dissolves, of 6 to 40 frames, between real clips and stills panned over."""
    return 13.3 + 8.3 * marks.part - 21.4 * marks.dip


def marks_of(
    held: Sequence[Small], power: NDArray[np.float64], level: NDArray[np.float64], at: int, reach: int
) -> Marks | None:
    """Of the frame `at` and those `reach` before and behind it; None where it can't be within a dissolve."""
    before, behind = held[at - reach], held[at + reach]
    beside = (power[at - reach] + power[at + reach]) / 2
    # Light that changes by and by changes contrast as well, but not as a part of brightness.
    relative = power[[at - reach, at, at + reach]] / (level[[at - reach, at, at + reach]] + _DARK) ** 2
    dip = max(power[at] / beside, 2 * relative[1] / (relative[0] + relative[2]))
    if min(power[at - reach], power[at], power[at + reach]) < _LEAST_POWER or dip > _DIPS:
        return None
    lowest, highest = sorted((level[at - reach], level[at + reach]))
    if not lowest - _LEVEL <= level[at] <= highest + _LEVEL:
        return None
    if apart(before, behind) < _APART:
        return None
    y, a, b = _quarters(inner(held[at])[None]), _quarters(_moved(before)), _quarters(_moved(behind))
    explained = [_explained(y[quarter][0], a[quarter], b[quarter]) for quarter in range(len(y))]
    whole = float((y * y).sum())
    both, alone = (sum(one[which] for one in explained) / whole for which in (0, 1))
    part = (both - alone) / (1 - alone + _GRAIN)
    return Marks(part, float(dip)) if part > _LEAST_PART else None


def _explained(y: NDArray[np.float32], a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[float, float]:
    """Of the power of `y`, how much a sum of one of `a` and one of `b` explains, and how much one alone."""
    aa, bb = (a * a).sum(axis=1) + _LEAST_POWER, (b * b).sum(axis=1) + _LEAST_POWER
    ya, yb, ab = a @ y, b @ y, a @ b.T
    alone = max(float((np.maximum(way, 0) ** 2 / power).max()) for way, power in ((ya, aa), (yb, bb)))
    size = np.maximum(aa[:, None] * bb[None] - ab * ab, 1e-3 * aa[:, None] * bb[None])
    p = (ya[:, None] * bb[None] - yb[None] * ab) / size
    q = (yb[None] * aa[:, None] - ya[:, None] * ab) / size
    sums = (p > _LEAST_SHARE) & (q > _LEAST_SHARE) & (p < 1) & (q < 1)
    return max(alone, float(np.where(sums, p * ya[:, None] + q * yb[None], 0).max())), alone


def level_of(held: Sequence[Small]) -> NDArray[np.float64]:
    """Brightness of each frame, less what flicker makes of it."""
    return _around(np.array([float(small.mean()) for small in held]), _FLICKER_FRAMES)


def _around(values: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """The median of so many frames on each side."""
    if not len(values):
        return values
    parts = sliding_window_view(np.pad(values, frames, mode="edge"), 2 * frames + 1)
    return np.asarray(np.median(parts, axis=1))


def power_of(held: Sequence[Small]) -> NDArray[np.float64]:
    """Contrast of each frame, squared, within channels; the median of five frames, for flicker changes it, too."""
    power = np.array([float(small.reshape(-1, small.shape[2]).var(axis=0).mean()) for small in held])
    return _around(power, _FLICKER_FRAMES)


def _moved(small: Small) -> NDArray[np.float32]:
    """(moves, h, w, C): all that the inner part may have been, moved a little."""
    parts = sliding_window_view(small, (HEIGHT - 2 * MOVE_Y, WIDTH - 2 * MOVE_X), axis=(0, 1))
    return np.moveaxis(parts.reshape(-1, *parts.shape[2:]), 1, 3)


def _quarters(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """(4, moves, pixels) of (moves, h, w, C): each quarter's channels about their means.

    What a pan shows at one side lay in the frame before, at the other side in the one behind: only of a quarter can it
    be said that one of them explains it.
    """
    middle_y, middle_x = parts.shape[1] // 2, parts.shape[2] // 2
    cut = [
        parts[:, y, x].reshape(len(parts), -1, parts.shape[3])
        for y in (slice(0, middle_y), slice(middle_y, None))
        for x in (slice(0, middle_x), slice(middle_x, None))
    ]
    return np.stack([as_float32(one - one.mean(axis=1, keepdims=True)).reshape(len(one), -1) for one in cut])
