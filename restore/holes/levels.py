"""Owns the one plane that detectors look at: how light each pixel looks, in any file's number type."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restore.image import Image, Pixels, Transfer

Plane = NDArray[np.float32]
"""(H, W) in about 0..1."""

_WEIGHTS = (0.299, 0.587, 0.114)
_BAND_ROWS = 256
_GAMMA = np.float32(1.0 / 2.2)


def top_of(pixels: Pixels) -> float:
    """What stands for white: the largest value of an integer type, 1 for floats."""
    return float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else 1.0


def lightness(page: Image) -> Plane:
    """(H, W) float32: 0 = black, 1 = white, in steps that look alike (light is encoded, highlights above white run on
    as a logarithm).  Not-a-numbers are black; a picture without colour channels is looked at through its first one."""
    plane = np.empty((page.height, page.width), np.float32)
    for start in range(0, page.height, _BAND_ROWS):
        rows = slice(start, start + _BAND_ROWS)
        plane[rows] = _lightness(page.pixels[rows], page.color_channels or (0,), page.stored.transfer)
    return plane


def _lightness(band: Pixels, channels: tuple[int, ...], transfer: Transfer) -> Plane:
    weights = _WEIGHTS if len(channels) == 3 else (1.0 / len(channels),) * len(channels)
    scale = 1.0 / top_of(band)
    total = np.zeros(band.shape[:2], np.float32)
    for channel, weight in zip(channels, weights, strict=True):
        total += band[:, :, channel].astype(np.float32) * np.float32(weight * scale)
    if band.dtype.kind == "f":
        total = np.nan_to_num(total, nan=0.0, posinf=6.5e4, neginf=0.0)
    if transfer is Transfer.LINEAR:
        total = np.maximum(total, np.float32(0.0)) ** _GAMMA
    if band.dtype.kind == "f":
        above = total > 1.0
        total[above] = 1.0 + np.log(total[above])
        np.maximum(total, np.float32(-1.0), out=total)
    return total
