"""Owns the classical fills: OpenCV's Navier-Stokes at any depth, and push-pull for arrays.

Telea's method isn't here: OpenCV 5.0's is off by up to 2 levels on a picture of one colour.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.models.push_pull import push_pull

Planes = NDArray[np.float32]
"""(h, w, C)."""
Flags = NDArray[np.bool_]
"""(h, w)."""

_RADIUS_PX = 3
_STEPS = 255.0
"""OpenCV compares gradients with constants that were meant for 8 bits."""


def navier_stokes_8bit(pixels: NDArray[np.uint8], holes: Flags) -> NDArray[np.uint8]:
    """(H, W, 3) with its holes filled as OpenCV does it (Bertalmio et al., CVPR 2001), in 8 bits."""
    filled = cv2.inpaint(pixels, holes.view(np.uint8), _RADIUS_PX, cv2.INPAINT_NS)
    return filled.astype(np.uint8, copy=False)


def navier_stokes(values: Planes, valid: Flags) -> Planes:
    """The same at full depth: (h, w, C) float32, about 0..1 -> its holes filled, known values bit for bit.

    One colour comes back exactly, and nothing lies beyond a channel's known values.  What stands under holes, NaN
    included, has no influence; without any known pixel all is 0.
    """
    if valid.all():
        return values
    result = np.zeros_like(values)
    if not valid.any():
        return result
    holes = (~valid).view(np.uint8)
    for channel in range(values.shape[2]):
        plane = values[..., channel]
        known = plane[valid]
        low, high = known.min(), known.max()
        # From its lowest value on, so that what is even is 0, and averages of 0 are 0.
        above = np.where(valid, (plane - low) * np.float32(_STEPS), np.float32(0))
        filled = cv2.inpaint(above, holes, _RADIUS_PX, cv2.INPAINT_NS) if high > low else above
        result[..., channel] = np.where(valid, plane, np.clip(filled / np.float32(_STEPS) + low, low, high))
    return result


def push_pull_planes(values: Planes, valid: Flags) -> Planes:
    """`push_pull` for (h, w, C) float32 or float64 on the CPU."""
    import torch

    x = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]
    with torch.inference_mode():
        filled = push_pull(x, torch.from_numpy(np.ascontiguousarray(valid))[None, None])
    return np.ascontiguousarray(filled[0].numpy().transpose(1, 2, 0))


def classical(values: Planes, valid: Flags) -> Planes:
    """The average of both, which is nearer the truth than either: for alpha and other planes no network was taught."""
    if valid.all():
        return values
    known: NDArray[Any] = values[valid]
    if known.size and (known == known[0]).all():
        return np.where(valid[..., None], values, known[0])
    return (push_pull_planes(values, valid) + navier_stokes(values, valid)) * np.float32(0.5)
