"""Claims about upright scratches: faint ones are found, see-through ones lose their profile and not their texture."""

from __future__ import annotations

import numpy as np
import pytest
from moving import pan

from restore.film.planted import Planted, Planting, Scratch, plant
from restore.film.scratches import ScratchLaw, lines_of, scratches_in
from restore.film.unscratch import without_scratches
from restore.trust.ledger import Fill

LAW = ScratchLaw()
CLEAN = pan(5, size=(480, 640), grain=0.02)


def scratched(*lines: Scratch) -> list[Planted]:
    return list(plant(CLEAN, Planting(scratches=lines), [], seed=9))


@pytest.fixture(scope="module")
def faint() -> list[Planted]:
    return scratched(Scratch(0.3, 0.04, 2.5, 0.01), Scratch(0.7, -0.08, 3.0, -0.015))


def test_a_scratch_of_four_per_cent_is_found_at_its_place_and_slope(faint: list[Planted]) -> None:
    found = scratches_in([lines_of(one.frame) for one in faint], 2, LAW)
    assert [round(line.x / 640, 1) for line in found] == [0.3, 0.7]
    assert [np.sign(line.score) for line in found] == [1, -1]
    assert abs(found[0].slope - 0.01) < 0.005


def test_a_clean_shot_has_none() -> None:
    assert scratches_in([lines_of(frame) for frame in CLEAN], 2, LAW) == []


def test_what_does_not_stay_is_no_scratch(faint: list[Planted]) -> None:
    frames = [one.frame if number == 2 else CLEAN[number] for number, one in enumerate(faint)]
    assert scratches_in([lines_of(frame) for frame in frames], 2, LAW) == []


def test_a_see_through_scratch_is_subtracted_and_the_rest_is_untouched(faint: list[Planted]) -> None:
    looks = [lines_of(np.rint(one.frame * 65535).astype(np.uint16)) for one in faint]
    frame = looks[2].frame
    result = without_scratches(looks, 2, scratches_in(looks, 2, LAW), LAW)
    truth = faint[2].scratched
    error = [np.sqrt(((f / 65535 - faint[2].clean)[truth] ** 2).mean()) for f in (frame, result.frame)]
    assert error[1] < error[0] / 3
    assert not result.holes.any()
    assert [one.fill for one in result.repairs] == [Fill.SUBTRACTED] * 2
    assert sum(one.area_px for one in result.repairs) == result.subtracted.sum()
    assert np.array_equal(result.frame[~result.subtracted], frame[~result.subtracted])


def test_a_scratch_that_hides_the_picture_becomes_holes() -> None:
    deep = scratched(Scratch(0.5, 0.6, 3.0))
    looks = [lines_of(one.frame) for one in deep]
    found = scratches_in(looks, 2, LAW)
    result = without_scratches(looks, 2, found, LAW)
    assert len(found) == 1
    assert (result.holes & deep[2].scratched).sum() > 0.9 * deep[2].scratched.sum()
    assert result.holes.mean() < 0.03
    assert np.array_equal(result.frame, deep[2].frame)


def test_pictures_too_small_for_lines_have_none() -> None:
    assert lines_of(np.zeros((40, 40, 1), np.float32)).lines == ()
