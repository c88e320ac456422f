"""Owns the cleaning of one frame and of a shot: window in, frame without dirt and its ledger out.

A frame is judged and filled from a window of two frames on each side, and from nothing else: any cut of a reel into
segments gives the same pixels, and memory holds five frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.alone import ALONE_SIGMAS, alone_candidates
from restore.film.dirt import Candidates, DirtLaw, candidates_of
from restore.film.evidence import (
    Evidence,
    Opinion,
    Rough,
    clean_greys,
    evidence_of,
    neighbours_of,
    opponents_of,
    rough_holes,
)
from restore.film.fill import Filled, Filler, Hole, fill, navier_stokes
from restore.film.further import further_versions
from restore.film.judge import DEFAULT_BAR, Verdicts, calibrated, less_where_it_flashes, log_odds
from restore.film.temporal import Version, versions_of
from restore.film.working import Frame, Holes, grey_of
from restore.trust.ledger import Fill

CONTEXT_FRAMES = 2
"""Frames on each side, within the shot, that a frame's result depends on."""
MAX_FALSE = 2.0
"""False objects a frame that are put up with, unless the user says otherwise."""
SAMPLES = 12


@dataclass(frozen=True)
class CleanLaw:
    """How dirt is found and filled."""

    dirt: DirtLaw = field(default_factory=DirtLaw)
    bar: float = DEFAULT_BAR
    """Log-odds from which a candidate is dirt: `calibrate` finds a shot's own."""
    grain: bool = True
    """Whether fills get the grain that they lack."""


@dataclass(frozen=True)
class Window:
    """Frames of one shot around one of them."""

    frames: Mapping[int, Frame]
    """By their number in the shot, from 0: `at` and up to `CONTEXT_FRAMES` on each side, as far as the shot goes."""
    at: int
    shot_frames: int
    """How many frames the shot has."""
    lost: frozenset[int] = frozenset()
    """Numbers of frames that nobody can have: missing files, damaged ones."""

    def __post_init__(self) -> None:
        first, last = max(0, self.at - CONTEXT_FRAMES), min(self.shot_frames - 1, self.at + CONTEXT_FRAMES)
        missing = set(range(first, last + 1)) - set(self.frames) - self.lost
        if missing:
            raise ValueError(f"frame {self.at} needs frames {sorted(missing)} of its shot, too")


@dataclass(frozen=True)
class Found:
    """What was found in one frame."""

    candidates: Candidates
    odds: NDArray[np.float64]
    """(blobs,): log-odds of each candidate, were there as much dirt as not."""
    kept: NDArray[np.bool_]
    """(blobs,)."""
    opinions: tuple[Opinion, ...]
    sides: tuple[int, ...]
    """Numbers of the frames that can fill."""
    rough: Mapping[int, Holes]
    """Rough holes of those frames."""
    rim_px: int = 1
    """How much wider than what was seen holes are: soft rims, and colours that were mixed with the dirt's."""

    @property
    def holes(self) -> Holes:
        """(H, W): dirt, its rim included."""
        found = self.candidates.holes(self.kept).astype(np.uint8)
        return cv2.dilate(found, np.ones((2 * self.rim_px + 1,) * 2, np.uint8)).view(np.bool_)


Memory = dict[tuple[int, tuple[int, int]], Rough]
"""Rough holes of frames between certain neighbours: what one window found, the next one needn't look for again."""


@dataclass(frozen=True)
class Look:
    """What a window says about its frame before anything is judged."""

    evidence: Evidence
    sides: tuple[int, int]
    rough: Mapping[int, Holes]


def look_at(window: Window, memory: Memory | None = None) -> Look | None:
    """None where the frame hasn't two neighbours."""
    at = window.at
    greys = {number: grey_of(frame) for number, frame in window.frames.items()}
    sides = neighbours_of(at, greys.keys())
    if sides is None:
        return None
    memory = {} if memory is None else memory
    for number in (at, *sides):
        key = number, neighbours_of(number, greys.keys()) or sides
        if key not in memory:
            memory[key] = rough_holes(greys, number)
    looked_at = {number: memory[number, neighbours_of(number, greys.keys()) or sides] for number in (at, *sides)}
    for old in [key for key in memory if key[0] < at - CONTEXT_FRAMES]:
        del memory[old]
    rough = {number: one.holes for number, one in looked_at.items()}
    clean = clean_greys(greys, rough)
    first, second = sides
    colours = [opponents_of(window.frames[number]) for number in (at, *sides) if window.frames[number].shape[2] == 3]
    evidence = evidence_of(
        greys[at],
        (greys[first], greys[second]),
        (clean[at], clean[first], clean[second]),
        looked_at[at].opinion,
        rough=(looked_at[first], looked_at[second]),
        colours=colours,
        one_sided=not first < at < second,
    )
    return Look(evidence, sides, rough)


def find(window: Window, law: CleanLaw, memory: Memory | None = None) -> Found:
    """Dirt in the window's frame.  Shots of one or two frames are judged without neighbours, and strictly.

    With the same `memory` (empty at first) for all windows of a shot, in order, less is computed twice.
    """
    look = look_at(window, memory)
    if look is None:
        alone = alone_candidates(grey_of(window.frames[window.at]), law.dirt)
        return Found(alone, alone.scores - ALONE_SIGMAS, alone.scores > ALONE_SIGMAS, (), (), {})
    candidates = candidates_of(look.evidence, law.dirt)
    odds = log_odds(candidates.facts, one_sided=look.evidence.one_sided)
    odds = less_where_it_flashes(odds, candidates.flashing, float(look.evidence.flashing.mean()))
    return Found(candidates, odds, odds > law.bar, look.evidence.opinions, look.sides, look.rough)


def repair(
    window: Window, found: Found, law: CleanLaw, filler: Filler = navier_stokes, filled_by: Fill = Fill.NAVIER_STOKES
) -> Filled:
    """The window's frame without the dirt that was found; `filler` (which the ledger calls `filled_by`) serves what the
    neighbours can't.  Pixels outside the repairs are the frame's own."""
    labels, blobs = _blobs(found)
    versions = laid_over(window, labels > 0, found.sides, found.rough, found.opinions, {}) if blobs else []
    return fill(window.frames[window.at], labels, blobs, versions, filler, filled_by, window.at, grain=law.grain)


def laid_over(
    window: Window,
    holes: Holes,
    sides: tuple[int, ...],
    rough: Mapping[int, Holes],
    opinions: Sequence[Opinion],
    others: Mapping[int, Holes],
) -> list[Version]:
    """What the window's other frames show of the holes (H, W) in its own, laid over it; of the two `sides` more."""
    if not opinions:
        return []
    current, at = window.frames[window.at], window.at
    none = np.zeros(holes.shape, np.bool_)
    near = [(window.frames[number], rough[number] | others.get(number, none)) for number in sides]
    versions = versions_of(current, near, opinions)
    further = []
    for number in sorted(window.frames.keys() - {at, *sides}):
        side = min(range(2), key=lambda i: abs(number - sides[i]))
        flow = (opinions[0].to_first, opinions[0].to_second)[side] * np.float32((number - at) / (sides[side] - at))
        further.append((window.frames[number], others.get(number, none), flow))
    return versions + further_versions(current, holes, (versions[0], versions[1]), further)


def repair_holes(
    window: Window,
    holes: Holes,
    law: CleanLaw,
    filler: Filler = navier_stokes,
    filled_by: Fill = Fill.NAVIER_STOKES,
    kind: str = "mask",
    others: Mapping[int, Holes] = MappingProxyType({}),
    memory: Memory | None = None,
) -> Filled:
    """The window's frame with holes (H, W) filled that somebody else found: a person, infrared, scratches.

    `others` are holes of the neighbours, by frame, that nothing is to be copied from: a scratch is in all of them.
    """
    current = window.frames[window.at]
    if not holes.any():
        return Filled(current, ())
    count, found = cv2.connectedComponents(holes.astype(np.uint8))
    labels, blobs = np.asarray(found, np.int32), [Hole(kind)] * (count - 1)
    look = look_at(window, memory)
    versions = []
    if look is not None:
        versions = laid_over(window, holes, look.sides, look.rough, look.evidence.opinions, others)
    return fill(current, labels, blobs, versions, filler, filled_by, window.at, grain=law.grain)


def _blobs(found: Found) -> tuple[NDArray[np.int32], list[Hole]]:
    """Kept candidates with their soft rims, those that now touch as one, in the order of their first pixels."""
    count, labels = cv2.connectedComponents(found.holes.astype(np.uint8))
    candidates = found.candidates
    scores = np.zeros(count)
    areas = np.zeros(count)
    thin = np.zeros(count, np.bool_)
    for number in np.nonzero(found.kept)[0]:
        box = candidates.boxes[number]
        place = np.s_[box.y0 : box.y1, box.x0 : box.x1]
        into = labels[place][candidates.labels[place] == number + 1][0]
        scores[into] = max(scores[into], candidates.scores[number])
        if candidates.areas_px[number] > areas[into]:
            areas[into], thin[into] = candidates.areas_px[number], candidates.thin[number]
    return np.asarray(labels, np.int32), [
        Hole("hair" if thin[number] else "dust", float(scores[number])) for number in range(1, count)
    ]


def windows(frames: Iterable[Frame], shot_frames: int, first: int = 0) -> Iterator[Window]:
    """Windows of a shot, or of a stretch of it that starts at its frame `first`: one for each frame whose context is
    there, so a stretch that isn't cut off by the shot's ends gives none for its outer `CONTEXT_FRAMES`."""
    held: dict[int, Frame] = {}
    at = first if first == 0 else first + CONTEXT_FRAMES
    for number, frame in enumerate(frames, first):
        held[number] = frame
        while at < shot_frames and number >= min(at + CONTEXT_FRAMES, shot_frames - 1):
            yield Window({n: f for n, f in held.items() if abs(n - at) <= CONTEXT_FRAMES}, at, shot_frames)
            at += 1
            held.pop(at - CONTEXT_FRAMES - 1, None)


def sampled(shot_frames: int, most: int = SAMPLES) -> list[int]:
    """Which frames of a shot to look at before the rest, evenly spread."""
    count = min(most, shot_frames)
    return sorted({int((i + 0.5) * shot_frames / count) for i in range(count)})


def calibrate(samples: Iterable[Window], law: CleanLaw, max_false: float = MAX_FALSE) -> tuple[CleanLaw, Verdicts]:
    """`law` with the bar for a shot, from some of its frames, and what was found out about it."""
    verdicts = calibrated([find(window, law).odds for window in samples], max_false)
    return replace(law, bar=verdicts.bar), verdicts


def clean_shot(
    frames: Iterable[Frame],
    shot_frames: int,
    law: CleanLaw,
    filler: Filler = navier_stokes,
    filled_by: Fill = Fill.NAVIER_STOKES,
) -> Iterator[tuple[Filled, Found]]:
    """Each frame of a shot without its dirt, in order; at most five frames are held."""
    memory: Memory = {}
    for window in windows(frames, shot_frames):
        found = find(window, law, memory)
        yield repair(window, found, law, filler, filled_by), found
