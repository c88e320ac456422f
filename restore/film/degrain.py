"""Owns taking grain out: a frame and its neighbours laid over it are mixed, and what noise is left is shrunk.

All of it happens in overlapping blocks of 8 x 8 pixels after a cosine transform, where structure is a few large numbers
and grain many small ones.  Each number of a block is averaged with those of the neighbours, which count the less the
further they lie off beyond what grain explains (after Hasinoff et al., "Burst photography for high dynamic range and
low-light imaging on mobile cameras", 2016): what moved on its own, or was covered, leaves no ghost.  Where no neighbour
fits, the block is alone, and shrunk harder: thresholds (Yu and Sapiro, "DCT image denoising", 2011), then Wiener
weights from that first result (as in BM3D: Dabov et al., 2007).

How strong grain is comes from the frames: by brightness, by colour, and by how coarse it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.flow import came_from_outside, flow_between, match, warped
from restore.film.grain import GrainCurve, grain_curve
from restore.film.working import LEAST_SIGMA, Frame, Grey, Holes, as_float32, from_float, grain_sigma, grey_of, to_float

_SIDE = 8
_STEP = 4
_BAND_PX = 128
"""Rows that are worked on at once, so that memory stays small."""
_HALO_PX = 16
"""Rows beyond a band that its result depends on: two blocks that just overlap, twice; a multiple of the step."""
_PORTION = 64
_SAMPLES = 6000
"""Blocks that grain is measured on."""
_QUARTER = 0.1015
"""A quarter of the squares of normal numbers lies below this much of their variance."""
_WARPED_LESS = 1.15
"""A neighbour laid over has less grain, as a warp interpolates: half of what two frames differ by is raised by this."""
_FITS = 1.5
"""Squared difference, in what grain makes of it, up to which a neighbour counts in full."""
_STRICT = 4.0
_THRESHOLD = 2.4
"""Sigmas of what noise is left."""
_ALONE = 2.0
"""Of the variance of what is finer than structure, where nothing can be compared: grain is coarser than white noise."""
_MOST = 4.0
"""Of the same: neighbours that differ by more show another picture (a cut that nobody told)."""
_LEAST = 1e-12

Plane = NDArray[np.float32]
Coefficients = NDArray[np.float32]
"""(rows of blocks, blocks, 64)."""


@dataclass(frozen=True)
class Degrained:
    frame: Frame
    """(H, W, C), in the source's number type, without grain."""
    curve: GrainCurve
    """How much grain the source had."""


def degrained(current: Frame, neighbours: Sequence[Frame]) -> Degrained:
    """`current` (H, W, C) without its grain; `neighbours`, of the same shot and near in time, may have damage."""
    values, grey = to_float(current), grey_of(current)
    # A frame that was only repeated has the same grain: it says nothing about it, and takes none away.
    laid = [_laid(values, grey, other) for other in neighbours if not np.array_equal(other, current)]
    curve = _measured(values, laid)
    colours = _cosines(values.shape[2])
    planes = [_padded(values @ colours.T), *(_padded(other @ colours.T) for other, _ in laid)]
    valid = [_padded(there.astype(np.uint8)).view(np.bool_) for _, there in laid]
    strength = np.maximum(curve.at(_padded(grey)), np.float32(LEAST_SIGMA))
    shapes = [
        _shape([plane[..., c] for plane in planes], valid, strength, values @ colours[c]) for c in range(len(colours))
    ]
    result = np.empty_like(values)
    height, width = grey.shape
    for top in range(0, height, _BAND_PX):
        bottom = min(top + _BAND_PX, height)
        rows = np.s_[top : bottom + -bottom % _STEP + 2 * _HALO_PX]
        made = [
            _band([plane[rows, :, c] for plane in planes], [one[rows] for one in valid], strength[rows], shape)
            for c, shape in enumerate(shapes)
        ]
        inner = np.stack(made, axis=2)[_HALO_PX : _HALO_PX + bottom - top, _HALO_PX : _HALO_PX + width]
        result[top:bottom] = inner @ colours
    return Degrained(from_float(result, current), curve)


def _measured(values: NDArray[np.float32], laid: Sequence[tuple[NDArray[np.float32], Holes]]) -> GrainCurve:
    """By brightness, unless the neighbours show something else."""
    curve, fine = grain_curve(values, laid), grain_curve(values, [])
    return curve if np.mean(curve.sigmas) ** 2 < _MOST * np.mean(fine.sigmas) ** 2 else fine


def _laid(values: NDArray[np.float32], grey: Grey, other: Frame) -> tuple[NDArray[np.float32], Holes]:
    """A neighbour (H, W, C) laid over a frame at its brightness, and where it has something to say (H, W)."""
    flow = flow_between(grey, grey_of(other))
    laid = warped(to_float(other), flow)
    line = match(grey, grey_of(laid))
    return line(laid).reshape(values.shape), ~came_from_outside(flow)


def _cosines(count: int) -> NDArray[np.float32]:
    """(count, count): the orthonormal cosine transform, a frequency a row."""
    at = np.arange(count)
    rows = np.cos(np.pi * (at[None] + 0.5) * at[:, None] / count) * np.sqrt(2 / count)
    rows[0] /= np.sqrt(2)
    return as_float32(rows)


_TRANSFORM = np.kron(_cosines(_SIDE), _cosines(_SIDE))
"""(64, 64): of a block's pixels, row by row."""
_NEAR = np.kron(*(2 * [np.eye(_SIDE) + np.eye(_SIDE, k=1) + np.eye(_SIDE, k=-1)]))
_NEAR = as_float32(_NEAR / _NEAR.sum(axis=0))
"""(64, 64): the mean of a frequency and of those next to it, as one squared number says little."""
_WINDOW = as_float32(np.outer(np.kaiser(_SIDE, 2.0), np.kaiser(_SIDE, 2.0)).ravel())
"""How much a block's pixels count where blocks overlap: its rim less."""


def _padded(values: NDArray[Any]) -> NDArray[Any]:
    """With a halo all around, and on to the next whole step."""
    height, width = values.shape[:2]
    down, across = _HALO_PX + -height % _STEP, _HALO_PX + -width % _STEP
    padded = np.asarray(cv2.copyMakeBorder(values, _HALO_PX, down, _HALO_PX, across, cv2.BORDER_REFLECT_101))
    return padded.reshape(*padded.shape[:2], *values.shape[2:])


def _blocks(plane: NDArray[np.float32], step: int = _STEP) -> NDArray[np.float32]:
    """(rows, blocks, 64)."""
    all_of_them = np.lib.stride_tricks.sliding_window_view(plane, (_SIDE, _SIDE))[::step, ::step]
    return all_of_them.reshape(*all_of_them.shape[:2], _SIDE * _SIDE)


def _cosines_of(plane: Plane, step: int = _STEP) -> Coefficients:
    """The transform of each block."""
    return _times(_blocks(plane, step), _TRANSFORM.T)


def _times(blocks: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """`blocks` (rows, blocks, 64) @ `matrix`, in portions so small that no library divides them among threads: sums in
    another order have other last digits, and a film must come out the same whoever works."""
    flat = blocks.reshape(-1, _SIDE * _SIDE)
    flat = np.pad(flat, ((0, -len(flat) % _PORTION), (0, 0)))
    product: NDArray[np.float32] = (flat.reshape(-1, _PORTION, _SIDE * _SIDE) @ matrix).reshape(flat.shape)
    return product[: blocks.shape[0] * blocks.shape[1]].reshape(blocks.shape)


def _whole_blocks(valid: Holes, step: int = _STEP) -> Holes:
    """(rows, blocks): whether each pixel of a block is valid."""
    least = cv2.erode(valid.astype(np.uint8), np.ones((_SIDE, _SIDE), np.uint8), anchor=(0, 0))
    return least.view(np.bool_)[: 1 - _SIDE : step, : 1 - _SIDE : step]


def _shape(planes: Sequence[Plane], valid: Sequence[Holes], strength: Plane, whole: Plane) -> NDArray[np.float32]:
    """(64,): a frame's variance of grain in each coefficient, where `strength` is 1.

    From a neighbour that fits, but the second best: the best may be nearly the same picture, grain included.  Never
    more than what the frame itself (`whole`: that channel of it) has there.
    """
    blocks = (planes[0].shape[0] // _STEP) * (planes[0].shape[1] // _STEP)
    step = _STEP * max(1, round((blocks / _SAMPLES) ** 0.5))
    power = (_blocks(strength, step) ** 2).mean(axis=2, keepdims=True)
    own = _cosines_of(planes[0], step)
    most = np.quantile((own**2 / power).reshape(-1, _SIDE * _SIDE), 0.25, axis=0) / _QUARTER
    fine = grain_sigma(np.ascontiguousarray(whole)) ** 2 / power.mean()
    halves = []
    for plane, there in zip(planes[1:], valid, strict=True):
        known = _whole_blocks(there, step)
        if np.count_nonzero(known) < _SIDE:
            continue
        off = (own - _cosines_of(plane, step))[known] ** 2 / power[known]
        half = np.quantile(off, 0.25, axis=0) / _QUARTER / 2 * _WARPED_LESS
        if half.mean() < _MOST * fine:
            halves.append(half)
    if not halves:
        return as_float32(np.minimum(_ALONE * fine, most))
    halves.sort(key=lambda half: float(half.sum()))
    return as_float32(np.minimum(halves[(len(halves) - 1) // 2], most))


def _band(
    planes: Sequence[Plane], valid: Sequence[Holes], strength: Plane, shape: NDArray[np.float32]
) -> NDArray[np.float32]:
    """One channel of some rows: the first of `planes` without grain, from all of them."""
    grain = (_blocks(strength) ** 2).mean(axis=2, keepdims=True) * shape + np.float32(_LEAST)
    own = _cosines_of(planes[0])
    total, weights, squares = own.copy(), np.ones_like(own), np.ones_like(own)
    for plane, there in zip(planes[1:], valid, strict=True):
        other = _cosines_of(plane)
        beyond = np.maximum(0, _times((own - other) ** 2 / (2 * grain), _NEAR) - np.float32(_FITS))
        weight = _whole_blocks(there)[..., None] / (1 + np.float32(_STRICT) * beyond)
        total += weight * other
        weights += weight
        squares += weight**2
    mixed, left = total / weights, grain * squares / weights**2
    kept = mixed**2 > np.float32(_THRESHOLD**2) * left
    kept[..., 0] = True
    first = _overlaid(np.where(kept, mixed, 0), 1 / (kept * left).sum(axis=2), strength.shape)
    signal = _cosines_of(first) ** 2
    share = signal / (signal + left)
    share[..., 0] = 1
    return _overlaid(share * mixed, 1 / (share**2 * left).sum(axis=2), strength.shape)


def _overlaid(coefficients: Coefficients, trust: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The picture (H, W) that the blocks make together; each counts by its `trust` (rows, blocks)."""
    rows, across = trust.shape
    weight = trust[..., None] * _WINDOW
    pixels = _times(coefficients, _TRANSFORM) * weight
    total, weights = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for y in range(0, _SIDE, _STEP):
        for x in range(0, _SIDE, _STEP):
            place = np.s_[y : y + rows * _STEP, x : x + across * _STEP]
            for into, what in ((total, pixels), (weights, weight)):
                part = what.reshape(rows, across, _SIDE, _SIDE)[:, :, y : y + _STEP, x : x + _STEP]
                into[place] += part.transpose(0, 2, 1, 3).reshape(rows * _STEP, across * _STEP)
    return total / weights
