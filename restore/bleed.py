"""Owns the colour under fully transparent pixels: it is replaced by what the visible pixels beside it suggest.

A network sees no alpha.  Whatever an old tool left under alpha = 0 (black, green, a photo) would leak into the visible
edge as a fringe, so it is filled first.  Method: push-pull (Gortler et al., "The Lumigraph", 1996, section 3.5): a
pyramid of alpha-weighted averages, then each empty pixel takes its value from the next coarser level.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.image import Pixels

_STRIP_ROWS = 256
"""Rows of the full-size picture that exist as floats at once (even, so that a strip is whole 2 x 2 cells)."""

_Floats = NDArray[np.float32]


@dataclass(frozen=True)
class _Level:
    color: _Floats
    """(h, w, C) weighted mean, arbitrary where weight is 0."""
    weight: _Floats
    """(h, w, 1) in 0..1."""


def bleed_color(pixels: Pixels, alpha: Pixels, wraps: tuple[bool, bool]) -> Pixels:
    """Fill the colour where alpha is 0 from the visible colour around it.

    `pixels` is (H, W, C) colour of any pixel type, `alpha` (H, W) of the same or another one; `wraps` says for (y, x)
    whether the picture repeats there, so that colour also flows over the seam.  Visible pixels count by their alpha.

    Returns (H, W, C) of the same type: bit for bit `pixels` where alpha > 0.  With no pixel at alpha 0, or none above
    it, that is `pixels` itself.  Beyond one pass over the picture the float memory is about a third of it.
    """
    if alpha.shape != pixels.shape[:2]:
        raise ValueError(f"alpha {alpha.shape} does not cover pixels {pixels.shape}")
    empty = ~(alpha > 0)  # NaN counts as empty
    if not empty.any() or empty.all():
        return pixels
    levels = [_push_source(pixels, alpha, wraps)]
    while levels[-1].weight.min() < 1.0 and levels[-1].weight.size > 1:  # faint cells, too, look further
        finer = levels[-1]
        rows = _rows_around(0, finer.color.shape[0], finer.color.shape[0], wraps[0])
        levels.append(_push(finer.color[rows.at], finer.weight[rows.at] * rows.share, wraps[1]))
    filled = levels[-1].color
    for level in reversed(levels[:-1]):
        below = _pull(filled, level.color.shape[:2], slice(0, level.color.shape[0]), wraps)
        filled = below + (level.color - below) * level.weight
    return _paste_source(pixels, empty, filled, wraps)


@dataclass(frozen=True)
class _Rows:
    at: NDArray[np.intp]
    share: _Floats
    """(n, 1, 1): 0 for rows that don't exist."""


def _rows_around(start: int, stop: int, height: int, wraps: bool) -> _Rows:
    """Rows start - 1 to stop, an even number of them: what the cells of rows start to stop are made of."""
    at = np.arange(start - 1, stop + 1 + (stop - start) % 2)
    if wraps:
        return _Rows(at % height, np.ones((len(at), 1, 1), np.float32))
    exists = (at >= 0) & (at < height)
    return _Rows(np.clip(at, 0, height - 1), exists.astype(np.float32)[:, None, None])


def _push_source(pixels: Pixels, alpha: Pixels, wraps: tuple[bool, bool]) -> _Level:
    """The first halving, strip by strip, so that the full size never exists as floats."""
    top = float(np.iinfo(alpha.dtype).max) if np.issubdtype(alpha.dtype, np.integer) else 1.0
    height = pixels.shape[0]
    parts = []
    for start in range(0, height, _STRIP_ROWS):
        rows = _rows_around(start, min(start + _STRIP_ROWS, height), height, wraps[0])
        opacity = np.nan_to_num(alpha[rows.at].astype(np.float32), nan=0.0, posinf=top) / np.float32(top)
        weight: _Floats = np.clip(opacity, 0.0, 1.0)[..., None]
        color = pixels[rows.at].astype(np.float32)
        color[weight[..., 0] <= 0.0] = 0.0
        parts.append(_push(color, weight * rows.share, wraps[1]))
    return _Level(np.concatenate([p.color for p in parts]), np.concatenate([p.weight for p in parts]))


def _push(color: _Floats, weight: _Floats, wraps_x: bool) -> _Level:
    """Half the size: each cell of 2 x 2 pixels averages the 4 x 4 around it (1 3 3 1), by weight.

    `color` and `weight` already have the rows around; here come the columns.  A cell as heavy as one pixel is full.
    """
    odd = color.shape[1] % 2
    padding = ((0, 0), (1, 1 + odd), (0, 0))
    heavy = np.concatenate([color * weight, weight], axis=2)
    heavy = np.pad(heavy, padding, mode="wrap") if wraps_x else np.pad(heavy, padding)
    summed = _tent(_tent(heavy).swapaxes(0, 1)).swapaxes(0, 1)
    total = summed[..., -1:]
    mean: _Floats = np.divide(summed[..., :-1], np.maximum(total, 1e-12), dtype=np.float32)
    return _Level(mean, np.minimum(total, np.float32(1.0)))


def _tent(lines: _Floats) -> _Floats:
    """2n + 2 lines to n."""
    inner = lines[1:-2:2] + lines[2:-1:2]
    outer = lines[0:-3:2] + lines[3::2]
    result: _Floats = inner * np.float32(0.75) + outer * np.float32(0.25)
    return result


def _pull(coarse: _Floats, size: tuple[int, int], rows: slice, wraps: tuple[bool, bool]) -> _Floats:
    """Rows `rows` (from an even one) of `coarse` doubled to `size` (bilinear, centres at 1/4 and 3/4 of a cell)."""
    height, width = min(rows.stop, size[0]) - rows.start, size[1]
    first, last = rows.start // 2 - 1, (rows.start + height + 1) // 2 + 1
    around = coarse[_inside(np.arange(first, last), coarse.shape[0], wraps[0])]
    around = np.take(around, _inside(np.arange(-1, coarse.shape[1] + 1), coarse.shape[1], wraps[1]), axis=1)
    twice = cv2.resize(around, (2 * around.shape[1], 2 * around.shape[0]), interpolation=cv2.INTER_LINEAR)
    return twice.astype(np.float32, copy=False).reshape(*twice.shape[:2], -1)[2 : 2 + height, 2 : 2 + width]


def _inside(at: NDArray[np.intp], cells: int, wraps: bool) -> NDArray[np.intp]:
    return at % cells if wraps else np.clip(at, 0, cells - 1)


def _paste_source(pixels: Pixels, empty: NDArray[np.bool_], coarse: _Floats, wraps: tuple[bool, bool]) -> Pixels:
    filled = pixels.copy()
    for start in range(0, pixels.shape[0], _STRIP_ROWS):
        rows = slice(start, start + _STRIP_ROWS)
        hidden = empty[rows]
        if hidden.any():
            values = _pull(coarse, (pixels.shape[0], pixels.shape[1]), rows, wraps)
            if pixels.dtype.kind == "u":
                values = np.rint(values)
            np.copyto(filled[rows], values.astype(pixels.dtype), where=hidden[..., None])
    return filled
