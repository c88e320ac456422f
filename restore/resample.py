"""Owns every change of size that no network makes: once, after it, and never before.

Smaller: each new pixel is the exact average of the area that it covers.  Larger: cubic convolution (Keys 1981, with
a = -1/2), whose one negative lobe rings less than Lanczos where dark meets bright in linear light.  Each axis goes its
own way.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.color.srgb import light_of, stored_of
from restore.image import Pixels
from restore.recipe import Pow2, Upscale

_STRIP_BYTES = 8 << 20
"""About how much of the source exists as floats at once."""

_Floats = NDArray[np.float32]


def target_size(height: int, width: int, model_scale: int, step: Upscale) -> tuple[int, int]:
    """(height, width) of the result for a source of `height` x `width`; every side is at least 1.

    In this order: `scale` (the model's own if None) multiplies both sides; `max_size_px` shrinks both alike, so that
    the longer one fits; each side is rounded to the nearest whole number (halves up); `pow2` moves each side on its
    own to a power of two (nearest by ratio, halves up; never above `max_size_px`); `multiple_of_px` moves each side to
    its nearest multiple, never to 0, and downwards where the nearest would exceed `max_size_px`.  Only the last two
    can change the aspect, by what their rounding says.
    """
    scale = float(model_scale if step.scale is None else step.scale)
    if step.max_size_px is not None:
        scale = min(scale, step.max_size_px / max(height, width))
    return _guarded(height * scale, step), _guarded(width * scale, step)


def _guarded(side: float, step: Upscale) -> int:
    limit = step.max_size_px
    result = max(1, floor(side + 0.5))
    if step.pow2 is not Pow2.OFF:
        power = log2(result)
        rounding = {Pow2.NEAREST: lambda p: floor(p + 0.5), Pow2.UP: ceil, Pow2.DOWN: floor}[step.pow2]
        result = 1 << int(rounding(power))
        while limit is not None and result > limit and result > 1:
            result >>= 1
    unit = step.multiple_of_px
    if unit > 1:
        multiple = max(1, floor(result / unit + 0.5)) * unit
        if limit is not None and multiple > limit >= unit:
            multiple -= unit
        result = multiple
    return result


@dataclass(frozen=True)
class _Taps:
    """For each new pixel along an axis: which old ones it is made of, and how much of each."""

    at: NDArray[np.intp]
    """(new, taps) indices inside the picture."""
    reach: NDArray[np.intp]
    """(new, taps) the same before wrapping or clamping: ascending, so that strips know what to read."""
    share: _Floats
    """(new, taps), each row's sum is 1."""


def _taps(old: int, new: int, wraps: bool) -> _Taps:
    if new == old:
        start = np.arange(new)[:, None]
        share = np.ones((new, 1))
    elif new < old:
        ratio = old / new
        low = np.arange(new)[:, None] * ratio
        start = np.floor(low + 1e-9).astype(np.intp) + np.arange(ceil(ratio) + 1)
        share = np.clip(np.minimum(start + 1, low + ratio) - np.maximum(start, low), 0.0, None)
    else:
        center = (np.arange(new)[:, None] + 0.5) * (old / new) - 0.5
        start = np.floor(center).astype(np.intp) + np.arange(-1, 3)
        share = _cubic(np.abs(center - start))
    share = share / share.sum(axis=1, keepdims=True)
    at = start % old if wraps else np.clip(start, 0, old - 1)
    return _Taps(at.astype(np.intp), start.astype(np.intp), share.astype(np.float32))


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    near = (1.5 * distance - 2.5) * distance**2 + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    return np.where(distance < 1.0, near, np.where(distance < 2.0, far, 0.0))


@dataclass(frozen=True)
class _Meaning:
    """What the channels are, for the way into floats and back."""

    dtype: np.dtype[Any]
    linear_light: bool
    alpha_channel: int | None
    data_channels: tuple[int, ...]
    normal: bool


def resample(
    pixels: Pixels,
    size: tuple[int, int],
    *,
    linear_light: bool,
    alpha_channel: int | None,
    wraps: tuple[bool, bool],
    data_channels: tuple[int, ...] = (),
    normal: bool = False,
) -> Pixels:
    """(H, W, C) of any pixel type to (*size, C) of the same type, rounded, not truncated.

    `linear_light`: colour is sRGB-encoded, so it is mixed as light.  `alpha_channel`: its index, if it is opacity:
    colour then counts by its alpha (invisible colour can't leak into a visible edge), and alpha itself is mixed as it
    is.  `data_channels` are neither colour nor opacity (depth, a gloss map in the alpha channel): mixed as they are,
    whatever alpha says.  `wraps` (y, x): across these sides the picture goes on from the other one, elsewhere its edge
    is repeated.  `normal`: the first three channels are a normal map (2c - 1): vectors are mixed and made unit length
    again; where blue is constant (x and y only) they are mixed plainly; alpha is data then.  Beside source and result,
    memory is that of a strip.
    """
    if size == pixels.shape[:2]:
        return pixels
    is_vectors = normal and pixels.shape[2] >= 3 and not _is_constant(pixels[..., 2])
    opacity = None if normal else alpha_channel
    meaning = _Meaning(pixels.dtype, linear_light and not normal, opacity, data_channels, is_vectors)
    rows = _taps(pixels.shape[0], size[0], wraps[0])
    columns = _taps(pixels.shape[1], size[1], wraps[1])
    result = np.empty((*size, pixels.shape[2]), pixels.dtype)
    strip = _strip_rows(pixels, size)
    for start in range(0, size[0], strip):
        part = slice(start, min(start + strip, size[0]))
        reach = rows.reach[part]
        first = int(reach.min())
        needed = np.arange(first, int(reach.max()) + 1)
        needed = needed % pixels.shape[0] if wraps[0] else np.clip(needed, 0, pixels.shape[0] - 1)
        band = _into(pixels[needed], meaning)
        if size[0] < pixels.shape[0]:  # the axis that leaves least to do comes first
            mixed = _mix_across(_mix(band, reach - first, rows.share[part]), columns)
        else:
            mixed = _mix(_mix_across(band, columns), reach - first, rows.share[part])
        result[part] = _back(mixed, meaning)
    return result


def _strip_rows(pixels: Pixels, size: tuple[int, int]) -> int:
    """New rows for one strip: what is read for them, or what they are themselves, fills about `_STRIP_BYTES`."""
    row_bytes = 4 * pixels.shape[2] * max(pixels.shape[1], size[1])
    source_rows = max(8, _STRIP_BYTES // row_bytes)
    return max(1, int(source_rows * min(1.0, size[0] / pixels.shape[0])))


def _is_constant(channel: Pixels) -> bool:
    return bool(channel.min() == channel.max())


def _mix(lines: _Floats, at: NDArray[np.intp], share: _Floats) -> _Floats:
    """(old, n, C) -> (new, n, C)."""
    mixed = np.zeros((len(at), *lines.shape[1:]), np.float32)
    for tap in range(at.shape[1]):
        if share[:, tap].any():
            part = lines[at[:, tap]]
            part *= share[:, tap, None, None]
            mixed += part
    return mixed


def _mix_across(lines: _Floats, columns: _Taps) -> _Floats:
    """(n, old, C) -> (n, new, C)."""
    turned = np.ascontiguousarray(lines.swapaxes(0, 1))
    return np.ascontiguousarray(_mix(turned, columns.at, columns.share).swapaxes(0, 1))


def _into(band: Pixels, meaning: _Meaning) -> _Floats:
    """(n, W, C) stored values as what may be averaged: light, vectors; colour twice where alpha counts: times alpha,
    and plain, which is used where nothing is visible."""
    values = light_of(band, encoded=meaning.linear_light)
    if meaning.normal:
        values[..., :3] = values[..., :3] * np.float32(2.0) - np.float32(1.0)
    if meaning.linear_light:
        for channel in meaning.data_channels:
            values[..., channel] = light_of(band[..., channel], encoded=False)
    if meaning.alpha_channel is None:
        return values
    alpha = light_of(band[..., meaning.alpha_channel], encoded=False)
    values[..., meaning.alpha_channel] = alpha
    return np.concatenate([values, values * alpha[..., None]], axis=-1)


def _back(mixed: _Floats, meaning: _Meaning) -> Pixels:
    if meaning.normal:
        length = np.sqrt(np.square(mixed[..., :3]).sum(axis=-1, keepdims=True))
        mixed[..., :3] = np.where(length > 1e-3, mixed[..., :3] / np.maximum(length, 1e-3), [0.0, 0.0, 1.0])
        mixed[..., :3] = (mixed[..., :3] + 1.0) / 2.0
    plain, shown, as_it_is = mixed, mixed, meaning.data_channels
    if meaning.alpha_channel is not None:
        channels = mixed.shape[-1] // 2
        plain, weighted = mixed[..., :channels], mixed[..., channels:]
        alpha = plain[..., meaning.alpha_channel : meaning.alpha_channel + 1]
        shown = np.where(alpha > 1.0 / 64.0, weighted / np.maximum(alpha, 1.0 / 64.0), plain)
        as_it_is = (*as_it_is, meaning.alpha_channel)
    stored = stored_of(shown, meaning.dtype, encoded=meaning.linear_light)
    for channel in as_it_is:
        stored[..., channel] = stored_of(plain[..., channel], meaning.dtype, encoded=False)
    return stored
