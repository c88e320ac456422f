"""Owns the smoothest fill: the one whose Laplacian has the least square, which goes on with slopes as well as levels.

Damelin and Hoang, "On surface completion and image inpainting by biharmonic functions", 2018; here with the Laplacian
of a grid's graph, so that borders need no rule.  Nothing else classical is as near to what was there in narrow holes.
Each hole is one small dense system, so wide ones, which it fills no better than others, cost too much and are left
alone.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from restore.inpaint.fills import Flags, Planes

LARGEST_PX = 512
"""Unknown pixels of one system: 4 ms."""
_REACH_PX = 2
"""Holes that are no further apart share a system."""
_STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def biharmonic(values: Planes, valid: Flags, wanted: Flags, start: Planes) -> Planes:
    """(h, w, C), about 0..1, with the holes of `wanted` (h, w) filled; `start` (h, w, C) stands in the others, and in
    those of more than `LARGEST_PX`.

    Nothing lies beyond 0..1.  What stands under holes in `values` has no influence.
    """
    result = np.where(valid[..., None], values, start)
    unknown = (~valid).view(np.uint8)
    near = cv2.dilate(unknown, np.ones((_REACH_PX + 1, _REACH_PX + 1), np.uint8))
    _, groups, boxes, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    groups[valid] = 0
    sizes = np.bincount(groups.ravel(), minlength=len(boxes))
    for group in np.unique(groups[wanted & ~valid]).tolist():
        if group == 0 or sizes[group] > LARGEST_PX:
            continue
        x, y, width, height = boxes[group, :4]
        part = np.s_[max(0, y - _REACH_PX) : y + height + _REACH_PX, max(0, x - _REACH_PX) : x + width + _REACH_PX]
        own = groups[part] == group
        if own.all():  # nothing is known
            continue
        result[part][own] = np.clip(_solve(result[part], own), 0, 1)
    return result


def _solve(values: Planes, own: Flags) -> NDArray[np.float64]:
    """(n, C) for the pixels of `own` (h, w), from what stands around them."""
    count = int(own.sum())
    number = np.full(np.add(own.shape, 2), -1)  # of each unknown; -1 known; -2 outside
    number[[0, -1]], number[:, [0, -1]] = -2, -2
    number[1:-1, 1:-1][own] = np.arange(count)
    padded = np.pad(values.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    # The Laplacian matters at each pixel that an unknown one has a say in: itself and its neighbours.
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    at_y, at_x = (at + 1 for at in np.nonzero(cv2.dilate(own.view(np.uint8), cross)))
    dy, dx = np.array([*_STEPS, (0, 0)]).T
    rows, columns = at_y + dy[:, None], at_x + dx[:, None]
    which = number[rows, columns]  # (5, lines): the Laplacian at each line is factors times these pixels
    factors = np.full(which.shape, -1.0)
    factors[-1] = (which[:-1] > -2).sum(0)
    given = np.where(which == -1, factors, 0.0)
    known = (given[..., None] * padded[rows, columns]).sum(0)
    factors[which < 0] = 0
    which = np.maximum(which, 0)
    # Of a product of sparse matrices every term is a small integer, so no sum depends on its order.
    pairs = (which[:, None] * count + which).ravel()
    squared = np.bincount(pairs, (factors[:, None] * factors).ravel(), count * count).reshape(count, count)
    right = [np.bincount(which.ravel(), (factors * -plane).ravel(), count) for plane in known.T]
    # By torch, whose threads are there already: NumPy's own, beside them, take turns with them for a core.
    factor = torch.linalg.cholesky(torch.from_numpy(squared))
    return torch.cholesky_solve(torch.from_numpy(np.stack(right, 1)), factor).numpy()
