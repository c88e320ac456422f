"""Claims about how surely a fill is right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from restore.film import confidence
from restore.film.confidence import Seen
from restore.inpaint import arbiter

GOOD = Seen(spatial=False, wrong=0.01, missed=0.03, grain=0.01, radius_px=2.0, deviation=0.05)
ALONE = Seen(spatial=True, wrong=1.0, missed=1.0, grain=0.0, radius_px=2.0, deviation=0.05)


def test_it_means_the_same_as_for_pictures() -> None:
    assert confidence.WITHIN == arbiter.WITHIN


def test_agreeing_neighbours_are_trusted_and_contradicting_ones_are_not() -> None:
    assert GOOD.confidence() > 0.8
    assert replace(GOOD, wrong=0.1).confidence() < 0.4
    assert replace(GOOD, wrong=0.02).confidence() < GOOD.confidence()


def test_a_fill_from_its_surroundings_is_the_less_sure_the_wider_and_the_busier() -> None:
    assert replace(ALONE, radius_px=8.0).confidence() < ALONE.confidence()
    assert replace(ALONE, deviation=0.2).confidence() < ALONE.confidence()
    assert replace(ALONE, deviation=0.005).confidence() > 0.8


@pytest.mark.parametrize("spatial", [True, False])
def test_nothing_measured_is_too_small_or_too_large(spatial: bool) -> None:
    for value in (0.0, 1e9):
        assert 0 <= Seen(spatial, value, value, value, value, value).confidence() <= 1
