"""Claims about weave: it goes, a camera's move stays, and no black border comes in."""

from __future__ import annotations

import numpy as np
from moving import pan

from restore.film.planted import Planting, plant
from restore.film.steady import SteadyLaw, moved_back, steady_shot, step_between, weave_of
from restore.film.working import grey_of

LAW = SteadyLaw(sigma_frames=6, largest=0.02)


def test_planted_weave_is_told_to_a_fifth_of_a_pixel_during_a_pan() -> None:
    woven = list(plant(pan(30, size=(240, 320)), Planting(weave_px=1.0), [], seed=8))
    told = np.array([weave[:2] for _, weave in steady_shot((one.frame for one in woven), LAW)])
    true = np.array([one.shift_px for one in woven])
    flat = np.concatenate([true, np.zeros((len(true), 1))], axis=1)
    expected = np.array([weave_of(flat, at, LAW)[:2] for at in range(len(true))])
    assert np.sqrt(((told - expected) ** 2).mean()) < 0.2
    assert np.abs(expected).max() > 1


def test_a_pan_alone_is_no_weave() -> None:
    told = np.array([weave for _, weave in steady_shot(pan(20, size=(240, 320)), LAW)])
    assert np.abs(told[:, :2]).max() < 0.2
    assert np.abs(told[:, 2]).max() < 0.001


def test_a_camera_that_starts_is_held_back_by_a_limit_only() -> None:
    still, moving = pan(1, size=(240, 320)) * 12, pan(12, step_px=(5.0, 0.0), size=(240, 320))
    told = np.array([weave for _, weave in steady_shot(still + moving, SteadyLaw(sigma_frames=6))])
    assert np.hypot(told[:, 0], told[:, 1]).max() <= 0.006 * 240 + 1e-9


def test_a_turn_is_seen_and_taken_back() -> None:
    frame = pan(1, grain=0.0, size=(240, 320))[0]
    turned = moved_back(frame, np.array([1.5, -0.7, 0.01]))
    step = step_between(grey_of(frame), grey_of(turned))
    assert abs(step[2] + 0.01) < 0.001
    again = moved_back(turned, step)
    inside = np.s_[30:-30, 30:-30]
    assert np.abs(again - frame)[inside].mean() < 0.01


def test_edges_show_the_picture_never_black() -> None:
    frame = np.full((100, 120, 3), 0.7, np.float32)
    assert np.allclose(moved_back(frame, np.array([6.0, -4.0, 0.02])), 0.7, atol=1e-3)


def test_a_frame_with_nothing_to_follow_stays_where_it_is() -> None:
    even = np.full((100, 120, 1), 0.5, np.float32)
    assert not step_between(grey_of(even), grey_of(even)).any()


def test_no_weave_is_no_change_in_16_bits() -> None:
    frame = np.rint(pan(1)[0] * 65535).astype(np.uint16)
    assert np.array_equal(moved_back(frame, np.zeros(3)), frame)
