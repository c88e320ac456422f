"""Owns grain for enlarged frames: as strong as the source's, as coarse as it would have been enlarged, never frozen.

Networks take grain for noise and smooth it away.  What comes back is drawn anew for each frame: Gaussian, blurred to
the size that grain of a source pixel has in the result, half of it common to all colours, as film's layers share it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.working import Frame, as_float32, from_float, grain_sigma, grey_of, to_float

_SIZE_PX = 0.4
"""Deviation of a grain's blur, in source pixels."""
_COMMON = 0.5


def regrained(large: Frame, source: Frame, number: int) -> Frame:
    """`large` (H', W', C), made of `source` (H, W, C), with grain; `number` is the frame's, and seeds it."""
    values = to_float(large)
    height, width, channels = values.shape
    scale = height / source.shape[0]
    rng = np.random.default_rng([number, height, width])
    shared = _grain(rng, height, width, scale)
    strength = grain_sigma(grey_of(source)) * (channels**0.5 if channels == 1 else 1.5)
    level = grey_of(large)
    # Film's grain shows most in middle tones, and hardly in what is all black or all white.
    weight = np.float32(strength) * (np.float32(0.35) + np.float32(2.6) * np.clip(level * (1 - level), 0, 0.25))
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
