"""Owns one number that says how far the colour of a result strayed from its source."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from restore.color.srgb import light_of
from restore.image import Image, Transfer

_CELL_PX = 8
"""Side of the cells that are compared, in source pixels: colour, not detail."""

_Floats = NDArray[np.float64]

_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to CIE XYZ (D65)."""


def drift(source: Image, output: Image) -> float:
    """Mean colour difference (CIE 1976 Lab, D65) between `source` and `output`, which shows the same at any other size.

    Both are averaged in linear light over the same cells of 8 x 8 source pixels, weighted by alpha where there is one;
    a cell counts by its alpha.  About 1 is the smallest difference that eyes see side by side; a quarter or less is
    rounding and noise.  0 for nothing visible.  Works through strips of one row of cells: memory stays small.
    """
    rows = _edges(source.height)
    columns = _edges(source.width)
    total = weights = 0.0
    for top, bottom in pairwise(rows.tolist()):
        before, weight = _means(source, (top, bottom), columns)
        scaled_rows = _scaled(np.array([top, bottom]), source.height, output.height)
        after, _ = _means(
            output, (int(scaled_rows[0]), int(scaled_rows[1])), _scaled(columns, source.width, output.width)
        )
        difference = np.sqrt(np.square(_lab(before) - _lab(after)).sum(axis=1))
        total += float((difference * weight).sum())
        weights += float(weight.sum())
    return total / weights if weights > 0.0 else 0.0


def _edges(side: int) -> NDArray[np.intp]:
    """Borders of the cells along one side: about 8 px each, none narrower."""
    return np.linspace(0, side, max(1, side // _CELL_PX) + 1).round().astype(np.intp)


def _scaled(edges: NDArray[np.intp], old: int, new: int) -> NDArray[np.intp]:
    """The same borders in a picture of another size; every cell keeps at least one pixel to read."""
    return np.minimum((edges * (new / old)).round().astype(np.intp), new)


def _means(image: Image, rows: tuple[int, int], columns: NDArray[np.intp]) -> tuple[_Floats, _Floats]:
    """(cells, 3) mean light and (cells,) mean alpha of one row of cells."""
    top = min(rows[0], image.height - 1)
    band = image.pixels[top : max(rows[1], top + 1)]
    colors = list(image.color_channels)
    encoded = image.stored.transfer is Transfer.SRGB
    light = np.nan_to_num(light_of(band[..., colors], encoded=encoded), nan=0.0, posinf=1.0, neginf=0.0)
    light = np.broadcast_to(light, (*light.shape[:2], 3)) if light.shape[2] == 1 else light[..., :3]
    alpha = np.ones(band.shape[:2], np.float32)
    if image.alpha_channel is not None:
        alpha = np.clip(np.nan_to_num(light_of(band[..., image.alpha_channel], encoded=False)), 0.0, 1.0)
    starts = np.minimum(columns[:-1], image.width - 1)
    summed = np.add.reduceat((light * alpha[..., None]).sum(axis=0, dtype=np.float64), starts, axis=0)
    weight = np.add.reduceat(alpha.sum(axis=0, dtype=np.float64), starts)
    area = np.add.reduceat(np.full(image.width, float(band.shape[0])), starts)
    return summed / np.maximum(weight, 1e-9)[:, None], weight / area


def _lab(light: _Floats) -> _Floats:
    """(cells, 3) linear sRGB to CIE Lab; light above 1 goes on along the same curve."""
    relative = np.maximum(light, 0.0) @ _XYZ.T / _XYZ.sum(axis=1)
    small = 216.0 / 24389.0
    f = np.where(relative > small, np.cbrt(relative), (24389.0 / 27.0 * relative + 16.0) / 116.0)
    return np.stack([116.0 * f[:, 1] - 16.0, 500.0 * (f[:, 0] - f[:, 1]), 200.0 * (f[:, 1] - f[:, 2])], axis=1)
