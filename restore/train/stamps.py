"""Owns the shapes of specks and hairs for planted damage, drawn as the training's own are: no overlays needed."""

from __future__ import annotations

import numpy as np

from restore.film.planted import SIZES, Stamp, stamps_of
from restore.train.damage import Damage, draw

_SIDE_PX = 512
_COVERAGE = (0.03, 0.06)
_WIDTH_PX = (1.0, 40.0)
_SHEETS = 3


def drawn_stamps(seed: int = 0) -> list[Stamp]:
    """Specks and hairs of each kind of `SIZES`; the same seed draws the same ones."""
    found: list[Stamp] = []
    for index, kind in enumerate(SIZES):
        damage = Damage(((kind, 1.0),), _COVERAGE, _WIDTH_PX)
        for sheet in range(_SHEETS):
            holes = draw(damage, _SIDE_PX, _SIDE_PX, np.random.default_rng([seed, index, sheet]))
            found += stamps_of(holes.astype(np.float32), kind)
    return found
