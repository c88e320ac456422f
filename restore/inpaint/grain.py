"""Owns grain in what was filled: fills are averages, so they lack it, and look like wax in a grainy picture.

How much is missing is measured, for each small square of a hole: the fine structure (what a small blur takes away) of
clean squares nearby of about its colour, against that of the fill.  The missing part is added from one of them, so that
it has the picture's own size of grain and its correlation between channels, scaled as variances add up.  Grain depends
on colour (a blown-out sky has none), is spread evenly and has no direction; lines and edges do, so squares that hold
them are no source.  Nothing is random: which pixels are taken follows from the hole's place and from the known pixels
around.
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
_BLUR = cv2.getGaussianKernel(_BLUR_PX, 1.6, cv2.CV_32F)
_CELLS_PX = (8, 4)
"""Sides of the squares that grain is taken in; the smaller ones where nothing else is clean."""
_LEAST_FACTOR = 0.3
"""A pixel with too few of its own kind around says nothing about grain."""
_LEAST_PIXELS = 6
_LEAST_CLEAN = 64
_LEAST_ALIKE = 8
_LEAST_SOURCES = 4
"""Fewer make a pattern of their own."""
_STEP_PX = 2
"""Squares overlap, so every second one along each axis says all.  Divides `_REACH_PX` and `_CELLS_PX`."""
_QUANTA = 0.75
"""Deviations below this many steps of the file's type are its rounding, not grain."""
_LEAST_SIGMA = 1e-3
"""And below this share of the range nobody sees them."""
_ENOUGH = 0.95
_ALIKE = 0.08
"""Squares whose means differ by less than this share of the range, in each channel, are of about one colour."""
_SPREAD = 0.5
"""(mean of |x|)^2 over mean of x^2 is 0.64 for noise; where it is below this, a few pixels have most of it: a line."""
_DIRECTED = 0.35
"""Coherence of gradients, (l1 - l2) / (l1 + l2) of their structure tensor: about 0.15 for noise, 1 for a line."""
_CALM_SHARE = 0.1
"""Grain is the same everywhere, texture isn't: so it is what the calmest squares have."""
_UNEVEN = 1.5
"""Grain differs with colour, but is at most so many times that of the calmest quarter of all squares around that have
any: what stands out more is a pattern."""
_ROUGH = 1.3
"""Squares with more than so many times the calm ones' deviation hold texture."""
_CLIP = 3.0


@dataclass(frozen=True)
class _Fine:
    """The fine structure of one set of pixels."""

    values: Planes
    """(h, w, C), as far from the mean around as white noise would be of which nothing is taken away."""
    usable: Flags


def regrain(surface: Surface, labels: Labels, label: int, own_box: Box, top: int = 0) -> None:
    """Add to the hole `labels` == `label`, inside `own_box` and filled, what grain it lacks.

    `top`: where the surface is a band of rows, its first row in the picture.
    """
    reach = _REACH_PX
    box = surface.clamp(Box(own_box.y0 - reach, own_box.x0 - reach, own_box.y1 + reach, own_box.x1 + reach))
    own = np.zeros((box.height, box.width), np.bool_)
    y, x = own_box.y0 - box.y0, own_box.x0 - box.x0
    own[y : y + own_box.height, x : x + own_box.width] = (
        labels[own_box.y0 : own_box.y1, own_box.x0 : own_box.x1] == label
    )
    clean = surface.flags(surface.seen, box) & ~surface.flags(surface.holes, box)
    values = surface.read_filled(box)
    fill = _fine_inside(values, own, Box(y, x, y + own_box.height, x + own_box.width))
    if np.count_nonzero(fill.usable) < _LEAST_PIXELS:
        return
    least = max(_QUANTA * surface.quantum, _LEAST_SIGMA)
    squares = _squares(_fine(values, clean), np.where(clean[..., None], values, np.float32(0)), least)
    if squares is None:
        return
    place = Box(top + own_box.y0, own_box.x0, top + own_box.y1, own_box.x1)
    seed = zlib.crc32(values[clean].tobytes(), zlib.crc32(repr(place).encode()))
    missing = _missing(squares, fill, values, own, least, np.random.default_rng(seed))
    if missing is not None:
        surface.write(surface.where(own, box), values[own] + missing[own])


def _fine(values: Planes, among: Flags) -> _Fine:
    """Each pixel of `among` less the mean of those of them around it."""
    weight = among.astype(np.float32)
    kernel, square = _BLUR, _BLUR * _BLUR
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


def _fine_inside(values: Planes, among: Flags, box: Box) -> _Fine:
    """The same, where all of `among` lies in `box`."""
    around = _BLUR_PX // 2
    near = np.s_[max(0, box.y0 - around) : box.y1 + around, max(0, box.x0 - around) : box.x1 + around]
    part = _fine(values[near], among[near])
    whole = _Fine(np.zeros_like(values), np.zeros_like(among))
    whole.values[near], whole.usable[near] = part.values, part.usable
    return whole


def _robust_sigma(fine: Planes) -> float:
    """Of (n, C): the standard deviation, were it noise; edges have little say."""
    size = np.abs(fine).ravel()
    half = len(size) // 2
    lower, upper = half - 1 + len(size) % 2, half
    parted = np.partition(size, (lower, upper))  # np.median takes three times as long, and there are thousands
    return float(1.4826 * (parted[lower] + parted[upper]) / 2)


@dataclass(frozen=True)
class _Squares:
    """Where grain is measured and taken from: squares, each by its upper left pixel, every `_STEP_PX`th one."""

    fine: Planes
    """Of all pixels."""
    side: int
    clean: Flags
    even: Flags
    """Which show nothing but noise."""
    variance: NDArray[np.float32]
    """Over the square and all channels."""
    level: Planes
    """(C, h, w): its mean colour."""
    most: float
    """Variance beyond which it is a pattern; 0 where none has any."""


def _squares(around: _Fine, known: Planes, least: float) -> _Squares | None:
    """None where too few are clean.  `known`: 0 where it isn't clean.  Deviations below `least` are no grain."""
    energy, size = (around.values**2).mean(2), np.abs(around.values).mean(2)
    for side in _CELLS_PX:
        window: dict[str, Any] = {"anchor": (0, 0), "borderType": cv2.BORDER_CONSTANT}
        kernel = np.ones((side, side), np.uint8)
        clean = cv2.erode(around.usable.view(np.uint8), kernel, borderValue=0, **window) > 0
        if np.count_nonzero(clean) < _LEAST_CLEAN:
            continue
        variance, spread = (cv2.boxFilter(plane, -1, (side, side), **window) for plane in (energy, size))
        some = variance[clean & (variance >= least**2)][::_STEP_PX]
        most = _UNEVEN**2 * float(np.partition(some, len(some) // 4)[len(some) // 4]) if len(some) else 0.0
        every = np.s_[::_STEP_PX, ::_STEP_PX]
        even = (spread[every] ** 2 >= _SPREAD * variance[every]) & (
            _coherence(around.values.mean(2), side)[every] <= _DIRECTED
        )
        planes = (np.ascontiguousarray(plane) for plane in np.moveaxis(known, 2, 0))
        level: Planes = np.stack([cv2.boxFilter(plane, -1, (side, side), **window)[every] for plane in planes])
        return _Squares(around.values, side, clean[every].copy(), even, variance[every].copy(), level, most)
    return None


def _coherence(fine: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """(h, w), 0..1: how much the gradients within each square have one direction."""
    down = np.diff(fine, axis=0, append=fine[-1:])
    right = np.diff(fine, axis=1, append=fine[:, -1:])
    window: dict[str, Any] = {"anchor": (0, 0), "borderType": cv2.BORDER_CONSTANT}
    yy, xx, xy = (cv2.boxFilter(p, -1, (side - 1, side - 1), **window) for p in (down**2, right**2, down * right))
    coherence: NDArray[np.float32] = np.sqrt((yy - xx) ** 2 + 4 * xy**2) / np.maximum(yy + xx, np.float32(1e-12))
    return coherence


def _missing(
    squares: _Squares, fill: _Fine, values: Planes, own: Flags, least: float, rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """(h, w, C): what grain the pixels of `own` lack, of mean 0; None where none is missing.

    Deviations below `least` are no grain.
    """
    height, width = own.shape
    side = squares.side
    if squares.most == 0:
        return None
    missing = np.zeros((height + side, width + side, values.shape[2]), np.float32)
    throughout = _robust_sigma(fill.values[fill.usable])
    for top, left in _cells(own, side):
        cell = np.s_[top : top + side, left : left + side]
        near, alike = _alike(squares, top, left, values[cell][own[cell]].mean(0))
        count = np.count_nonzero(alike)
        if not count:
            continue
        variance = squares.variance[near]
        at = int(_CALM_SHARE * count)
        calm = min(squares.most, float(np.partition(variance[alike], at)[at]))
        known = fill.values[cell][fill.usable[cell]]
        had = _robust_sigma(known) if len(known) >= _LEAST_PIXELS else throughout
        if calm < least**2 or had > _ENOUGH * calm**0.5:
            continue
        rows, columns = np.nonzero(alike & squares.even[near] & (variance <= _ROUGH**2 * calm))
        if len(rows) < _LEAST_SOURCES:
            continue
        pick = int(rng.integers(len(rows)))
        row, column = near[0].start + int(rows[pick]), near[1].start + int(columns[pick])
        y, x = _STEP_PX * row, _STEP_PX * column
        scale = min(max((calm / max(float(squares.variance[row, column]), 1e-12)) ** 0.5, 0.7), 1.4)
        turned = np.rot90(squares.fine[y : y + side, x : x + side], int(rng.integers(4)))  # repeats show less
        grain = np.clip(turned * scale, -_CLIP * calm**0.5, _CLIP * calm**0.5)
        missing[cell] = grain * (1 - had**2 / calm) ** 0.5
    missing = missing[:height, :width]
    if not missing[own].any():
        return None
    centred: NDArray[np.float32] = missing - missing[own].mean(0)
    return centred


def _cells(own: Flags, side: int) -> list[tuple[int, int]]:
    """(top, left) of the squares of a grid that hold pixels of `own`, rows first."""
    rows, columns = np.nonzero(own)
    across = own.shape[1] // side + 1
    found = np.unique(rows // side * across + columns // side)
    return [(at // across * side, at % across * side) for at in found.tolist()]


def _alike(squares: _Squares, top: int, left: int, level: NDArray[np.float32]) -> tuple[tuple[slice, slice], Flags]:
    """A window near the square at (top, left), and which squares in it are about of the colour `level` (C,); where too
    few are, the others too."""
    near = (
        slice(max(0, top - _REACH_PX) // _STEP_PX, (top + _REACH_PX) // _STEP_PX + 1),
        slice(max(0, left - _REACH_PX) // _STEP_PX, (left + _REACH_PX) // _STEP_PX + 1),
    )
    clean = squares.clean[near]
    alike: Flags = clean & (np.abs(squares.level[:, near[0], near[1]] - level[:, None, None]) <= _ALIKE).all(0)
    if np.count_nonzero(alike) >= _LEAST_ALIKE:
        return near, alike
    if np.count_nonzero(clean) >= _LEAST_ALIKE:
        return near, clean
    return (slice(0, None), slice(0, None)), squares.clean
