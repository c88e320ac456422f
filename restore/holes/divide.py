"""Owns dividing out dirt that lets light through: what lies under it comes back, and nothing is invented."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.holes.found import Blob, Holes, Places
from restore.holes.levels import Plane, top_of
from restore.image import Image, Pixels, Transfer
from restore.tiling import Box

LEAST_RATIO = 0.55
"""Infrared over its level: darker dirt holds back too much of the picture for what is left to be told from noise."""
_RIM_PX = 2
_RING_PX = 6
_QUIET_SIGMAS = 2.0
"""A divided place whose level differs from its ring's by more is no success, ..."""
_ROUGH = 1.6
"""... nor is one whose pixels differ from each other this much more than the ring's do."""
_LEAST_RING = 16
_FEW = 8
"""Fewer places don't tell by which power the picture follows infrared."""
_CALM = 0.3
"""Share of a place's darkness that its ring's noise may have, for it to tell."""
_MOST_DOUBT = 0.1
"""Standard error of the median power."""
_DISPLAY_POWER = 1.0 / 2.2
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Divided:
    page: Image
    divided: Holes
    """(H, W), True where `page` was changed."""
    blobs: tuple[Blob, ...]
    places: tuple[tuple[Box, int], ...]
    """Box and label of each."""


def divide(page: Image, residual: Plane, where: Places, blobs: tuple[Blob, ...]) -> Divided:
    """`page` without the places where dirt could be divided out; the others are left as they are.

    A stored value is divided by the infrared ratio exp(`residual`) to some power.  The power (for each channel) is the
    median over this picture's own thin dirt, since it depends on how values are encoded and whether a negative was
    inverted; with too little dirt to tell, it is 1 for light and 1 / 2.2 for display values.  Each place is then looked
    at: it must come as near to its ring, and be as smooth, as clean film is, or it stays as it was (and is a hole).
    """
    divided = np.zeros(residual.shape, np.bool_)
    thin = [k for k, box in enumerate(where.boxes) if _ratio(residual, where, k, box) >= LEAST_RATIO]
    channels = page.color_channels
    if not thin or not channels:
        return Divided(page, divided, (), ())
    cuts = {k: _cut(where, k) for k in thin}
    powers = _powers(page, residual, cuts, channels)
    pixels = page.pixels.copy()
    done: list[int] = []
    for k, cut in cuts.items():
        if _apply(pixels, page.pixels, residual, cut, powers, channels):
            inside = cut.inside
            divided[cut.box.y0 : cut.box.y1, cut.box.x0 : cut.box.x1] |= inside
            done.append(k)
    if not done:
        return Divided(page, divided, (), ())
    return Divided(
        page.with_pixels(pixels),
        divided,
        tuple(blobs[k] for k in done),
        tuple((where.boxes[k], k + 1) for k in done),
    )


@dataclass(frozen=True)
class _Cut:
    box: Box
    inside: Holes
    """The place with its soft rim."""
    core: Holes
    ring: Holes
    """Clean pixels around it."""


def _ratio(residual: Plane, where: Places, k: int, box: Box) -> float:
    """Of the darkest pixels; infrared's own noise makes the very darkest one too dark."""
    there = where.labels[box.y0 : box.y1, box.x0 : box.x1] == k + 1
    return float(np.exp(np.quantile(residual[box.y0 : box.y1, box.x0 : box.x1][there], 0.05)))


def _cut(where: Places, k: int) -> _Cut:
    height, width = where.labels.shape
    box, reach = where.boxes[k], _RIM_PX + _RING_PX
    wide = Box(max(0, box.y0 - reach), max(0, box.x0 - reach), min(height, box.y1 + reach), min(width, box.x1 + reach))
    labels = where.labels[wide.y0 : wide.y1, wide.x0 : wide.x1]
    core = labels == k + 1
    distance = cv2.distanceTransform((~core).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    free = (labels == 0) | core
    inside = (distance <= _RIM_PX) & free
    ring = (distance > _RIM_PX) & (distance <= reach) & (labels == 0)
    return _Cut(wide, inside, core, ring)


def _powers(page: Image, residual: Plane, cuts: dict[int, _Cut], channels: tuple[int, ...]) -> NDArray[np.float64]:
    """(C,): how strongly each channel follows the infrared ratio."""
    usual = 1.0 if page.stored.transfer is Transfer.LINEAR else _DISPLAY_POWER
    told: list[list[float]] = []
    for cut in cuts.values():
        if np.count_nonzero(cut.ring) < _LEAST_RING:
            continue
        rows, columns = slice(cut.box.y0, cut.box.y1), slice(cut.box.x0, cut.box.x1)
        depth = float(residual[rows, columns][cut.core].mean())
        one = []
        for channel in channels:
            values = page.pixels[rows, columns, channel].astype(np.float32)
            ring = values[cut.ring]
            level, here = float(np.median(ring)), float(values[cut.core].mean())
            noise = _MAD_TO_SIGMA * float(np.median(np.abs(ring - level)))
            if level <= 0.0 or here <= 0.0 or not noise <= _CALM * abs(depth) * level:
                break  # a busy ring tells nothing (and not-a-numbers compare as False)
            one.append(float(np.log(here / level)) / depth)
        else:
            told.append(one)
    if len(told) < _FEW:
        return np.full(len(channels), usual)
    every = np.array(told)
    powers: NDArray[np.float64] = np.median(every, axis=0)
    doubt = _MAD_TO_SIGMA * np.median(np.abs(every - powers), axis=0) / np.sqrt(len(told))
    return powers if (doubt <= _MOST_DOUBT).all() else np.full(len(channels), usual)


def _apply(
    pixels: Pixels,
    before: Pixels,
    residual: Plane,
    cut: _Cut,
    powers: NDArray[np.float64],
    channels: tuple[int, ...],
) -> bool:
    """Divides one place in `pixels`, unless the outcome doesn't look like its surroundings."""
    if np.count_nonzero(cut.ring) < _LEAST_RING:
        return False
    rows, columns = slice(cut.box.y0, cut.box.y1), slice(cut.box.x0, cut.box.x1)
    depth = cv2.GaussianBlur(residual[rows, columns], (0, 0), 0.7)
    ratio = np.exp(np.minimum(depth, np.float32(0.0)))
    top = top_of(before)
    results = []
    for channel, power in zip(channels, powers, strict=True):
        values = before[rows, columns, channel].astype(np.float32)
        clean = np.asarray(values / ratio ** np.float32(power), np.float32)
        if before.dtype.kind == "u":
            np.rint(np.clip(clean, 0.0, top), out=clean)
        if not _looks_clean(values, clean, cut, step=1.0 / 255.0 * top):
            return False
        results.append(clean)
    for channel, clean in zip(channels, results, strict=True):
        view = pixels[rows, columns, channel]
        view[cut.inside] = clean[cut.inside].astype(pixels.dtype)
    return True


def _looks_clean(values: Plane, clean: Plane, cut: _Cut, step: float) -> bool:
    ring, inside = values[cut.ring], clean[cut.inside]
    if not (np.isfinite(ring).all() and np.isfinite(inside).all()):
        return False
    level = float(np.median(ring))
    sigma = max(0.5 * step, _MAD_TO_SIGMA * float(np.median(np.abs(ring - level))))
    if abs(float(np.median(inside)) - level) > _QUIET_SIGMAS * sigma:
        return False
    rough = _MAD_TO_SIGMA * float(np.median(np.abs(inside - np.median(inside))))
    return rough <= _ROUGH * sigma and float(np.abs(inside - level).max()) <= 6.0 * sigma
