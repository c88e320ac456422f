"""Owns finding the scratches that transport leaves: nearly straight lines along the film, faint but very long.

A line that is lost in the noise of each pixel stands out of the sum along it: 4 % deep, it is 0.7 standard deviations
in a pixel and 6 in the sum over some thousand rows.  Eight rows are averaged, the horizontal median is taken away, what
is left is counted in units of the local noise, and summed along every line within 2 degrees of the axis: by the
fast discrete Radon transform (Brady, SIAM J. Comput. 27, 1998), which adds sums over half the rows in pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.holes.levels import Plane, lightness
from restore.image import Banded
from restore.recipe import Polarity

_ROWS = 8
"""Rows in one average."""
_SLOPE = 0.035
"""Pixels across for each pixel along: 2 degrees."""
_WIDTHS_PX = (5, 13)
"""Windows of the median, so lines up to 2 and 6 px thick."""
_CLIP_SIGMAS = 3.0
"""One bright thing on the way doesn't make a line."""
_LEAST_SHARE = 0.8
"""Of the averages along a scratch that lie on its side of the median."""
_LEAST_LENGTH = 24
"""Averages; a shorter axis shows no line."""
_SIGMA_FLOOR = 0.25 / 255.0
_NEAR_PX = 129
_APART_PX = 6
_EDGE_PX = 6
"""From the picture's sides: lines there are where the frame, the print or the scan ends."""
_SLACK_PX = 2
"""By which a scratch is marked wider: sums know its place to a pixel, and its rim is soft."""
_MOST = 24
"""More parallel lines than that are something striped."""
_MAD_TO_SIGMA = 1.4826
_BAND = 32
"""Averages that are worked on at once."""


@dataclass(frozen=True)
class Scratch:
    """A line from the first row to the last: its centre at both, its thickness."""

    x0: float
    x1: float
    thickness_px: int
    score: float
    """In standard deviations of the sums along other lines nearby."""

    def pixels(self, height: int, width: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of its pixels in a picture of that size."""
        centres = self.x0 + (self.x1 - self.x0) * (np.arange(height) + 0.5) / height
        first = np.rint(centres - 0.5 * (self.thickness_px - 1)).astype(np.intp)
        columns = first[:, None] + np.arange(self.thickness_px)
        rows = np.broadcast_to(np.arange(height)[:, None], columns.shape)
        inside = (columns >= 0) & (columns < width)
        return rows[inside], columns[inside]


def row_means(picture: Banded) -> Plane:
    """(H // 8, W): lightness, averaged over `_ROWS` rows each."""
    count, width = picture.height // _ROWS, picture.width
    means = np.empty((count, width), np.float32)
    for first in range(0, count, _BAND):
        last = min(count, first + _BAND)
        band = lightness(picture.rows(first * _ROWS, last * _ROWS))
        means[first:last] = band.reshape(last - first, _ROWS, width).mean(axis=1)
    return means


def find_scratches(means: Plane, *, threshold_sigmas: float, polarity: Polarity) -> tuple[Scratch, ...]:
    """Scratches that run from a picture's top to its bottom, from its `row_means`.

    Across the picture nothing is searched: on photographs, what runs there from side to side is mostly the horizon.
    """
    if means.shape[0] < _LEAST_LENGTH or means.shape[1] < 2 * _NEAR_PX:
        return ()
    found: list[Scratch] = []
    for window in _WIDTHS_PX:
        across = _standing_out(means, window)
        for mirrored in (False, True):
            look = np.ascontiguousarray(across[:, ::-1]) if mirrored else across
            sums = sheared_sums(look)
            score = sums / _spread(sums)
            for sign in _signs(polarity):
                for slope, x in _peaks(sign * score, threshold_sigmas):
                    scratch = _checked(sign * look, x, slope, float(sign * score[slope, x]), window)
                    if scratch is not None:
                        found.append(_mirrored(scratch, means.shape[1]) if mirrored else scratch)
    strongest = _strongest(found)
    return strongest if len(strongest) <= _MOST else ()


def sheared_sums(rows: Plane) -> Plane:
    """(slopes, W): the sum of (N, W) `rows` along each line that starts at column x and ends `slope` columns further
    right, for slopes up to `_SLOPE` of the height that the rows stand for; outside is 0."""
    count, width = rows.shape
    length = 1 << (count - 1).bit_length()
    steepest = _SLOPE * _ROWS
    blocks = np.zeros((length, 1, width + int(steepest * length) + 2), np.float32)
    blocks[:count, 0, :width] = rows
    size = 1
    while size < length:
        size *= 2
        slopes = np.arange(int(steepest * size) + 1)
        merged = blocks[0::2][:, slopes // 2].copy()
        below = blocks[1::2]
        for slope in slopes:
            shift = (slope + 1) // 2
            merged[:, slope, : merged.shape[2] - shift] += below[:, slope // 2, shift:]
        blocks = merged
    result: Plane = blocks[0, :, :width]
    return result


def _standing_out(means: Plane, window: int) -> Plane:
    """What each average exceeds the median of its row's neighbours by, in units of the local noise, clipped."""
    padded = np.pad(means, ((0, 0), (window // 2, window // 2)), mode="edge")
    above = np.empty_like(means)
    for first in range(0, means.shape[0], _BAND):  # a median makes a copy, `window` times as large
        windows = np.lib.stride_tricks.sliding_window_view(padded[first : first + _BAND], window, axis=1)
        above[first : first + _BAND] = means[first : first + _BAND] - np.median(windows, axis=2)
    del padded
    sigma = np.asarray(cv2.blur(np.abs(above), (_NEAR_PX, 9), borderType=cv2.BORDER_REFLECT), np.float32)
    sigma *= np.float32(1.25)
    np.maximum(sigma, np.float32(_SIGMA_FLOOR), out=sigma)
    above /= sigma
    np.clip(above, -_CLIP_SIGMAS, _CLIP_SIGMAS, out=above)
    return above


def _spread(sums: Plane) -> Plane:
    """(slopes, W): standard deviation, told robustly, of the sums nearby: over all slopes, or, if more, over lines that
    are parallel (a picture's own stripes)."""
    slopes, width = sums.shape
    deviation = np.abs(sums)
    padded = np.pad(deviation, ((0, 0), (0, -width % _NEAR_PX)), mode="reflect")
    cells = np.median(padded.reshape(slopes, -1, _NEAR_PX), axis=2)
    cells = np.maximum(cells, np.median(cells, axis=0))
    near = np.pad(cells, ((0, 0), (1, 1)), mode="edge")
    usual = np.maximum(np.maximum(near[:, :-2], near[:, 2:]), near[:, 1:-1])
    whole = cv2.resize(usual.astype(np.float32), (padded.shape[1], slopes), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.maximum(np.float32(_MAD_TO_SIGMA) * whole[:, :width], 1.0), np.float32)


def _signs(polarity: Polarity) -> tuple[float, ...]:
    return {Polarity.LIGHT: (1.0,), Polarity.DARK: (-1.0,), Polarity.BOTH: (1.0, -1.0)}[polarity]


def _peaks(score: Plane, threshold: float) -> list[tuple[int, int]]:
    """(slope, x) of the largest scores, each the largest within some columns of its own."""
    best = score.max(axis=0)
    peaks: list[tuple[int, int]] = []
    for x in np.argsort(best)[::-1].tolist():
        if best[x] < threshold or len(peaks) >= 64:
            break
        if all(abs(x - other) > _APART_PX for _, other in peaks):
            peaks.append((int(score[:, x].argmax()), x))
    return peaks


def _checked(rows: Plane, x: int, slope: int, score: float, window: int) -> Scratch | None:
    """The scratch if it goes on all the way, with the thickness that its mean profile has."""
    count, width = rows.shape
    length = 1 << (count - 1).bit_length()
    centres = x + np.rint(slope * (np.arange(count) + 0.5) / length).astype(np.intp)
    reach = window // 2
    around = centres[:, None] + np.arange(-reach, reach + 1)
    if around.min() < _EDGE_PX or around.max() >= width - _EDGE_PX:
        return None
    samples = rows[np.arange(count)[:, None], around]
    profile = samples.mean(axis=0)
    middle = int(profile.argmax())
    if float((samples[:, middle] > 0.0).mean()) < _LEAST_SHARE:
        return None
    wide = profile >= 0.4 * profile[middle]
    left, right = middle, middle
    while left > 0 and wide[left - 1]:
        left -= 1
    while right < len(wide) - 1 and wide[right + 1]:
        right += 1
    offset = 0.5 * (left + right) - reach
    drift = slope * count / length
    return Scratch(x + offset, x + offset + drift, right - left + 1 + _SLACK_PX, score)


def _mirrored(scratch: Scratch, width: int) -> Scratch:
    return Scratch(width - 1 - scratch.x0, width - 1 - scratch.x1, scratch.thickness_px, scratch.score)


def _strongest(found: list[Scratch]) -> tuple[Scratch, ...]:
    """One of those that lie on each other."""
    kept: list[Scratch] = []
    for scratch in sorted(found, key=lambda s: -s.score):
        middle = 0.5 * (scratch.x0 + scratch.x1)
        if all(abs(middle - 0.5 * (k.x0 + k.x1)) > _APART_PX for k in kept):
            kept.append(scratch)
    return tuple(kept)
