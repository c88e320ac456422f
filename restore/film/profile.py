"""Owns the profile of a scratch: what it adds to the picture, across and along it.

A scratch keeps its shape over a frame and changes its strength slowly, so the shape is measured from all of the line
and the strength from stretches of it: far less of the picture gets into that than into a free curve a stretch.
Where the scene moves sideways, neighbours laid over the frame say what it looks like without the scratch; elsewhere
both sides of the line do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.flow import Flow
from restore.film.lines import Line
from restore.film.working import as_float32

_HALF_WIDTHS = 5
"""Half of what is looked at across a line, in widths of the line."""
_SIDE_FROM_WIDTHS = 2.5
_STRETCH_ROWS = 40
_BLACK = 1 / 255
_KNOWN = 0.25
"""Share of a stretch that must be neither black nor white, so that it says how strong a scratch is."""
_MOVES_PX = 1.5
"""How far a scene must move sideways for its neighbours to say what is under a scratch."""
_MOSTLY = 0.6
_ROUNDS = 4
_SURE_SIGMAS = 2.0
"""A stretch whose strength is less has no scratch."""
_STEP_SIGMAS = 5.0
"""A stretch that is so far from those beside it is where a scratch begins or breaks off."""
_EVEN_STRETCHES = 2.0
_BIAS = 2
_CORRELATED_PX = 3.0
"""What gets into the medians isn't independent from pixel to pixel and from channel to channel."""
_BENDS = 3
"""Coefficients of a line's bend."""

Strip = NDArray[np.float32]
"""(rows, across, C): along a line, which is its middle column."""


@dataclass(frozen=True)
class Neighbour:
    """Another frame of the shot."""

    values: NDArray[np.float32]
    """(H, W, C), 0..1."""
    flow: Flow
    """Where this frame's pixels lie in it."""


@dataclass(frozen=True)
class Profile:
    """What a scratch adds."""

    rows: NDArray[np.int32]
    """(n,)"""
    middle: NDArray[np.float32]
    """(n,): where it is in each row, in pixels."""
    added: Strip
    """(n, across, C), from `half_px` left of the middle to as far right of it."""
    half_px: int
    deep: float
    """At its middle, over the length of it: the median."""


def profile_of(values: NDArray[np.float32], line: Line, neighbours: Sequence[Neighbour]) -> Profile:
    """Of a line in a frame (H, W, C), 0..1."""
    rows = np.arange(line.top, line.bottom, dtype=np.float32)
    half = _HALF_WIDTHS * line.width_px
    offsets = np.arange(-half, half + 1, dtype=np.float32)
    side = np.abs(offsets) >= _SIDE_FROM_WIDTHS * line.width_px
    count = max(1, round(len(rows) / _STRETCH_ROWS))
    stretches = list(pairwise(np.linspace(0, len(rows), count + 1).astype(int)))
    centres = np.array([(first + last - 1) / 2 for first, last in stretches])
    middle = line.at(rows, values.shape[0])
    for again in (True, False):
        seen = _seen(values, rows, middle, offsets, side, stretches, neighbours)
        shape = np.zeros((len(offsets), values.shape[2]), np.float32)
        strength = np.zeros(count)
        shares = np.array([1 - seen.clipped[first:last, ~side].mean() for first, last in stretches])
        for _ in range(_ROUNDS):
            off = _off(seen, np.interp(np.arange(len(rows)), centres, strength), shape)
            known = np.where(seen.clipped, np.nan, off)
            medians = as_float32(np.stack([_median(known[first:last]) for first, last in stretches]))
            shape, strength, spread = _fitted(medians, shares, ~side, shape, strength)
        if again:
            middle = middle + _moved(medians, shape, strength, spread, ~side, centres, len(rows))
    strength = _smooth(strength, spread, shares)
    along = np.interp(np.arange(len(rows)), centres, strength)
    fade = np.clip(_SIDE_FROM_WIDTHS * line.width_px + 2 - np.abs(offsets), 0, 1)[:, None]
    added = along[:, None, None] * (shape * fade)
    # Where the scratch pushed a sample beyond black or white, what was there is lost: it is what lies around it.
    lost = seen.clipped & (np.abs(added) > 0)
    added = np.where(lost, np.sign(added) * np.clip(off * np.sign(added), 0, np.abs(added)), added)
    return Profile(rows.astype(np.int32), middle, as_float32(added), half, float(np.median(np.abs(strength))))


@dataclass(frozen=True)
class _Seen:
    """A line as both of its sides show it, and as neighbours do: differences to the frame as it is."""

    offsets: NDArray[np.float32]
    side: NDArray[np.bool_]
    """(across,): columns beside the scratch."""
    by_sides: Strip
    by_time: Strip | None
    ghosts: Sequence[NDArray[np.float32]]
    """(rows, across) each: which part of a neighbour's scratch lies there, in pixels from its middle."""
    moves: NDArray[np.bool_]
    """(rows,): whether neighbours show what is under the scratch."""
    clipped: NDArray[np.bool_]
    """(rows, across, C): black or white."""


def _seen(
    values: NDArray[np.float32],
    rows: NDArray[np.float32],
    middle: NDArray[np.float32],
    offsets: NDArray[np.float32],
    side: NDArray[np.bool_],
    stretches: Sequence[tuple[int, int]],
    neighbours: Sequence[Neighbour],
) -> _Seen:
    x, y = middle[:, None] + offsets[None, :], rows[:, None].repeat(len(offsets), 1)
    strip = _strip(values, x, y, cv2.INTER_CUBIC)
    clipped = (strip <= _BLACK) | (strip >= 1 - _BLACK)
    by_sides = _even(strip, offsets, side)
    moves = np.zeros(len(rows), np.bool_)
    if not neighbours:
        return _Seen(offsets, side, by_sides, None, (), moves, clipped)
    laid, ghosts = [], []
    for neighbour in neighbours:
        flow = _strip(neighbour.flow, x, y, cv2.INTER_LINEAR)
        laid.append(_strip(neighbour.values, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC))
        ghosts.append(offsets[None, :] + flow[..., 0])
    away = np.min([np.abs(ghost[:, ~side] - offsets[~side]).mean(axis=1) for ghost in ghosts], axis=0) >= _MOVES_PX
    for first, last in stretches:
        moves[first:last] = away[first:last] & (away[first:last].mean() >= _MOSTLY)
    return _Seen(offsets, side, by_sides, as_float32(strip - np.mean(laid, axis=0)), ghosts, moves, clipped)


def _off(seen: _Seen, strength: NDArray[np.float64], shape: NDArray[np.float32]) -> Strip:
    """How far each pixel is from what it would be without the scratch, as far as its shape and strength are known."""
    if seen.by_time is None or not strength.any() or not seen.moves.any():
        return seen.by_sides
    off, moves = seen.by_sides.copy(), seen.moves
    by_time = seen.by_time[moves].copy()
    for ghost in seen.ghosts:
        # The neighbour's own scratch was taken away there: it is put back.
        for channel in range(off.shape[2]):
            added = np.interp(ghost[moves], seen.offsets, shape[:, channel], left=0, right=0) * strength[moves, None]
            by_time[..., channel] += as_float32(added) / len(seen.ghosts)
    off[moves] = _even(by_time, seen.offsets, seen.side)
    return off


def _median(known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of rows (rows, across, C), of which some aren't known; 0 where too few are."""
    ordered = np.sort(known, axis=0)  # NaN comes last
    count = np.isfinite(known).sum(axis=0)
    low, high = (np.maximum(count - 1, 0) // 2)[None], (count // 2)[None]
    middle = (np.take_along_axis(ordered, low, 0)[0] + np.take_along_axis(ordered, high, 0)[0]) / 2
    return as_float32(np.where(count < _KNOWN * len(known), 0, middle))


def _fitted(
    medians: NDArray[np.float32],
    known: NDArray[np.float64],
    core: NDArray[np.bool_],
    shape: NDArray[np.float32],
    strength: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Shape (across, C) with a peak of 1, each stretch's strength, and how far that may be off.

    Stretches that don't fit, where much of the scene got into the medians, count for less; so do those of which only
    some samples are known, for these are the ones that the scratch changed least.
    """
    if not strength.any():
        shape = as_float32(np.median(medians, axis=0))
    spread = np.ones(len(medians))
    for _ in range(_ROUNDS):
        peak = float(np.abs(shape[core]).max())
        if peak == 0:
            return shape, np.zeros(len(medians)), spread
        shape = as_float32(shape / peak)
        inside = shape[core]
        power = float((inside**2).sum())
        strength = (medians[:, core] * inside).sum(axis=(1, 2)) / power
        rest = ((medians[:, core] - strength[:, None, None] * inside) ** 2).mean(axis=(1, 2))
        noise = rest + 0.25 * np.median(rest) + 1e-10
        noise = noise / np.maximum(known, 0.05) ** _BIAS
        spread = np.sqrt(noise * _CORRELATED_PX / power)
        weight = strength / noise
        total = float((weight * strength).sum())
        if total <= 0:
            break
        shape = as_float32((weight[:, None, None] * medians).sum(axis=0) / total)
    peak = float(np.abs(shape[core]).max()) or 1.0
    return as_float32(shape / peak), strength * peak, spread * peak


def _moved(
    medians: NDArray[np.float32],
    shape: NDArray[np.float32],
    strength: NDArray[np.float64],
    spread: NDArray[np.float64],
    core: NDArray[np.bool_],
    centres: NDArray[np.float64],
    rows: int,
) -> NDArray[np.float32]:
    """How far each row's middle is from where the line was thought to be: slowly bent."""
    slant = np.gradient(shape, axis=0)[core]
    power = float((slant**2).sum())
    sure = np.abs(strength) > _SURE_SIGMAS * spread
    if power == 0 or sure.sum() < 2 * _BENDS:
        return np.zeros(rows, np.float32)
    rest = medians[:, core] - strength[:, None, None] * shape[core]
    shift = -(rest * slant).sum(axis=(1, 2))[sure] / power / strength[sure]
    weight = np.abs(strength[sure]) / spread[sure]
    bend = np.polynomial.Polynomial.fit(centres[sure], np.clip(shift, -1, 1), _BENDS - 1, w=np.minimum(weight, 20))
    return as_float32(np.clip(bend(np.arange(rows)), -1, 1))


def _smooth(
    strength: NDArray[np.float64], spread: NDArray[np.float64], known: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Strength along the line: as even as the stretches allow, and nothing where there is no scratch."""
    count = len(strength)
    far = (np.arange(count)[:, None] - np.arange(count)[None, :]) / _EVEN_STRETCHES
    weight = np.exp(-0.5 * far**2) / spread[None, :] ** 2
    even = (weight * strength[None, :]).sum(axis=1) / weight.sum(axis=1)
    off = 1 / np.sqrt(weight.sum(axis=1))
    steps = np.abs(strength - even) > _STEP_SIGMAS * spread
    even[steps], off[steps] = strength[steps], spread[steps]
    there = even * np.sign(np.median(strength)) > _SURE_SIGMAS * off
    return np.where(there | (known < _MOSTLY), even, 0)


def _strip(values: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32], how: int) -> Strip:
    strip = cv2.remap(values, x, y, how, borderMode=cv2.BORDER_REPLICATE)
    return as_float32(strip).reshape(*x.shape, values.shape[2] if values.ndim == 3 else 1)


def _even(strip: Strip, offsets: NDArray[np.float32], side: NDArray[np.bool_]) -> Strip:
    """How far a strip is from the straight line between its sides, row by row."""
    left, right = strip[:, side & (offsets < 0)].mean(axis=1), strip[:, side & (offsets > 0)].mean(axis=1)
    share = ((offsets - offsets[0]) / (offsets[-1] - offsets[0]))[None, :, None]
    return as_float32(strip - (left[:, None] * (1 - share) + right[:, None] * share))
