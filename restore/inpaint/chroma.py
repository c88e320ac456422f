"""Owns how much colour a fill may have: no more than the known pixels around its hole.

Where the network isn't sure it is a little coloured, which in a black and white picture everybody sees.  So red less
green and blue less green of a fill stay within what they are around it; where these are 0 throughout, the fill is grey
to the last bit.  Pictures with colour around a hole are hardly ever touched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restore.inpaint.fills import Planes
from restore.inpaint.surface import Surface
from restore.tiling import Box

_RGB = 3


@dataclass(frozen=True)
class Chroma:
    """The colour around a hole."""

    least: NDArray[np.float32]
    """(2,): of red less green, and blue less green, in shares of the range."""
    most: NDArray[np.float32]
    """(2,)."""

    @property
    def is_none(self) -> bool:
        """Whether all that is known around is grey, exactly."""
        return not self.least.any() and not self.most.any()

    def kept(self, values: Planes) -> Planes:
        """(n, 3) with colour as around, and the brightness (the channels' mean) that it had."""
        tint = values[:, ::2] - values[:, 1:2]
        wanted = np.clip(tint, self.least, self.most)
        off = (wanted != tint).any(1)
        if not off.any():
            return values
        kept = values.copy()
        green = values[off].mean(1) - wanted[off].sum(1) / np.float32(_RGB)
        kept[off] = np.stack([green + wanted[off, 0], green, green + wanted[off, 1]], 1)
        return kept


def around(surface: Surface, box: Box, reach_px: int) -> Chroma | None:
    """Of what is seen within `reach_px` of a hole's `box`; None where that says nothing: one channel, vectors, or
    nothing seen."""
    if len(surface.shown) != _RGB or surface.is_normal:
        return None
    wide = Box(box.y0 - reach_px, box.x0 - reach_px, box.y1 + reach_px, box.x1 + reach_px)
    values, seen = surface.read(surface.clamp(wide))
    if not seen.any():
        return None
    known = values[seen]
    tint = known[:, ::2] - known[:, 1:2]
    return Chroma(tint.min(0), tint.max(0))
