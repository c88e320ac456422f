"""Owns the choice among fills for each hole, and how surely it is right.

Network, push-pull, Navier-Stokes and biharmonic err in different ways, so a weighted mean of them is nearer the truth
than the best of them.  The weights come from what can be measured at run time: how wide the hole is, how rough its
surroundings are, and how far the fills lie apart.  They are fitted by `benchmarks/fit_arbiter.py` on pictures apart
from training and evaluation, for one network; the coefficients are in arbiter.json beside this file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.inpaint.fills import Planes
from restore.trust.ledger import Fill

FILLS = (Fill.NET, Fill.PUSH_PULL, Fill.NAVIER_STOKES, Fill.BIHARMONIC)
"""In the order of all arrays here."""
FEATURES = (
    *("1", "log radius", "log deviation", "log net - ns", "log push-pull - ns", "log net - push-pull"),
    *("log net - biharmonic", "log push-pull - biharmonic", "rim"),
)
WITHIN = 0.04
"""Confidence is the probability that the root mean square error over the hole, before grain, is at most this share of
the full range: 10 of 255, 28 dB."""
_NEARLY_ALL = 0.9
"""From this weight on a fill is called by its own name, and not a blend."""
_PAIRS = ((0, 2), (1, 2), (0, 1), (0, 3), (1, 3))
_WIDEST_PX = 64.0
"""Nothing was fitted on holes of larger radius: they are judged like these."""
_LEAST = 1e-4
"""Share of the range: what differs by less is equal."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """What is measured of one hole, or of a part of it; parts add up."""

    pixels: int
    radius_px: float
    """Largest distance from a pixel in it to a known one."""
    deviation: float
    """Sum over pixels of the local standard deviation around."""
    apart: Vector
    """(len(_PAIRS),): sum over pixels of the mean squared difference of two fills, by `_PAIRS`."""
    is_rim: bool = False
    """Of a hole so wide that its inside was filled at half the size: what is known on that side is an estimate."""

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(
            self.pixels + other.pixels,
            max(self.radius_px, other.radius_px),
            self.deviation + other.deviation,
            self.apart + other.apart,
            self.is_rim or other.is_rim,
        )

    def features(self) -> Vector:
        """(len(FEATURES),)."""
        deviation = max(self.deviation / self.pixels, _LEAST)
        apart = np.log(np.sqrt(self.apart / self.pixels) + _LEAST)
        radius = np.log2(np.clip(self.radius_px, 1.0, _WIDEST_PX))
        return np.array([1.0, radius, np.log(deviation), *apart, float(self.is_rim)])


def evidence(fills: Planes, radius_px: float, deviation: Planes, *, is_rim: bool) -> Evidence:
    """Of the pixels (n,) of a hole: `fills` (len(FILLS), n, C) and `deviation` (n,), in shares of the full range."""
    apart = np.array([float(((fills[a] - fills[b]) ** 2).mean(1).sum(dtype=np.float64)) for a, b in _PAIRS])
    return Evidence(fills.shape[1], radius_px, float(deviation.sum(dtype=np.float64)), apart, is_rim)


@dataclass(frozen=True)
class Verdict:
    """What is made of one hole."""

    weights: Vector
    """(len(FILLS),), at least 0, of sum 1, in the order of `FILLS`."""
    confidence: float

    @property
    def fill(self) -> Fill:
        best = int(np.argmax(self.weights))
        return FILLS[best] if self.weights[best] >= _NEARLY_ALL else Fill.BLEND

    def blend(self, fills: Planes) -> Planes:
        """(len(FILLS), n, C) -> (n, C)."""
        mixed: Planes = np.tensordot(self.weights.astype(np.float32), fills, 1)
        return mixed


EVEN = Verdict(np.array([0.0, 0.0, 1.0, 0.0]), 0.99)
"""For holes with one even colour all around: they get it, exactly, as from Navier-Stokes."""


@dataclass(frozen=True)
class Arbiter:
    """Coefficients: weights are softmax(`weights` @ x), confidence is logistic(`confidence` @ x), and x is
    (features - mean) / scale."""

    mean: Vector
    scale: Vector
    weights: Vector
    """(len(FILLS), len(FEATURES))."""
    confidence: Vector
    """(len(FEATURES),)."""

    def decide(self, seen: Evidence) -> Verdict:
        x = (seen.features() - self.mean) / self.scale
        heights = self.weights @ x
        shares = np.exp(heights - heights.max())
        sure = 1.0 / (1.0 + np.exp(-np.clip(self.confidence @ x, -30.0, 30.0)))
        return Verdict(shares / shares.sum(), float(sure))


def _unfitted() -> Arbiter:
    """For networks that nothing was fitted for: the classical fills keep half, because their mean is never far off."""
    count = len(FEATURES)
    weights = np.zeros((len(FILLS), count))
    weights[:, 0] = np.log([0.5, 0.1, 0.15, 0.25])
    confidence = np.zeros(count)
    confidence[0], confidence[2] = -4.0, -1.3  # even odds at a local deviation of 0.046
    return Arbiter(np.zeros(count), np.ones(count), weights, confidence)


def arbiter_for(model_sha256: str) -> Arbiter:
    """The fitted one where it was fitted for this very network, else a cautious one."""
    held = _held()
    if held is None or held["model_sha256"] != model_sha256:
        return _unfitted()
    return of_table(held)


def of_table(table: dict[str, Any]) -> Arbiter:
    """The arbiter that arbiter.json describes.  ValueError when it was made for other features."""
    if tuple(table["features"]) != FEATURES:
        raise ValueError(f"arbiter.json was fitted for the features {table['features']}, not {FEATURES}")
    return Arbiter(*(np.array(table[name], np.float64) for name in ("mean", "scale", "weights", "confidence")))


def as_table(arbiter: Arbiter, model_sha256: str) -> dict[str, Any]:
    """What arbiter.json holds."""
    numbers = {name: getattr(arbiter, name).round(6).tolist() for name in ("mean", "scale", "weights", "confidence")}
    return {"model_sha256": model_sha256, "fills": [fill.value for fill in FILLS], "features": FEATURES, **numbers}


@cache
def _held() -> dict[str, Any] | None:
    path = resources.files("restore.inpaint") / "arbiter.json"
    if not path.is_file():
        return None
    table: dict[str, Any] = json.loads(path.read_text())
    return table
