"""Owns the working frame that film repair computes on, and how much grain it has.

A working frame is (H, W, C) with 1 or 3 channels, float32 or an unsigned integer type over its full range, in a
display-like space: where a step of the same size looks about the same in shadows and lights.  Measurements use the mean
of its channels: dirt isn't luminance, and a blue scratch would all but vanish from a weighted luma.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[Any]
"""(H, W, C): float32 in 0..1 (a little outside is fine), uint8 or uint16."""
Grey = NDArray[np.float32]
"""(H, W), 0..1."""
Holes = NDArray[np.bool_]
"""(H, W), True = missing."""

LEAST_SIGMA = 0.25 / 255
"""Below a quarter of an 8-bit step lies rounding, not grain: thresholds in sigmas would mark every code change."""
_SIGMA_OF_MEDIAN = 1.4826
_MEDIAN3_LEAVES = 0.86
"""The median of |x - median3x3(x)| of white noise is this much of that of |x|."""


def as_float32(values: object) -> NDArray[np.float32]:
    """What NumPy and OpenCV give back, held to single precision."""
    return np.asarray(values, np.float32)


def top_of(frame: Frame) -> float:
    """The value that is 1.0: 1 for floats, 255 or 65535 for integers."""
    return 1.0 if frame.dtype.kind == "f" else float(np.iinfo(frame.dtype).max)


def to_float(frame: Frame) -> NDArray[np.float32]:
    """(H, W, C) float32, 0..1."""
    if frame.dtype == np.float32:
        return frame
    return frame.astype(np.float32) / np.float32(top_of(frame))


def from_float(values: NDArray[np.float32], like: Frame) -> Frame:
    """`values` (0..1) in the number type of `like`, rounded; floats stay as they are, outside 0..1 too."""
    if like.dtype.kind == "f":
        return values.astype(like.dtype)
    top = top_of(like)
    whole: Frame = np.rint(np.clip(values, 0, 1) * np.float32(top)).astype(like.dtype)
    return whole


def grey_of(frame: Frame) -> Grey:
    """The mean of the channels, 0..1."""
    if frame.ndim != 3 or frame.shape[2] not in (1, 3):
        raise ValueError(f"a working frame is (H, W, 1) or (H, W, 3), got {frame.shape}")
    mean = cv2.transform(to_float(frame), np.full((1, frame.shape[2]), 1 / frame.shape[2]))
    return as_float32(mean).reshape(frame.shape[:2])


def to_8_bit(grey: Grey) -> NDArray[np.uint8]:
    """For what takes 8 bits only: optical flow and medians."""
    return np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)


def grain_sigma(grey: Grey) -> float:
    """Standard deviation of grain, in the frame's unit; dirt and edges are outliers to the median and don't count."""
    off = np.abs(grey - cv2.medianBlur(grey, 3))
    return max(LEAST_SIGMA, _SIGMA_OF_MEDIAN / _MEDIAN3_LEAVES * float(np.median(off[::2, ::2])))
