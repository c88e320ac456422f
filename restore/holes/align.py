"""Owns laying an infrared image onto its picture: size and shift."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.holes.levels import Plane

_MOST_SKEW = 0.02
"""Largest difference between the scales across and down."""
_MOST_SHIFT = 0.02
"""Of the longer side."""
_LEAST_SHIFT_PX = 0.2
_LEAST_SIDE_PX = 64
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
    if x or y:
        plane = moved(plane, x, y)
        notes.append(moved_note(x, y))
    return Aligned(plane, tuple(notes))


def _shift(infrared: Plane, picture: Plane) -> tuple[float, float]:
    """By how much infrared must move right and down to lie on the picture; 0, 0 where nothing tells."""
    by = shrinking(*picture.shape)
    return shift_of(shrunk(infrared, by), shrunk(picture, by), by)


def shrinking(height: int, width: int) -> int:
    """How many pixels become one in the copies of a picture that are compared."""
    return max(1, -(-max(height, width) // _LOOK_PX))


def shrunk(plane: Plane, by: int) -> Plane:
    """Means of `by` x `by` pixels; rows and columns that don't fill one are left out."""
    if by == 1:
        return plane
    height, width = plane.shape[0] // by, plane.shape[1] // by
    small = cv2.resize(plane[: height * by, : width * by], (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def shift_of(infrared: Plane, picture: Plane, by: int) -> tuple[float, float]:
    """`align`'s shift (right, down), in pixels of the picture, from the `shrunk` copies of both."""
    if min(picture.shape) * by < _LEAST_SIDE_PX:
        return 0.0, 0.0
    first, second = _detail(infrared), _detail(picture)
    if float(first.std()) == 0.0 or float(second.std()) == 0.0:
        return 0.0, 0.0
    window = cv2.createHanningWindow((first.shape[1], first.shape[0]), cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(first, second, window)
    if max(abs(x), abs(y)) > _MOST_SHIFT * max(first.shape):
        return 0.0, 0.0
    before = _correlation(first, second)
    after = _correlation(moved(first, x, y), second)
    x, y = (x * by, y * by) if after >= before + _LEAST_GAIN else (0.0, 0.0)
    return (x, y) if max(abs(x), abs(y)) >= _LEAST_SHIFT_PX else (0.0, 0.0)


def moved_note(x: float, y: float) -> str:
    return f"infrared moved by {x:+.1f}, {y:+.1f} px onto the picture"


def _detail(small: Plane) -> Plane:
    """How strong the fine structure is, against what is usual around, whichever its sign: dirt is dark in infrared, and
    light on an inverted negative; the picture's own texture would only mislead."""
    fine = np.abs(small - cv2.GaussianBlur(small, (0, 0), _DETAIL_PX))
    rare = fine / (cv2.blur(fine, (_AROUND_PX, _AROUND_PX), borderType=cv2.BORDER_REFLECT) + np.float32(_DETAIL_FLOOR))
    clipped: Plane = np.minimum(rare, np.float32(_CLIP))
    return clipped


def moved(plane: Plane, x: float, y: float) -> Plane:
    """(H, W) moved right and down, to a fraction of a pixel; its edges are repeated."""
    height = plane.shape[0]
    return moved_rows(plane, 0, height, (0, height), x, y)


def moved_rows(rows: Plane, first: int, height: int, wanted: tuple[int, int], x: float, y: float) -> Plane:
    """The rows `wanted` of a moved plane of `height` rows, of which `rows`, from row `first` on, are at hand."""
    down = _slid(rows, np.arange(*wanted), y, height, first)
    return np.ascontiguousarray(_slid(down.T, np.arange(down.shape[1]), x, down.shape[1], 0).T)


def _slid(lines: Plane, wanted: NDArray[np.intp], by: float, count: int, first: int) -> Plane:
    """Lines `wanted` of `count` that have slid by so many; `lines` are those from `first` on."""
    whole = floor(by)
    part = np.float32(by - whole)
    near = lines[np.clip(wanted - whole, 0, count - 1) - first]
    if part == 0:
        return near
    before = lines[np.clip(wanted - whole - 1, 0, count - 1) - first]
    slid: Plane = near + (before - near) * part
    return slid


def _correlation(first: Plane, second: Plane) -> float:
    a, b = first - first.mean(), second - second.mean()
    return float((a * b).mean() / (a.std() * b.std() + 1e-12))
