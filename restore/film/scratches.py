"""Owns which lines are scratches: those that stay where they are while the scene moves on.

Where the scene moves sideways, it is taken away: of a frame less its neighbours, laid over it by optical flow, grain
is left, and what is in the film and not in the scene.  Lines are looked for in that, and must be there in the
neighbours, too, when the frame is taken away from them.  So a faint scratch is found in the middle of upright texture,
and an upright edge of the scene is none.  Where the scene creeps, so that a line
lies over itself in the neighbours, it must be in all frames at one place.  Where nothing moves sideways, a pole and a
scratch look alike: there a line must be plain in single frames, several of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.flow import Flow, match, warped
from restore.film.lines import (
    BAND_ROWS,
    BESIDE_PART,
    BESIDE_PX,
    WIDTHS_PX,
    Bands,
    Line,
    bands_of,
    lines_along,
    lines_in,
    milder,
    sheared_by,
)
from restore.film.working import Frame, Grey, as_float32, grey_of, to_8_bit

_SHORT_NEEDS = 1.5
"""A line through part of the frame must be so much clearer: poles and door frames are."""
_SEEN_BACK = 0.5
"""Part of the sigmas that a line must have in each of the neighbours."""
_MOVES_PX = 1.5
"""How far the scene must move sideways between two frames for its lines to go away."""
_SAME_PX = 2
_CREEPS_PX = (1.75, 8.0)
"""How far a creeping scene moves sideways from the first of five frames to the last."""
_FLOWS_PX = 24
_STAYS_PX, _STAYS_PART = 1.0, 0.3
"""How far a line may be off from frame to frame, and as a part of what the scene moves in all."""
_STAYING = 0.6
"""Part of the sigmas for a line that stays where it is in all frames while the scene creeps on."""
_MOSTLY = 0.5
_GOES_ON_SIGMAS = 1.2
"""A line goes on where this much of it is seen, in the mean of five bands."""
_LEFT_PART = 0.3
_STANDING = 0.8
"""Part of the sigmas that a line through the whole height must have in the mean of several single frames."""
_STANDS_SIGMAS = 3.0
"""A line that stands out in single frames, but less than this from a scene that moves on behind it, is the scene's."""


@dataclass(frozen=True)
class ScratchLaw:
    sigmas: float = 9.0
    """From which a line is a scratch."""
    frames: int = 3
    """In how many of the five frames around, its own included, it must be."""
    stays_px: float = 3.0
    """How far it may wander between two frames."""
    deepest: float = 0.25
    """Deeper ones hide the picture and become holes."""


@dataclass(frozen=True)
class Look:
    """What one frame shows by itself."""

    frame: Frame
    lines: tuple[Line, ...]
    """Lines that may be scratches."""
    small: NDArray[np.uint8]
    """Its grey at half its size, for optical flow."""


@dataclass(frozen=True)
class _Side:
    """A frame less one of its neighbours."""

    left: Grey
    flow: Flow


def lines_of(frame: Frame) -> Look:
    """A first look at a working frame."""
    grey = grey_of(frame)
    small = to_8_bit(grey)
    if min(small.shape) > 1:
        small = np.asarray(cv2.resize(small, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    return Look(frame, tuple(lines_in(grey)), small)


def scratches_in(window: Sequence[Look], at: int, law: ScratchLaw) -> list[Line]:
    """Scratches of the frame `window[at]`, from left to right; `window` has the frames around it, too, in order."""
    standing = _standing(window, at, law)
    near = sides_of(len(window), at)
    height, width = window[at].frame.shape[:2]
    if len(near) < 2 or height < 4 * BAND_ROWS or width < 64:
        return sorted(standing, key=lambda line: line.x)
    sides = [_without(window[at], window[other]) for other in near]
    moves = _moves(sides, height)
    measured = {}
    for thick in WIDTHS_PX:
        before, behind = (bands_of(side.left, thick) for side in sides)
        measured[thick] = as_float32(milder(before, behind) * moves)
    found = [line for line in lines_along(measured.items(), height) if abs(line.score) >= law.sigmas * _needs(line)]
    if found:
        for other, side in zip(near, sides, strict=True):
            left = _without(window[other], window[at]).left
            bands = {thick: bands_of(left, thick) for thick in {line.width_px for line in found}}
            reach_px = law.stays_px * abs(other - at)
            found = [one for one in found if _is_seen(bands[one.width_px], one, side.flow, reach_px, law)]
    grey = grey_of(window[at].frame)
    found = [line for line in found if _is_left(line, grey, sides)]
    for line in [*standing, *_staying(window, at, sides, law)]:
        if any(abs(line.x - other.x) <= law.stays_px for other in found):
            continue
        if (
            line not in standing
            or not _moves_along(line, moves)
            or (
                _along(measured[line.width_px], line, height, _SAME_PX) >= _STANDS_SIGMAS
                and _is_left(line, grey, sides)
            )
        ):
            found.append(line)
    return sorted((_stretched(line, grey, measured[line.width_px]) for line in found), key=lambda line: line.x)


def _places(line: Line, shape: tuple[int, ...], off_px: int = 0) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Rows and columns of the pixels along a line, or beside it, in a picture (H, W, ...)."""
    rows = np.arange(line.top, line.bottom)
    columns = np.rint(line.at(rows.astype(np.float32), shape[0])).astype(int) + off_px
    return rows, np.clip(columns, 0, shape[1] - 1)


def _needs(line: Line) -> float:
    return 1 if line.whole else _SHORT_NEEDS


def sides_of(frames: int, at: int) -> tuple[int, ...]:
    """One frame on each side, two away if there is one; at an end of the shot two on the same side."""
    before = [other for other in (at - 2, at - 1) if other >= 0]
    behind = [other for other in (at + 2, at + 1) if other < frames]
    return (before[0], behind[0]) if before and behind else tuple((before or behind)[:2])


def flow_to(look: Look, other: Look) -> Flow:
    """Where the pixels of `look` lie in `other`: quick and smooth, for a finer flow follows scratches."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    small = dis.calc(look.small, other.small, np.zeros((*look.small.shape, 2), np.float32))
    return as_float32(cv2.resize(small, look.frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)) * np.float32(2)


def _without(look: Look, other: Look) -> _Side:
    """What is left of `look` when `other`, laid over it, is taken away."""
    grey, flow = grey_of(look.frame), flow_to(look, other)
    laid = warped(grey_of(other.frame), flow)
    return _Side(grey - match(grey, laid)(laid), flow)


def _moves(sides: Sequence[_Side], height: int) -> Bands:
    """(bands, W): share of a band's rows in which the scene moves sideways against both neighbours."""
    rows = height // BAND_ROWS * BAND_ROWS
    away = np.minimum(*(np.abs(side.flow[:rows, :, 0]) for side in sides)) >= _MOVES_PX
    return as_float32(away.reshape(-1, BAND_ROWS, away.shape[1]).mean(axis=1))


def _is_seen(bands: Bands, line: Line, flow: Flow, reach_px: float, law: ScratchLaw) -> bool:
    """Whether the line is in a neighbour, too, whose `bands` were measured with this frame taken away.

    It must be nearer to where it was than to where the scene has gone: of a pole, too, warping leaves a little.
    """
    height = len(flow)
    rows, columns = _places(line, flow.shape)
    went_px = float(np.median(np.abs(flow[rows, columns, 0])))
    here = _along(bands, line, height, max(1.0, min(reach_px, went_px / 2)))
    # A line of the other sign, which the frame itself had alone, has a shadow at its sides.
    other = _along(bands, replace(line, score=-line.score), height, BESIDE_PX)
    return here >= max(_SEEN_BACK * law.sigmas, BESIDE_PART * other)


def _along(bands: Bands, line: Line, height: int, reach_px: float) -> float:
    """Sigmas of a line like this one, within so many pixels of it."""
    first, last = line.top // BAND_ROWS, min(len(bands), -(-line.bottom // BAND_ROWS))
    low, high = max(0, round(line.x - reach_px)), round(line.x + reach_px) + 1
    part = sheared_by(bands, line.slope, height)[first:last, low:high] * np.sign(line.score)
    best = float(part.sum(axis=0).max()) if part.size else 0.0
    return best / math.sqrt(max(1, last - first))


def _stretched(line: Line, grey: Grey, moving: Bands) -> Line:
    """The line, as far up and down as it can be seen: by itself, or with the scene taken away."""
    if line.whole:
        return line
    height, x = len(grey), round(line.x)
    both = [sheared_by(bands, line.slope, height)[:, x] for bands in (bands_of(grey, line.width_px), moving)]
    there = np.convolve(np.max(np.sign(line.score) * np.stack(both), axis=0), np.full(5, 0.2), "same") > _GOES_ON_SIGMAS
    first, last = line.top // BAND_ROWS, min(len(there), -(-line.bottom // BAND_ROWS))
    while first > 0 and there[first - 1]:
        first -= 1
    while last < len(there) and there[last]:
        last += 1
    bottom = height if last == len(there) else last * BAND_ROWS
    return replace(line, top=first * BAND_ROWS, bottom=bottom, whole=first == 0 and bottom == height)


def _moves_along(line: Line, moves: Bands) -> bool:
    """Whether the scene moves sideways along most of a line."""
    height = len(moves) * BAND_ROWS
    moving = sheared_by(moves, line.slope, height)[line.top // BAND_ROWS : -(-line.bottom // BAND_ROWS), round(line.x)]
    return float(moving.mean()) >= _MOSTLY


def _is_left(line: Line, grey: Grey, sides: Sequence[_Side]) -> bool:
    """Whether most of a line is left without the scene: of a pole that moves, warping leaves a little."""
    rows, columns = _places(line, grey.shape)
    away = np.minimum(*(np.abs(side.flow[rows, columns, 0]) for side in sides)) >= _MOVES_PX
    if away.sum() < BAND_ROWS:
        return True
    deep = _depth(grey, line, rows[away])
    # A neighbour's own scratch, taken away beside it, is on one side here and on the other side there.
    return sum(_depth(side.left, line, rows[away]) for side in sides) / len(sides) >= _LEFT_PART * deep


def _depth(picture: Grey, line: Line, at: NDArray[np.int_]) -> float:
    """How far a line stands out from its sides, the median of some rows; positive as its score is."""
    rows = at.astype(np.float32)
    offsets = np.arange(-3 * line.width_px, 3 * line.width_px + 1, dtype=np.float32)
    x = line.at(rows, len(picture))[:, None] + offsets[None, :]
    y = rows[:, None].repeat(len(offsets), 1)
    strip = as_float32(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    core, beside = np.abs(offsets) <= line.width_px / 2, np.abs(offsets) >= 1.5 * line.width_px
    off = strip[:, core].mean(axis=1) - strip[:, beside].mean(axis=1)
    return float(np.median(off)) * float(np.sign(line.score))


def _standing(window: Sequence[Look], at: int, law: ScratchLaw) -> list[Line]:
    """Lines that are plain in single frames, in enough of them, at nearly the same place."""
    confirmed = []
    for line in window[at].lines:
        total, frames = abs(line.score), 1
        for way in (1, -1):
            x = line.x
            near = at + way
            while 0 <= near < len(window):
                same = [o for o in window[near].lines if abs(o.x - x) <= law.stays_px and o.score * line.score > 0]
                if not same:
                    break
                nearest = min(same, key=lambda o: abs(o.x - x))
                total, frames, x = total + abs(nearest.score), frames + 1, nearest.x
                near += way
        if frames >= min(law.frames, len(window)) and total / frames >= law.sigmas * (
            _STANDING if line.whole else _SHORT_NEEDS
        ):
            confirmed.append(line)
    return confirmed


def _staying(window: Sequence[Look], at: int, sides: Sequence[_Side], law: ScratchLaw) -> list[Line]:
    """Lines that are at one place in all five frames, while the scene creeps away under them."""
    if len(window) <= law.frames or not 0 < at < len(window) - 1:
        return []
    going = sides[0].flow[..., 0] - sides[1].flow[..., 0]
    staying = []
    for line in window[at].lines:
        # Flow follows a plain scratch: the scene's is that beside it.
        beside = [_places(line, going.shape, off_px) for off_px in (-_FLOWS_PX, _FLOWS_PX)]
        went = np.concatenate([going[place] for place in beside])
        creeps_px = abs(float(np.median(went)))
        if not _CREEPS_PX[0] <= creeps_px <= _CREEPS_PX[1]:
            continue
        same = [_same(look, line) for look in window]
        stays = [one for one in same if one is not None]
        if len(stays) < len(window):
            continue
        goes_px = sum(one.x for one in stays[-2:]) / 2 - sum(one.x for one in stays[:2]) / 2
        if abs(goes_px) > _STAYS_PART * creeps_px:
            continue
        if sum(abs(one.score) for one in stays) / len(stays) >= _STAYING * law.sigmas * _needs(line):
            staying.append(line)
    return staying


def _same(look: Look, line: Line) -> Line | None:
    """The line of another frame that is next to where `line` is."""
    near = [one for one in look.lines if abs(one.x - line.x) <= _STAYS_PX and one.score * line.score > 0]
    return min(near, key=lambda one: abs(one.x - line.x), default=None)
