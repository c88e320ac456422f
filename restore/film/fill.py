"""Owns what goes into a hole: from neighbouring frames first, from its surroundings where they can't know.

Where neighbours (`temporal`) fit worse around a hole than what a spatial fill may be expected to do, or where there are
none, the spatial fill is taken.
Pixels outside holes are the originals, in the frame's own numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.confidence import Seen
from restore.film.grain import fine_structure, grain_from
from restore.film.temporal import Temporal, Version, temporal_fill
from restore.film.working import Frame, Holes, from_float, grey_of, to_8_bit, to_float
from restore.navier_stokes import navier_stokes as planes_filled
from restore.navier_stokes import navier_stokes_8bit
from restore.tiling import Box
from restore.trust.ledger import Fill, Repair

Filler = Callable[[Frame, Holes], Frame]
"""Fills holes (H, W) of a frame (H, W, C), which has no others, from itself; outside them its answer is ignored."""

_TOGETHER_PX = 1.0
_UNHARMED_SIGMAS = (0.6, 1.2)
"""Of grain; differences are averaged over about a pixel, where grain alone makes 0.4."""


@dataclass(frozen=True)
class Filled:
    """A frame without its holes."""

    frame: Frame
    """(H, W, C), in the source's number type; outside holes the source's own numbers."""
    repairs: tuple[Repair, ...]


def navier_stokes(frame: Frame, holes: Holes) -> Frame:
    """The classical fill of a frame (H, W, C), in its number type; grey where nothing is known."""
    values = to_float(frame)
    filled = np.full_like(values, 0.5) if holes.all() else planes_filled(values, ~holes)
    return np.where(holes[..., None], from_float(filled, frame), frame)


@dataclass(frozen=True)
class Hole:
    """What is known of a blob before it is filled."""

    kind: str
    score: float | None = None


def fill(
    current: Frame,
    labels: NDArray[np.int32],
    blobs: Sequence[Hole],
    versions: Sequence[Version],
    filler: Filler,
    filled_by: Fill,
    number: int,
    *,
    grain: bool = True,
) -> Filled:
    """`current` (H, W, C) without its holes.

    `labels` (H, W): 0, or 1 + the index in `blobs`.  `filler` is asked only for blobs that the versions don't serve;
    `filled_by` is what the ledger calls it.  `number` is the frame's, and seeds the grain.
    """
    holes = labels > 0
    if not holes.any():
        return Filled(current, ())
    temporal = temporal_fill(current, holes, versions)
    verdicts = verdicts_of(current, labels, len(blobs), temporal)
    spatial_labels = np.array([False, *(verdict.spatial for verdict in verdicts)])
    spatial = spatial_labels[labels] | (holes & ~temporal.known)
    values = to_float(current).copy()
    unharmed = _unharmed(values, temporal)[..., None]
    values[holes] = (temporal.values + unharmed * (values - temporal.values))[holes]
    if spatial.any():
        # Other holes are filled already, so that dirt isn't drawn into these, and what is known around them counts.
        values[spatial] = to_float(filler(from_float(values, current), spatial))[spatial]
    if grain:
        lacking = 1 - np.where(spatial, 0, unharmed[..., 0])
        _regrain(values, current, lacking, labels, verdicts, temporal, number)
    result = current.copy()
    result[holes] = from_float(values, current)[holes]
    repairs = tuple(
        Repair(
            page=number, blob=index, box=verdict.box, area_px=verdict.area_px, kind=blob.kind,
            fill=filled_by if verdict.spatial else Fill.TEMPORAL, confidence=verdict.seen.confidence(),
            score=blob.score,
        )
        for index, (blob, verdict) in enumerate(zip(blobs, verdicts, strict=True))
    )  # fmt: skip
    return Filled(result, repairs)


def _unharmed(values: NDArray[np.float32], temporal: Temporal) -> NDArray[np.float32]:
    """(H, W), 0..1: how much of a pixel in a hole is the picture itself, as holes are drawn with a margin.

    Where the frame is what its neighbours say, up to grain, it keeps its own pixels, and its own grain.
    """
    off = cv2.GaussianBlur((values - temporal.values).mean(axis=2), (0, 0), _TOGETHER_PX)
    sigmas = np.abs(off) / np.float32(max(temporal.grain, 1e-9) ** 0.5)
    low, high = _UNHARMED_SIGMAS
    return np.where(temporal.known, np.clip((high - sigmas) / (high - low), 0, 1), 0).astype(np.float32)


@dataclass(frozen=True)
class Verdict:
    """How one blob is filled."""

    box: Box
    area_px: int
    seen: Seen

    @property
    def spatial(self) -> bool:
        return self.seen.spatial


def verdicts_of(current: Frame, labels: NDArray[np.int32], count: int, temporal: Temporal) -> list[Verdict]:
    """Of the blobs from 1 to `count` of `labels` (H, W)."""
    return [_verdict(current, labels, index, box, temporal) for index, box in enumerate(_boxes(labels, count), 1)]


def _boxes(labels: NDArray[np.int32], count: int) -> list[Box]:
    """The smallest box around each label from 1 to `count`."""
    y, x = np.nonzero(labels)
    which = labels[y, x] - 1
    low = np.full((count, 2), np.iinfo(np.int64).max)
    high = np.zeros((count, 2), np.int64)
    for axis, at in enumerate((y, x)):
        np.minimum.at(low[:, axis], which, at)
        np.maximum.at(high[:, axis], which, at + 1)
    if (high == 0).any():
        raise ValueError("every blob has at least one pixel in labels")
    return [Box(int(a[0]), int(a[1]), int(b[0]), int(b[1])) for a, b in zip(low, high, strict=True)]


_CONTEXT_PX = 6


def _verdict(current: Frame, labels: NDArray[np.int32], number: int, box: Box, temporal: Temporal) -> Verdict:
    """Temporal or spatial: whichever is expected to be nearer.

    What a spatial fill would miss is estimated on the temporal one: how far it is from its own smooth continuation.
    """
    height, width = labels.shape
    y0, x0 = max(0, box.y0 - _CONTEXT_PX), max(0, box.x0 - _CONTEXT_PX)
    place = np.s_[y0 : min(height, box.y1 + _CONTEXT_PX), x0 : min(width, box.x1 + _CONTEXT_PX)]
    here, holes = labels[place] == number, labels[place] > 0
    area = int(np.count_nonzero(here))
    radius = float(cv2.distanceTransform(np.pad(here.astype(np.uint8), 1), cv2.DIST_L2, 5).max())
    grey = to_float(current)[place].mean(axis=2)
    deviation = float(grey[~holes].std()) if not holes.all() else 1.0
    grain = float(temporal.curve.at(grey.mean(keepdims=True))[0, 0])
    known = here & temporal.known[place]
    if 2 * np.count_nonzero(known) < area:
        return Verdict(box, area, Seen(True, 1.0, 1.0, grain, radius, deviation))
    content = temporal.values[place].mean(axis=2)
    smooth = navier_stokes_8bit(to_8_bit(grey), holes).astype(np.float32) / 255
    left = float(temporal.share[place][known].mean()) * temporal.grain
    missed = max(0.0, float(((smooth - content)[known] ** 2).mean()) - left)
    wrong = float(temporal.error[place][known].mean())
    spatial = wrong > 1.5 * missed + temporal.grain
    stays = grain if spatial else left**0.5
    return Verdict(box, area, Seen(spatial, wrong**0.5, missed**0.5, stays, radius, deviation))


def _regrain(
    values: NDArray[np.float32],
    current: Frame,
    lacking: NDArray[np.float32],
    labels: NDArray[np.int32],
    verdicts: Sequence[Verdict],
    temporal: Temporal,
    number: int,
) -> None:
    """Adds to `values`, in holes, the grain that each fill lacks; `lacking` (H, W; 0..1) is where it does."""
    fine, curve = fine_structure(current), temporal.curve
    level = grey_of(values)
    around = cv2.dilate((labels > 0).astype(np.uint8), np.ones((7, 7), np.uint8)).view(np.bool_)
    for index, verdict in enumerate(verdicts, 1):
        box = verdict.box
        place = np.s_[box.y0 : box.y1, box.x0 : box.x1]
        here = labels[place] == index
        left = 0.0 if verdict.spatial else float(temporal.share[place][here].mean())
        rng = np.random.default_rng([number, index])
        wanted = curve.at(level[place]) * np.float32(max(0.0, 1 - left) ** 0.5)
        piece = grain_from(fine, level, around, box, wanted, rng)
        values[place][here] += (piece * lacking[place][..., None])[here]
