"""Owns flicker: brightness that jumps from frame to frame, evened out within a shot.

Scale-time equalisation (Delon, "Movie and video scale-time equalization", 2006): each frame's brightness curve is its
inverse histogram, the curves of a shot are averaged in time with Gaussian weights, and each frame is mapped onto its
average.  It needs no motion, keeps the order of tones, and can't drift: nothing is compared with a result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restore.film.working import Frame, Holes, as_float32, from_float, to_float

LEVELS = 4096
_POINTS = 1024
"""Ranks at which inverse histograms are kept."""
_EDGE_SHARE = 0.002
"""Ranks closer to the ends hold too few pixels to be sure of: the map goes on there as a straight line."""


@dataclass(frozen=True)
class FlickerLaw:
    sigma_frames: float = 12.0
    """Deviation of the window in time.  Longer takes out slower flicker, and more of changes that are meant."""

    @property
    def reach_frames(self) -> int:
        """Frames on each side that a result depends on."""
        return int(np.ceil(2.5 * self.sigma_frames))


Curve = NDArray[np.float64]
"""(C, _POINTS): the value that a share of a channel's pixels lies below, at evenly spaced ranks."""


def curve_of(frame: Frame, holes: Holes | None = None) -> Curve:
    """A frame's brightness curve, a channel a row; pixels in `holes` (H, W; dirt, borders) don't count."""
    values = to_float(frame)
    values = values[~holes] if holes is not None and not holes.all() else values.reshape(-1, values.shape[2])
    ranks = _EDGE_SHARE + (1 - 2 * _EDGE_SHARE) * np.arange(_POINTS) / (_POINTS - 1)
    rows = []
    for channel in range(values.shape[1]):
        counts, edges = np.histogram(values[:, channel], LEVELS, (-0.05, 1.05))
        share = np.concatenate([[0.0], np.cumsum(counts) / max(1, len(values))])
        filled = np.concatenate([[True], np.diff(share) > 0])
        rows.append(np.interp(ranks, share[filled], edges[filled]))
    return np.stack(rows)


def evened(frame: Frame, own: Curve, target: Curve) -> Frame:
    """`frame` with its curve `own` mapped onto `target`; in the frame's number type."""
    values = to_float(frame)
    result = np.empty_like(values)
    grid = np.linspace(-0.05, 1.05, LEVELS)
    for channel in range(values.shape[2]):
        mapped = _tone_map(own[channel], target[channel], grid)
        place = np.clip((values[..., channel] + 0.05) / 1.1 * (LEVELS - 1), 0, LEVELS - 1)
        low = np.minimum(place.astype(np.int32), LEVELS - 2)
        result[..., channel] = mapped[low] + (mapped[low + 1] - mapped[low]) * (place - low)
    return from_float(as_float32(np.clip(result, 0, 1)), frame)


def _tone_map(own: NDArray[np.float64], target: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each level of `grid` becomes."""
    change = target - own
    rising = np.concatenate([[True], np.diff(own) > 1e-9])
    at, by = own[rising], change[rising]
    if len(at) < 2:
        return grid + float(np.median(change))
    # Beyond the sure ranks, the change stays what it was at them: a few bright pixels can't bend it.
    mapped: NDArray[np.float64] = grid + np.interp(grid, at, by)
    return mapped


def even_shot(frames: Iterable[tuple[Frame, Holes | None]], law: FlickerLaw) -> Iterator[Frame]:
    """Each frame of one shot without flicker, in order.  `frames` come with holes (H, W) that don't count, or None.

    Frames and curves of twice the reach are held, no more.
    """
    reach = law.reach_frames
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / law.sigma_frames) ** 2)
    waiting: deque[tuple[int, Frame]] = deque()
    curves: dict[int, Curve] = {}

    def give(number: int, frame: Frame) -> Frame:
        near = [n for n in range(number - reach, number + reach + 1) if n in curves]
        total = sum(float(weights[n - number + reach]) for n in near)
        target = sum((weights[n - number + reach] / total) * curves[n] for n in near)
        curves.pop(number - reach, None)
        return evened(frame, curves[number], np.asarray(target))

    for number, (frame, holes) in enumerate(frames):
        curves[number] = curve_of(frame, holes)
        waiting.append((number, frame))
        if number >= reach:
            yield give(*waiting.popleft())
    while waiting:
        yield give(*waiting.popleft())
