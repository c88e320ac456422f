"""Owns the repairs of one frame as they come: which pixels are whose, their order, and which were taken back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from restore.film.fill import Filled
from restore.film.native import Holes
from restore.film.unscratch import Unscratched
from restore.tiling import Box
from restore.trust.ledger import Repair

ALL = "all"


class Blobs:
    """The repairs of one frame as they come, and which pixels are whose."""

    def __init__(self, number: int, shape: tuple[int, ...]) -> None:
        self._number = number
        self._made: list[tuple[Repair, NDArray[np.bool_]]] = []
        self.touched: Holes = np.zeros(shape, np.bool_)

    def add_lines(self, clear: Unscratched) -> None:
        """Lines cross: what two of them changed is the first one's."""
        for one in clear.repairs:
            place = _place(one.box)
            mine = clear.subtracted[place] & ~self.touched[place]
            self.touched[place] |= mine
            self._made.append((one, mine))

    def add(self, filled: Filled, labels: NDArray[np.int32]) -> None:
        """Blobs whose pixels have the label of their number + 1; a hole takes what a line had."""
        for one in filled.repairs:
            place = _place(one.box)
            mine = labels[place] == one.blob + 1
            self._take(one.box, mine)
            self.touched[place] |= mine
            self._made.append((one, mine))

    def _take(self, box: Box, mine: NDArray[np.bool_]) -> None:
        whole = np.zeros(self.touched.shape, np.bool_)
        whole[_place(box)] = mine
        self._made = [
            (one, plane & ~whole[_place(one.box)]) if boxes_meet(one.box, box) else (one, plane)
            for one, plane in self._made
        ]

    def numbered(
        self, undone: Collection[int] | str, exclude: Collection[Box]
    ) -> tuple[tuple[tuple[Repair, NDArray[np.bool_]], ...], Holes]:
        """The repairs that stay, in order of their boxes, each with its number among all; and their pixels."""
        order = sorted(self._made, key=lambda one: (one[0].box.y0, one[0].box.x0, one[0].box.y1, one[0].box.x1))
        closed = np.zeros(self.touched.shape, np.bool_)
        for box in exclude:
            closed[max(0, box.y0) : box.y1, max(0, box.x0) : box.x1] = True
        touched = np.zeros(self.touched.shape, np.bool_)
        kept = []
        for blob, (one, plane) in enumerate(order):
            mine = plane & ~closed[_place(one.box)]
            if undone == ALL or blob in undone or not mine.any():
                continue
            touched[_place(one.box)] |= mine
            area = int(mine.sum())
            kept.append((replace(one, page=self._number, blob=blob, area_px=area), mine))
        return tuple(kept), touched


def boxes_meet(one: Box, other: Box) -> bool:
    """Whether two boxes share a pixel."""
    return one.y0 < other.y1 and other.y0 < one.y1 and one.x0 < other.x1 and other.x0 < one.x1


def _place(box: Box) -> tuple[slice, slice]:
    return np.s_[box.y0 : box.y1, box.x0 : box.x1]
