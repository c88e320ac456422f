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
    matrix = np.zeros((len(at_y), count))
    known = np.zeros((len(at_y), values.shape[2]))
    here, line = number[at_y, at_x], np.arange(len(at_y))
    degree = np.zeros(len(at_y))
    for dy, dx in _STEPS:
        there = number[at_y + dy, at_x + dx]
        degree += there > -2
        matrix[line[there >= 0], there[there >= 0]] -= 1
        fixed = there == -1
        known[fixed] -= padded[at_y[fixed] + dy, at_x[fixed] + dx]
    matrix[line[here >= 0], here[here >= 0]] += degree[here >= 0]
    fixed = here == -1
    known[fixed] += degree[fixed, None] * padded[at_y[fixed], at_x[fixed]]
    # By torch, whose threads are there already: NumPy's own, beside them, take turns with them for a core.
    lines = torch.from_numpy(matrix)
    factor = torch.linalg.cholesky(lines.T @ lines)
    return torch.cholesky_solve(lines.T @ torch.from_numpy(-known), factor).numpy()
