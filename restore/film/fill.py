"""Owns what goes into a hole: from neighbouring frames first, from its surroundings where they can't know.

Up to four versions of a hole's content lie ready: two neighbours, each laid over the frame by two ideas of motion.
Each counts by how well it fits around the hole, where the frame itself is known.  Where they fit worse than what a
spatial fill may be expected to do, or where there are none, the spatial fill is taken.
Pixels outside holes are the originals, in the frame's own numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.evidence import Opinion
from restore.film.flow import Flow, came_from_outside, match, warped
from restore.film.grain import GrainCurve, fine_structure, grain_curve, grain_from
from restore.film.working import Frame, Holes, as_float32, from_float, grain_sigma, grey_of, to_8_bit, to_float
from restore.navier_stokes import navier_stokes as planes_filled
from restore.navier_stokes import navier_stokes_8bit
from restore.tiling import Box
from restore.trust.ledger import Fill, Repair

Filler = Callable[[Frame, Holes], Frame]
"""Fills holes (H, W) of a frame (H, W, C), which has no others, from itself; outside them its answer is ignored."""

_FIT_PX = (9, 25, 61)
"""Sides of the windows in which a version is compared with the frame: the first that has enough known pixels."""
_FIT_FROM = 0.1
_TOGETHER_PX = 1.0
_UNHARMED_SIGMAS = (0.6, 1.2)
"""Of grain; differences are averaged over about a pixel, where grain alone makes 0.4."""
_MOST_GRAIN = 2.0
"""Of what is finer than structure in the frame itself."""
_CORE_PX = 1
"""Holes are treated as this much larger where versions are compared: rims may be softly dirty."""


@dataclass(frozen=True)
class Version:
    """A neighbour laid over the frame, at its brightness."""

    values: NDArray[np.float32]
    """(H, W, C)."""
    valid: Holes
    """(H, W): it was no hole there, and inside its frame."""
    frame: int | None = None
    """Number of its frame: two versions of one have the same grain.  None: it is the only one of its frame."""


@dataclass(frozen=True)
class Filled:
    """A frame without its holes."""

    frame: Frame
    """(H, W, C), in the source's number type; outside holes the source's own numbers."""
    repairs: tuple[Repair, ...]


def version_of(current: Frame, other: Frame, other_holes: Holes, flow: Flow) -> Version:
    """`other`, laid over `current` by `flow`."""
    laid = warped(to_float(other), flow)
    line = match(grey_of(current), grey_of(laid))
    # A warp reads around its pixel: whatever touches a hole is one.
    touched = warped(other_holes.astype(np.float32), flow) > 0.02
    return Version(line(laid), ~touched & ~came_from_outside(flow))


def navier_stokes(frame: Frame, holes: Holes) -> Frame:
    """The classical fill of a frame (H, W, C), in its number type; grey where nothing is known."""
    values = to_float(frame)
    filled = np.full_like(values, 0.5) if holes.all() else planes_filled(values, ~holes)
    return np.where(holes[..., None], from_float(filled, frame), frame)


@dataclass(frozen=True)
class Temporal:
    """What the neighbours say about a frame's holes."""

    values: NDArray[np.float32]
    """(H, W, C)."""
    error: NDArray[np.float32]
    """(H, W): expected squared error but for grain, from how the versions fit around and differ inside."""
    share: NDArray[np.float32]
    """(H, W): variance of grain that is left of one frame's, 0..1."""
    known: Holes
    """(H, W): there is a version."""
    grain: float
    """Variance of one frame's grain, in a channel."""
    curve: GrainCurve
    """The same by brightness, as a deviation."""


def temporal_fill(current: Frame, holes: Holes, versions: Sequence[Version]) -> Temporal:
    """The versions' weighted sum; nothing is known where there is none."""
    values = to_float(current)
    known = ~cv2.dilate(holes.astype(np.uint8), np.ones((2 * _CORE_PX + 1,) * 2, np.uint8)).view(np.bool_)
    total = np.zeros_like(values)
    weights = np.zeros(holes.shape, np.float32)
    of_frames: dict[tuple[str, int], NDArray[np.float32]] = {}
    error = np.zeros(holes.shape, np.float32)
    noise = np.float32(_noise(values, known, versions))
    for index, version in enumerate(versions):
        usable = (known & version.valid).astype(np.float32)
        off = ((values - version.values) ** 2).mean(axis=2)
        fit = _fit(off, usable)
        weight = np.where(version.valid, 1 / (np.maximum(fit - noise, 0) + noise / 2) ** 2, 0).astype(np.float32)
        total += weight[..., None] * version.values
        weights += weight
        of = ("alone", index) if version.frame is None else ("frame", version.frame)
        of_frames[of] = of_frames[of] + weight if of in of_frames else weight
        error += weight * fit
    there = weights > 0
    safe = np.where(there, weights, 1)
    mean = total / safe[..., None]
    apart = np.zeros(holes.shape, np.float32)
    for version in versions:
        apart += np.where(version.valid, ((version.values - mean) ** 2).mean(axis=2), 0)
    apart = np.maximum(0, apart / max(1, len(versions)) - noise / 2)
    curve = grain_curve(values, [(version.values, known & version.valid) for version in versions])
    share = np.zeros(holes.shape, np.float32)
    for weight in of_frames.values():
        share += (weight / safe) ** 2
    return Temporal(
        as_float32(mean), as_float32(np.maximum(0, error / safe - noise) + apart), share, there, float(noise) / 2, curve
    )


def _fit(off: NDArray[np.float32], usable: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W): mean of `off` where it is usable, near by; inside large holes, further away."""
    fit = np.ones_like(off)  # nothing around is known: it may be anything
    for side in reversed(_FIT_PX):
        around = cv2.blur(usable, (side, side))
        mean = cv2.blur(off * usable, (side, side)) / np.maximum(around, 1e-3)
        fit = np.where(around > _FIT_FROM, mean, fit)
    return fit


def _noise(values: NDArray[np.float32], known: Holes, versions: Sequence[Version]) -> float:
    """Variance of what a version differs by where it fits: grain of two frames, in a channel."""
    least = 1.0
    for version in versions:
        usable = (known & version.valid)[::3, ::3]
        if usable.any():
            off = np.abs(values[::3, ::3] - version.values[::3, ::3])[usable]
            least = min(least, (1.4826 * float(np.median(off))) ** 2)
    # Where all of them show something else (a cut that nobody told), that isn't grain.
    own = np.mean([grain_sigma(np.ascontiguousarray(values[..., channel])) for channel in range(values.shape[2])])
    return float(np.clip(least, 1e-7, 2 * (_MOST_GRAIN * own) ** 2))


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
    verdicts = [
        _verdict(current, labels, index, box, temporal) for index, box in enumerate(_boxes(labels, len(blobs)), 1)
    ]
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
            fill=filled_by if verdict.spatial else Fill.TEMPORAL, confidence=verdict.confidence, score=blob.score,
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
class _Verdict:
    box: Box
    area_px: int
    spatial: bool
    confidence: float


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


def _verdict(current: Frame, labels: NDArray[np.int32], number: int, box: Box, temporal: Temporal) -> _Verdict:
    """Temporal or spatial: whichever is expected to be nearer.

    What a spatial fill would miss is estimated on the temporal one: how far it is from its own smooth continuation.
    """
    height, width = labels.shape
    y0, x0 = max(0, box.y0 - _CONTEXT_PX), max(0, box.x0 - _CONTEXT_PX)
    place = np.s_[y0 : min(height, box.y1 + _CONTEXT_PX), x0 : min(width, box.x1 + _CONTEXT_PX)]
    here = labels[place] == number
    area = int(np.count_nonzero(here))
    known = here & temporal.known[place]
    if 2 * np.count_nonzero(known) < area:
        return _Verdict(box, area, True, 0.0)
    grey = to_float(current)[place].mean(axis=2)
    content = temporal.values[place].mean(axis=2)
    smooth = navier_stokes_8bit(to_8_bit(grey), labels[place] > 0).astype(np.float32) / 255
    left = float(temporal.share[place][known].mean())
    missed = max(0.0, float(((smooth - content)[known] ** 2).mean()) - left * temporal.grain)
    wrong = float(temporal.error[place][known].mean())
    return _Verdict(box, area, wrong > 1.5 * missed + temporal.grain, temporal.grain / (temporal.grain + wrong))


def _regrain(
    values: NDArray[np.float32],
    current: Frame,
    lacking: NDArray[np.float32],
    labels: NDArray[np.int32],
    verdicts: Sequence[_Verdict],
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


def versions_of(current: Frame, sides: Sequence[tuple[Frame, Holes]], opinions: Sequence[Opinion]) -> list[Version]:
    """Each of the two neighbours (frame, its rough holes) by each opinion about motion."""
    made = []
    for opinion in opinions:
        for side, (frame, holes) in enumerate(sides):
            flow = (opinion.to_first, opinion.to_second)[side]
            made.append(replace(version_of(current, frame, holes, flow), frame=side))
    return made
