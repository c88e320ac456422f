"""Owns dirt told by a scanner's infrared channel: dyes let infrared through, dirt and scratches don't.

Everything is a ratio to the local level, in standard deviations of the local noise, so no scanner needs constants of
its own.  What dyes do hold back (the red-absorbing one a little, silver nearly all) is fitted from the picture itself,
as a power of its channels, and divided out first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.holes.align import align
from restore.holes.divide import divide
from restore.holes.found import Blob, Found, Holes, Places, places
from restore.holes.grow import grow
from restore.holes.levels import Plane, top_of
from restore.holes.spots import usual
from restore.image import Image, Pixels
from restore.recipe import FindHoles
from restore.tiling import Box
from restore.traits import Traits

_FLARE = 1.0 / 256.0
"""Share of white that is added before a logarithm is taken: deep shadows are noise, and scatter is about that much."""
_SEED_RATIO = 0.97
"""Infrared over its local level that dirt is darker than, however quiet the channel is."""
_GROW_SHARE = 0.5
_LEAST_GROW_SIGMAS = 2.5
_LEAST_AREA_PX = 2
_SIGMA_FLOOR = 0.002
"""Of the logarithm: a five hundredth of the level."""
_CELLS = 100
"""Along the shorter side; the local level is the median over 5 x 5 cells."""
_LEAST_CELL_PX = 8
_QUIET_PX = 1.0
_QUARTILE_SIGMAS = 3.0
"""What `usual` gives for pure noise, in its standard deviations; it gives more where some of the picture is left."""
_SEES_SLOPE = 0.4
"""Power by which infrared follows the picture: about 0.1 with dyes, or 0.2 if only the colours are display-encoded."""
_SEES_CORRELATION = 0.5
_MAD_TO_SIGMA = 1.4826
_BAND_ROWS = 256
BLUR_ROWS = 8
"""More than the blur of `_QUIET_PX` looks at."""
USUAL_ROWS = 48
"""More than what is usual is looked for in, around a row; a multiple of its cells of 8."""


@dataclass(frozen=True)
class Dirt:
    """What infrared says about a picture."""

    residual: Plane
    """(H, W): logarithm of infrared over what it would be without dirt; below 0 in dirt."""
    sigma: Plane
    """(H, W): its local noise."""
    sees_picture: str | None
    """Why infrared isn't only dirt, if so."""


def find_infrared(page: Image, infrared: Pixels, rule: FindHoles, traits: Traits) -> Found:
    """Dirt on `page` by its infrared image (h, w), of any resolution, in any pixel type.

    Dirt that lets enough light through is divided out of the colours (`Found.divided`); the rest are holes.  The notes
    warn where infrared sees the picture itself, as on silver and on Kodachrome.
    """
    logs = logs_of(page)
    aligned = align(log_of(infrared), lightness_of(logs))
    dirt = _without_dyes(aligned.plane, logs)
    where, scores = _dark_places(dirt, rule.threshold_sigmas)
    notes = aligned.notes if dirt.sees_picture is None else (*aligned.notes, dirt.sees_picture)
    blobs = tuple(
        Blob(box, area, "infrared", score) for box, area, score in zip(where.boxes, where.areas_px, scores, strict=True)
    )
    if dirt.sees_picture is not None:  # part of the picture would be divided out with the dirt
        grown = grow(page, where, blobs, rule.grow_px, traits.wraps)
        nothing = np.zeros_like(grown.holes)
        return Found(grown.holes, grown.labels, grown.blobs, page, nothing, (), notes)
    parted = divide(page, dirt.residual, where, blobs)
    holes = where.labels > 0
    for box, label in parted.places:
        view = where.labels[box.y0 : box.y1, box.x0 : box.x1]
        holes[box.y0 : box.y1, box.x0 : box.x1] &= view != label
    left = places(holes)
    kept = {(b.box, b.area_px): b.score for b in blobs}
    left_blobs = tuple(
        Blob(box, area, "infrared", kept.get((box, area))) for box, area in zip(left.boxes, left.areas_px, strict=True)
    )
    grown = grow(parted.page, left, left_blobs, rule.grow_px, traits.wraps)
    divided = parted.divided & ~grown.holes
    cores = [
        (box, where.labels[box.y0 : box.y1, box.x0 : box.x1] == label, blob.score)
        for blob, (box, label) in zip(parted.blobs, parted.places, strict=True)
    ]
    return Found(
        grown.holes, grown.labels, grown.blobs, parted.page, divided, divided_blobs(places(divided), cores), notes
    )


Core = tuple[Box, Holes, float | None]
"""A place that was divided out, without its soft rim: its box, which of its pixels, its score."""


def divided_blobs(now: Places, cores: Iterable[Core]) -> tuple[Blob, ...]:
    """The places of what is divided out: soft rims make neighbours one, and holes that grew have taken some away."""
    scores: list[float | None] = [None] * len(now)
    for box, there, score in cores:
        for k in np.unique(now.labels[box.y0 : box.y1, box.x0 : box.x1][there]).tolist():
            if k and score is not None:
                scores[k - 1] = max(score, scores[k - 1] or 0.0)
    return tuple(
        Blob(box, area, "infrared", score) for box, area, score in zip(now.boxes, now.areas_px, scores, strict=True)
    )


def log_of(pixels: Pixels) -> Plane:
    """Logarithm of (H, W) values over white, with a little flare."""
    share = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=6.5e4, neginf=0.0)
    share *= np.float32(1.0 / top_of(pixels))
    return np.asarray(cv2.log(np.maximum(share, np.float32(0.0)) + np.float32(_FLARE)), np.float32)


def logs_of(page: Image) -> NDArray[np.float32]:
    """(C, H, W) of the colour channels."""
    return np.stack([log_of(page.pixels[:, :, channel]) for channel in page.color_channels or (0,)])


def lightness_of(logs: NDArray[np.float32]) -> Plane:
    """(H, W): the picture that infrared is laid onto."""
    plane: Plane = logs.mean(axis=0) if len(logs) > 1 else logs[0]
    return plane


@dataclass(frozen=True)
class Clean:
    """What infrared would be without dirt, told from cells of the whole picture."""

    cell: int
    """Side of a cell, in pixels."""
    weights: NDArray[np.float64]
    """(C,): powers of the picture's channels that explain infrared."""
    level: Plane
    """(rows, columns) of cells: what they leave unexplained, ..."""
    noise: Plane
    """... and its mean deviation."""
    sees_picture: str | None

    def dirt(self, rest: Plane, top: int) -> Dirt:
        """Of some rows, `rest` of which the channels don't explain; `top`, a multiple of 8, is the first."""
        stop, width = top + rest.shape[0], rest.shape[1]
        residual = rest - spread_rows(self.level, self.cell, (top, stop), width)
        sigma = spread_rows(self.noise, self.cell, (top, stop), width)
        sigma *= np.float32(_MAD_TO_SIGMA)
        np.maximum(sigma, np.float32(_SIGMA_FLOOR), out=sigma)
        np.maximum(sigma, usual(np.abs(residual)) / np.float32(_QUARTILE_SIGMAS), out=sigma)
        return Dirt(residual, sigma, self.sees_picture)


def _without_dyes(infrared: Plane, logs: NDArray[np.float32]) -> Dirt:
    """Infrared less what the picture's channels explain of it, less the local level of what is left."""
    cell = cell_px(*infrared.shape)
    coarse, coarse_logs = cell_medians(infrared, cell), np.stack([cell_medians(one, cell) for one in logs])
    weights = fit(coarse, coarse_logs)
    rest = unexplained(infrared, logs, weights)
    level = smooth(cell_medians(rest, cell))
    noise = smooth(cell_medians(np.abs(rest - spread_rows(level, cell, (0, rest.shape[0]), rest.shape[1])), cell))
    return Clean(cell, weights, level, noise, sees_the_picture(coarse, coarse_logs, weights)).dirt(rest, 0)


def cell_px(height: int, width: int) -> int:
    """Side of the cells in a picture of that size."""
    return max(_LEAST_CELL_PX, min(height, width) // _CELLS)


def unexplained(infrared: Plane, logs: NDArray[np.float32], weights: NDArray[np.float64]) -> Plane:
    """Infrared less what the channels explain of it; as far as `BLUR_ROWS` around have a say."""
    rest = infrared.copy()
    for weight, channel in zip(weights, logs, strict=True):
        rest -= np.float32(weight) * cv2.GaussianBlur(channel, (0, 0), _QUIET_PX)  # not the channel's own noise
    return rest


def fit(infrared: Plane, logs: NDArray[np.float32]) -> NDArray[np.float64]:
    """(C,): powers of the channels that explain infrared best, over cells (rows, columns), dirty ones left out."""
    unknowns = np.concatenate([logs.reshape(len(logs), -1), np.ones((1, infrared.size), np.float32)]).T.astype(float)
    wanted = infrared.reshape(-1).astype(float)
    good = np.ones(len(wanted), np.bool_)
    weights = np.zeros(unknowns.shape[1])
    damping = 1e-3 * len(wanted) * np.diag([1.0] * len(logs) + [0.0])  # grey pictures have three equal channels
    for _ in range(4):
        if np.count_nonzero(good) < 4 * unknowns.shape[1]:
            return np.zeros(len(logs))
        some = unknowns[good]
        weights = np.linalg.solve(some.T @ some + damping + 1e-9 * np.eye(len(weights)), some.T @ wanted[good])
        off = wanted - unknowns @ weights
        spread = _MAD_TO_SIGMA * float(np.median(np.abs(off[good] - np.median(off[good])))) + 1e-6
        good = np.abs(off - np.median(off[good])) <= 2.5 * spread
    result: NDArray[np.float64] = weights[:-1]
    return result


def sees_the_picture(infrared: Plane, logs: NDArray[np.float32], weights: NDArray[np.float64]) -> str | None:
    explained = np.tensordot(weights, logs, axes=1)
    if infrared.size < 64 or float(explained.std()) < 1e-3:
        return None
    correlation = float(np.corrcoef(explained.reshape(-1), infrared.reshape(-1))[0, 1])
    slope = abs(float(weights.sum()))
    if slope < _SEES_SLOPE or correlation < _SEES_CORRELATION:
        return None
    told = f"infrared sees the picture itself here (correlation {correlation:.2f}, power {slope:.2f})"
    return f"{told}, as on silver and Kodachrome film: look at the masks (--save-masks) before you trust them"


def dark(dirt: Dirt, threshold: float) -> tuple[Plane, Holes, Holes]:
    """(score, weak, seeds): by how much each pixel is darker than clean film, which ones may belong to dirt, and which
    ones surely do."""
    score = -dirt.residual / dirt.sigma
    weak = score >= max(_LEAST_GROW_SIGMAS, _GROW_SHARE * threshold)
    weak &= dirt.residual <= np.float32(0.5 * np.log(_SEED_RATIO))
    seeds = weak & (score >= threshold) & (dirt.residual <= np.float32(np.log(_SEED_RATIO)))
    return score, weak, seeds


def seeded(candidates: Places, seeds: Holes) -> Holes:
    """The places that hold a seed, and more than a pixel."""
    chosen = np.zeros(len(candidates) + 1, np.bool_)
    chosen[candidates.labels[seeds]] = True
    chosen[1:] &= np.array(candidates.areas_px, np.int64) >= _LEAST_AREA_PX
    chosen[0] = False
    holes: Holes = chosen[candidates.labels]
    return holes


def best_scores(where: Places, score: Plane) -> list[float]:
    """The largest score in each place."""
    best = np.zeros(len(where) + 1, np.float32)
    there = where.labels > 0
    np.maximum.at(best, where.labels[there], score[there])
    return [float(value) for value in best[1:]]


def _dark_places(dirt: Dirt, threshold: float) -> tuple[Places, list[float]]:
    """Connected places that hold a seed, and their largest score each."""
    score, weak, seeds = dark(dirt, threshold)
    where = places(seeded(places(weak), seeds))
    return where, best_scores(where, score)


def cell_medians(plane: Plane, cell: int) -> Plane:
    """Medians of cells; those at the far edges may be made of mirrored pixels."""
    down, across = -plane.shape[0] % cell, -plane.shape[1] % cell
    padded = np.pad(plane, ((0, down), (0, across)), mode="symmetric" if min(plane.shape) > cell else "edge")
    step = max(1, cell // 12)  # some hundred pixels tell a median well enough
    cells = padded.reshape(padded.shape[0] // cell, cell, padded.shape[1] // cell, cell)[:, ::step, :, ::step]
    flat = cells.transpose(0, 2, 1, 3).reshape(cells.shape[0], cells.shape[2], -1)
    medians: Plane = np.median(flat, axis=2).astype(np.float32)
    return medians


def smooth(cells: Plane) -> Plane:
    """Each cell's median over 5 x 5."""
    return np.asarray(cv2.medianBlur(cells, 5), np.float32)


def spread_rows(cells: Plane, cell: int, rows: tuple[int, int], width: int) -> Plane:
    """Rows (first, after the last) of cells drawn out to pixels, linearly between their middles.

    A row comes out the same whichever others are asked for along with it.
    """
    wide = cv2.resize(cells, (cells.shape[1] * cell, cells.shape[0]), interpolation=cv2.INTER_LINEAR)[:, :width]
    spread = np.empty((rows[1] - rows[0], width), np.float32)
    for start in range(*rows, _BAND_ROWS):
        at = (np.arange(start, min(start + _BAND_ROWS, rows[1])) + 0.5) / cell - 0.5
        below = np.floor(at).astype(np.intp)
        share = (at - below).astype(np.float32)[:, None]
        first, second = (wide[np.clip(row, 0, len(cells) - 1)] for row in (below, below + 1))
        spread[start - rows[0] : start - rows[0] + len(at)] = first + (second - first) * share
    return spread
