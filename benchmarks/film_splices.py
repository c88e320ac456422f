"""Owns reels spliced from real clips, with the truth about their borders: cuts, fades, dissolves, and flashes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Clip = list[NDArray[np.uint8]]
_SIZE = (320, 180)


@dataclass(frozen=True)
class Splice:
    """A border that a shot detector is to find."""

    kind: str
    """"cut", "fade", "dissolve"."""
    first: int
    last: int
    """A border is found if it is told within these, give or take two frames."""


def stretches(clip: Clip, cuts: list[int]) -> list[list[NDArray[np.float32]]]:
    """A clip without its own cuts, as small pictures 0..1."""
    ends = [0, *cuts, len(clip)]
    small = [cv2.resize(frame, _SIZE, interpolation=cv2.INTER_AREA).astype(np.float32) / 255 for frame in clip]
    return [small[a:b] for a, b in pairwise(ends) if b - a >= 40]


def splice(
    shots: list[list[NDArray[np.float32]]], kinds: list[str], seed: int
) -> tuple[list[NDArray[np.float32]], list[Splice], int]:
    """Frames with a border of each kind between random stretches, what they are, and how many flashes there are.

    Each stretch has 2 % flicker; every third has a flash of one to three frames in it.
    """
    rng = np.random.default_rng(seed)
    frames: list[NDArray[np.float32]] = []
    truth: list[Splice] = []
    flashes, last = 0, -1
    tail = _stretch(shots, rng, last)
    last = tail[1]
    frames += tail[0]
    for number, kind in enumerate(kinds):
        following, last = _stretch(shots, rng, last)
        if number % 3 == 0:
            flashes += 1
            at = int(rng.integers(12, len(following) - 12))
            for i in range(int(rng.integers(1, 4))):
                following[at + i] = np.clip(following[at + i] * 1.5 + rng.uniform(0.2, 0.6), 0, 1).astype(np.float32)
        length = int(rng.integers(6, 14))
        if kind == "cut":
            truth.append(Splice(kind, len(frames), len(frames)))
        elif kind == "fade":
            first = len(frames) - length
            for i in range(length):
                frames[first + i] = frames[first + i] * np.float32(1 - (i + 1) / length)
                following[i] = following[i] * np.float32(i / length)
            truth.append(Splice(kind, first, len(frames) + length))
        else:
            first = len(frames) - length
            for i in range(length):
                share = np.float32((i + 1) / (length + 1))
                frames[first + i] = frames[first + i] * (1 - share) + following[i] * share
            following = following[length:]
            truth.append(Splice(kind, first, first + length))
        frames += following
    return frames, truth, flashes


def _stretch(
    shots: list[list[NDArray[np.float32]]], rng: np.random.Generator, unlike: int
) -> tuple[list[NDArray[np.float32]], int]:
    which = int(rng.integers(len(shots)))
    while which == unlike:
        which = int(rng.integers(len(shots)))
    shot = shots[which]
    length = int(rng.integers(38, min(70, len(shot)) + 1))
    start = int(rng.integers(0, len(shot) - length + 1))
    gains = 1 + 0.02 * rng.standard_normal(length)
    part = [np.clip(f * np.float32(g), 0, 1) for f, g in zip(shot[start : start + length], gains, strict=True)]
    return part, which


def scored(told: list[int], truth: list[Splice], slack: int = 2) -> dict[str, float]:
    """Precision, recall and F1, each told border and each true one used once."""
    left = sorted(told)
    hits: dict[str, int] = {}
    for border in truth:
        for at in left:
            if border.first - slack <= at <= border.last + slack:
                left.remove(at)
                hits[border.kind] = hits.get(border.kind, 0) + 1
                break
    right = sum(hits.values())
    recall, precision = right / len(truth), right / max(1, right + len(left))
    kinds = {border.kind for border in truth}
    each = {f"{kind}_found": hits.get(kind, 0) for kind in sorted(kinds)}
    of = {f"{kind}_planted": sum(border.kind == kind for border in truth) for kind in sorted(kinds)}
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(1e-9, precision + recall),
        **each,
        **of,
        "false": len(left),
    }
