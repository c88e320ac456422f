"""Owns how far holes are grown beyond what was marked or found."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.holes.found import Blob, Holes, Places, carried_over, places
from restore.holes.levels import lightness
from restore.image import Image
from restore.tiling import Box, extended_index, gather

STANDS_OUT_SIGMAS = 2.0
_LEAST_CAP_PX = 3
_MOST_CAP_PX = 16
_BEYOND_PX = 4
"""Width of the ring, beyond the furthest growth, that says what the surroundings are like."""
REACH_PX = _MOST_CAP_PX + _BEYOND_PX + 1
"""As far as a hole grows, and looks, where nothing says by how much."""
_LEAST_RING = 8
"""Fewer known pixels than this tell nothing."""
_NOISE_FLOOR = 1.0 / 255.0
"""A standard deviation below one 8-bit step is rounding."""
_MAD_TO_SIGMA = 1.4826
_QUARTILE_TO_SIGMA = 1 / 1.1503
"""Of noise, a quarter lies further than 1.1503 standard deviations from its middle."""
_LOCAL_PX = 96
"""Longer blobs cross light and dark, and a quarter of their rims stands out from the rest without being damage."""


@dataclass(frozen=True)
class Grown:
    holes: Holes
    labels: NDArray[np.int32]
    blobs: tuple[Blob, ...]


def grow(page: Image, before: Places, blobs: tuple[Blob, ...], grow_px: int | None, wraps: tuple[bool, bool]) -> Grown:
    """Each of `before`'s places (one blob each) grown by `grow_px`, or, if None, until its rim no longer stands out.

    A rim is a ring, one pixel wide, at some distance from the blob.  It stands out while its median is further from
    that of the surroundings than `STANDS_OUT_SIGMAS` of their noise, or a quarter of it is (cracks have a light side
    and a dark one, and masks are too tight on one side only; not of long blobs, where a quarter is what they cross).
    Growth ends with a cap that goes with the blob's thickness (3 to 16 px): a blob that stands out from its
    surroundings however far one goes lies on something else.

    Works in each blob's box, so it costs what the boxes cover, not what the picture does.  On an axis that repeats
    (`wraps`: y, x) a hole grows across the seam.
    """
    height, width = before.labels.shape
    holes: Holes = before.labels > 0
    if grow_px == 0 or not len(before):
        return Grown(holes, before.labels, blobs)
    known_labels = before.labels[..., None]
    for k, box in enumerate(before.boxes):
        cap_px = grow_px if grow_px is not None else _cap_px(before.labels[box.y0 : box.y1, box.x0 : box.x1] == k + 1)
        wide = _widened(box, cap_px + (_BEYOND_PX if grow_px is None else 0), (height, width), wraps)
        around = gather(known_labels, wide, wraps)[..., 0]
        distance = cv2.distanceTransform((around != k + 1).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        if grow_px is None:
            look = replace(page, pixels=gather(page.pixels, wide, wraps))
            by_px = _until_quiet(lightness(look), distance, around == 0, cap_px)
        else:
            by_px = grow_px
        if by_px:
            _write(holes, wide, distance <= by_px + 0.25, wraps)  # a quarter: the transform isn't exact
    labels, grown = carried_over(holes, before, blobs)
    return Grown(holes, labels, grown)


def _cap_px(there: Holes) -> int:
    """Half the thickness and a little more, within the caps."""
    padded = cv2.copyMakeBorder(there.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    radius = float(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_3).max())
    return int(np.clip(round(radius) + 2, _LEAST_CAP_PX, _MOST_CAP_PX))


def _until_quiet(plane: NDArray[np.float32], distance: NDArray[np.float32], known: Holes, cap_px: int) -> int:
    """How many pixels to grow by: to the first ring that looks like the surroundings, that one included, unless it is
    the very first."""
    beyond = plane[known & (distance > cap_px + 0.25)]
    if beyond.size < _LEAST_RING:
        return 1
    usual = float(np.median(beyond))
    sigma = max(_NOISE_FLOOR, _MAD_TO_SIGMA * float(np.median(np.abs(beyond - usual))))
    steps = np.ceil(distance - 0.25).astype(np.int32)
    is_short = max(distance.shape) <= _LOCAL_PX + 2 * (cap_px + _BEYOND_PX)
    last = plane[known & (steps == cap_px)]  # as varied as the rings before it, where the picture is
    varied = max(sigma, *(_QUARTILE_TO_SIGMA * _quartile(some - usual) for some in (beyond, last) if some.size))
    for px in range(1, cap_px + 1):
        ring = plane[known & (steps == px)] - usual
        stands_out = ring.size > 0 and (
            abs(float(np.median(ring))) > STANDS_OUT_SIGMAS * sigma
            or (is_short and _quartile(ring) > STANDS_OUT_SIGMAS * varied)
        )
        if not stands_out:
            return px if px > 1 else 0  # a rim that stood out has a faint end, too
    return cap_px


def _quartile(offsets: NDArray[np.float32]) -> float:
    """How far the furthest quarter lies from 0 at least."""
    return float(np.quantile(np.abs(offsets), 0.75))


def _widened(box: Box, by_px: int, size: tuple[int, int], wraps: tuple[bool, bool]) -> Box:
    """Beyond the picture's edge only where that axis repeats."""
    y0, y1, x0, x1 = box.y0 - by_px, box.y1 + by_px, box.x0 - by_px, box.x1 + by_px
    if not wraps[0]:
        y0, y1 = max(0, y0), min(size[0], y1)
    if not wraps[1]:
        x0, x1 = max(0, x0), min(size[1], x1)
    return Box(y0, x0, y1, x1)


def _write(holes: Holes, box: Box, more: Holes, wraps: tuple[bool, bool]) -> None:
    height, width = holes.shape
    if box.y0 >= 0 and box.x0 >= 0 and box.y1 <= height and box.x1 <= width:
        holes[box.y0 : box.y1, box.x0 : box.x1] |= more
        return
    rows = extended_index(box.y0, box.y1, height, wraps[0])
    columns = extended_index(box.x0, box.x1, width, wraps[1])
    y, x = np.nonzero(more)
    holes[rows[y], columns[x]] = True


def grow_marked(page: Image, holes: Holes, kind: str, grow_px: int | None, wraps: tuple[bool, bool]) -> Grown:
    """`grow` for holes that are all of one kind, with no score."""
    before = places(holes)
    blobs = tuple(Blob(box, area, kind, None) for box, area in zip(before.boxes, before.areas_px, strict=True))
    return grow(page, before, blobs, grow_px, wraps)
