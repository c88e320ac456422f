"""Owns the holes of a picture that doesn't fit into memory: one bit a pixel, taken out and put back by rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restore.holes.found import Holes


class BitPlane:
    """(height, width) of bool, none set at first, in an eighth of the memory."""

    def __init__(self, height: int, width: int) -> None:
        self.height = height
        self.width = width
        self._bits = np.zeros((height, -(-width // 8)), np.uint8)

    def rows(self, top: int, stop: int) -> Holes:
        """(stop - top, W), a copy."""
        return np.unpackbits(self._bits[top:stop], axis=1, count=self.width).view(np.bool_)

    def put(self, top: int, rows: Holes) -> None:
        """Replaces the rows from `top` on."""
        self._bits[top : top + len(rows)] = np.packbits(rows, axis=1)

    def add(self, y0: int, x0: int, there: Holes) -> None:
        """Sets the pixels of `there` (h, w), whose corner is at (y0, x0); what lies outside the plane is left out."""
        there = there[: self.height - y0, : self.width - x0]
        first, last = x0 // 8, -(-(x0 + there.shape[1]) // 8)
        wide = np.zeros((len(there), 8 * (last - first)), np.bool_)
        wide[:, x0 - 8 * first : x0 - 8 * first + there.shape[1]] = there
        self._bits[y0 : y0 + len(there), first:last] |= np.packbits(wide, axis=1)

    def set_pixels(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> None:
        """Sets single pixels, rows and columns (n,) each."""
        np.bitwise_or.at(self._bits, (rows, columns >> 3), (128 >> (columns & 7)).astype(np.uint8))

    def has_any(self, top: int, stop: int) -> bool:
        return bool(self._bits[top:stop].any())

    def count(self) -> int:
        """Pixels that are set."""
        return sum(int(np.bitwise_count(self._bits[top : top + 1024]).sum()) for top in range(0, self.height, 1024))
