"""Owns samples of video as colour: Y'CbCr, R'G'B' or grey planes to one working picture, and repairs back into planes.

Sources: ITU-R BT.601-7, BT.709-6, BT.2020-2 (coefficients, quantisation) and ITU-T H.273 (code points).  Chroma is
taken to lie beside the left luma sample of its pair and between rows, as MPEG-2 and all later codecs put it by default.

What a repair doesn't touch keeps its samples: `splice` converts only those that a hole reaches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.formats.video_pixels import Family, Layout, Planes

Rgb = NDArray[Any]
"""(H, W, 3), or (H, W, 1) for grey: uint16 with 65535 = white, or float32 with 1.0 = white, black 0, unclipped."""

_WEIGHTS: Mapping[int, tuple[float, float, str]] = MappingProxyType(
    {
        1: (0.2126, 0.0722, "BT.709"),
        4: (0.30, 0.11, "FCC"),
        5: (0.299, 0.114, "BT.601"),
        6: (0.299, 0.114, "BT.601"),
        7: (0.212, 0.087, "SMPTE 240M"),
        9: (0.2627, 0.0593, "BT.2020"),
    }
)
"""H.273 matrix -> weights of red and blue in luma, name."""

_UNSPECIFIED = (2, 3)
_SD_MAX_LINES = 576


@dataclass(frozen=True)
class Signal:
    """What the numbers in a frame's planes mean."""

    layout: Layout
    full_range: bool
    matrix: int
    """H.273; settled, never unspecified.  Meaningless outside Y'CbCr."""
    because: str
    """Why this matrix, for people."""


def signal_of(layout: Layout, matrix: int, height: int, *, full_range: bool) -> Signal:
    """Settles a frame's meaning; `matrix` is the tag.  Untagged Y'CbCr is BT.601 up to 576 lines, else BT.709.

    ImageError for matrices that are no weighted sum (YCgCo, ICtCp, constant luminance).
    """
    if layout.family is not Family.YUV:
        return Signal(layout, full_range, 1, "no matrix is needed")
    if matrix in _UNSPECIFIED:
        settled = 6 if height <= _SD_MAX_LINES else 1
        return Signal(layout, full_range, settled, f"untagged, {height} lines: {_WEIGHTS[settled][2]}")
    if matrix not in _WEIGHTS:
        raise ImageError(f"its colour matrix (H.273 code {matrix}) is not read: convert it to BT.709 or BT.2020 first")
    return Signal(layout, full_range, matrix, f"tagged {_WEIGHTS[matrix][2]}")


def to_rgb(planes: Planes, signal: Signal) -> NDArray[np.float32]:
    """(H, W, 3 or 1) float32, 1.0 = nominal white; blacker than black and whiter than white stay outside [0, 1]."""
    if signal.layout.family is not Family.YUV:
        colours = [_unit(plane, signal, chroma=False) for plane in planes[: _colours(signal)]]
        return np.stack(colours, -1)
    luma = _unit(planes[0], signal, chroma=False)
    blue, red = (_enlarged(_unit(plane, signal, chroma=True), signal, luma.shape) for plane in planes[1:3])
    kr, kb, _ = _WEIGHTS[signal.matrix]
    rgb = np.empty((*luma.shape, 3), np.float32)
    rgb[..., 0] = luma + np.float32(2 * (1 - kr)) * red
    rgb[..., 2] = luma + np.float32(2 * (1 - kb)) * blue
    rgb[..., 1] = (luma - np.float32(kr) * rgb[..., 0] - np.float32(kb) * rgb[..., 2]) / np.float32(1 - kr - kb)
    return rgb


def to_working(planes: Planes, signal: Signal) -> NDArray[np.uint16]:
    """`to_rgb` as uint16, rounded and clipped to nominal black and white: what the algorithms of film work on."""
    if signal.layout.bits == 16 and signal.full_range and signal.layout.family is not Family.YUV:
        return np.stack(planes[: _colours(signal)], -1)
    rgb = to_rgb(planes, signal)
    working: NDArray[np.uint16] = np.rint(np.clip(rgb, 0, 1) * np.float32(65535)).astype(np.uint16)
    return working


def from_rgb(rgb: Rgb, signal: Signal, alpha: NDArray[Any] | None = None) -> Planes:
    """Planes of a whole picture, rounded and clipped to the codes there are; `alpha` is taken as it is.

    ValueError when the picture has other channels than the layout.
    """
    fractions = _fractions(rgb, signal)
    whole = np.ones(rgb.shape[:2], bool)
    planes = [
        _codes(
            fraction if i == 0 or signal.layout.halvings == (0, 0) else _reduced(fraction, whole, signal)[0], signal, i
        )
        for i, fraction in enumerate(fractions)
    ]
    return (*planes, *([alpha] if alpha is not None else []))


def splice(planes: Planes, rgb: Rgb, holes: NDArray[np.bool_], signal: Signal) -> Planes:
    """The planes with what `rgb` has where `holes` (H, W) is True; all other samples are the same numbers.

    A chroma sample that a hole reaches was mixed from damaged pixels, too: it becomes the mean of the new pixels in
    its reach, not of old and new ones.  Alpha stays.  Arrays without a change are returned as they are.
    """
    if holes.shape != planes[0].shape:
        raise ValueError(f"{holes.shape = } does not match {planes[0].shape = }")
    if not holes.any():
        return planes
    top, left, bottom, right = _around(holes, signal)
    part = holes[top:bottom, left:right]
    fractions = _fractions(rgb[top:bottom, left:right], signal)
    across, down = signal.layout.halvings
    result = list(planes)
    for i, fraction in enumerate(fractions):
        plane = planes[i].copy()
        if i == 0 or (across, down) == (0, 0) or signal.layout.family is not Family.YUV:
            window = plane[top:bottom, left:right]
            window[part] = _codes(fraction[part], signal, i)
        else:
            mean, reached = _reduced(fraction, part, signal)
            height, width = mean.shape
            window = plane[top >> down : (top >> down) + height, left >> across : (left >> across) + width]
            window[reached] = _codes(mean[reached], signal, i)
        result[i] = plane
    return tuple(result)


def touched(holes: NDArray[np.bool_], signal: Signal) -> tuple[NDArray[np.bool_], ...]:
    """For every colour plane, which samples `splice` may change."""
    if signal.layout.family is not Family.YUV or signal.layout.halvings == (0, 0):
        return (holes,) * _colours(signal)
    reached = _reduced(np.zeros(holes.shape, np.float32), holes, signal)[1]
    return holes, reached, reached


def _colours(signal: Signal) -> int:
    return 1 if signal.layout.family is Family.GREY else 3


def _scale(signal: Signal, *, chroma: bool) -> tuple[float, float]:
    """(offset, codes from nominal black to white) of a plane."""
    bits = signal.layout.bits
    middle = float(1 << (bits - 1))
    if signal.full_range:
        return (middle if chroma else 0.0), float((1 << bits) - 1)
    step = float(1 << (bits - 8))
    return (middle, 224 * step) if chroma else (16 * step, 219 * step)


def _unit(plane: NDArray[Any], signal: Signal, *, chroma: bool) -> NDArray[np.float32]:
    offset, span = _scale(signal, chroma=chroma)
    return (plane.astype(np.float32) - np.float32(offset)) / np.float32(span)


def _codes(fraction: NDArray[np.float32], signal: Signal, place: int) -> NDArray[Any]:
    offset, span = _scale(signal, chroma=place > 0 and signal.layout.family is Family.YUV)
    top = (1 << signal.layout.bits) - 1
    codes: NDArray[Any] = np.clip(np.rint(fraction * np.float32(span) + np.float32(offset)), 0, top)
    return codes.astype(signal.layout.dtype)


def _fractions(rgb: Rgb, signal: Signal) -> list[NDArray[np.float32]]:
    """Y, Cb, Cr at full size, chroma in [-0.5, 0.5]; or the colours as they are."""
    if rgb.shape[2] != _colours(signal):
        raise ValueError(f"{rgb.shape = } does not match {signal.layout.name}")
    unit = rgb.astype(np.float32) / np.float32(65535) if rgb.dtype == np.uint16 else rgb.astype(np.float32)
    if signal.layout.family is not Family.YUV:
        return [unit[..., i] for i in range(unit.shape[2])]
    kr, kb, _ = _WEIGHTS[signal.matrix]
    red, green, blue = unit[..., 0], unit[..., 1], unit[..., 2]
    luma = np.float32(kr) * red + np.float32(1 - kr - kb) * green + np.float32(kb) * blue
    return [luma, (blue - luma) / np.float32(2 * (1 - kb)), (red - luma) / np.float32(2 * (1 - kr))]


def _enlarged(plane: NDArray[np.float32], signal: Signal, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Chroma at luma's size, linearly interpolated."""
    across, down = signal.layout.halvings
    for _ in range(across):
        following = np.concatenate([plane[:, 1:], plane[:, -1:]], 1)
        wider = np.empty((plane.shape[0], plane.shape[1] * 2), np.float32)
        wider[:, 0::2], wider[:, 1::2] = plane, (plane + following) / 2
        plane = wider
    for _ in range(down):
        above, below = np.concatenate([plane[:1], plane[:-1]]), np.concatenate([plane[1:], plane[-1:]])
        taller = np.empty((plane.shape[0] * 2, plane.shape[1]), np.float32)
        taller[0::2], taller[1::2] = 0.75 * plane + 0.25 * above, 0.75 * plane + 0.25 * below
        plane = taller
    return plane[: shape[0], : shape[1]]


def _reduced(
    plane: NDArray[np.float32], chosen: NDArray[np.bool_], signal: Signal
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(mean of the chosen pixels within reach of each chroma sample, which samples have any)."""
    across, down = signal.layout.halvings
    weight = chosen.astype(np.float32)
    total = plane * weight
    for _ in range(across):
        total, weight = _halved_across(total), _halved_across(weight)
    for _ in range(down):
        total, weight = _halved_down(total), _halved_down(weight)
    reached = weight > 0
    return np.divide(total, weight, out=np.zeros_like(total), where=reached), reached


def _halved_across(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """1/4, 1/2, 1/4 around every even column."""
    padded = np.pad(plane, ((0, 0), (1, 1 + plane.shape[1] % 2)), mode="edge")
    quarter = np.float32(0.25)
    mixed: NDArray[np.float32] = quarter * (padded[:, :-2:2] + padded[:, 2::2]) + np.float32(0.5) * padded[:, 1:-1:2]
    return mixed


def _halved_down(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(plane, ((0, plane.shape[0] % 2), (0, 0)), mode="edge")
    mixed: NDArray[np.float32] = (padded[0::2] + padded[1::2]) * np.float32(0.5)
    return mixed


def _around(holes: NDArray[np.bool_], signal: Signal) -> tuple[int, int, int, int]:
    """Box of all holes, with every chroma sample in their reach whole."""
    across, down = signal.layout.halvings
    rows, columns = np.flatnonzero(holes.any(1)), np.flatnonzero(holes.any(0))
    wide, tall = 2 << across, 1 << down
    top, left = int(rows[0]) // tall * tall, max(0, int(columns[0]) - wide) // wide * wide
    return top, left, int(rows[-1]) // tall * tall + tall, int(columns[-1]) // wide * wide + 2 * wide
