"""Owns how surely a fill is right: the chance that it is near the truth, from what can be measured at run time.

It means what it means for pictures (`inpaint.arbiter`): that the root mean square error over the hole, before grain, is
at most `WITHIN`.  The weights are fitted by `benchmarks/film_fill.py` on damage planted on moving scenes, from stills
and overlays that nothing is measured on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, log2

WITHIN = 0.04
"""Of the full range: 10 of 255, 28 dB."""
TERMS = ("1", "log wrong", "log missed", "log grain", "log2 radius", "log deviation")
WEIGHTS = {
    "temporal": (-5.546, -2.4501, -0.7468, 0.1215, -0.2469, 0.7746),
    "spatial": (-2.4012, 0.0, 0.0, 0.2312, -0.9884, -2.6065),
}
_LEAST = 1e-3
"""What differs by less is equal."""


@dataclass(frozen=True)
class Seen:
    """What is measured of one hole; shares of the full range."""

    spatial: bool
    """It is filled from its surroundings."""
    wrong: float
    """Root of the squared error that neighbours are expected to make, but for grain; 1 where there are none."""
    missed: float
    """Root of the squared difference between what neighbours show and its smooth continuation; 1: there are none."""
    grain: float
    """Deviation of grain: of what is left of it in what neighbours show, or around."""
    radius_px: float
    """Largest distance from a pixel in it to one outside."""
    deviation: float
    """Standard deviation of what is known around it."""

    def terms(self) -> tuple[float, ...]:
        """Of `TERMS`."""
        logs = [log(max(_LEAST, value)) for value in (self.wrong, self.missed, self.grain, self.deviation)]
        return (1.0, *logs[:3], log2(max(1.0, self.radius_px)), logs[3])

    def confidence(self) -> float:
        """0..1."""
        weights = WEIGHTS["spatial" if self.spatial else "temporal"]
        odds = sum(weight * term for weight, term in zip(weights, self.terms(), strict=True))
        return 1 / (1 + exp(-min(30.0, max(-30.0, odds))))
