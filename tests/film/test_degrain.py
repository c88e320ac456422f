"""Claims about taking grain out: less of it, structure stays, nothing of another frame shows through."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from moving import pan, texture

from restore.film import degrain
from restore.film.degrain import degrained

GRAIN = 0.03
CLEAN = pan(5, grain=0)
GRAINY = pan(5, grain=GRAIN)
OTHERS = [GRAINY[n] for n in (0, 1, 3, 4)]


def off(values: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(((values - truth) ** 2).mean()))


def test_little_of_the_grain_is_left_and_neighbours_help() -> None:
    alone = degrained(GRAINY[2], []).frame
    together = degrained(GRAINY[2], OTHERS)
    assert off(together.frame, CLEAN[2]) < 0.3 * GRAIN
    assert off(together.frame, CLEAN[2]) < 0.8 * off(alone, CLEAN[2])
    assert np.median(together.curve.sigmas) == pytest.approx(GRAIN, rel=0.15)


def test_frames_without_grain_stay_as_they_are() -> None:
    assert off(degrained(CLEAN[2], [CLEAN[n] for n in (0, 1, 3, 4)]).frame, CLEAN[2]) < 0.5 / 255


def test_other_pictures_leave_nothing_behind() -> None:
    rng = np.random.default_rng(4)
    others = [texture(seed, 180, 240) for seed in (5, 6, 7, 8)]
    others = [one + GRAIN * rng.standard_normal(one.shape, np.float32) for one in others]
    mixed = degrained(GRAINY[2], [*OTHERS[:2], *others[:2]]).frame
    assert off(mixed, CLEAN[2]) < 0.4 * GRAIN
    alone, only = degrained(GRAINY[2], []).frame, degrained(GRAINY[2], others).frame
    assert off(only, CLEAN[2]) < 1.1 * off(alone, CLEAN[2])


def test_a_thing_that_is_in_one_neighbour_only_leaves_no_ghost() -> None:
    spoiled = [one.copy() for one in OTHERS]
    spoiled[1][60:100, 80:120] = 1.0
    place = np.s_[52:108, 72:128]
    without, beside = degrained(GRAINY[2], OTHERS).frame[place], degrained(GRAINY[2], spoiled).frame[place]
    assert abs(float((beside - without).mean())) < 0.001
    assert off(beside, CLEAN[2][place]) < 0.4 * GRAIN


def test_a_frame_that_is_shown_twice_loses_its_grain_too() -> None:
    repeated = degrained(GRAINY[2], [GRAINY[1], GRAINY[2].copy(), GRAINY[3]]).frame
    assert off(repeated, CLEAN[2]) < 0.4 * GRAIN


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_and_grey_frames_come_back_as_such(dtype: type) -> None:
    top = np.iinfo(dtype).max
    frames = [np.rint(one[..., :1] * top).astype(dtype) for one in GRAINY]
    result = degrained(frames[2], [frames[1], frames[3]]).frame
    assert result.dtype == dtype
    assert result.shape == frames[2].shape
    assert off(result / top, CLEAN[2][..., :1]) < 0.6 * GRAIN


@pytest.mark.parametrize("size", [(8, 8), (33, 21), (140, 50)])
def test_any_size_will_do(size: tuple[int, int]) -> None:
    frames = [one[: size[0], : size[1]] for one in GRAINY[1:4]]
    result = degrained(frames[1], frames[::2]).frame
    assert result.shape == frames[1].shape
    assert np.isfinite(result).all()


def test_bands_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    bands = degrained(GRAINY[2], OTHERS).frame
    monkeypatch.setattr(degrain, "_BAND_PX", 4096)
    assert np.allclose(bands, degrained(GRAINY[2], OTHERS).frame, atol=2e-6)


def test_flat_areas_have_no_blotches() -> None:
    rng = np.random.default_rng(7)
    flat = [np.full((120, 160, 3), 0.4, np.float32) for _ in range(5)]
    noise = [cv2.GaussianBlur(rng.standard_normal((120, 160, 3), np.float32), (0, 0), 0.6) for _ in range(5)]
    grainy = [one + GRAIN * grain / grain.std() for one, grain in zip(flat, noise, strict=True)]
    result = degrained(grainy[2], [grainy[n] for n in (0, 1, 3, 4)]).frame
    coarse = [cv2.GaussianBlur(one, (0, 0), 4) - 0.4 for one in (grainy[2], result)]
    assert off(result, flat[2]) < 0.2 * GRAIN
    assert coarse[1].std() < 0.7 * coarse[0].std()
