"""Owns grain: how much a shot has at each brightness, and grain for what was filled, so that repairs don't look waxed.

A mean of two frames has half the variance of one, a spatial fill next to none.  What is missing is drawn from the same
frame: a piece of its own fine structure from clean, even pixels near by, so its size and shape are right.  Each blob of
each frame takes another piece: copied grain that stands still is seen at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.working import Frame, Grey, Holes, as_float32, grain_sigma, to_float
from restore.tiling import Box

_LEVELS = 8
_FINE_PX = 1.5
_LEAST_SHARE = 0.02
"""A brightness that fewer pixels than this share have takes its neighbours' figure."""
_TRIES = 12
_FROM_PX = 64
"""Grain is taken from no further than this."""


@dataclass(frozen=True)
class GrainCurve:
    """Standard deviation of grain by brightness."""

    sigmas: tuple[float, ...]
    """At `_LEVELS` evenly spaced middles of brightness, in the frame's unit."""

    def at(self, grey: NDArray[np.float32]) -> NDArray[np.float32]:
        """The deviation at each of these levels."""
        middles = (np.arange(_LEVELS) + 0.5) / _LEVELS
        return as_float32(np.interp(grey, middles, self.sigmas))


def grain_curve(frame: NDArray[np.float32], laid: Sequence[tuple[NDArray[np.float32], Holes]]) -> GrainCurve:
    """From a frame (H, W, C) and neighbours laid over it with where they are valid (H, W), in any channel.

    Their difference has twice a frame's variance; the best-fitting neighbour counts.  Dirt and occlusions are outliers
    to the median and don't.  Without neighbours, one figure for all.
    """
    curves = [_curve(frame[::4, ::4], other[::4, ::4], valid[::4, ::4]) for other, valid in laid]
    if not curves:  # nothing to compare with: what is finer than the picture's structure
        channels = [np.ascontiguousarray(frame[..., channel]) for channel in range(frame.shape[2])]
        return GrainCurve((float(np.mean([grain_sigma(channel) for channel in channels])),) * _LEVELS)
    return min(curves, key=lambda curve: sum(curve.sigmas))


def _curve(frame: NDArray[np.float32], other: NDArray[np.float32], valid: Holes) -> GrainCurve:
    off = np.abs(frame - other)[valid] / np.float32(2**0.5)
    if not off.size:
        return GrainCurve((0.0,) * _LEVELS)
    grey = (frame + other)[valid].mean(axis=1) / 2
    level = np.clip((grey * _LEVELS).astype(np.int32), 0, _LEVELS - 1)
    middles, sigmas = [], []
    for number in range(_LEVELS):
        these = off[level == number]
        if these.size >= _LEAST_SHARE * off.size:
            middles.append(number)
            sigmas.append(1.4826 * float(np.median(these)))
    if not middles:
        return GrainCurve((1.4826 * float(np.median(off)),) * _LEVELS)
    return GrainCurve(tuple(float(s) for s in np.interp(np.arange(_LEVELS), middles, sigmas)))


def fine_structure(frame: Frame) -> NDArray[np.float32]:
    """(H, W, C), zero mean: what is finer than a pixel and a half."""
    values = to_float(frame)
    return values - as_float32(cv2.GaussianBlur(values, (0, 0), _FINE_PX)).reshape(values.shape)


def grain_from(
    fine: NDArray[np.float32],
    level: Grey,
    unusable: Holes,
    box: Box,
    wanted: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Grain (box.height, box.width, C) of the deviation `wanted` (box.height, box.width), from near `box`.

    Of some random places without `unusable` pixels, the one that is most even and most like the box in brightness
    (`level`, (H, W)) is taken: structure isn't grain, and that of lights doesn't belong in shadows.  Zeros where there
    is no such place.
    """
    height, width = fine.shape[:2]
    rows, columns = box.height, box.width
    here = float(level[box.y0 : box.y1, box.x0 : box.x1].mean())
    best: NDArray[np.float32] | None = None
    lowest = np.inf
    for _ in range(_TRIES):
        y = int(np.clip(box.y0 + rng.integers(-_FROM_PX, _FROM_PX + 1), 0, max(0, height - rows)))
        x = int(np.clip(box.x0 + rng.integers(-_FROM_PX, _FROM_PX + 1), 0, max(0, width - columns)))
        place = np.s_[y : y + rows, x : x + columns]
        if unusable[place].any():
            continue
        piece = fine[place]
        cost = float(np.abs(piece).max()) + abs(float(level[place].mean()) - here)
        if cost < lowest:
            best, lowest = piece, cost
    if best is None:
        return np.zeros((rows, columns, fine.shape[2]), np.float32)
    piece = best - best.mean((0, 1))
    spread = max(float(piece.std()), 1e-6)
    # A piece of a few pixels may have hardly any grain by chance: it is never amplified.
    return as_float32(piece * np.minimum(wanted / spread, 1.0)[..., None])
