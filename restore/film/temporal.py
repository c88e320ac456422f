"""Owns what neighbouring frames say about holes: laid over the frame, each counts by how well it fits around the hole.

Up to four versions of a hole's content come from the nearest two frames, each laid over by two ideas of motion, and one
from each frame beyond (`further`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.evidence import Opinion
from restore.film.flow import Flow, came_from_outside, match, warped
from restore.film.grain import GrainCurve, grain_curve
from restore.film.working import Frame, Holes, as_float32, grain_sigma, grey_of, to_float

_FIT_PX = (9, 25, 61)
"""Sides of the windows in which a version is compared with the frame: the first that has enough known pixels."""
_FIT_FROM = 0.1
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
    """Which frame it is of, as two versions of one have the same grain; None: it is the only one of its frame."""


def version_of(current: Frame, other: Frame, other_holes: Holes, flow: Flow) -> Version:
    """`other`, laid over `current` by `flow`."""
    laid = warped(to_float(other), flow)
    line = match(grey_of(current), grey_of(laid))
    # A warp reads around its pixel: whatever touches a hole is one.
    touched = warped(other_holes.astype(np.float32), flow) > 0.02
    return Version(line(laid), ~touched & ~came_from_outside(flow))


def versions_of(current: Frame, sides: Sequence[tuple[Frame, Holes]], opinions: Sequence[Opinion]) -> list[Version]:
    """Each of the two neighbours (frame, its rough holes) by each opinion about motion."""
    made = []
    for opinion in opinions:
        for side, (frame, holes) in enumerate(sides):
            flow = (opinion.to_first, opinion.to_second)[side]
            made.append(replace(version_of(current, frame, holes, flow), frame=side))
    return made


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
