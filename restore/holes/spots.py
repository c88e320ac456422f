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
from numpy.typing import NDArray

from restore.holes.found import Holes
from restore.holes.levels import Plane
from restore.holes.shape import LINE_RATIO, measure
from restore.recipe import Polarity
from restore.tiling import Box

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
_LEAST_LINE_PX = 8
_MOST_CANDIDATES = 20_000
_ROUNDS = 4
_OTHERS_RIM_PX = 3
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
    text laid over the same ones.  With these constants 22 clean photographs of 2 megapixels gave 34 objects, most of
    them in three pictures, some of them real dust; half of the specks and hairs laid over them were found.
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

    @property
    def box(self) -> Box:
        return Box(self.y0, self.x0, self.y0 + self.there.shape[0], self.x0 + self.there.shape[1])


def find_spots(
    plane: Plane, *, threshold_sigmas: float, most_px: int, most_line_px: int, polarity: Polarity
) -> Iterator[Spot]:
    """Defects of (H, W) `plane`: specks of at most `most_px`, and lines of at most that thickness and `most_line_px`
    length.  The same thing may come at several sizes, and a long one in pieces."""
    known = np.zeros(plane.shape, np.bool_)
    shrink = 1
    while True:
        small = shrunk(plane, shrink)
        if min(small.shape) < KERNEL_PX:
            return
        for dark in (False, True):
            if polarity is (Polarity.LIGHT if dark else Polarity.DARK):
                continue
            view = _look(-small if dark else small, threshold_sigmas, max(2.0, most_px / shrink), most_line_px / shrink)
            for spot in _rounds(view, _shrunk_holes(known, shrink)):
                whole = spot if shrink == 1 else _enlarged(spot, shrink, plane.shape)
                height, width = whole.there.shape
                known[whole.y0 : whole.y0 + height, whole.x0 : whole.x0 + width] |= whole.there
                yield whole
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


@dataclass(frozen=True)
class _View:
    """A plane at one size in which light things are sought."""

    hat: Plane
    score: Plane
    slope: Plane
    threshold_sigmas: float
    most_px: float
    most_line_px: float


def _look(plane: Plane, threshold_sigmas: float, most_px: float, most_line_px: float) -> _View:
    square = np.ones((KERNEL_PX, KERNEL_PX), np.uint8)
    hat = np.asarray(cv2.morphologyEx(plane, cv2.MORPH_TOPHAT, square), np.float32)
    score = hat / np.maximum(usual(hat) / np.float32(_QUARTILE_SIGMAS), np.float32(_SIGMA_FLOOR))
    score -= np.float32(_NOISE_BIAS_SIGMAS)
    slope = cv2.magnitude(
        cv2.Sobel(plane, cv2.CV_32F, 1, 0, scale=1.0 / 8.0), cv2.Sobel(plane, cv2.CV_32F, 0, 1, scale=1.0 / 8.0)
    )
    return _View(hat, score, np.asarray(slope, np.float32), threshold_sigmas, most_px, most_line_px)


def _rounds(view: _View, known: Holes) -> Iterator[Spot]:
    """What holds against its surroundings, then what does once that is known not to belong to them, and so on: specks
    beside specks, and the rest of a hair.  `known` (h, w) is what other sizes have found; it is added to."""
    weak = (view.score >= _GROW_SHARE * view.threshold_sigmas) & (view.hat >= _GROW_SHARE * FLOOR)
    seeds = (view.score >= view.threshold_sigmas) & (view.hat >= FLOOR)
    if not seeds.any():
        return
    _, said, stats, _ = cv2.connectedComponentsWithStats(weak.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    labels = np.asarray(said, np.int32)
    waiting = _boxes(np.unique(labels[seeds]), np.asarray(stats, np.int32))
    fresh: list[Spot] = []
    for turn in range(_ROUNDS):
        near = np.zeros_like(weak) if turn else None
        for spot in fresh:
            height, width = spot.there.shape
            weak[spot.y0 : spot.y0 + height, spot.x0 : spot.x0 + width] &= ~spot.there
            known[spot.y0 : spot.y0 + height, spot.x0 : spot.x0 + width] |= spot.there
            if near is not None:
                near[_around(spot.box, _REACH_PX, weak.shape)] = True
        fresh = []
        for label, box in waiting:
            within = (slice(box.y0, box.y1), slice(box.x0, box.x1))
            if near is not None and not near[within].any():
                continue
            part = _strongest_part(view, (labels[within] == label) & weak[within], box)
            if part is not None and _accepted(view, part, known):
                fresh.append(part)
        if not fresh:
            return
        yield from fresh


def _boxes(chosen: NDArray[np.int32], stats: NDArray[np.int32]) -> list[tuple[int, Box]]:
    boxes: list[tuple[int, Box]] = []
    for label in chosen[chosen > 0][:_MOST_CANDIDATES].tolist():
        x, y, width, height, _ = (int(v) for v in stats[label])
        boxes.append((label, Box(y, x, y + height, x + width)))
    return boxes


def _strongest_part(view: _View, there: Holes, box: Box) -> Spot | None:
    """The part of `there` around its largest top-hat that isn't much weaker; None where no seed is left."""
    hat = view.hat[box.y0 : box.y1, box.x0 : box.x1]
    if not there.any():
        return None
    score = float(view.score[box.y0 : box.y1, box.x0 : box.x1][there].max())
    peak = int(np.where(there, hat, np.float32(-1.0)).argmax())
    if score < view.threshold_sigmas or float(hat.reshape(-1)[peak]) < FLOOR:
        return None
    strong = there & (hat >= _GROW_CONTRAST * float(np.quantile(hat[there], 0.8)))
    _, said, stats, _ = cv2.connectedComponentsWithStats(strong.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    labels = np.asarray(said, np.int32)
    label = int(labels.reshape(-1)[peak])
    x, y, width, height, _ = (int(v) for v in stats[label])
    return Spot(box.y0 + y, box.x0 + x, labels[y : y + height, x : x + width] == label, score)


def _accepted(view: _View, spot: Spot, known: Holes) -> bool:
    """Whether a thing has a defect's size, and surroundings calm enough to call it foreign.

    Steepness is that of the steepest slopes around it (their 97th percentile), over how far it stands out itself; what
    is `known` to be damage doesn't count.  The more a thing stands out of the noise, the steeper they may be.
    """
    there = spot.there
    if int(np.count_nonzero(there)) < _LEAST_AREA_PX:
        return False
    shape = measure(there)
    is_line = shape.length_px >= LINE_RATIO * shape.thickness_px and shape.length_px >= _LEAST_LINE_PX
    if shape.thickness_px > view.most_px + 1:
        return False
    if shape.length_px > (view.most_line_px if is_line else view.most_px + 1):
        return False
    if _hugs_border(there, (spot.y0, spot.x0), view.hat.shape):
        return False
    box = spot.box
    rows, columns = _around(box, _REACH_PX, view.hat.shape)
    inside = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.bool_)
    inside[box.y0 - rows.start : box.y1 - rows.start, box.x0 - columns.start : box.x1 - columns.start] = there
    distance = cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    ring = (distance > _RIM_PX) & (distance <= _REACH_PX)
    others = known[rows, columns]
    if others.any():
        ring &= ~_widened(others, _OTHERS_RIM_PX)
    if np.count_nonzero(ring) < _LEAST_RING_PX:
        return False
    own = float(np.median(view.hat[rows, columns][inside]))
    steepness = float(np.quantile(view.slope[rows, columns][ring], _STEEPEST)) / own + _LEAST_STEEPNESS
    evidence = _LINE if is_line else _SPECK
    return evidence.of(spot.score * _FITTED_AT_SIGMAS / view.threshold_sigmas, steepness) > 0.0


def _around(box: Box, by_px: int, size: tuple[int, ...]) -> tuple[slice, slice]:
    return (
        slice(max(0, box.y0 - by_px), min(size[0], box.y1 + by_px)),
        slice(max(0, box.x0 - by_px), min(size[1], box.x1 + by_px)),
    )


def _widened(holes: Holes, by_px: int) -> Holes:
    side = np.ones((2 * by_px + 1, 2 * by_px + 1), np.uint8)
    return np.asarray(cv2.dilate(holes.view(np.uint8), side), np.uint8).view(np.bool_)


def _shrunk_holes(holes: Holes, by: int) -> Holes:
    """A copy; a pixel of it is a hole if any of those under it is."""
    if by == 1:
        return holes.copy()
    height, width = holes.shape
    padded = np.pad(holes, ((0, -height % by), (0, -width % by)))
    return np.asarray(padded.reshape(padded.shape[0] // by, by, padded.shape[1] // by, by).any((1, 3)), np.bool_)


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


def _enlarged(spot: Spot, by: int, size: tuple[int, ...]) -> Spot:
    there = np.repeat(np.repeat(spot.there, by, axis=0), by, axis=1)
    y0, x0 = spot.y0 * by, spot.x0 * by
    return Spot(y0, x0, there[: size[0] - y0, : size[1] - x0], spot.score)
