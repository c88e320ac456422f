"""Owns where one shot ends and the next begins: cuts, fades and dissolves; and flashes, which are none of these.

A cut is a change that nothing explains: not light, for frames are compared by correlation, which doesn't see it; not
motion, for a little is searched for, and much of it lasts.  A flash ends where it began: the frames before and after it
are alike.  A fade passes through frames without contrast.  `dissolves` tells dissolves.

All is computed on small copies, in a stream, in blocks that overlap: memory holds one block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from restore.film.dissolves import dissolves_in
from restore.film.small import Small, apart, small_of
from restore.film.working import Frame

_CUT = 0.3
_OVER_USUAL = 2.5
_USUAL_FRAMES = 4
_FLASH_FRAMES = 5
_RETURNS = 0.5
"""A frame after a flash is less than this share of the change away from the one before it."""
_LEAST_RETURN = 0.25
_NO_CONTRAST = 0.02
_RAMP_FRAMES = 48
_BLOCK_FRAMES = 512
_EDGE_FRAMES = 56


class Change(StrEnum):
    CUT = "cut"
    FADE = "fade"
    DISSOLVE = "dissolve"


@dataclass(frozen=True)
class Border:
    """Between two shots."""

    frame: int
    """The first frame of the next shot; within a fade or dissolve, its middle."""
    change: Change
    first: int
    last: int
    """The frames that belong to neither shot alone; with a cut, both are `frame`."""


def borders(frames: Iterable[Frame]) -> Iterator[Border]:
    """Borders between the shots of a stream, in order."""
    held: list[Small] = []
    start, told = 0, 0
    for frame in frames:
        held.append(small_of(frame))
        if len(held) == _BLOCK_FRAMES:
            until = start + _BLOCK_FRAMES - _EDGE_FRAMES
            yield from _between(held, start, told, until)
            told, start = until, until - _EDGE_FRAMES
            held = held[-2 * _EDGE_FRAMES :]
    yield from _between(held, start, told, start + len(held))


def _between(held: Sequence[Small], start: int, low: int, high: int) -> Iterator[Border]:
    for border in borders_in(held):
        if low <= border.frame + start < high:
            yield Border(border.frame + start, border.change, border.first + start, border.last + start)


def borders_in(held: Sequence[Small]) -> list[Border]:
    """Borders within a block of small copies."""
    contrast = np.array([float(small.mean(axis=2).std()) for small in held])
    steps = np.array([0.0, *(apart(a, b) for a, b in pairwise(held))])
    found = _fades(held, contrast)
    taken = np.zeros(len(held), np.bool_)
    for border in found:
        taken[max(0, border.first - 1) : border.last + 2] = True
    cuts = [at for at in range(1, len(held)) if not taken[at] and _is_cut(held, steps, contrast, at)]
    found += [Border(at, Change.CUT, at, at) for at in cuts]
    for at in cuts:
        taken[at] = True
    found += [
        Border(one.middle, Change.DISSOLVE, one.middle - one.reach, one.middle + one.reach)
        for one in dissolves_in(held, taken)
    ]
    return sorted(found, key=lambda border: border.frame)


def _is_cut(held: Sequence[Small], steps: NDArray[np.float64], contrast: NDArray[np.float64], at: int) -> bool:
    step = float(steps[at])
    if step < _CUT or min(contrast[at - 1], contrast[at]) < _NO_CONTRAST:
        return False
    beside = [*steps[max(1, at - _USUAL_FRAMES) : at], *steps[at + 1 : at + 1 + _USUAL_FRAMES]]
    if beside and step < _OVER_USUAL * float(np.median(beside)):
        return False
    before, after = held[at - 1], held[at]
    later = held[at + 1 : at + 1 + _FLASH_FRAMES]
    earlier = held[max(0, at - 1 - _FLASH_FRAMES) : at - 1]
    returns = max(_LEAST_RETURN, _RETURNS * min(step, 0.6))
    return all(apart(before, one) > returns for one in later) and all(apart(one, after) > returns for one in earlier)


def _fades(held: Sequence[Small], contrast: NDArray[np.float64]) -> list[Border]:
    found = []
    empty = contrast < _NO_CONTRAST
    at = 0
    while at < len(held):
        if not empty[at]:
            at += 1
            continue
        end = at
        while end + 1 < len(held) and empty[end + 1]:
            end += 1
        first, last = _ramp(contrast, at, -1), _ramp(contrast, end, 1)
        inside = first > 0 and last < len(held) - 1
        blink = end - at < _FLASH_FRAMES and last - first < 3 * _FLASH_FRAMES
        # A flash that blinds one frame lights those behind it, too.
        behind = held[last + 1 : last + 1 + _FLASH_FRAMES]
        if inside and not (blink and min(apart(held[first - 1], one) for one in behind) < _CUT):
            gradual = at - first > 1 or last - end > 1
            if gradual:
                found.append(Border((at + end + 1) // 2, Change.FADE, first, last))
            else:
                found.append(Border(end + 1, Change.CUT, end + 1, end + 1))
        at = end + 1
    return found


def _ramp(contrast: NDArray[np.float64], at: int, way: int) -> int:
    """The last frame, going that way from one without contrast, before contrast stops rising."""
    here = at
    while 0 <= here + 2 * way < len(contrast) and abs(here - at) < _RAMP_FRAMES:
        now, then = contrast[here + way], contrast[here + 2 * way]
        if then < 1.015 * now:
            break
        here += way
    return here
