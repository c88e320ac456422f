"""Owns holes that the picture itself declares: where alpha is 0, or where the colour is a certain one."""

from __future__ import annotations

import numpy as np

from restore.color.srgb import light_of
from restore.holes.found import Holes
from restore.image import Image, Pixels, Transfer

_BAND_ROWS = 512
_FLOAT_SLACK = 0.5
"""In 8-bit steps: floats rarely hit a key colour to the last bit."""


def clear_alpha(page: Image) -> tuple[Holes, tuple[str, ...]]:
    """(H, W) True where alpha is 0, and notes.

    What is filled there is colour (R, G, B or Y): a texture's alpha is its shape and stays as it is, while games that
    shrink or compress the texture mix the colour under it into its edges.
    """
    at = page.alpha_channel
    if at is None:
        return np.zeros(page.pixels.shape[:2], np.bool_), ("there is no alpha channel, so nothing is missing",)
    holes: Holes = page.pixels[..., at] == 0
    return holes, ()


def key_colour(page: Image, key_rgb: tuple[int, int, int], tolerance: int) -> tuple[Holes, tuple[str, ...]]:
    """(H, W) True where no channel is further than `tolerance` (0..255) from `key_rgb` (0..255 each), and notes.

    The comparison happens in the file's own type: in 16 bits the key is 257 times as large and exact, in floats half an
    8-bit step off is still the key, and light (linear EXR) is compared with the key's light.
    """
    channels = page.color_channels
    if len(channels) not in (1, 3) or (len(channels) == 1 and len(set(key_rgb)) > 1):
        return np.zeros(page.pixels.shape[:2], np.bool_), ("a picture without that colour's channels has no key in it",)
    limits = [_limits(page, key_rgb[i], tolerance) for i in range(len(channels))]
    holes = np.empty((page.height, page.width), np.bool_)
    for start in range(0, page.height, _BAND_ROWS):
        rows = slice(start, start + _BAND_ROWS)
        holes[rows] = True
        for channel, (low, high) in zip(channels, limits, strict=True):
            holes[rows] &= _within(page.pixels[rows, :, channel], low, high)
    return holes, ()


def _within(values: Pixels, low: float, high: float) -> Holes:
    """Integers are compared as such, floats in float32; not-a-number is never within."""
    if values.dtype.kind == "u":
        inside: Holes = (values >= np.uint32(max(0.0, low))) & (values <= np.uint32(high))
        return inside
    wide = values.astype(np.float32)
    within: Holes = (wide >= np.float32(low)) & (wide <= np.float32(high))
    return within


def _limits(page: Image, key: int, tolerance: int) -> tuple[float, float]:
    """Lowest and highest stored value that still is the key."""
    if page.pixels.dtype.kind == "u":
        step = int(np.iinfo(page.pixels.dtype).max) // 255
        return float((key - tolerance) * step), float((key + tolerance) * step)
    ends = np.array([key - tolerance - _FLOAT_SLACK, key + tolerance + _FLOAT_SLACK], np.float32) / np.float32(255.0)
    if page.stored.transfer is Transfer.LINEAR:
        ends = light_of(ends, encoded=True)
    return float(ends[0]), float(ends[1])
