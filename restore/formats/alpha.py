"""Owns going between premultiplied files and straight memory.

Where alpha is 0 a premultiplied colour is light without cover (a flame, a glow): it is kept as it stands, because
nothing can be divided out of it.  Integers are rounded; half floats are divided in float32 and end at their largest
number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from restore.image import Pixels


def straight(pixels: Pixels, colour: Sequence[int], alpha_channel: int) -> tuple[Pixels, bool]:
    """((H, W, C) pixels with the colour channels divided by alpha, whether there was light where alpha is 0)."""
    alpha = pixels[..., alpha_channel : alpha_channel + 1].astype(np.float32)
    light = pixels[..., list(colour)].astype(np.float32)
    covered = alpha > 0
    top = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else 1.0
    with np.errstate(invalid="ignore", over="ignore"):
        divided = np.where(covered, light * top / np.where(covered, alpha, 1), light)
    result = pixels.copy()
    result[..., list(colour)] = _as(divided, pixels.dtype)
    return result, bool(((light != 0) & ~covered).any())


def is_above(pixels: Pixels, colour: Sequence[int], alpha_channel: int) -> bool:
    """Whether integer colour is brighter somewhere than its alpha: its quotient is cut off at white, for good."""
    if pixels.dtype.kind != "u":
        return False
    alpha = pixels[..., alpha_channel]
    return any(bool(((pixels[..., channel] > alpha) & (alpha > 0)).any()) for channel in colour)


def premultiplied(pixels: Pixels, colour: Sequence[int], alpha_channel: int, light_without_alpha: bool) -> Pixels:
    """Colour times alpha.  Where alpha is 0 colour becomes 0, unless the source had light there."""
    alpha = pixels[..., alpha_channel : alpha_channel + 1].astype(np.float32)
    value = pixels[..., list(colour)].astype(np.float32)
    top = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else 1.0
    with np.errstate(invalid="ignore", over="ignore"):
        product = value * alpha / top
    if light_without_alpha:
        product = np.where(alpha > 0, product, value)
    result = pixels.copy()
    result[..., list(colour)] = _as(product, pixels.dtype)
    return result


def _as(values: Pixels, dtype: np.dtype[Any]) -> Pixels:
    if dtype.kind == "u":
        return np.clip(np.rint(values), 0, np.iinfo(dtype).max).astype(dtype)
    most = float(np.finfo(dtype).max)
    bounded = np.where(np.isfinite(values), np.clip(values, -most, most), values)
    return bounded.astype(dtype)
