"""Owns holes wider than the network was trained for: they are filled on a halved picture first.

A network that has never seen a hole so wide answers worse than any classical fill.  So the picture around such a hole
is halved, known pixels only, until the hole is narrow enough, and filled there.  Enlarged again, that answer is taken
as known in the middle of the hole, and the network fills what is left: a band along the rim, between what is really
known and what was found at half the size.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.curve import Curve
from restore.holes.found import Labels, Places, places
from restore.inpaint.fills import Flags, Planes
from restore.inpaint.surface import Surface
from restore.tiling import Box

_BAND_SHARE = 0.8
"""Width of the band that is filled at each size, over the widest radius of training.  It is known on both sides, so the
network sees a hole of half its limit."""
_ROWS = 256
_POINTS = 1 << 20


@dataclass(frozen=True)
class Halved:
    """A part of a picture at half its size, to be filled."""

    surface: Surface
    """float32 in the range of `Surface.read`, without repeating edges."""
    holes: Places
    region: Box
    """The part, in pixels of the picture."""


def depths(surface: Surface, box: Box, own: Flags, reach_px: int) -> NDArray[np.float32]:
    """(h, w): the distance of each pixel of `own`, a plane over `box`, to the nearest seen one; 0 elsewhere.

    Distances beyond `reach_px` may come out larger than they are, never smaller.
    """
    wide = surface.clamp(Box(box.y0 - reach_px, box.x0 - reach_px, box.y1 + reach_px, box.x1 + reach_px))
    unseen = (~surface.flags(surface.seen, wide)).view(np.uint8)
    if unseen.all():
        return np.where(own, np.float32(np.inf), np.float32(0))
    distance = cv2.distanceTransform(unseen, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # OpenCV's last bits depend on how many of its threads are free just now; squares of distances are whole numbers.
    distance = np.sqrt(np.rint(distance.astype(np.float64) ** 2)).astype(np.float32)
    y, x = box.y0 - wide.y0, box.x0 - wide.x0
    inner = distance[y : y + box.height, x : x + box.width]
    return np.where(own, inner, np.float32(0))


def halve(
    surface: Surface, labels: Labels, label: int, box: Box, radius_px: float, limit_px: float, context_px: int
) -> Halved:
    """The surroundings of one hole (`labels` == `label`, inside `box`) at half the size, known pixels averaged.

    There is context enough for as many further halvings as the hole needs; where nothing is seen in it, more.
    """
    height, width = surface.size
    times = ceil(log2(radius_px / limit_px)) if radius_px < height + width else 1
    while True:
        reach = min(context_px << max(times, 1), height + width)
        region = surface.clamp(Box(box.y0 - reach, box.x0 - reach, box.y1 + reach, box.x1 + reach))
        if surface.flags(surface.seen, region).any() or reach == height + width:
            break
        times += 1
    values, seen, own = [], [], []
    for start in range(region.y0, region.y1, _ROWS):
        band = Box(start, region.x0, min(start + _ROWS, region.y1), region.x1)
        value, known = surface.read(band)
        mean, any_known = _halved(value, known)
        mine = _of_label(surface, labels, label, band)
        values.append(mean)
        seen.append(any_known)
        own.append(_halved_any(mine))
    coarse_seen = np.concatenate(seen)
    holes = np.concatenate(own) & ~coarse_seen
    channels = tuple(range(values[0].shape[2]))
    coarse = Surface(
        np.concatenate(values), holes, coarse_seen, channels, channels, Curve(0.0, 1.0), False, (False, False)
    )
    return Halved(coarse, places(holes), region)


def rim_px(limit_px: float) -> float:
    """Width of the rim that is left for the network, where it is good for holes of radius `limit_px`."""
    return max(2.0, _BAND_SHARE * limit_px)


def middle(
    box: Box, halved: Halved, depth: NDArray[np.float32], limit_px: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], Planes]:
    """Rows, columns (n,) and values (n, C) of what is taken from the filled `halved`: all but the hole's rim."""
    at = np.nonzero(depth > rim_px(limit_px))
    rows, columns = at[0] + (box.y0 - halved.region.y0), at[1] + (box.x0 - halved.region.x0)
    coarse = halved.surface
    known = (coarse.seen | coarse.holes)[..., None].astype(np.float32)
    planes = np.concatenate([np.where(known > 0, coarse.canvas, 0), known], 2)
    parts = [
        _bilinear(planes, rows[start : start + _POINTS], columns[start : start + _POINTS])
        for start in range(0, len(rows), _POINTS)
    ]
    values = np.concatenate(parts) if parts else np.zeros((0, coarse.canvas.shape[2]), np.float32)
    return at[0] + box.y0, at[1] + box.x0, values


def _bilinear(planes: Planes, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Planes:
    """(n, C) of the picture twice the size of `planes` (h, w, C + 1), whose last plane says how much a pixel counts."""
    height, width = planes.shape[:2]
    y, x = ((rows + 0.5) / 2 - 0.5).astype(np.float32), ((columns + 0.5) / 2 - 0.5).astype(np.float32)
    y0, x0 = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    total = np.zeros((len(rows), planes.shape[2]), np.float32)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = (1 - np.abs(y - (y0 + dy))) * (1 - np.abs(x - (x0 + dx)))
        picked: Planes = planes[np.clip(y0 + dy, 0, height - 1), np.clip(x0 + dx, 0, width - 1)]
        np.add(total, picked * share[:, None], out=total)
    return np.divide(total[:, :-1], np.maximum(total[:, -1:], np.float32(1e-6)), dtype=np.float32)


def _of_label(surface: Surface, labels: Labels, label: int, box: Box) -> Flags:
    if box.y0 >= 0 and box.x0 >= 0 and box.y1 <= surface.size[0] and box.x1 <= surface.size[1]:
        mine: Flags = labels[box.y0 : box.y1, box.x0 : box.x1] == label
        return mine
    return surface.flags(labels == label, box)


def _halved(values: Planes, seen: Flags) -> tuple[Planes, Flags]:
    """Means over the seen ones of 2 x 2 pixels, and where there are any."""
    odd = ((0, seen.shape[0] % 2), (0, seen.shape[1] % 2))
    count = _sum_of_four(np.pad(seen, odd).astype(np.float32)[..., None])
    total = _sum_of_four(np.pad(values, (*odd, (0, 0))))
    return np.divide(total, np.maximum(count, np.float32(1)), dtype=np.float32), count[..., 0] > 0


def _halved_any(own: Flags) -> Flags:
    odd = ((0, own.shape[0] % 2), (0, own.shape[1] % 2))
    padded = np.pad(own, odd)
    any_of: Flags = padded[::2, ::2] | padded[1::2, ::2] | padded[::2, 1::2] | padded[1::2, 1::2]
    return any_of


def _sum_of_four(planes: Planes) -> Planes:
    total: Planes = planes[::2, ::2] + planes[1::2, ::2] + planes[::2, 1::2] + planes[1::2, 1::2]
    return total
