"""Owns finding dust, dirt, hairs and cracks in one picture: small or thin things in calm surroundings.

At some sizes (5, 10, 20 px ...: the same 5 px on ever smaller copies) the black and the white top-hat say by how much a
pixel is darker or lighter than anything wider around it.  That counts in units of what the top-hat usually gives
nearby, its upper quartile over cells: grain, texture, foliage and text are usual where they are, so they don't stand
out.  Seeds above the threshold grow down to half of it.  Each candidate must then hold against its own surroundings;
where that is doubtful it is no defect, since a speck left behind is worth less than a star lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

import cv2
import numpy as np

from restore.holes.found import Holes
from restore.holes.levels import Plane
from restore.recipe import Polarity

KERNEL_PX = 5
"""Side of the top-hat's square on each copy: what is narrower, in any direction, is seen."""
_CELL_PX = 8
_NEAR_CELLS = 7
"""Side of the square of cells that says what is usual."""
_QUARTILE_SIGMAS = 4.0
"""Upper quartile of the largest top-hat in cells of pure noise, in its standard deviations; ..."""
_NOISE_BIAS_SIGMAS = 1.4
"""... and the mean top-hat there."""
_SIGMA_FLOOR = 0.7 / 255.0
FLOOR = 8.0 / 255.0
"""A seed stands out by at least this much lightness, however smooth its surroundings are."""
_GROW_SHARE = 0.5
"""Of the threshold, where seeds stop growing; ..."""
_GROW_CONTRAST = 0.4
"""... nor do they grow to what stands out less than this share of the seed's own top-hat."""
_LEAST_AREA_PX = 2
_LINE_RATIO = 5.0
"""Length over thickness from which a thing is a line, and may be longer than specks may."""
_MOST_CANDIDATES = 20_000
_REACH_PX = 10
_RIM_PX = 2.5
"""The surroundings of a thing: from beyond its soft rim as far as this."""
_LEAST_RING_PX = 24
_STEEPEST = 0.97
_LEAST_STEEPNESS = 0.02
_FITTED_AT_SIGMAS = 6.0


@dataclass(frozen=True)
class Evidence:
    """Weights of a logistic regression: how likely a candidate is damage.

    Fitted on candidates in scanned dust, dirt and hairs (FilmDamageSimulator's overlays) laid over photographs, and in
    text laid over the same ones; the constant is set so that a clean photograph of 2 megapixels gives one false speck
    and one false line at most, on average.
    """

    per_log_score: float
    per_log_steepness: float
    constant: float

    def of(self, score: float, steepness: float) -> float:
        """Above 0 = damage."""
        return self.per_log_score * log(score) + self.per_log_steepness * log(steepness) + self.constant


_SPECK = Evidence(0.79, -1.79, -6.1)
_LINE = Evidence(0.32, -1.94, -4.7)


@dataclass(frozen=True)
class Spot:
    """One accepted thing: `there` (h, w) at (y0, x0) of the plane that was searched."""

    y0: int
    x0: int
    there: Holes
    score: float
    """In standard deviations of the local noise."""


def find_spots(
    plane: Plane, *, threshold_sigmas: float, most_px: int, most_line_px: int, polarity: Polarity
) -> Iterator[Spot]:
    """Defects of (H, W) `plane`: specks of at most `most_px`, and lines of at most that thickness and `most_line_px`
    length.  The same thing may come at several sizes."""
    shrink = 1
    while True:
        small = shrunk(plane, shrink)
        most = max(2.0, most_px / shrink)
        if min(small.shape) < KERNEL_PX:
            return
        for dark in (False, True):
            if polarity is (Polarity.LIGHT if dark else Polarity.DARK):
                continue
            for spot in _at_one_size(-small if dark else small, threshold_sigmas, most, most_line_px / shrink):
                yield spot if shrink == 1 else _enlarged(spot, shrink, plane.shape)
        if KERNEL_PX * shrink > most_px:
            return
        shrink *= 2


def shrunk(plane: Plane, by: int) -> Plane:
    """Means of `by` x `by` pixels; the last ones may have fewer pixels under them."""
    if by == 1:
        return plane
    height, width = plane.shape
    padded = cv2.copyMakeBorder(plane, 0, -height % by, 0, -width % by, cv2.BORDER_REPLICATE)
    small = cv2.resize(padded, (padded.shape[1] // by, padded.shape[0] // by), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def usual(response: Plane) -> Plane:
    """What `response` (H, W) usually reaches around each pixel: (H, W), the upper quartile of its largest values in
    `_CELL_PX` cells, over `_NEAR_CELLS` of them each way.  What fills less than a quarter of them isn't usual."""
    height, width = response.shape
    down, across = -height % _CELL_PX, -width % _CELL_PX
    padded = cv2.copyMakeBorder(response, 0, down, 0, across, cv2.BORDER_REFLECT)
    cells = padded.reshape(padded.shape[0] // _CELL_PX, _CELL_PX, padded.shape[1] // _CELL_PX, _CELL_PX).max((1, 3))
    reach = _NEAR_CELLS // 2
    around = np.pad(cells, reach, mode="symmetric" if min(cells.shape) > reach else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(around, (_NEAR_CELLS, _NEAR_CELLS))
    rank = int(0.75 * _NEAR_CELLS**2)
    quartile = np.empty_like(cells)
    for row in range(cells.shape[0]):
        flat = windows[row].reshape(cells.shape[1], -1)
        quartile[row] = np.partition(flat, rank, axis=1)[:, rank]
    smooth: Plane = cv2.resize(quartile, (padded.shape[1], padded.shape[0]), interpolation=cv2.INTER_LINEAR)
    return smooth[:height, :width]


def _at_one_size(plane: Plane, threshold_sigmas: float, most_px: float, most_line_px: float) -> Iterator[Spot]:
    """Light things only."""
    square = np.ones((KERNEL_PX, KERNEL_PX), np.uint8)
    hat = np.asarray(cv2.morphologyEx(plane, cv2.MORPH_TOPHAT, square), np.float32)
    sigma = np.maximum(usual(hat) / np.float32(_QUARTILE_SIGMAS), np.float32(_SIGMA_FLOOR))
    score = hat / sigma - np.float32(_NOISE_BIAS_SIGMAS)
    seeds = (score >= threshold_sigmas) & (hat >= FLOOR)
    if not seeds.any():
        return
    weak = (score >= _GROW_SHARE * threshold_sigmas) & (hat >= _GROW_SHARE * FLOOR)
    count, said, stats, _ = cv2.connectedComponentsWithStats(weak.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    labels = np.asarray(said, np.int32)
    best = np.zeros(count, np.float32)
    at = labels[seeds]
    np.maximum.at(best, at, score[seeds])
    candidates = np.flatnonzero(best)
    if len(candidates) > _MOST_CANDIDATES:
        candidates = candidates[np.argsort(best[candidates])[-_MOST_CANDIDATES:]]
    for label in candidates:
        x, y, w, h, _ = (int(v) for v in stats[label])
        there = labels[y : y + h, x : x + w] == label
        there &= hat[y : y + h, x : x + w] >= _GROW_CONTRAST * float(hat[y : y + h, x : x + w][there].max())
        accepted = _accepted(plane, hat, there, (y, x), float(best[label]), threshold_sigmas, most_px, most_line_px)
        if accepted is not None:
            yield accepted


def _accepted(
    plane: Plane,
    hat: Plane,
    there: Holes,
    at: tuple[int, int],
    score: float,
    threshold: float,
    most_px: float,
    most_line_px: float,
) -> Spot | None:
    area = int(np.count_nonzero(there))
    if area < _LEAST_AREA_PX:
        return None
    shape = measure(there)
    is_line = shape.length_px >= _LINE_RATIO * shape.thickness_px and shape.length_px >= 8
    if shape.thickness_px > most_px + 1 or shape.length_px > (most_line_px if is_line else most_px + 1):
        return None
    if _hugs_border(there, at, plane.shape):
        return None
    y0, x0 = max(0, at[0] - _REACH_PX), max(0, at[1] - _REACH_PX)
    y1 = min(plane.shape[0], at[0] + there.shape[0] + _REACH_PX)
    x1 = min(plane.shape[1], at[1] + there.shape[1] + _REACH_PX)
    inside = np.zeros((y1 - y0, x1 - x0), np.bool_)
    inside[at[0] - y0 : at[0] - y0 + there.shape[0], at[1] - x0 : at[1] - x0 + there.shape[1]] = there
    own = float(np.median(hat[at[0] : at[0] + there.shape[0], at[1] : at[1] + there.shape[1]][there]))
    if not _holds(plane[y0:y1, x0:x1], own, score, inside, is_line=is_line, threshold=threshold):
        return None
    return Spot(at[0], at[1], there, score)


def _holds(plane: Plane, own: float, score: float, inside: Holes, *, is_line: bool, threshold: float) -> bool:
    """Whether a thing lies in surroundings calm enough to call it foreign.

    Steepness is that of the steepest slopes around it (their 97th percentile), over how far it stands out itself.  The
    more it stands out of the noise, the steeper the surroundings may be.
    """
    distance = cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    ring = (distance > _RIM_PX) & (distance <= _REACH_PX)
    if np.count_nonzero(ring) < _LEAST_RING_PX:
        return False
    slope = cv2.magnitude(
        cv2.Sobel(plane, cv2.CV_32F, 1, 0, scale=1.0 / 8.0), cv2.Sobel(plane, cv2.CV_32F, 0, 1, scale=1.0 / 8.0)
    )
    steepness = float(np.quantile(slope[ring], _STEEPEST)) / own + _LEAST_STEEPNESS
    evidence = _LINE if is_line else _SPECK
    return evidence.of(score * _FITTED_AT_SIGMAS / threshold, steepness) > 0.0


def _hugs_border(there: Holes, at: tuple[int, int], size: tuple[int, ...]) -> bool:
    """Whether more than half of a thing's length lies along the picture's border: scans end in such lines."""
    sides = (
        there[0] if at[0] <= 1 else None,
        there[-1] if at[0] + there.shape[0] >= size[0] - 1 else None,
        there[:, 0] if at[1] <= 1 else None,
        there[:, -1] if at[1] + there.shape[1] >= size[1] - 1 else None,
    )
    along = max((int(np.count_nonzero(side)) for side in sides if side is not None), default=0)
    return along > 0.5 * max(there.shape) and along > 2


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


def _enlarged(spot: Spot, by: int, size: tuple[int, ...]) -> Spot:
    there = np.repeat(np.repeat(spot.there, by, axis=0), by, axis=1)
    y0, x0 = spot.y0 * by, spot.x0 * by
    return Spot(y0, x0, there[: size[0] - y0, : size[1] - x0], spot.score)
