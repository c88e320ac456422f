"""Owns single-frame dirt: from evidence to blobs, what each looks like to the judge, and what is vetoed.

Seeds where the score is high, grown with hysteresis to half of that on the undamped spike, but no further than a few
pixels: soft rims come along, and a wrong seed at a moving edge can't flood it.  What a blob is worth then depends on
the blob: its facts go to `judge`, which knows how those of dirt and those of wrong flow differ.  The rim ends where
grain or scene would be taken for it, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.evidence import FEW, Evidence, View
from restore.film.working import Grey, Holes, as_float32
from restore.recipe import Polarity
from restore.tiling import Box

LINES = 1080
"""Lengths are given for a frame of so many lines and go with its height."""
_GROW_TO = 0.5
_GROW_PX = 4
_RIM = 0.15
"""What stands out less than this much of the peak beside it isn't its rim any more, but scene or grain."""
_THIN = 0.6
_SEEN_PX = 12
_SEEN_RAW = 0.03
"""How far a blob is looked for in neighbours laid over the frame (pixels), and in those as they are (of the height)."""
_SURROUNDINGS_PX = 2
_RING_PX = (2, 5)
_RING_SHARE = 0.1
_LARGEST_LOOKED_FOR_PX = 80
_LARGEST, _LEAST_LARGEST_PX = 0.02, 10.0
"""Diameter of a speck: of the height, and in small frames."""


@dataclass(frozen=True)
class DirtLaw:
    """What may be dirt at all."""

    seed_sigmas: float = 3.5
    polarity: Polarity = Polarity.BOTH
    max_size_px: float | None = None
    """Largest diameter of a compact blob (that of a disc of equal area); None: 2 % of the height.  Hairs, which are
    thin, may have twice that."""

    def largest_px(self, height: int) -> float:
        return self.max_size_px if self.max_size_px is not None else max(_LEAST_LARGEST_PX, _LARGEST * height)


FACTS = (
    "peak",
    "contrast",
    "size",
    "thin",
    "apart",
    "apart shared",
    "seen",
    "seen elsewhere",
    "beyond surroundings",
    "recurring",
)
"""What is known about a blob, in the order of `Candidates.facts`."""


@dataclass(frozen=True)
class Candidates:
    """Blobs of one frame that may be dirt, in the order of rows and then columns of their boxes' corners."""

    labels: NDArray[np.int32]
    """(H, W): 0 = none, else the blob's number + 1."""
    boxes: tuple[Box, ...]
    areas_px: NDArray[np.int64]
    scores: NDArray[np.float64]
    """Peak of each, in sigmas."""
    facts: NDArray[np.float64]
    """(blobs, len(FACTS)), as the judge takes them."""
    thin: NDArray[np.bool_]
    """(blobs,): hairs, not specks."""
    flashing: NDArray[np.bool_]
    """(blobs,): those that lie where neighbours have marks too often (`Evidence.flashing`)."""
    vetoed: dict[str, int]
    """What was dropped before, and how many: "polarity", "size"."""

    def holes(self, kept: NDArray[np.bool_]) -> Holes:
        """(H, W): the blobs that `kept` (blobs,) says."""
        chosen: Holes = np.concatenate([[False], kept])[self.labels]
        return chosen


def candidates_of(evidence: Evidence, law: DirtLaw) -> Candidates:
    """Blobs in a frame with their facts; nothing is decided yet but what `law` forbids."""
    blobs = blobs_of(grown_from(evidence, law), evidence.spike, evidence.score, law)
    there = np.bincount(blobs.labels[evidence.flashing], minlength=len(blobs.boxes) + 1)[1:]
    return replace(blobs, facts=_facts(evidence, blobs), flashing=2 * there > blobs.areas_px)


def blobs_of(
    grown: NDArray[np.uint8], spike: NDArray[np.float32], score: NDArray[np.float32], law: DirtLaw
) -> Candidates:
    """Connected pieces of `grown` (H, W; 1 = maybe dirt) that `law` allows; nothing else is known about them yet."""
    count, found, table, _ = cv2.connectedComponentsWithStats(grown, connectivity=8)
    labels, stats = np.asarray(found, np.int32), np.asarray(table, np.int32)
    vetoed = {"polarity": 0, "size": 0}
    signs = np.bincount(labels.ravel(), spike.ravel(), count)
    wanted = np.ones(count, np.bool_)
    wanted[0] = False
    if law.polarity is not Polarity.BOTH:
        right = signs > 0 if law.polarity is Polarity.LIGHT else signs < 0
        vetoed["polarity"] = int(np.count_nonzero(wanted & ~right))
        wanted &= right
    largest = law.largest_px(grown.shape[0])
    diameters = np.sqrt(4 / np.pi * stats[:, cv2.CC_STAT_AREA])
    thin = _thinness(stats) > _THIN
    too_large = diameters > np.where(thin, 2 * largest, largest)
    vetoed["size"] = int(np.count_nonzero(wanted & too_large))
    wanted &= ~too_large
    order = np.nonzero(wanted)[0]
    order = order[np.lexsort((stats[order, cv2.CC_STAT_LEFT], stats[order, cv2.CC_STAT_TOP]))]
    renumbered = np.zeros(count, np.int32)
    renumbered[order] = np.arange(1, len(order) + 1)
    peaks = np.zeros(count)
    there = labels > 0
    np.maximum.at(peaks, labels[there], score[there])
    areas = stats[order, cv2.CC_STAT_AREA].astype(np.int64)
    boxes = tuple(_box(stats[i]) for i in order)
    nothing = np.zeros((len(order), 0))
    nowhere = np.zeros(len(order), np.bool_)
    return Candidates(renumbered[labels], boxes, areas, peaks[order], nothing, thin[order], nowhere, vetoed)


def grown_from(evidence: Evidence, law: DirtLaw) -> NDArray[np.uint8]:
    """(H, W), 1 in blobs: everything over half the threshold, and over a share of the peaks near by, that hangs
    together with a seed and lies near one."""
    seeds = (evidence.score > law.seed_sigmas).astype(np.uint8)
    spike = np.abs(evidence.spike)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _GROW_PX + 1,) * 2)
    peak = cv2.dilate(np.where(seeds > 0, spike, 0), disc)
    maybe = ((spike > np.maximum(_GROW_TO * law.seed_sigmas, _RIM * peak)) & (peak > 0)).astype(np.uint8) | seeds
    count, labels = cv2.connectedComponents(maybe)
    seeded = np.zeros(count, np.uint8)
    seeded[labels[seeds > 0]] = 1
    seeded[0] = 0
    kept: NDArray[np.uint8] = seeded[labels]
    return kept


def _box(stats: NDArray[np.int32]) -> Box:
    x, y, width, height = (int(value) for value in stats[:4])
    return Box(y, x, y + height, x + width)


def _thinness(stats: NDArray[np.int32]) -> NDArray[np.float64]:
    """0 for a disc, towards 1 for hairs: the share of the circle around the box that isn't covered."""
    diagonal = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    return 1 - np.minimum(1, stats[:, cv2.CC_STAT_AREA] / (np.pi / 8 * diagonal**2))


def _facts(evidence: Evidence, blobs: Candidates) -> NDArray[np.float64]:
    count, height = len(blobs.boxes), evidence.spike.shape[0]
    pixels = np.flatnonzero(blobs.labels)
    whose = blobs.labels.ravel()[pixels] - 1

    def mean_of(values: NDArray[np.float32]) -> NDArray[np.float64]:
        sums = np.bincount(whose, values.ravel()[pixels].astype(np.float64), count)
        means: NDArray[np.float64] = sums / blobs.areas_px
        return means

    def log(values: NDArray[np.float64], least: float = 1e-2) -> NDArray[np.float64]:
        return np.log(np.maximum(values, least))

    # Each blob is looked at in the view that shows it best.
    shown = np.argmax([mean_of(view.score) for view in evidence.views], axis=0) if count else np.zeros(0, np.intp)
    own, shared = (np.choose(shown, [mean_of(view.apart[opinion]) for view in evidence.views]) for opinion in range(2))
    raw_px = max(4, round(_SEEN_RAW * height))
    near_px = max(4, round(_SEEN_PX * height / LINES))
    seen, beyond = np.zeros((count, 2)), np.zeros(count)
    for index, box in enumerate(blobs.boxes):
        view = evidence.views[shown[index]]
        seen[index] = _seen(view, blobs.labels, index + 1, box, near_px, raw_px)
        beyond[index] = _beyond(view, blobs.labels, index + 1, box)
    size = np.sqrt(blobs.areas_px) / height * 1000
    elsewhere = float(np.median(evidence.recurring[::8, ::8]))
    return np.stack(
        [
            log(blobs.scores),
            log(mean_of(np.abs(evidence.spike))),
            log(size),
            blobs.thin.astype(np.float64),
            log(own),
            log(shared),
            log(seen[:, 0]),
            log(np.minimum(seen[:, 1], 1)),
            log(beyond, 0.3),
            log((mean_of(evidence.recurring) + FEW) / (elsewhere + FEW)),
        ],
        axis=1,
    )


def _beyond(view: View, labels: NDArray[np.int32], number: int, box: Box) -> float:
    """How far a blob lies beyond what surrounds it in its own frame, in sigmas: wrong flow finds what is no lighter and
    no darker than its surroundings, dirt is either."""
    place = _around(box, _RING_PX[1], view.current.shape)
    here = (labels[place] == number).astype(np.uint8)
    inner, outer = (cv2.dilate(here, np.ones((2 * px + 1,) * 2, np.uint8)) for px in _RING_PX)
    values = view.current[place]
    ring = np.sort(values[(outer > inner) & (labels[place] == 0)])
    if not len(ring):
        return 0.0
    few = int(_RING_SHARE * len(ring))
    level = float(values[here > 0].mean())
    return max(level - float(ring[-1 - few]), float(ring[few]) - level) / view.sigma


def _around(box: Box, edge_px: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    y0, x0 = max(0, box.y0 - edge_px), max(0, box.x0 - edge_px)
    return np.s_[y0 : min(shape[0], box.y1 + edge_px), x0 : min(shape[1], box.x1 + edge_px)]


def _seen(
    view: View, labels: NDArray[np.int32], number: int, box: Box, near_px: int, raw_px: int
) -> tuple[float, float]:
    """How much of what sets a blob apart stays when it may be looked for around its place: 0 = it's scene, 1 = all.

    First in the neighbours laid over the frame, then in them as they are, further.  Its surroundings count too: a speck
    that merely looks like another one doesn't fit in there.
    """
    place = _around(box, _SURROUNDINGS_PX + 1, labels.shape)
    patch = view.current[place]
    here = (labels[place] == number).astype(np.uint8)
    counts = cv2.dilate(here, np.ones((2 * _SURROUNDINGS_PX + 1,) * 2, np.uint8)).astype(np.float32)
    # Long hairs are looked for in smaller copies.
    part = max(1, -(-max(patch.shape) // _LARGEST_LOOKED_FOR_PX))
    small, weights = _smaller(patch, part), _smaller(counts, part)
    stands_out = max(
        min(float((((small - _smaller(side[place], part)) ** 2) * weights).sum()) for side in view.laid), 1e-9
    )

    def least(sides: tuple[Grey, Grey], reach: int) -> float:
        around = _around(box, _SURROUNDINGS_PX + 1 + reach, labels.shape)
        found = min(
            float(cv2.matchTemplate(_smaller(side[around], part), small, cv2.TM_SQDIFF, mask=weights).min())
            for side in sides
        )
        return float(np.sqrt(max(0.0, found) / stands_out))

    return least(view.laid, near_px), least(view.sides, raw_px)


def _smaller(values: NDArray[np.float32], part: int) -> NDArray[np.float32]:
    """One of `part` pixels in each direction."""
    if part == 1:
        return values
    height, width = values.shape
    size = max(1, width // part), max(1, height // part)
    return as_float32(cv2.resize(values, size, interpolation=cv2.INTER_AREA))
