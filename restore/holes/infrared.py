"""Owns dirt told by a scanner's infrared channel: dyes let infrared through, dirt and scratches don't.

Everything is a ratio to the local level, in standard deviations of the local noise, so no scanner needs constants of
its own.  What dyes do hold back (the red-absorbing one a little, silver nearly all) is fitted from the picture itself,
as a power of its channels, and divided out first.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.holes.align import align
from restore.holes.divide import Divided, divide
from restore.holes.found import Blob, Found, Holes, Places, places
from restore.holes.grow import grow
from restore.holes.levels import Plane, top_of
from restore.holes.spots import usual
from restore.image import Image, Pixels
from restore.recipe import FindHoles
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
    logs = _logs(page)
    aligned = align(_log(infrared), logs.mean(axis=0) if len(logs) > 1 else logs[0])
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
    return Found(
        grown.holes, grown.labels, grown.blobs, parted.page, divided, _divided_blobs(divided, parted, where), notes
    )


def _divided_blobs(divided: Holes, parted: Divided, where: Places) -> tuple[Blob, ...]:
    """The places of `divided`: soft rims make neighbours one, and holes that grew have taken some away."""
    now = places(divided)
    scores: list[float | None] = [None] * len(now)
    for blob, (box, label) in zip(parted.blobs, parted.places, strict=True):
        there = where.labels[box.y0 : box.y1, box.x0 : box.x1] == label
        for k in np.unique(now.labels[box.y0 : box.y1, box.x0 : box.x1][there]).tolist():
            if k and blob.score is not None:
                scores[k - 1] = max(blob.score, scores[k - 1] or 0.0)
    return tuple(
        Blob(box, area, "infrared", score) for box, area, score in zip(now.boxes, now.areas_px, scores, strict=True)
    )


def _log(pixels: Pixels) -> Plane:
    """Logarithm of (H, W) values over white, with a little flare."""
    share = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=6.5e4, neginf=0.0)
    share *= np.float32(1.0 / top_of(pixels))
    return np.asarray(cv2.log(np.maximum(share, np.float32(0.0)) + np.float32(_FLARE)), np.float32)


def _logs(page: Image) -> NDArray[np.float32]:
    """(C, H, W) of the colour channels."""
    return np.stack([_log(page.pixels[:, :, channel]) for channel in page.color_channels or (0,)])


def _without_dyes(infrared: Plane, logs: NDArray[np.float32]) -> Dirt:
    """Infrared less what the picture's channels explain of it, less the local level of what is left."""
    cell = max(_LEAST_CELL_PX, min(infrared.shape) // _CELLS)
    coarse = _cell_medians(infrared, cell)
    coarse_logs = np.stack([_cell_medians(channel, cell) for channel in logs])
    weights = _fit(coarse, coarse_logs)
    residual = infrared.copy()
    for weight, channel in zip(weights, logs, strict=True):
        residual -= np.float32(weight) * cv2.GaussianBlur(channel, (0, 0), _QUIET_PX)  # not the channel's own noise
    residual -= _spread_out(_smooth(_cell_medians(residual, cell)), residual.shape, cell)
    noise = _smooth(_cell_medians(np.abs(residual), cell))
    sigma = np.maximum(_spread_out(noise, residual.shape, cell) * np.float32(_MAD_TO_SIGMA), np.float32(_SIGMA_FLOOR))
    np.maximum(sigma, usual(np.abs(residual)) / np.float32(_QUARTILE_SIGMAS), out=sigma)
    return Dirt(residual, sigma, _sees_the_picture(coarse, coarse_logs, weights))


def _fit(infrared: Plane, logs: NDArray[np.float32]) -> NDArray[np.float64]:
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


def _sees_the_picture(infrared: Plane, logs: NDArray[np.float32], weights: NDArray[np.float64]) -> str | None:
    explained = np.tensordot(weights, logs, axes=1)
    if infrared.size < 64 or float(explained.std()) < 1e-3:
        return None
    correlation = float(np.corrcoef(explained.reshape(-1), infrared.reshape(-1))[0, 1])
    slope = abs(float(weights.sum()))
    if slope < _SEES_SLOPE or correlation < _SEES_CORRELATION:
        return None
    told = f"infrared sees the picture itself here (correlation {correlation:.2f}, power {slope:.2f})"
    return f"{told}, as on silver and Kodachrome film: look at the masks (--save-masks) before you trust them"


def _dark_places(dirt: Dirt, threshold: float) -> tuple[Places, list[float]]:
    """Connected places that hold a seed, and their largest score each."""
    score = -dirt.residual / dirt.sigma
    weak = score >= max(_LEAST_GROW_SIGMAS, _GROW_SHARE * threshold)
    weak &= dirt.residual <= np.float32(0.5 * np.log(_SEED_RATIO))
    seeds = (score >= threshold) & (dirt.residual <= np.float32(np.log(_SEED_RATIO)))
    count, said, stats, _ = cv2.connectedComponentsWithStats(weak.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    labels = np.asarray(said, np.int32)
    has_seed = np.zeros(count, np.bool_)
    has_seed[labels[seeds & weak]] = True
    has_seed &= stats[:, 4] >= _LEAST_AREA_PX
    has_seed[0] = False
    where = places(has_seed[labels])
    best = np.zeros(len(where) + 1, np.float32)
    there = where.labels > 0
    np.maximum.at(best, where.labels[there], score[there])
    return where, [float(value) for value in best[1:]]


def _cell_medians(plane: Plane, cell: int) -> Plane:
    """Medians of cells; those at the far edges may be made of mirrored pixels."""
    down, across = -plane.shape[0] % cell, -plane.shape[1] % cell
    padded = np.pad(plane, ((0, down), (0, across)), mode="symmetric" if min(plane.shape) > cell else "edge")
    step = max(1, cell // 12)  # some hundred pixels tell a median well enough
    cells = padded.reshape(padded.shape[0] // cell, cell, padded.shape[1] // cell, cell)[:, ::step, :, ::step]
    flat = cells.transpose(0, 2, 1, 3).reshape(cells.shape[0], cells.shape[2], -1)
    medians: Plane = np.median(flat, axis=2).astype(np.float32)
    return medians


def _smooth(cells: Plane) -> Plane:
    return np.asarray(cv2.medianBlur(cells, 5), np.float32)


def _spread_out(cells: Plane, size: tuple[int, ...], cell: int) -> Plane:
    whole = cv2.resize(cells, (cells.shape[1] * cell, cells.shape[0] * cell), interpolation=cv2.INTER_LINEAR)
    return np.asarray(whole[: size[0], : size[1]], np.float32)
