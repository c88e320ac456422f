"""Owns what an alpha channel is used for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from restore.image import Pixels


class AlphaUse(StrEnum):
    """What the alpha channel means for the picture."""

    NONE = "none"
    """There is no alpha channel."""
    CONSTANT = "constant"
    """One value everywhere."""
    CUTOUT = "cutout"
    """Only 0 and the largest value."""
    BLEND = "blend"
    """Values between: soft edges, glass, smoke."""
    PACKED = "packed"
    """Not opacity: a picture of its own (gloss, specular, height) that happens to travel in the fourth channel."""


@dataclass(frozen=True)
class AlphaFacts:
    use: AlphaUse
    because: str


_CLEAR = 0.02
"""Alpha below this share of its largest value hides the colour for the eye."""
_MIN_CLEAR_SHARE = 0.005
_MIN_RICHNESS = 0.75
"""Hidden colour with at least this share of the visible colour's neighbour differences was drawn to be seen."""
_MAX_BORDER_RATIO = 1.5
_SAMPLE_BANDS = 24
_BAND_ROWS = 16


def classify_alpha(color: Pixels, alpha: Pixels | None) -> AlphaFacts:
    """`color` is (H, W, C) and `alpha` (H, W) or None, both straight and in the file's own type.

    Constant and cutout are exact (every pixel is looked at).  Packed is told by the colour under alpha = 0, in bands
    of rows: opacity hides flat or smeared leftovers there, or another object behind a visible outline; a picture that
    goes on just as rich, with no step where alpha ends, was drawn to be seen.
    """
    if alpha is None:
        return AlphaFacts(AlphaUse.NONE, "no alpha channel")
    low, high = alpha.min(), alpha.max()
    if not low < high:
        return alpha_facts(low, high, [], only_ends=True, top=top_of(alpha))
    top = top_of(alpha)
    bands = ((color[rows], alpha[rows]) for rows in sampled_rows(color.shape[0]))
    only_ends = bool(np.count_nonzero(alpha == 0) + np.count_nonzero(alpha == top) == alpha.size)
    return alpha_facts(low, high, bands, only_ends=only_ends, top=top)


def top_of(alpha: Pixels) -> float:
    """What stands for opaque."""
    return float(np.iinfo(alpha.dtype).max) if np.issubdtype(alpha.dtype, np.integer) else 1.0


def sampled_rows(height: int) -> list[slice]:
    """Which bands of rows tell whether alpha is data."""
    starts = np.unique(np.linspace(0, max(0, height - _BAND_ROWS), _SAMPLE_BANDS).astype(int))
    return [slice(int(start), int(start) + _BAND_ROWS) for start in starts]


def alpha_facts(
    low: Any, high: Any, bands: Iterable[tuple[Pixels, Pixels]], *, only_ends: bool, top: float
) -> AlphaFacts:
    """`low`, `high`: least and largest alpha; `bands`: colour and alpha of `sampled_rows`; `only_ends`: whether none
    lies between 0 and `top`."""
    if not low < high:
        return AlphaFacts(AlphaUse.CONSTANT, f"alpha is {low} everywhere")
    packed = _packed(bands, top)
    if packed is not None:
        return AlphaFacts(AlphaUse.PACKED, packed)
    if only_ends:
        return AlphaFacts(AlphaUse.CUTOUT, "alpha is only 0 or full")
    return AlphaFacts(AlphaUse.BLEND, f"alpha runs from {low} to {high}")


def _packed(bands: Iterable[tuple[Pixels, Pixels]], top: float) -> str | None:
    """Why alpha can't be opacity, or None."""
    hidden: list[float] = []
    seen: list[float] = []
    across: list[float] = []
    clear_count = 0
    looked_at = 0
    for color, alpha in bands:
        clear = alpha <= _CLEAR * top
        clear_count += int(np.count_nonzero(clear))
        looked_at += clear.size
        band = color.astype(np.float32) @ np.full(color.shape[2], 1.0 / color.shape[2], np.float32)
        for axis in (0, 1):
            step = np.abs(np.diff(band, axis=axis))
            a, b = (clear[:-1], clear[1:]) if axis == 0 else (clear[:, :-1], clear[:, 1:])
            for kind, mask in ((hidden, a & b), (seen, ~(a | b)), (across, a ^ b)):
                count = int(np.count_nonzero(mask))
                if count:
                    kind += [float(step[mask].sum(dtype=np.float64)), float(count)]
    if clear_count < _MIN_CLEAR_SHARE * looked_at or not hidden or not seen or not across:
        return None
    hidden_step, seen_step, border_step = (sum(k[0::2]) / sum(k[1::2]) for k in (hidden, seen, across))
    if seen_step <= 0.0 or hidden_step < _MIN_RICHNESS * seen_step:
        return None
    if border_step > _MAX_BORDER_RATIO * max(hidden_step, seen_step):
        return None
    return (
        f"colour under alpha 0 is {hidden_step / seen_step:.0%} as rich as the rest and goes on across the edge "
        "of alpha, so alpha is data"
    )
