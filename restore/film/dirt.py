"""Owns single-frame dirt: from evidence to blobs, what each looks like to the judge, and what is vetoed.

Seeds where the score is high, grown with hysteresis to half of that on the undamped spike, but no further than a few
pixels: soft rims come along, and a wrong seed at a moving edge can't flood it.  What a blob is worth then depends on
the blob: its facts go to `judge`, which knows how those of dirt and those of wrong flow differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.evidence import Evidence
from restore.film.working import Grey, Holes, as_float32
from restore.recipe import Polarity
from restore.tiling import Box

LINES = 1080
"""Lengths are given for a frame of so many lines and go with its height."""
_GROW_TO = 0.5
_GROW_PX = 4
_THIN = 0.6
_SEEN_PX = 12
_SEEN_RAW = 0.03
"""How far a blob is looked for in neighbours laid over the frame (pixels), and in those as they are (of the height)."""
_SURROUNDINGS_PX = 2
_LARGEST_LOOKED_FOR_PX = 80


@dataclass(frozen=True)
class DirtLaw:
    """What may be dirt at all."""

    seed_sigmas: float = 3.5
    polarity: Polarity = Polarity.BOTH
    max_size_px: float | None = None
    """Largest diameter of a compact blob (that of a disc of equal area); None: 1 % of the height.  Hairs, which are
    thin, may have twice that."""

    def largest_px(self, height: int) -> float:
        return self.max_size_px if self.max_size_px is not None else max(5.0, 0.01 * height)


FACTS = (
    "peak",
    "contrast",
    "size",
    "thin",
    "apart",
    "apart shared",
    "seen",
    "seen elsewhere",
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
    vetoed: dict[str, int]
    """What was dropped before, and how many: "polarity", "size"."""

    def holes(self, kept: NDArray[np.bool_]) -> Holes:
        """(H, W): the blobs that `kept` (blobs,) says."""
        chosen: Holes = np.concatenate([[False], kept])[self.labels]
        return chosen


def candidates_of(current: Grey, evidence: Evidence, law: DirtLaw) -> Candidates:
    """Blobs in `current` with their facts; nothing is decided yet but what `law` forbids."""
    blobs = blobs_of(grown_from(evidence, law), evidence.spike, evidence.score, law)
    facts = _facts(current, evidence, blobs)
    return replace(blobs, facts=facts)


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
    np.maximum.at(peaks, labels.ravel(), score.ravel())
    areas = stats[order, cv2.CC_STAT_AREA].astype(np.int64)
    boxes = tuple(_box(stats[i]) for i in order)
    nothing = np.zeros((len(order), 0))
    return Candidates(renumbered[labels], boxes, areas, peaks[order], nothing, thin[order], vetoed)


def grown_from(evidence: Evidence, law: DirtLaw) -> NDArray[np.uint8]:
    """(H, W), 1 in blobs: everything over half the threshold that hangs together with a seed and lies near one."""
    seeds = (evidence.score > law.seed_sigmas).astype(np.uint8)
    near = cv2.dilate(seeds, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _GROW_PX + 1,) * 2))
    maybe = ((np.abs(evidence.spike) > _GROW_TO * law.seed_sigmas) & (near > 0)).astype(np.uint8) | seeds
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


def _facts(current: Grey, evidence: Evidence, blobs: Candidates) -> NDArray[np.float64]:
    labels, boxes = blobs.labels, blobs.boxes
    count, height = len(boxes), current.shape[0]

    def mean_of(values: NDArray[np.float32]) -> NDArray[np.float64]:
        sums = np.bincount(labels.ravel(), values.ravel().astype(np.float64), count + 1)
        means: NDArray[np.float64] = sums[1:] / blobs.areas_px
        return means

    def log(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log(np.maximum(values, 1e-2))

    own, shared = (as_float32(cv2.blur(np.abs(o.first - o.second), (5, 5))) / evidence.sigma for o in evidence.opinions)
    laid = (evidence.opinions[0].first, evidence.opinions[0].second)
    raw_px = max(4, round(_SEEN_RAW * height))
    near_px = max(4, round(_SEEN_PX * height / LINES))
    seen = np.zeros((count, 2))
    for number, box in enumerate(boxes, 1):
        seen[number - 1] = _seen(current, labels, number, box, laid, evidence.neighbours, near_px, raw_px)
    size = np.sqrt(blobs.areas_px) / height * 1000
    return np.stack(
        [
            log(blobs.scores),
            log(mean_of(as_float32(np.abs(evidence.spike)))),
            log(size),
            blobs.thin.astype(np.float64),
            log(mean_of(own)),
            log(mean_of(shared)),
            log(seen[:, 0]),
            log(np.minimum(seen[:, 1], 1)),
        ],
        axis=1,
    )


def _seen(
    current: Grey,
    labels: NDArray[np.int32],
    number: int,
    box: Box,
    laid: tuple[Grey, Grey],
    raw: tuple[Grey, Grey],
    near_px: int,
    raw_px: int,
) -> tuple[float, float]:
    """How much of what sets a blob apart stays when it may be looked for around its place: 0 = it's scene, 1 = all.

    First in the neighbours laid over the frame, then in them as they are, further.  Its surroundings count too: a speck
    that merely looks like another one doesn't fit in there.
    """
    edge = _SURROUNDINGS_PX + 1
    height, width = current.shape
    x0, y0, x1, y1 = max(0, box.x0 - edge), max(0, box.y0 - edge), min(width, box.x1 + edge), min(height, box.y1 + edge)
    if max(x1 - x0, y1 - y0) > _LARGEST_LOOKED_FOR_PX:
        return 0.0, 0.0
    here = (labels[y0:y1, x0:x1] == number).astype(np.uint8)
    counts = cv2.dilate(here, np.ones((2 * _SURROUNDINGS_PX + 1,) * 2, np.uint8)).astype(np.float32)
    patch = current[y0:y1, x0:x1]
    stands_out = max(min(float((((patch - side[y0:y1, x0:x1]) ** 2) * counts).sum()) for side in laid), 1e-9)

    def least(sides: tuple[Grey, Grey], reach: int) -> float:
        around = np.s_[max(0, y0 - reach) : min(height, y1 + reach), max(0, x0 - reach) : min(width, x1 + reach)]
        found = min(float(cv2.matchTemplate(side[around], patch, cv2.TM_SQDIFF, mask=counts).min()) for side in sides)
        return float(np.sqrt(max(0.0, found) / stands_out))

    return least(laid, near_px), least(raw, raw_px)
