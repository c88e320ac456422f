"""Owns the verdict on candidates for dirt: how likely each is dirt, and how many false ones a shot will stand.

A logistic model over a blob's facts, fitted on clips and pans with and without planted damage
(`benchmarks/film_judge.py`); another one for the first and last frame of a shot, whose neighbours lie on one side.
They were fitted with as many true as false ones; how many there are in a shot is found from the shot itself, by the
expectation-maximisation of Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new a priori
probabilities" (2002).  On a clean shot that share goes to zero and the bar rises; on a dirty one it falls.  The bar
then is as low as the budget of false objects a frame allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restore.film.dirt import FACTS

Terms = NDArray[np.float64]

_WEIGHTS: dict[str, float] = {
    "peak": 2.802,
    "contrast": -0.0598,
    "size": -0.8915,
    "thin": -0.2004,
    "apart": 0.6317,
    "apart shared": -0.7006,
    "seen": 0.7468,
    "seen elsewhere": 2.2548,
    "beyond surroundings": 0.2724,
    "recurring": -1.0778,
    "apart x seen elsewhere": 0.0903,
    "recurring x seen elsewhere": 1.0186,
}
_CONSTANT = -1.611
_WEIGHTS_AT_ENDS: dict[str, float] = {
    "peak": 3.1995,
    "contrast": -0.2709,
    "size": -1.2708,
    "thin": -0.0253,
    "apart": 0.5459,
    "apart shared": -0.2174,
    "seen": 1.0552,
    "seen elsewhere": 2.1782,
    "beyond surroundings": 0.2808,
    "recurring": -1.1491,
    "apart x seen elsewhere": 0.0066,
    "recurring x seen elsewhere": 1.2431,
}
_CONSTANT_AT_ENDS = -2.0345
"""Where both neighbours lie on one side there are as many true ones as elsewhere and twice as many false ones, which is
counted in here."""
_STRICTER_AT_ENDS = 1.0
"""Log-odds: what comes into sight there was in no frame, and no fact tells that from dirt on every film."""

LOWEST_BAR, DEFAULT_BAR, HIGHEST_BAR = 0.0, 1.0, 8.0
"""Log-odds.  Below the lowest nothing is dirt, whatever a shot looks like; the default is for shots not sampled."""
_SCENE = -8.0
_TOO_OFTEN = 2.0
_SOME = 4
"""Candidates that say nothing yet about where dirt is denser."""
_EM_ROUNDS = 200
_PRIOR_FALSE = 1.0
"""Counted along in each frame of a sample: a shot with three candidates doesn't prove itself clean or dirty."""


def terms_of(facts: NDArray[np.float64]) -> Terms:
    """(blobs, FACTS + 2): the facts, and two products: that neighbours disagree, or that much happens around,
    means less where nothing like the blob is found elsewhere."""
    apart, recurring, elsewhere = (facts[:, FACTS.index(name)] for name in ("apart", "recurring", "seen elsewhere"))
    return np.concatenate([facts, np.stack([apart * elsewhere, recurring * elsewhere], axis=1)], axis=1)


TERMS = (*FACTS, "apart x seen elsewhere", "recurring x seen elsewhere")


def log_odds(facts: NDArray[np.float64], *, one_sided: bool = False) -> NDArray[np.float64]:
    """(blobs,): 0 = as likely dirt as not, were there as much of both between two neighbours."""
    table, constant = _WEIGHTS, _CONSTANT
    if one_sided:
        table, constant = _WEIGHTS_AT_ENDS, _CONSTANT_AT_ENDS - _STRICTER_AT_ENDS
    weights = np.array([table[name] for name in TERMS])
    odds: NDArray[np.float64] = terms_of(facts) @ weights + constant
    return odds


def less_where_it_flashes(odds: NDArray[np.float64], flashing: NDArray[np.bool_], share: float) -> NDArray[np.float64]:
    """`odds` (blobs,), with those `flashing` (blobs,) set to scene where they are too many for dirt.

    Their part of the frame, `share` of it, was chosen by what is in its neighbours.  Dirt is random: it isn't denser
    there than in the rest of the frame.
    """
    passing = odds > 0
    inside = np.count_nonzero(passing & flashing)
    by_chance = np.count_nonzero(passing & ~flashing) * share / max(1 - share, 1e-3)
    if inside <= _TOO_OFTEN * (by_chance + _SOME):
        return odds
    return np.where(flashing, np.minimum(odds, _SCENE), odds)


@dataclass(frozen=True)
class Verdicts:
    """What a sample of a shot's frames says about all of it."""

    bar: float
    """Candidates with log-odds above it are dirt."""
    dirt_share: float
    """Of candidates, 0..1."""
    expected_false: float
    """Objects a frame that pass the bar and aren't dirt."""


def calibrated(samples: Sequence[NDArray[np.float64]], max_false: float) -> Verdicts:
    """The bar for a shot, from the log-odds of the candidates of some of its frames (one array a frame).

    The lowest bar, within limits, over which at most `max_false` objects a frame are expected to be false, and each is
    likelier dirt than not: a clean shot doesn't use its budget up.
    """
    odds = np.sort(np.concatenate([*samples, np.zeros(0)]))[::-1]
    if not len(samples) or not len(odds):
        return Verdicts(DEFAULT_BAR, 0.0, 0.0)
    frames = len(samples)
    share = 0.5
    for _ in range(_EM_ROUNDS):
        share = float(_dirt(odds, share).sum()) / (len(odds) + _PRIOR_FALSE * frames)
    expected = np.cumsum(1 - _dirt(odds, share)) / frames
    within = int(np.searchsorted(expected, max_false, side="right"))
    budget = float(odds[within]) if within < len(odds) else LOWEST_BAR
    likelier_dirt = float(np.log((1 - share) / max(share, 1e-6)))
    bar = float(np.clip(max(budget, likelier_dirt), LOWEST_BAR, HIGHEST_BAR))
    passing = odds > bar
    return Verdicts(bar, share, float((1 - _dirt(odds, share))[passing].sum()) / frames)


def _dirt(odds: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Probability of dirt where that share of candidates is dirt."""
    share = min(max(share, 1e-6), 1 - 1e-6)
    prior = np.log(share / (1 - share))
    probability: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(odds + prior, -60, 60)))
    return probability
