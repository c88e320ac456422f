"""Owns the evidence that a pixel is single-frame dirt: how far it stands out from both neighbours laid over its frame.

It is SDIp (Kokaram, "Motion Picture Restoration", 1998): the smaller of the two differences, where both have one sign.
Three things make it strict without making it blind:

* Two opinions about motion, and the milder one counts: flow from this frame, and flow between the neighbours alone.
  Dirt stands out in both; most occlusions in one.
* It is damped where the neighbours disagree with each other (as Schallauer, Fassold et al. do), counted beyond what
  grain makes of it, and where they have edges: half a pixel of wrong flow is worth a large difference there.
* It is slightly blurred: specks are larger than grain.

All of it is in sigmas of what compensated frames differ by, so 8 bits, 16 bits and every stock have the same scale.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.flow import Flow, flow_between, match, shared_motion, warped, without_holes
from restore.film.working import Grey, Holes, as_float32

LEAST_SIGMA = 1 / 255
"""Differences below an 8-bit step are rounding and compression."""
_BLUR_PX = 0.5
_DISAGREE_PX = 7
_EDGE = 0.2
"""A local contrast of 1 sigma in the neighbours counts like this many sigmas of disagreement."""
_ROUGH_SIGMAS = 4.0
_ROUGH_GROW_PX = 2


@dataclass(frozen=True)
class Opinion:
    """The two neighbours laid over a frame by one idea of motion, at its brightness."""

    first: Grey
    second: Grey
    to_first: Flow
    to_second: Flow

    def spike(self, current: Grey) -> NDArray[np.float32]:
        """(H, W), signed: how far `current` stands out from both; 0 where they lie on either side of it."""
        a, b = (cv2.GaussianBlur(current - side, (0, 0), _BLUR_PX) for side in (self.first, self.second))
        smaller = np.minimum(np.abs(a), np.abs(b))
        return np.where(a * b > 0, np.copysign(smaller, a), 0).astype(np.float32)

    def disagreement(self) -> NDArray[np.float32]:
        """(H, W): mean difference of the neighbours around each pixel."""
        return as_float32(cv2.blur(np.abs(self.first - self.second), (_DISAGREE_PX, _DISAGREE_PX)))


@dataclass(frozen=True)
class Evidence:
    """What speaks for dirt in one frame, in sigmas."""

    spike: NDArray[np.float32]
    """(H, W), signed, undamped: + is lighter than the neighbours."""
    score: NDArray[np.float32]
    """(H, W), >= 0, damped: seeds are taken from it."""
    sigma: float
    """What compensated neighbours differ by where nothing is wrong, in the frame's unit."""
    opinions: tuple[Opinion, Opinion]
    """From this frame's own flow, and from the neighbours' flow."""
    neighbours: tuple[Grey, Grey]
    """As they are, not laid over."""


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


def rough_holes(greys: Mapping[int, Grey], frame: int) -> tuple[Holes, Opinion]:
    """A first, generous guess at a frame's dirt, from its neighbours' flow alone; and that opinion.

    It only keeps dirt out of flow and out of what is copied, so what it wrongly holds for dirt costs little.
    """
    current, sides = greys[frame], neighbours_of(frame, greys.keys())
    if sides is None:
        raise ValueError(f"frame {frame} has no two neighbours")
    a, b = (greys[side] for side in sides)
    opinion = _opinion(current, a, b, *shared_motion(a, b, sides[0] - frame, sides[1] - frame))
    spike = np.abs(opinion.spike(current))
    found = (spike > _ROUGH_SIGMAS * _sigma(current, opinion)).astype(np.uint8)
    return cv2.dilate(found, np.ones((2 * _ROUGH_GROW_PX + 1,) * 2, np.uint8)).view(np.bool_), opinion


def evidence_of(current: Grey, sides: tuple[Grey, Grey], clean: tuple[Grey, Grey, Grey], shared: Opinion) -> Evidence:
    """Evidence in `current` between its neighbours `sides`; `clean` are the three with rough holes filled.

    `shared` is the opinion that `rough_holes` gave for this frame.
    """
    flows = [flow_between(clean[0], side) for side in clean[1:]]
    own = _opinion(current, clean[1], clean[2], *flows)
    sigma = _sigma(current, own)
    a, b = own.spike(current), shared.spike(current)
    spike = np.where(a * b > 0, np.where(np.abs(a) < np.abs(b), a, b), 0).astype(np.float32) / np.float32(sigma)
    apart = [opinion.disagreement() for opinion in (own, shared)]
    beyond = np.maximum(0, np.minimum(*apart) - np.float32(np.median(apart[0]))) / np.float32(sigma)
    damping = 1 + beyond + np.float32(_EDGE / sigma) * _contrast(as_float32((own.first + own.second) / 2))
    return Evidence(spike, as_float32(np.abs(spike) / damping), sigma, (own, shared), sides)


def clean_greys(greys: Mapping[int, Grey], holes: Mapping[int, Holes]) -> dict[int, Grey]:
    """Each frame with its rough holes filled from their rims."""
    return {number: without_holes(greys[number], holes[number]) for number in holes}


def _opinion(current: Grey, a: Grey, b: Grey, to_a: Flow, to_b: Flow) -> Opinion:
    laid = [warped(side, flow) for side, flow in ((a, to_a), (b, to_b))]
    first, second = (match(current, side)(side) for side in laid)
    return Opinion(first, second, to_a, to_b)


def _sigma(current: Grey, opinion: Opinion) -> float:
    return max(LEAST_SIGMA, 1.4826 * float(np.median(np.abs(current - opinion.first))))


def _contrast(grey: Grey) -> NDArray[np.float32]:
    """Half the local range: how much a pixel of wrong flow can be worth."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 0.7)
    box = np.ones((3, 3), np.uint8)
    return as_float32((cv2.dilate(smooth, box) - cv2.erode(smooth, box)) / 2)
