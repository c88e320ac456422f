"""Owns the evidence that a pixel is single-frame dirt: how far it stands out from both neighbours laid over its frame.

It is SDIp (Kokaram, "Motion Picture Restoration", 1998): the smaller of the two differences, where both have one sign.
Four things make it strict without making it blind:

* Two opinions about motion, and the milder one counts: flow from this frame, and flow between the neighbours alone.
  Dirt stands out in both; most occlusions in one.
* It is damped where the neighbours disagree with each other (as Schallauer, Fassold et al. do), counted beyond what
  grain makes of it, and where they have edges: half a pixel of wrong flow is worth a large difference there.
* It is slightly blurred: specks are larger than grain.
* Grey is one view of a frame, two differences of its colours are others, each in sigmas of its own grain: dark dirt on
  a saturated colour and specks of a dye layer hardly change grey.  The flow is grey's.

All of it is in sigmas of what compensated frames differ by, so 8 bits, 16 bits and every stock have the same scale.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.flow import Flow, came_from_outside, flow_between, match, shared_motion, warped, without_holes
from restore.film.working import Frame, Grey, Holes, as_float32, to_float

LEAST_SIGMA = 1 / 255
"""Differences below an 8-bit step are rounding and compression."""
_BLUR_PX = 0.5
_DISAGREE_PX = 7
_EDGE = 0.2
"""A local contrast of 1 sigma in the neighbours counts like this many sigmas of disagreement."""
_ROUGH_SIGMAS = 4.0
_ROUGH_GROW_PX = 2
_COLOUR_COUNTS = 0.92
"""Three views of a pixel are three chances for noise: 3.5 sigmas of one are as rare as 3.8 of any of three."""
_OPPONENTS = np.array([[1, 0, -1], [-0.5, 1, -0.5]], np.float32)
_ONE_WITNESS = 0.5
_AROUND = 0.05
"""How far around a pixel candidates of the neighbours count as recurring, of the height."""
_AROUND_LEAST_PX = 24
"""Specks of a few pixels are large in small frames, and two of them no region."""
_MARK_SIGMAS = 4.0
_OFTEN = 3.0
_CHANCE = 0.14
"""Twice the deviation of the share of marked pixels around is this much of its root, where specks of 1 % of the height
come by chance."""
FEW = 0.003
"""Share of pixels around that says nothing yet."""

Colours = NDArray[np.float32]
"""(H, W, 2): the differences of a frame's colours, R - B and G - (R + B) / 2."""


@dataclass(frozen=True)
class Opinion:
    """The two neighbours laid over a frame by one idea of motion, at its brightness."""

    first: Grey
    second: Grey
    to_first: Flow
    to_second: Flow
    gains: tuple[float, float]
    """What the neighbours' brightness was multiplied by."""


@dataclass(frozen=True)
class Rough:
    """What the neighbours' flow alone says about a frame."""

    holes: Holes
    """(H, W): a generous guess at its dirt."""
    marks: Holes
    """(H, W): a strict one, where the neighbours agree."""
    opinion: Opinion


@dataclass(frozen=True)
class View:
    """What a frame and its neighbours look like in one respect: in grey, or in a difference of colours."""

    current: Grey
    laid: tuple[Grey, Grey]
    """The neighbours by this frame's own flow."""
    sides: tuple[Grey, Grey]
    """The neighbours as they are."""
    sigma: float
    """What compensated neighbours differ by where nothing is wrong, in the frame's unit."""
    spike: NDArray[np.float32]
    """(H, W), >= 0, in sigmas, undamped."""
    score: NDArray[np.float32]
    """(H, W), >= 0, in sigmas, damped."""
    apart: tuple[NDArray[np.float32], NDArray[np.float32]]
    """(H, W) each: what the neighbours differ by around a pixel, in sigmas: by the own flow, by the neighbours'."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for dirt in one frame, in sigmas."""

    spike: NDArray[np.float32]
    """(H, W), undamped, in the view that shows most; its sign is grey's: + is lighter than the neighbours."""
    score: NDArray[np.float32]
    """(H, W), >= 0, damped: seeds are taken from it."""
    views: tuple[View, ...]
    """Grey first."""
    opinions: tuple[Opinion, Opinion]
    """From this frame's own flow, and from the neighbours' flow."""
    recurring: NDArray[np.float32]
    """(H, W): share of pixels around that are rough holes in the neighbours."""
    flashing: Holes
    """(H, W): around here the neighbours have marks several times as often as elsewhere, beyond chance.  Dirt is
    random, so what stands out in a region of all frames is scene: sparkling water, lights, leaves."""
    one_sided: bool
    """Both neighbours lie on the same side: what comes into sight, or goes out of it, looks like dirt."""


def neighbours_of(frame: int, there: Collection[int]) -> tuple[int, int] | None:
    """The two frames, of one shot and of those that are `there`, that judge `frame`: one on each side of it, or the two
    nearest where it is the first or last.  None: there aren't two."""
    before = max((number for number in there if number < frame), default=None)
    after = min((number for number in there if number > frame), default=None)
    if before is not None and after is not None:
        return before, after
    others = sorted((abs(number - frame), number) for number in there if number != frame)[:2]
    if len(others) < 2:
        return None
    first, second = sorted(number for _, number in others)
    return first, second


def rough_holes(greys: Mapping[int, Grey], frame: int) -> Rough:
    """A first guess at a frame's dirt, from its neighbours' flow alone.

    Its holes only keep dirt out of flow and out of what is copied, so what they wrongly hold for dirt costs little.
    """
    current, sides = greys[frame], neighbours_of(frame, greys.keys())
    if sides is None:
        raise ValueError(f"frame {frame} has no two neighbours")
    a, b = (greys[side] for side in sides)
    opinion = _opinion(current, a, b, *shared_motion(a, b, sides[0] - frame, sides[1] - frame))
    laid = opinion.first, opinion.second
    view = _view(current, (a, b), (laid, laid))
    box = np.ones((2 * _ROUGH_GROW_PX + 1,) * 2, np.uint8)
    holes, marks = (
        cv2.dilate((values > sigmas).astype(np.uint8), box).view(np.bool_)
        for values, sigmas in ((view.spike, _ROUGH_SIGMAS), (view.score, _MARK_SIGMAS))
    )
    return Rough(holes, marks, opinion)


def evidence_of(
    current: Grey,
    sides: tuple[Grey, Grey],
    clean: tuple[Grey, Grey, Grey],
    shared: Opinion,
    *,
    rough: tuple[Rough, Rough],
    colours: Sequence[Colours] = (),
    one_sided: bool = False,
) -> Evidence:
    """Evidence in `current` between its neighbours `sides`; `clean` are the three with rough holes filled.

    `shared` is the opinion that `rough_holes` gave for this frame, `rough` what it gave for the neighbours, and
    `colours` are those of the three (none: the film is grey).
    """
    flows = [flow_between(clean[0], side) for side in clean[1:]]
    own = _opinion(current, clean[1], clean[2], *flows)
    opinions = own, shared
    laid = [(opinion.first, opinion.second) for opinion in opinions]
    views = [_view(current, sides, laid)]
    if any(plane.any() for plane in colours):
        views += _colour_views(colours, opinions)
    spike, score = views[0].spike, views[0].score
    for view in views[1:]:
        spike = np.maximum(spike, np.float32(_COLOUR_COUNTS) * view.spike)
        score = np.maximum(score, np.float32(_COLOUR_COUNTS) * view.score)
    # What lies beyond a neighbour's border isn't known to it: one witness is left, or at a shot's ends none.
    known = ~(came_from_outside(flows[0]) | came_from_outside(flows[1]))
    if one_sided:
        spike, score = spike * known, score * known
    else:
        score = np.where(known, score, np.float32(_ONE_WITNESS) * score)
    lighter = as_float32(np.copysign(spike, 2 * current - own.first - own.second))
    recurring = _share_around(rough[0].holes, rough[1].holes)
    flashing = _flashing(_share_around(rough[0].marks, rough[1].marks))
    return Evidence(lighter, as_float32(score), tuple(views), opinions, recurring, flashing, one_sided)


def opponents_of(frame: Frame) -> Colours:
    """The differences of the colours of a frame (H, W, 3)."""
    return as_float32(cv2.transform(to_float(frame), _OPPONENTS))


def _view(current: Grey, sides: tuple[Grey, Grey], laid: Sequence[tuple[Grey, Grey]]) -> View:
    """`laid`: the neighbours by the own flow, and by the neighbours' flow."""
    sigma = _sigma(current, laid[0][0])
    a, b = (_spike(current, *pair) for pair in laid)
    spike = np.where(a * b > 0, np.minimum(np.abs(a), np.abs(b)), 0).astype(np.float32) / np.float32(sigma)
    apart = [as_float32(cv2.blur(np.abs(x - y), (_DISAGREE_PX,) * 2)) / np.float32(sigma) for x, y in laid]
    beyond = np.maximum(0, np.minimum(*apart) - np.float32(np.median(apart[0][::2, ::2])))
    damping = 1 + beyond + np.float32(_EDGE / sigma) * _contrast(as_float32((laid[0][0] + laid[0][1]) / 2))
    return View(current, laid[0], sides, sigma, spike, as_float32(spike / damping), (apart[0], apart[1]))


def _colour_views(colours: Sequence[Colours], opinions: tuple[Opinion, Opinion]) -> list[View]:
    """Both differences of colours; they follow a flicker's gain, and its offset leaves them alone."""
    laid = [
        [
            cv2.split(warped(side, flow) * np.float32(gain))
            for side, flow, gain in zip(colours[1:], (opinion.to_first, opinion.to_second), opinion.gains, strict=True)
        ]
        for opinion in opinions
    ]
    current, *sides = (cv2.split(plane) for plane in colours)
    return [
        _view(
            as_float32(current[c]),
            (as_float32(sides[0][c]), as_float32(sides[1][c])),
            [(as_float32(a[c]), as_float32(b[c])) for a, b in laid],
        )
        for c in range(2)
    ]


def _share_around(first: Holes, second: Holes) -> NDArray[np.float32]:
    side = 2 * max(_AROUND_LEAST_PX, round(_AROUND * first.shape[0])) + 1
    return as_float32(cv2.blur(first.astype(np.float32) + second, (side, side))) * np.float32(0.5)


def _flashing(marked: NDArray[np.float32]) -> Holes:
    """Where the share of marked pixels around (H, W) is larger than what most of the frame has."""
    usual = float(np.quantile(marked[::8, ::8], 0.25))
    often: Holes = marked - np.float32(_CHANCE) * np.sqrt(marked) > _OFTEN * (usual + FEW)
    return often


def _spike(current: Grey, first: Grey, second: Grey) -> NDArray[np.float32]:
    """(H, W), signed: how far `current` stands out from both; 0 where they lie on either side of it."""
    a, b = (cv2.GaussianBlur(current - side, (0, 0), _BLUR_PX) for side in (first, second))
    smaller = np.minimum(np.abs(a), np.abs(b))
    return np.where(a * b > 0, np.copysign(smaller, a), 0).astype(np.float32)


def clean_greys(greys: Mapping[int, Grey], holes: Mapping[int, Holes]) -> dict[int, Grey]:
    """Each frame with its rough holes filled from their rims."""
    return {number: without_holes(greys[number], holes[number]) for number in holes}


def _opinion(current: Grey, a: Grey, b: Grey, to_a: Flow, to_b: Flow) -> Opinion:
    laid = [warped(side, flow) for side, flow in ((a, to_a), (b, to_b))]
    lines = [match(current, side) for side in laid]
    first, second = (line(side) for line, side in zip(lines, laid, strict=True))
    return Opinion(first, second, to_a, to_b, (lines[0].gain, lines[1].gain))


def _sigma(current: Grey, laid: Grey) -> float:
    off = np.abs(current[::2, ::2] - laid[::2, ::2])
    return max(LEAST_SIGMA, 1.4826 * float(np.median(off)))


def _contrast(grey: Grey) -> NDArray[np.float32]:
    """Half the local range: how much a pixel of wrong flow can be worth."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 0.7)
    box = np.ones((3, 3), np.uint8)
    return as_float32((cv2.dilate(smooth, box) - cv2.erode(smooth, box)) / 2)
