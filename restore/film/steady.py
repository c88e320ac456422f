"""Owns gate weave: small shifts and turns of whole frames, taken out within a shot while camera moves stay.

Corners are followed from frame to frame (Lucas and Kanade), and most of them agree on one shift and turn (RANSAC):
what moves on its own doesn't count.  Summed up they are the path of the frame; a camera moves smoothly, weave doesn't,
so what differs from the path's local straight line is weave.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.working import Frame, Grey, as_float32, from_float, grey_of, to_8_bit, to_float

Pose = NDArray[np.float64]
"""(3,): shift to the right and down in pixels, turn in radians about the frame's middle."""

_CORNERS = 600
_LEAST_CORNERS = 12
_AGREE_PX = 0.5
_BACK_PX = 0.3
_LARGEST_TURN = 0.05


@dataclass(frozen=True)
class SteadyLaw:
    sigma_frames: float = 16.0
    """Deviation of the window in time within which a camera's move counts as straight."""
    largest: float = 0.006
    """Of the frame's height: more isn't weave.  A camera that starts or stops is held back by no more than that."""

    @property
    def reach_frames(self) -> int:
        """Frames on each side that a result depends on."""
        return int(np.ceil(2.5 * self.sigma_frames))


def step_between(before: Grey, after: Grey) -> Pose:
    """How the picture moved from one frame to the next; zeros where too little can be followed."""
    a, b = to_8_bit(before), to_8_bit(after)
    least_apart = max(4, min(a.shape) // 40)
    corners = cv2.goodFeaturesToTrack(a, _CORNERS, 0.005, least_apart)
    if corners is None or len(corners) < _LEAST_CORNERS:
        return np.zeros(3)
    start = as_float32(corners)
    window = (21, 21)
    moved, there, _ = cv2.calcOpticalFlowPyrLK(a, b, start, start.copy(), winSize=window, maxLevel=4)
    back, there_too, _ = cv2.calcOpticalFlowPyrLK(b, a, moved, as_float32(moved).copy(), winSize=window, maxLevel=4)
    returned = np.linalg.norm(as_float32(back) - start, axis=2).ravel() < _BACK_PX
    kept = (np.asarray(there).ravel() == 1) & (np.asarray(there_too).ravel() == 1) & returned
    if np.count_nonzero(kept) < _LEAST_CORNERS:
        return np.zeros(3)
    middle = np.array([(a.shape[1] - 1) / 2, (a.shape[0] - 1) / 2])
    x, y = start.reshape(-1, 2)[kept] - middle, as_float32(moved).reshape(-1, 2)[kept] - middle
    cv2.setRNGSeed(0)
    fit, inliers = cv2.estimateAffinePartial2D(x, y, method=cv2.RANSAC, ransacReprojThreshold=_AGREE_PX, maxIters=1000)
    if fit is None or np.count_nonzero(inliers) < _LEAST_CORNERS:
        return np.zeros(3)
    fit = np.asarray(fit, np.float64)
    turn = float(np.arctan2(fit[1, 0], fit[0, 0]))
    if abs(turn) > _LARGEST_TURN:
        return np.zeros(3)
    return np.array([fit[0, 2], fit[1, 2], turn])


def weave_of(path: NDArray[np.float64], at: int, law: SteadyLaw) -> Pose:
    """How far the pose `at` lies off the straight line through the poses (frames, 3) around it."""
    first, last = max(0, at - law.reach_frames), min(len(path) - 1, at + law.reach_frames)
    time = np.arange(first, last + 1) - at
    weight = np.exp(-0.5 * (time / law.sigma_frames) ** 2)
    columns = np.stack([np.ones(len(time)), time], axis=1)[:, : 2 if len(time) > 2 else 1]
    root = np.sqrt(weight)[:, None]
    line, *_ = np.linalg.lstsq(columns * root, path[first : last + 1] * root, rcond=None)
    off: Pose = path[at] - line[0]
    return off


def moved_back(frame: Frame, weave: Pose) -> Frame:
    """`frame` without that shift and turn; what comes in at its edges is the picture mirrored there, never black."""
    height, width = frame.shape[:2]
    x, y = (width - 1) / 2, (height - 1) / 2
    c, s = np.cos(weave[2]), np.sin(weave[2])
    # Where a pixel of the result lies in the frame: turned about the middle, then shifted.
    matrix = np.array([[c, -s, x - c * x + s * y + weave[0]], [s, c, y - s * x - c * y + weave[1]]])
    how = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    values = cv2.warpAffine(to_float(frame), matrix, (width, height), flags=how, borderMode=cv2.BORDER_REFLECT_101)
    return from_float(as_float32(values).reshape(frame.shape), frame)


def steady_shot(frames: Iterable[Frame], law: SteadyLaw) -> Iterator[tuple[Frame, Pose]]:
    """Each frame of one shot without weave, in order, and the weave that it had; twice the reach of frames is held."""
    waiting: deque[tuple[int, Frame]] = deque()
    path: list[Pose] = []
    before: Grey | None = None
    reach = law.reach_frames

    def give(number: int, frame: Frame) -> tuple[Frame, Pose]:
        weave = weave_of(np.array(path), number, law)
        shift, limit = float(np.hypot(weave[0], weave[1])), law.largest * frame.shape[0]
        if shift > limit:
            weave = weave * (limit / shift)
        return moved_back(frame, weave), weave

    for number, frame in enumerate(frames):
        grey = grey_of(frame)
        path.append(np.zeros(3) if before is None else path[-1] + step_between(before, grey))
        before = grey
        waiting.append((number, frame))
        if number >= reach:
            yield give(*waiting.popleft())
    while waiting:
        yield give(*waiting.popleft())
