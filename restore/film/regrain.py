"""Owns grain for enlarged frames: as strong as the source's at each brightness, as coarse as it would have been
enlarged, never frozen.

Grain is taken out before enlarging, for networks make structure of some of it.  What comes back is drawn anew for each
frame: Gaussian, blurred to the size that grain of a source pixel has in the result, half of it common to all colours,
as film's layers share it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.grain import GrainCurve
from restore.film.working import Frame, as_float32, from_float, grey_of, to_float

_SIZE_PX = 0.4
"""Deviation of a grain's blur, in source pixels."""
_COMMON = 0.5


def regrained(large: Frame, curve: GrainCurve, scale: float, number: int) -> Frame:
    """`large` (H', W', C) with the grain of the source, which `curve` says; `number` is the frame's, and seeds it.

    `scale`: how many pixels of `large` a pixel of the source is wide.
    """
    values = to_float(large)
    height, width, channels = values.shape
    rng = np.random.default_rng([number, height, width])
    shared = _grain(rng, height, width, scale)
    weight = curve.at(grey_of(large))
    result = np.empty_like(values)
    for channel in range(channels):
        own = _grain(rng, height, width, scale)
        mixed = np.float32(_COMMON**0.5) * shared + np.float32((1 - _COMMON) ** 0.5) * own
        result[..., channel] = values[..., channel] + weight * mixed
    return from_float(result, large)


def _grain(rng: np.random.Generator, height: int, width: int, scale: float) -> NDArray[np.float32]:
    """(H, W), deviation 1."""
    white = rng.standard_normal((height, width), np.float32)
    grain = as_float32(cv2.GaussianBlur(white, (0, 0), _SIZE_PX * scale))
    return grain / np.float32(max(float(grain.std()), 1e-6))
