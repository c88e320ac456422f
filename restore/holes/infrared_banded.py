"""Owns dirt told by infrared in a picture that doesn't fit into memory: what `infrared.py` tells of a whole one.

Levels are told from cells, in three passes over the picture; then it is gone through in bands, first for what is dark,
then for how strongly the picture follows infrared, then to divide out what lets light through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.holes.align import moved_note, moved_rows, shift_of, shrinking, shrunk
from restore.holes.bits import BitPlane
from restore.holes.divide import REACH_PX, clean_pixels, cut_of, is_thin, powers_of, told_by
from restore.holes.found import Blob, Holes, Mark, Places, marks_of
from restore.holes.infrared import (
    BLUR_ROWS,
    USUAL_ROWS,
    Clean,
    Core,
    Dirt,
    best_scores,
    cell_medians,
    cell_px,
    dark,
    divided_blobs,
    fit,
    lightness_of,
    log_of,
    logs_of,
    seeded,
    sees_the_picture,
    smooth,
    spread_rows,
    unexplained,
)
from restore.holes.levels import Plane
from restore.holes.parts import Parted
from restore.image import Banded, Image, Pixels
from restore.tiling import Box

_READ_ROWS = 1024

Infrared = Callable[[int, int], Pixels]
"""(first row, row after the last) -> those rows (h, w) of the infrared image."""


@dataclass(frozen=True)
class Division:
    """One place of thin dirt that is divided out."""

    y0: int
    x0: int
    """Corner of a rectangle."""
    inside: Holes
    """(h, w): which of its pixels."""
    pixels: Pixels
    """(n, C): what they become."""
    core: Core
    """In the picture."""


class Divisions:
    """All that is divided out of a picture, by rows."""

    def __init__(self, every: list[Division], parted: Parted) -> None:
        self._every = every
        self._firsts = np.array([one.y0 for one in every], np.int64)
        self._lasts = np.array([one.y0 + len(one.inside) for one in every], np.int64)
        self.parted = parted
        """Where it is, but for what became a hole after all."""

    def laid(self, page: Image, first: int) -> Image:
        """`page`, which begins at row `first` of the picture, with them."""
        pixels = page.pixels.copy()
        for one in self._within(first, first + page.height):
            low, high = max(one.y0, first), min(one.y0 + len(one.inside), first + page.height)
            mine = one.inside[low - one.y0 : high - one.y0]
            start = int(np.count_nonzero(one.inside[: low - one.y0]))
            window = pixels[low - first : high - first, one.x0 : one.x0 + mine.shape[1]]
            window[mine] = one.pixels[start : start + int(np.count_nonzero(mine))]
        return page.with_pixels(pixels)

    def blobs(self, now: Places, first: int, last: int) -> tuple[Blob, ...]:
        """Of the places in rows `first`..`last`."""
        cores: list[Core] = []
        for one in self._within(first, last):
            box, there, score = one.core
            low, high = max(box.y0, first), min(box.y1, last)
            if low < high:
                part = Box(low - first, box.x0, high - first, box.x1)
                cores.append((part, there[low - box.y0 : high - box.y0], score))
        return divided_blobs(now, cores)

    def _within(self, first: int, last: int) -> Iterator[Division]:
        for i in np.flatnonzero((self._firsts < last) & (self._lasts > first)).tolist():
            yield self._every[i]


@dataclass(frozen=True)
class Searched:
    """Dirt before holes grow."""

    holes: BitPlane
    marks: list[Mark]
    """One for each hole, by rows."""
    divisions: list[Division]
    divided: BitPlane
    notes: tuple[str, ...]


def search_infrared(picture: Banded, infrared: Infrared, threshold_sigmas: float, band_rows: int) -> Searched:
    """Dirt on `picture` by its infrared image of the same size.  Raises ImageError."""
    view = _View(picture, infrared)
    weak, seeds = BitPlane(picture.height, picture.width), BitPlane(picture.height, picture.width)
    for top in range(0, picture.height, _READ_ROWS):
        stop = min(top + _READ_ROWS, picture.height)
        _, dirt = view.dirt(top, stop)
        _, may_be, surely = dark(dirt, threshold_sigmas)
        weak.put(top, may_be)
        seeds.put(top, surely)
    found = BitPlane(picture.height, picture.width)
    candidates = Parted(weak, band_rows)
    for top, stop in candidates.bands:
        first, last = candidates.around(top, stop)
        chosen = seeded(candidates.places(first, last), seeds.rows(first, last))
        found.put(top, chosen[top - first : stop - first])
    return _divided(view, Parted(found, band_rows), threshold_sigmas)


class _View:
    """A picture with its infrared image laid onto it."""

    def __init__(self, picture: Banded, infrared: Infrared) -> None:
        self.picture = picture
        self._infrared = infrared
        self._shift = (0.0, 0.0)
        rows = infrared(0, 1)
        if rows.shape[1] != picture.width:
            raise ImageError(
                f"the infrared image is {rows.shape[1]} px wide, the picture {picture.width}: in bands of rows, both "
                "must have one size: scan or export both alike"
            )
        self._shift = self._measured_shift()
        self._clean = self._measured()

    @property
    def notes(self) -> tuple[str, ...]:
        x, y = self._shift
        moved = (moved_note(x, y),) if x or y else ()
        return moved if self._clean.sees_picture is None else (*moved, self._clean.sees_picture)

    @property
    def sees_picture(self) -> bool:
        return self._clean.sees_picture is not None

    def dirt(self, top: int, stop: int) -> tuple[Image, Dirt]:
        """(the picture's rows `top`..`stop`, dirt in them)."""
        height = self.picture.height
        first = max(0, top - USUAL_ROWS) // 8 * 8
        last = min(height, -(-(stop + USUAL_ROWS) // 8) * 8)
        page, rest = self._rest(first, last)
        dirt = self._clean.dirt(rest, first)
        rows = slice(top - first, stop - first)
        inner = Dirt(dirt.residual[rows], dirt.sigma[rows], dirt.sees_picture)
        return page.with_pixels(page.pixels[rows]), inner

    def _rest(self, first: int, last: int, weights: NDArray[np.float64] | None = None) -> tuple[Image, Plane]:
        """(the picture's rows, what its channels leave unexplained of infrared there)."""
        low, high = max(0, first - BLUR_ROWS), min(self.picture.height, last + BLUR_ROWS)
        page = self.picture.rows(low, high)
        chosen = self._clean.weights if weights is None else weights
        rest = unexplained(self._aligned(low, high), logs_of(page), chosen)
        rows = slice(first - low, last - low)
        return page.with_pixels(page.pixels[rows]), rest[rows]

    def _aligned(self, top: int, stop: int) -> Plane:
        x, y = self._shift
        if not x and not y:
            return log_of(self._infrared(top, stop))
        reach = int(abs(y)) + 2
        first, last = max(0, top - reach), min(self.picture.height, stop + reach)
        rows = log_of(self._infrared(first, last))
        return moved_rows(rows, first, self.picture.height, (top, stop), x, y)

    def _measured_shift(self) -> tuple[float, float]:
        by = shrinking(self.picture.height, self.picture.width)
        step = max(1, _READ_ROWS // by) * by
        mine, theirs = [], []
        for top in range(0, self.picture.height // by * by, step):
            stop = min(top + step, self.picture.height // by * by)
            mine.append(shrunk(log_of(self._infrared(top, stop)), by))
            theirs.append(shrunk(lightness_of(logs_of(self.picture.rows(top, stop))), by))
        return shift_of(np.concatenate(mine), np.concatenate(theirs), by)

    def _measured(self) -> Clean:
        cell = cell_px(self.picture.height, self.picture.width)
        coarse, coarse_logs = [], []
        for top, stop in self._cell_bands(cell):
            coarse.append(cell_medians(self._aligned(top, stop), cell))
            logs = logs_of(self.picture.rows(top, stop))
            coarse_logs.append(np.stack([cell_medians(channel, cell) for channel in logs]))
        cells, channels = np.concatenate(coarse), np.concatenate(coarse_logs, axis=1)
        weights = fit(cells, channels)
        rests = [cell_medians(self._rest(top, stop, weights)[1], cell) for top, stop in self._cell_bands(cell)]
        level = smooth(np.concatenate(rests))
        noises = []
        for top, stop in self._cell_bands(cell):
            rest = self._rest(top, stop, weights)[1]
            noises.append(cell_medians(np.abs(rest - spread_rows(level, cell, (top, stop), rest.shape[1])), cell))
        return Clean(cell, weights, level, smooth(np.concatenate(noises)), sees_the_picture(cells, channels, weights))

    def _cell_bands(self, cell: int) -> Iterator[tuple[int, int]]:
        """Rows of whole cells; the last ones end with the picture, and are more than a cell's."""
        height, step = self.picture.height, max(2, _READ_ROWS // cell) * cell
        top = 0
        while height - top >= 2 * step:
            yield top, top + step
            top += step
        yield top, height


def _divided(view: _View, found: Parted, threshold: float) -> Searched:
    """What lets light through is divided out; the rest are holes."""
    told: list[list[float]] = []
    height, width = found.holes.height, found.holes.width
    if not view.sees_picture:  # else part of the picture would be divided out with the dirt
        for band in found.bands:
            for page, _, dirt, where, own in _windows(view, found, band):
                thin = (cut_of(where, k) for k in own if is_thin(dirt.residual, where, k))
                told += [one for cut in thin if (one := told_by(page, dirt.residual, cut)) is not None]
    holes, divided = BitPlane(height, width), BitPlane(height, width)
    marks: list[Mark] = []
    divisions: list[Division] = []
    for band in found.bands:
        for page, first, dirt, where, own in _windows(view, found, band):
            scores = best_scores(where, dark(dirt, threshold)[0])
            powers = powers_of(told, page)
            named = zip(where.boxes, where.areas_px, scores, strict=True)
            known = marks_of(where, tuple(Blob(box, area, "infrared", score) for box, area, score in named))
            for k in own:
                box = where.boxes[k]
                core = where.labels[box.y0 : box.y1, box.x0 : box.x1] == k + 1
                clean = None
                if not view.sees_picture and page.color_channels and is_thin(dirt.residual, where, k):
                    cut = cut_of(where, k)
                    clean = clean_pixels(page, dirt.residual, cut, powers)
                if clean is None:
                    holes.add(first + box.y0, box.x0, core)
                    mark = known[k]
                    marks.append(Mark(first + mark.y, mark.x, mark.area_px, mark.kind, mark.score))
                    continue
                divided.add(first + cut.box.y0, cut.box.x0, cut.inside)
                place = Box(first + box.y0, box.x0, first + box.y1, box.x1)
                divisions.append(Division(first + cut.box.y0, cut.box.x0, cut.inside, clean, (place, core, scores[k])))
    return Searched(holes, marks, divisions, divided, view.notes)


def _windows(view: _View, found: Parted, band: tuple[int, int]) -> Iterator[tuple[Image, int, Dirt, Places, list[int]]]:
    """(the picture's rows, the first of them, dirt in them, its places, which of those begin in `band`), if any do."""
    top, stop = band
    if not found.holes.has_any(top, stop):
        return
    low, high = found.around(top, stop)
    first, last = max(0, low - REACH_PX), min(found.holes.height, high + REACH_PX)
    where = found.places(first, last)
    own = [k for k, box in enumerate(where.boxes) if top <= first + box.y0 < stop]
    if own:
        page, dirt = view.dirt(first, last)
        yield page, first, dirt, where, own
