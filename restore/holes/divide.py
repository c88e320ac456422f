"""Owns dividing out dirt that lets light through: what lies under it comes back, and nothing is invented."""

from __future__ import annotations

from collections.abc import Sequence
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
REACH_PX = _RIM_PX + _RING_PX
"""As far as anything around a place has a say."""
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
    cuts = {k: cut_of(where, k) for k in range(len(where)) if is_thin(residual, where, k)}
    if not cuts or not page.color_channels:
        return Divided(page, divided, (), ())
    powers = powers_of([told for cut in cuts.values() if (told := told_by(page, residual, cut))], page)
    pixels = page.pixels.copy()
    done: list[int] = []
    for k, cut in cuts.items():
        clean = clean_pixels(page, residual, cut, powers)
        if clean is not None:
            box = cut.box
            pixels[box.y0 : box.y1, box.x0 : box.x1][cut.inside] = clean
            divided[box.y0 : box.y1, box.x0 : box.x1] |= cut.inside
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
class Cut:
    """One place of thin dirt with what lies around it."""

    box: Box
    inside: Holes
    """The place with its soft rim."""
    core: Holes
    ring: Holes
    """Clean pixels around it."""


def is_thin(residual: Plane, where: Places, k: int) -> bool:
    """Whether a place lets enough light through: by its darkest pixels, but for infrared's own noise."""
    box = where.boxes[k]
    there = where.labels[box.y0 : box.y1, box.x0 : box.x1] == k + 1
    darkest = float(np.quantile(residual[box.y0 : box.y1, box.x0 : box.x1][there], 0.05))
    return float(np.exp(darkest)) >= LEAST_RATIO


def cut_of(where: Places, k: int) -> Cut:
    """Place `k`, its soft rim and its ring."""
    height, width = where.labels.shape
    box, reach = where.boxes[k], REACH_PX
    wide = Box(max(0, box.y0 - reach), max(0, box.x0 - reach), min(height, box.y1 + reach), min(width, box.x1 + reach))
    labels = where.labels[wide.y0 : wide.y1, wide.x0 : wide.x1]
    core = labels == k + 1
    distance = cv2.distanceTransform((~core).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    free = (labels == 0) | core
    inside = (distance <= _RIM_PX) & free
    ring = (distance > _RIM_PX) & (distance <= reach) & (labels == 0)
    return Cut(wide, inside, core, ring)


def told_by(page: Image, residual: Plane, cut: Cut) -> list[float] | None:
    """By which power each channel follows the infrared ratio in one place; None where its ring is too busy to tell."""
    if np.count_nonzero(cut.ring) < _LEAST_RING:
        return None
    rows, columns = slice(cut.box.y0, cut.box.y1), slice(cut.box.x0, cut.box.x1)
    depth = float(residual[rows, columns][cut.core].mean())
    told = []
    for channel in page.color_channels:
        values = page.pixels[rows, columns, channel].astype(np.float32)
        ring = values[cut.ring]
        level, here = float(np.median(ring)), float(values[cut.core].mean())
        noise = _MAD_TO_SIGMA * float(np.median(np.abs(ring - level)))
        if level <= 0.0 or here <= 0.0 or not noise <= _CALM * abs(depth) * level:
            return None  # not-a-numbers compare as False
        told.append(float(np.log(here / level)) / depth)
    return told


def powers_of(told: Sequence[list[float]], page: Image) -> NDArray[np.float64]:
    """(C,): how strongly each channel of pictures like `page` follows the infrared ratio, by what some places told."""
    usual = 1.0 if page.stored.transfer is Transfer.LINEAR else _DISPLAY_POWER
    if len(told) < _FEW:
        return np.full(len(page.color_channels), usual)
    every = np.array(told)
    powers: NDArray[np.float64] = np.median(every, axis=0)
    doubt = _MAD_TO_SIGMA * np.median(np.abs(every - powers), axis=0) / np.sqrt(len(told))
    return powers if (doubt <= _MOST_DOUBT).all() else np.full(len(page.color_channels), usual)


def clean_pixels(page: Image, residual: Plane, cut: Cut, powers: NDArray[np.float64]) -> Pixels | None:
    """(n, C): the pixels of `cut.inside`, all channels, with the dirt divided out; None where the outcome doesn't look
    like its surroundings."""
    if np.count_nonzero(cut.ring) < _LEAST_RING:
        return None
    rows, columns = slice(cut.box.y0, cut.box.y1), slice(cut.box.x0, cut.box.x1)
    depth = cv2.GaussianBlur(residual[rows, columns], (0, 0), 0.7)
    ratio = np.exp(np.minimum(depth, np.float32(0.0)))
    top = top_of(page.pixels)
    pixels: Pixels = page.pixels[rows, columns][cut.inside]
    for channel, power in zip(page.color_channels, powers, strict=True):
        values = page.pixels[rows, columns, channel].astype(np.float32)
        clean = np.asarray(values / ratio ** np.float32(power), np.float32)
        if page.pixels.dtype.kind == "u":
            np.rint(np.clip(clean, 0.0, top), out=clean)
        if not _looks_clean(values, clean, cut, step=1.0 / 255.0 * top):
            return None
        pixels[:, channel] = clean[cut.inside].astype(pixels.dtype)
    return pixels


def _looks_clean(values: Plane, clean: Plane, cut: Cut, step: float) -> bool:
    ring, inside = values[cut.ring], clean[cut.inside]
    if not (np.isfinite(ring).all() and np.isfinite(inside).all()):
        return False
    level = float(np.median(ring))
    sigma = max(0.5 * step, _MAD_TO_SIGMA * float(np.median(np.abs(ring - level))))
    if abs(float(np.median(inside)) - level) > _QUIET_SIGMAS * sigma:
        return False
    rough = _MAD_TO_SIGMA * float(np.median(np.abs(inside - np.median(inside))))
    return rough <= _ROUGH * sigma and float(np.abs(inside - level).max()) <= 6.0 * sigma
