"""Owns measuring the shape of one thing, and so what it is called."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from restore.holes.found import Holes

LINE_RATIO = 5.0
"""Length over thickness from which a thing is a line."""


@dataclass(frozen=True)
class Shape:
    length_px: float
    """Along it, bends included."""
    thickness_px: float


def measure(there: Holes) -> Shape:
    """How long and thick a connected thing in (h, w) is: as a ribbon that has its area and its greatest thickness."""
    padded = cv2.copyMakeBorder(there.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_3)
    thickness = max(1.0, 2.0 * float(depth.max()) - 1.0)
    area = float(np.count_nonzero(there))
    mean_thickness = max(1.0, min(thickness, 2.0 * float(depth[depth > 0].mean()) * 2.0 - 1.0))
    length = max(area / mean_thickness, float(max(there.shape)))
    return Shape(length, thickness)
