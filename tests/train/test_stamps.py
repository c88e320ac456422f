"""Claims about drawn shapes: each kind has some, always the same, and they can be planted."""

from __future__ import annotations

import numpy as np

from restore.film.planted import SIZES, Planting, plant
from restore.train.stamps import drawn_stamps


def test_every_kind_of_damage_has_shapes_and_a_seed_is_a_seed() -> None:
    stamps = drawn_stamps(1)
    counts = {kind: sum(stamp.kind == kind for stamp in stamps) for kind in SIZES}
    assert min(counts.values()) >= 5, counts
    again = drawn_stamps(1)
    assert all(np.array_equal(a.alpha, b.alpha) for a, b in zip(stamps, again, strict=True))


def test_they_can_be_planted_without_any_overlay() -> None:
    frame = np.full((540, 720, 3), 0.5, np.float32)
    one = next(plant([frame], Planting(), drawn_stamps(), seed=2))
    assert 0.004 < one.specks.mean() < 0.03
    assert one.labels.max() > 500
