"""Owns motion: where each pixel of a frame lies in its neighbour, and the neighbour laid over the frame.

Flow is DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", 2016) as OpenCV has it.  Flicker is taken
out of the neighbour by a robust line, after the warp, where like is compared with like.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.working import Grey, Holes, as_float32, to_8_bit
from restore.navier_stokes import navier_stokes_8bit

Flow = NDArray[np.float32]
"""(H, W, 2): pixel (x, y) of this frame lies at (x + flow[0], y + flow[1]) of the other one."""

_LEAST_SIDE_PX = 16
"""DIS fails on pictures smaller than its coarsest patches."""


@dataclass(frozen=True)
class Match:
    """gain * neighbour + offset has the brightness of this frame."""

    gain: float
    offset: float

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return values * np.float32(self.gain) + np.float32(self.offset)


def flow_between(current: Grey, other: Grey) -> Flow:
    """Where `current`'s pixels lie in `other`."""
    if min(current.shape) < _LEAST_SIDE_PX:
        return np.zeros((*current.shape, 2), np.float32)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return as_float32(dis.calc(to_8_bit(current), to_8_bit(other), np.zeros((*current.shape, 2), np.float32)))


def refined(current: Grey, other: Grey, about: Flow) -> Flow:
    """Flow that starts from a guess, quickly."""
    if min(current.shape) < _LEAST_SIDE_PX:
        return about
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    return as_float32(dis.calc(to_8_bit(current), to_8_bit(other), about.copy()))


def warped(other: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    """`other` (H, W) or (H, W, C), laid over this frame; beyond its border its outermost pixels go on."""
    x, y = _grid(*flow.shape[:2])
    laid = cv2.remap(other, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return as_float32(laid).reshape(other.shape)


def shared_motion(a: Grey, b: Grey, at_a: int, at_b: int) -> tuple[Flow, Flow]:
    """Flow of this frame (time 0) to `a` and `b` (at those times), from those two alone: dirt on it can't bend it.

    Motion is taken to be even.  What moves at a pixel of this frame is looked up where it was in `a`, in a few rounds.
    """
    speed = flow_between(a, b) / np.float32(at_b - at_a)
    x, y = _grid(*a.shape)
    here = speed
    for _ in range(2):
        at_x, at_y = x + np.float32(at_a) * here[..., 0], y + np.float32(at_a) * here[..., 1]
        here = as_float32(cv2.remap(speed, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return here * np.float32(at_a), here * np.float32(at_b)


def came_from_outside(flow: Flow) -> Holes:
    """Pixels that lie beyond the other frame's border: it has nothing to say about them."""
    height, width = flow.shape[:2]
    x, y = _grid(height, width)
    at_x, at_y = x + flow[..., 0], y + flow[..., 1]
    outside: Holes = (at_x < 0) | (at_y < 0) | (at_x > width - 1) | (at_y > height - 1)
    return outside


def _grid(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return (
        np.arange(width, dtype=np.float32)[None, :].repeat(height, 0),
        np.arange(height, dtype=np.float32)[:, None].repeat(width, 1),
    )


def match(current: Grey, laid: Grey) -> Match:
    """The line from `laid` to `current` that most pixels agree on (Tukey's weights; dirt and occlusion don't count).

    Its gain is the ratio of both spreads: as both have grain, the usual regression would come out too flat.
    """
    step = max(1, int((current.size / 40_000) ** 0.5))
    x = laid[::step, ::step].ravel().astype(np.float64)
    y = current[::step, ::step].ravel().astype(np.float64)
    gain, offset = 1.0, float(np.median(y - x))
    for _ in range(6):
        off = y - gain * x - offset
        scale = 4.685 * max(1.4826 * float(np.median(np.abs(off))), 1e-4)
        weight = np.clip(1 - (off / scale) ** 2, 0, None) ** 2
        total = weight.sum()
        mean_x, mean_y = (weight * x).sum() / total, (weight * y).sum() / total
        spread = (weight * (x - mean_x) ** 2).sum() / total
        if spread < 1e-5:  # an even frame says nothing about gain
            return Match(1.0, mean_y - mean_x)
        gain = float(np.clip(((weight * (y - mean_y) ** 2).sum() / total / spread) ** 0.5, 0.5, 2.0))
        offset = float(mean_y - gain * mean_x)
    return Match(gain, offset)


def without_holes(grey: Grey, holes: Holes) -> Grey:
    """Holes filled from their rims, so that flow doesn't follow the dirt: +1.3 to +1.9 dB in what is filled later."""
    if not holes.any():
        return grey
    filled = as_float32(navier_stokes_8bit(to_8_bit(grey), holes)) / 255
    return np.where(holes, filled, grey)
