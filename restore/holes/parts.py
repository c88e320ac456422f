"""Owns which band of a large picture a hole belongs to: that of its first row; the longest ones are parted.

A hole that reaches over more than one border between bands is worked on part by part, one a band.  Any other is whole
in the rows that `around` says, and so is everything near it: what becomes of it is what would in the whole picture.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from restore.holes.bits import BitPlane
from restore.holes.found import Labels, Places, places
from restore.tiling import Box

BAND_ROWS = 2048


class Parted:
    """Holes of a large picture, with those marked that are parted."""

    def __init__(self, holes: BitPlane, band_rows: int = BAND_ROWS) -> None:
        self.holes = holes
        self.band_rows = band_rows
        self._long: BitPlane | None = None
        self.count_long = 0
        """Holes that are parted."""
        self._find_long()

    @property
    def bands(self) -> list[tuple[int, int]]:
        """Rows (first, after the last) of each."""
        height = self.holes.height
        return [(top, min(top + self.band_rows, height)) for top in range(0, height, self.band_rows)]

    def around(self, top: int, stop: int) -> tuple[int, int]:
        """The rows that are taken by all holes, or their parts, that have pixels in rows `top`..`stop`; these, too."""
        first, last = max(0, top - self.band_rows), min(self.holes.height, stop + self.band_rows)
        if not self.holes.has_any(top, stop):
            return top, stop
        where = self.places(first, last)
        reaching = [box for box in where.boxes if box.y0 < stop - first and box.y1 > top - first]
        return (
            min(top, *(first + box.y0 for box in reaching), top),
            max(stop, *(first + box.y1 for box in reaching), stop),
        )

    def places(self, first: int, last: int) -> Places:
        """The places in rows `first`..`last`, counted from `first`: parts are places of their own."""
        rows = self.holes.rows(first, last)
        if self._long is None or not self._long.has_any(first, last):
            return places(rows)
        parted = self._long.rows(first, last)
        found = [places(rows & ~parted)]
        begin = first // self.band_rows * self.band_rows
        for top in range(begin, last, self.band_rows):
            only = np.zeros_like(parted)
            within = slice(max(top, first) - first, min(top + self.band_rows, last) - first)
            only[within] = parted[within]
            found.append(places(only))
        return _joined(found, rows.shape)

    def _find_long(self) -> None:
        """Follows holes from band to band by what touches across each border (8 neighbours)."""
        union = _Union()
        spans: dict[int, tuple[int, int]] = {}
        names: list[list[int]] = []
        above: NDArray[np.int64] | None = None
        for number, (top, stop) in enumerate(self.bands):
            names.append([])
            if not self.holes.has_any(top, stop):
                above = None
                continue
            where = places(self.holes.rows(top, stop))
            names[-1] = [union.new() for _ in where.boxes]
            of = np.array([-1, *names[-1]], np.int64)
            if above is not None:
                for shift in (-1, 0, 1):
                    mine = of[_shifted(where.labels[0], shift)]
                    for a, b in np.unique(np.stack([above, mine])[:, (above >= 0) & (mine >= 0)], axis=1).T.tolist():
                        union.join(a, b)
            above = of[where.labels[-1]] if stop - top == self.band_rows else None
            for name in names[-1]:
                spans[name] = (number, number)
        whole: dict[int, tuple[int, int]] = {}
        for name, (number, _) in spans.items():
            root = union.root(name)
            low, high = whole.get(root, (number, number))
            whole[root] = (min(low, number), max(high, number))
        long = {root for root, (low, high) in whole.items() if high - low > 1}
        self.count_long = len(long)
        if long:
            self._mark(names, union, long)

    def _mark(self, names: list[list[int]], union: _Union, long: set[int]) -> None:
        self._long = BitPlane(self.holes.height, self.holes.width)
        for (top, stop), here in zip(self.bands, names, strict=True):
            chosen = np.array([False, *(union.root(name) in long for name in here)])
            if chosen.any():
                self._long.put(top, chosen[places(self.holes.rows(top, stop)).labels])


class _Union:
    """Names that are one."""

    def __init__(self) -> None:
        self._parent: list[int] = []

    def new(self) -> int:
        self._parent.append(len(self._parent))
        return len(self._parent) - 1

    def root(self, name: int) -> int:
        while self._parent[name] != name:
            self._parent[name] = self._parent[self._parent[name]]
            name = self._parent[name]
        return name

    def join(self, a: int, b: int) -> None:
        first, second = sorted((self.root(a), self.root(b)))
        self._parent[second] = first


def _shifted(row: NDArray[np.int32], by: int) -> NDArray[np.int32]:
    """Each pixel's neighbour `by` further right; 0 outside."""
    moved = np.zeros_like(row)
    if by > 0:
        moved[:-by] = row[by:]
    elif by < 0:
        moved[-by:] = row[:by]
    else:
        moved[:] = row
    return moved


def _joined(found: list[Places], size: tuple[int, ...]) -> Places:
    """Places that may touch each other, in one order."""
    entries = [(box, area, number, k) for number, one in enumerate(found) for k, (box, area) in enumerate(_listed(one))]
    entries.sort(key=lambda entry: (entry[0].y0, entry[0].x0, entry[0].y1, entry[0].x1))
    ranks: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for rank, (_, _, number, k) in enumerate(entries):
        ranks[number][k] = rank + 1
    labels: Labels = np.zeros(size, np.int32)
    for number, one in enumerate(found):
        table = np.array([0, *(ranks[number][k] for k in range(len(one)))], np.int32)
        labels += table[one.labels]
    return Places(labels, tuple(entry[0] for entry in entries), tuple(entry[1] for entry in entries))


def _listed(one: Places) -> list[tuple[Box, int]]:
    return list(zip(one.boxes, one.areas_px, strict=True))
