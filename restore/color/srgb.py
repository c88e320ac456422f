"""Owns the sRGB curve between stored values and light (IEC 61966-2-1), for NumPy and for torch."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

_ENCODE_STEPS = 1 << 16
_DECODED_KNEE = 0.0031308
_ENCODED_KNEE = 0.04045


def srgb_to_linear(encoded: Tensor) -> Tensor:
    """Display-encoded values in [0, 1] to light in [0, 1], any shape; the straight part goes on below 0."""
    import torch

    bright = ((encoded.clamp_min(_ENCODED_KNEE) + 0.055) / 1.055) ** 2.4
    return torch.where(encoded <= _ENCODED_KNEE, encoded / 12.92, bright)


def linear_to_srgb(light: Tensor) -> Tensor:
    """The inverse of `srgb_to_linear`."""
    import torch

    bright = 1.055 * light.clamp_min(_DECODED_KNEE) ** (1.0 / 2.4) - 0.055
    return torch.where(light <= _DECODED_KNEE, light * 12.92, bright)


def light_of(stored: NDArray[Any], *, encoded: bool) -> NDArray[np.float32]:
    """Stored values of any pixel type as float32, integers over their maximum; `encoded`: as light."""
    if stored.dtype.kind == "u":
        light: NDArray[np.float32] = _decode_table(stored.dtype.str, encoded)[stored]
        return light
    values: NDArray[np.float32] = stored.astype(np.float32)
    return _decode(values) if encoded else values


def stored_of(light: NDArray[np.float32], dtype: np.dtype[Any], *, encoded: bool) -> NDArray[Any]:
    """The inverse of `light_of`: clipped and rounded for integer types."""
    if dtype.kind != "u":
        result: NDArray[Any] = (_encode(light) if encoded else light).astype(dtype)
        return result
    top = np.iinfo(dtype).max
    unit = np.clip(np.nan_to_num(light, nan=0.0), 0.0, 1.0)
    if encoded and dtype.itemsize == 1:  # 65,536 steps are at most a twentieth of an 8-bit step apart
        steps = np.rint(unit * np.float32(_ENCODE_STEPS - 1)).astype(np.intp)
        table: NDArray[Any] = _encode_table()[steps]
        return table
    rounded: NDArray[Any] = np.rint((_encode(unit) if encoded else unit) * np.float32(top)).astype(dtype)
    return rounded


def _decode(values: NDArray[np.float32]) -> NDArray[np.float32]:
    bright = ((np.maximum(values, np.float32(_ENCODED_KNEE)) + np.float32(0.055)) / np.float32(1.055)) ** np.float32(
        2.4
    )
    result: NDArray[np.float32] = np.where(values <= _ENCODED_KNEE, values / np.float32(12.92), bright)
    return result


def _encode(light: NDArray[np.float32]) -> NDArray[np.float32]:
    bright = np.float32(1.055) * np.maximum(light, np.float32(_DECODED_KNEE)) ** np.float32(1 / 2.4) - np.float32(0.055)
    result: NDArray[np.float32] = np.where(light <= _DECODED_KNEE, light * np.float32(12.92), bright)
    return result


@cache
def _decode_table(dtype: str, encoded: bool) -> NDArray[np.float32]:
    top = np.iinfo(np.dtype(dtype)).max
    values = (np.arange(top + 1, dtype=np.float64) / top).astype(np.float32)
    return _decode(values) if encoded else values


@cache
def _encode_table() -> NDArray[np.uint8]:
    light = (np.arange(_ENCODE_STEPS, dtype=np.float64) / (_ENCODE_STEPS - 1)).astype(np.float32)
    table: NDArray[np.uint8] = np.rint(_encode(light) * 255.0).astype(np.uint8)
    return table
