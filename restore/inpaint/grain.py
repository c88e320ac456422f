"""Owns grain in what was filled: fills are averages, so they lack it, and look like wax in a grainy picture.

How much is missing is measured: the fine structure (what a small blur takes away) of clean pixels near the hole against
that of the fill.  The missing part is added from clean pixels nearby, so that it has the picture's own size of grain
and its correlation between channels, scaled by sqrt(1 - ratio^2) as variances add up.  Nothing is random: which pixels
are taken follows from the hole's place and from the known pixels around.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.holes.found import Labels
from restore.inpaint.fills import Flags, Planes
from restore.inpaint.surface import Surface
from restore.tiling import Box

_REACH_PX = 24
_BLUR_PX = 7
_BLUR_SIGMA_PX = 1.6
_CELLS_PX = (8, 4)
"""Sides of the squares that grain is taken in; the smaller ones where nothing else is clean."""
_LEAST_FACTOR = 0.3
"""A pixel with too few of its own kind around says nothing about grain."""
_LEAST_PIXELS = 6
_LEAST_CLEAN = 64
_QUANTA = 0.75
"""Deviations below this many steps of the file's type are its rounding, not grain."""
_LEAST_SIGMA = 1e-3
"""And below this share of the range nobody sees them."""
_ENOUGH = 0.95
_CALM_PERCENT = 25.0
_ROUGH = 1.3
"""Squares with more than so many times the calm ones' deviation hold texture or an edge."""
_CLIP = 3.0


@dataclass(frozen=True)
class _Fine:
    """The fine structure of one set of pixels."""

    values: Planes
    """(h, w, C), as far from the mean around as white noise would be of which nothing is taken away."""
    usable: Flags


def regrain(surface: Surface, labels: Labels, label: int, own_box: Box) -> None:
    """Add to the hole `labels` == `label`, inside `own_box` and filled, what grain it lacks."""
    reach = _REACH_PX
    box = surface.clamp(Box(own_box.y0 - reach, own_box.x0 - reach, own_box.y1 + reach, own_box.x1 + reach))
    own = np.zeros((box.height, box.width), np.bool_)
    y, x = own_box.y0 - box.y0, own_box.x0 - box.x0
    own[y : y + own_box.height, x : x + own_box.width] = (
        labels[own_box.y0 : own_box.y1, own_box.x0 : own_box.x1] == label
    )
    clean = surface.flags(surface.seen, box) & ~surface.flags(surface.holes, box)
    values = surface.read_filled(box)
    fill = _fine(values, own)
    source = _source(_fine(values, clean))
    if source is None or fill.usable.sum() < _LEAST_PIXELS:
        return
    if source.sigma < max(_QUANTA * surface.quantum, _LEAST_SIGMA):
        return
    ratio = _robust_sigma(fill.values[fill.usable]) / source.sigma
    if ratio > _ENOUGH:
        return
    seed = zlib.crc32(values[clean].tobytes(), zlib.crc32(repr(own_box).encode()))
    grain = _sample(source, own, np.random.default_rng(seed))
    if grain is None:
        return
    missing = np.sqrt(1 - ratio**2) * grain
    surface.write(surface.where(own, box), values[own] + missing.astype(np.float32))


def _fine(values: Planes, among: Flags) -> _Fine:
    """Each pixel of `among` less the mean of those of them around it."""
    weight = among.astype(np.float32)
    kernel = cv2.getGaussianKernel(_BLUR_PX, _BLUR_SIGMA_PX, cv2.CV_32F)
    square = kernel * kernel
    total = cv2.sepFilter2D(weight, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
    squares = cv2.sepFilter2D(weight, -1, square, square, borderType=cv2.BORDER_CONSTANT)
    known = np.where(among[..., None], values, np.float32(0))
    sums = cv2.sepFilter2D(known, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT).reshape(values.shape)
    share = np.maximum(total, np.float32(1e-6))
    centre = np.float32(kernel.max() ** 2)
    # Of white noise, this share of the variance is left when the mean is taken away.
    factor = 1 - 2 * centre / share + squares / share**2
    usable = among & (factor >= _LEAST_FACTOR)
    scale = np.where(usable, 1 / np.sqrt(np.maximum(factor, _LEAST_FACTOR)), 0).astype(np.float32)
    fine: Planes = ((known - sums / share[..., None]) * scale[..., None]).astype(np.float32)
    return _Fine(fine, usable)


def _robust_sigma(fine: Planes) -> float:
    """Of (n, C): the standard deviation, were it noise; edges have little say."""
    return float(1.4826 * np.median(np.abs(fine)))


@dataclass(frozen=True)
class _Source:
    """Where grain is taken from: squares that are clean and show little else."""

    fine: Planes
    side: int
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    sigma: float
    """Its standard deviation."""


def _source(around: _Fine) -> _Source | None:
    """The calm squares near a hole; None where there are too few clean ones.

    Grain is the same everywhere, texture isn't: so its deviation is that of the calmest quarter of all squares.
    """
    energy = (around.values**2).mean(2)
    for side in _CELLS_PX:
        window: dict[str, Any] = {"anchor": (0, 0), "borderType": cv2.BORDER_CONSTANT}
        kernel = np.ones((side, side), np.uint8)
        whole = cv2.erode(around.usable.view(np.uint8), kernel, borderValue=0, **window) > 0
        if whole.sum() < _LEAST_CLEAN:
            continue
        power = cv2.boxFilter(energy, -1, (side, side), **window)
        calm = float(np.percentile(power[whole], _CALM_PERCENT))
        rows, columns = np.nonzero(whole & (power <= _ROUGH**2 * calm))
        return _Source(around.values, side, rows, columns, float(np.sqrt(calm)))
    return None


def _sample(source: _Source, own: Flags, rng: np.random.Generator) -> NDArray[np.float32] | None:
    """(n, C) grain for the pixels of `own`, of mean 0 and the source's deviation; None where it has none."""
    height, width = own.shape
    side, sigma = source.side, source.sigma
    field = np.zeros((-(-height // side) * side, -(-width // side) * side, source.fine.shape[2]), np.float32)
    cells = [
        (top, left)
        for top in range(0, height, side)
        for left in range(0, width, side)
        if own[top : top + side, left : left + side].any()
    ]
    picks = rng.integers(len(source.rows), size=len(cells)).tolist()
    for (top, left), pick in zip(cells, picks, strict=True):
        y, x = int(source.rows[pick]), int(source.columns[pick])
        field[top : top + side, left : left + side] = source.fine[y : y + side, x : x + side]
    grain = np.clip(field[:height, :width][own], -_CLIP * sigma, _CLIP * sigma)
    grain -= grain.mean(0, keepdims=True)
    deviation = float(grain.std())
    if deviation <= 0:
        return None
    scaled: NDArray[np.float32] = grain * np.float32(np.clip(sigma / deviation, 0.7, 1.4))
    return scaled
