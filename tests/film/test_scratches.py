"""Claims about upright scratches: faint ones are found, see-through ones lose their profile and not their texture."""

from __future__ import annotations

import cv2
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


def woven(frames: int, step_px: float, pole: float = 0.0) -> list[np.ndarray]:
    """A canvas whose threads run upright, moving sideways; with a pole of that depth."""
    rng = np.random.default_rng(3)
    threads = cv2.GaussianBlur(rng.standard_normal((480, 800)).astype(np.float32), (0, 0), 2.0, sigmaY=25)
    ground = 0.5 + 0.05 * threads / threads.std()
    ground[:, 330:334] += pole
    made = []
    for number in range(frames):
        shift = np.array([[1, 0, -20 - step_px * number], [0, 1, 0]], np.float32)
        frame = cv2.warpAffine(ground, shift, (640, 480), flags=cv2.INTER_CUBIC)
        grain = 0.01 * rng.standard_normal((480, 640, 3), np.float32)
        made.append(np.clip(frame[..., None] + grain, 0, 1).astype(np.float32))
    return made


def test_a_faint_scratch_is_found_in_upright_texture_that_moves() -> None:
    damaged = plant(woven(5, 2.5), Planting(scratches=(Scratch(0.4, 0.04, 2.5, 0.004),)), [], seed=4)
    looks = [lines_of(one.frame) for one in damaged]
    assert all(abs(line.score) < LAW.sigmas for look in looks for line in look.lines)
    assert [round(line.x / 640, 1) for line in scratches_in(looks, 2, LAW)] == [0.4]


def test_a_pole_that_moves_with_the_scene_is_no_scratch() -> None:
    looks = [lines_of(frame) for frame in woven(5, 2.5, pole=0.3)]
    assert any(abs(line.x - 307) <= 2 for line in looks[2].lines)
    assert scratches_in(looks, 2, LAW) == []


def test_what_stays_while_the_scene_creeps_is_believed_sooner() -> None:
    found = []
    for step_px in (0.0, 0.7):
        creeping = pan(5, (step_px, 0.3), grain=0.02, size=(480, 640))
        marked = plant(creeping, Planting(scratches=(Scratch(0.75, 0.017, 2.5),)), [], seed=9)
        lines = scratches_in([lines_of(one.frame) for one in marked], 2, LAW)
        found.append([round(line.x / 640, 2) for line in lines])
    assert found == [[], [0.75]]
    assert scratches_in([lines_of(frame) for frame in woven(5, 0.7, pole=0.08)], 2, LAW) == []


def test_what_lies_beyond_black_comes_back_from_around() -> None:
    dark = [np.clip(frame - 0.35, 0, 1) for frame in CLEAN]
    damaged = list(plant(dark, Planting(scratches=(Scratch(0.5, -0.15, 3.0),)), [], seed=9))
    looks = [lines_of(one.frame) for one in damaged]
    result = without_scratches(looks, 2, scratches_in(looks, 2, LAW), LAW)
    truth = damaged[2].scratched
    error = [np.sqrt(((f - damaged[2].clean)[truth] ** 2).mean()) for f in (damaged[2].frame, result.frame)]
    assert (damaged[2].frame[truth] == 0).mean() > 0.1
    assert error[1] < error[0] / 2


def test_scratches_side_by_side_are_told_apart() -> None:
    damaged = scratched(Scratch(0.5, 0.08, 2.2), Scratch(0.5 + 9 / 640, 0.06, 2.2), Scratch(0.5 + 18 / 640, 0.08, 2.2))
    looks = [lines_of(one.frame) for one in damaged]
    found = scratches_in(looks, 2, LAW)
    assert len(found) == 3
    result = without_scratches(looks, 2, found, LAW)
    truth = damaged[2].scratched
    error = [np.sqrt(((f - damaged[2].clean)[truth] ** 2).mean()) for f in (damaged[2].frame, result.frame)]
    assert error[1] < error[0] / 3
