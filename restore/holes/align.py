"""Owns laying an infrared image onto its picture: size and shift."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from restore.errors import ImageError
from restore.holes.levels import Plane

_MOST_SKEW = 0.02
"""Largest difference between the scales across and down."""
_MOST_SHIFT = 0.02
"""Of the longer side."""
_LEAST_SHIFT_PX = 0.2
_LOOK_PX = 2048
"""Longer side of the copies that are compared."""
_DETAIL_PX = 4.0
_AROUND_PX = 65
_DETAIL_FLOOR = 0.003
_CLIP = 12.0
_LEAST_GAIN = 0.02
"""By which a shift must raise the correlation of the two details to count as true."""


@dataclass(frozen=True)
class Aligned:
    plane: Plane
    """(H, W), as large as the picture."""
    notes: tuple[str, ...]


def align(infrared: Plane, picture: Plane) -> Aligned:
    """Infrared (h, w) brought to the size and place of `picture` (H, W), both logarithms of light.

    Scanners make the infrared pass at half resolution, or a few pixels off.  The shift is where the details of both
    (dirt is in both) lie on each other best, by phase correlation, to a fraction of a pixel; it is used only if they
    then correlate better than before.  ImageError if the sizes have different proportions.
    """
    height, width = picture.shape
    across, down = infrared.shape[1] / width, infrared.shape[0] / height
    if abs(across / down - 1.0) > _MOST_SKEW:
        raise ImageError(
            f"the infrared image is {infrared.shape[1]}x{infrared.shape[0]}, the picture {width}x{height}: "
            "they don't have the same proportions, so one was cropped; scan or export both alike"
        )
    notes: list[str] = []
    plane = infrared
    if infrared.shape != picture.shape:
        how = cv2.INTER_AREA if across > 1.0 else cv2.INTER_LINEAR
        plane = np.asarray(cv2.resize(infrared, (width, height), interpolation=how), np.float32)
        notes.append(f"infrared enlarged by {1.0 / across:.3g} to the picture's size")
    x, y = _shift(plane, picture)
    if max(abs(x), abs(y)) >= _LEAST_SHIFT_PX:
        plane = _moved(plane, x, y)
        notes.append(f"infrared moved by {x:+.1f}, {y:+.1f} px onto the picture")
    return Aligned(plane, tuple(notes))


def _shift(infrared: Plane, picture: Plane) -> tuple[float, float]:
    """By how much infrared must move right and down to lie on the picture; 0, 0 where nothing tells."""
    height, width = picture.shape
    if min(height, width) < 64:
        return 0.0, 0.0
    by = max(1, -(-max(height, width) // _LOOK_PX))
    first, second = _detail(infrared, by), _detail(picture, by)
    if float(first.std()) == 0.0 or float(second.std()) == 0.0:
        return 0.0, 0.0
    window = cv2.createHanningWindow((first.shape[1], first.shape[0]), cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(first, second, window)
    if max(abs(x), abs(y)) > _MOST_SHIFT * max(first.shape):
        return 0.0, 0.0
    before = _correlation(first, second)
    after = _correlation(_moved(first, x, y), second)
    return (x * by, y * by) if after >= before + _LEAST_GAIN else (0.0, 0.0)


def _detail(plane: Plane, by: int) -> Plane:
    """How strong the fine structure is, against what is usual around, whichever its sign: dirt is dark in infrared, and
    light on an inverted negative; the picture's own texture would only mislead."""
    small = plane
    if by > 1:
        size = (plane.shape[1] // by, plane.shape[0] // by)
        small = np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)
    fine = np.abs(small - cv2.GaussianBlur(small, (0, 0), _DETAIL_PX))
    rare = fine / (cv2.blur(fine, (_AROUND_PX, _AROUND_PX), borderType=cv2.BORDER_REFLECT) + np.float32(_DETAIL_FLOOR))
    clipped: Plane = np.minimum(rare, np.float32(_CLIP))
    return clipped


def _moved(plane: Plane, x: float, y: float) -> Plane:
    matrix = np.array([[1.0, 0.0, x], [0.0, 1.0, y]], np.float32)
    size = (plane.shape[1], plane.shape[0])
    moved = cv2.warpAffine(plane, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _correlation(first: Plane, second: Plane) -> float:
    a, b = first - first.mean(), second - second.mean()
    return float((a * b).mean() / (a.std() * b.std() + 1e-12))
