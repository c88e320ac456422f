"""Claims about motion: it is found, flicker is matched, and dirt doesn't bend it."""

from __future__ import annotations

import numpy as np
import pytest
from moving import pan

from restore.film.flow import came_from_outside, flow_between, match, shared_motion, warped, without_holes
from restore.film.working import from_float, grain_sigma, grey_of

GREYS = [grey_of(frame) for frame in pan(5, step_px=(2.0, 1.0))]
INSIDE = np.s_[20:-20, 20:-20]


def test_a_pan_is_found_from_the_frame_itself_and_from_its_neighbours_alone() -> None:
    own = flow_between(GREYS[2], GREYS[3])[INSIDE]
    assert np.allclose(np.median(own, axis=(0, 1)), (-2, -1), atol=0.1)
    to_first, to_second = (np.median(flow[INSIDE], axis=(0, 1)) for flow in shared_motion(GREYS[1], GREYS[3], -1, 1))
    assert np.allclose(to_first, (2, 1), atol=0.1)
    assert np.allclose(to_second, (-2, -1), atol=0.1)


def test_at_a_shots_end_motion_is_carried_on_from_the_next_two_frames() -> None:
    to_next, to_one_after = shared_motion(GREYS[1], GREYS[2], 1, 2)
    assert np.allclose(np.median(to_next[INSIDE], axis=(0, 1)), (-2, -1), atol=0.1)
    assert np.allclose(np.median(to_one_after[INSIDE], axis=(0, 1)), (-4, -2), atol=0.2)


def test_a_neighbour_laid_over_a_frame_differs_by_grain_only() -> None:
    laid = warped(GREYS[3], flow_between(GREYS[2], GREYS[3]))
    left = np.abs(laid - GREYS[2])[INSIDE].mean()
    assert left < 0.5 * np.abs(GREYS[3] - GREYS[2])[INSIDE].mean()


def test_flicker_is_matched_although_a_third_of_the_picture_differs() -> None:
    current = GREYS[0] * np.float32(1.1) + np.float32(0.02)
    current[:60] = 0.9
    line = match(current, GREYS[0])
    assert abs(line.gain - 1.1) < 0.01
    assert abs(line.offset - 0.02) < 0.01


def test_what_lies_beyond_the_other_frames_border_is_said_to() -> None:
    flow = np.zeros((40, 50, 2), np.float32)
    flow[..., 0] = 5
    outside = came_from_outside(flow)
    assert outside[:, -5:].all()
    assert not outside[:, :-5].any()


def test_only_holes_are_filled_before_flow() -> None:
    holes = np.zeros(GREYS[0].shape, bool)
    holes[50:55, 60:66] = True
    dirty = GREYS[0].copy()
    dirty[holes] = 1.0
    filled = without_holes(dirty, holes)
    assert np.array_equal(filled[~holes], dirty[~holes])
    assert np.abs(filled - GREYS[0])[holes].mean() < 0.1


def test_working_frames_come_back_to_their_own_numbers() -> None:
    for top, dtype in ((255, np.uint8), (65535, np.uint16)):
        codes = np.arange(0, top + 1, max(1, top // 255)).astype(dtype).reshape(1, -1, 1)
        assert np.array_equal(from_float(codes.astype(np.float32) / np.float32(top), codes), codes)


def test_grain_is_measured_and_dirt_does_not_count() -> None:
    rng = np.random.default_rng(0)
    grey = (0.5 + 0.02 * rng.standard_normal((200, 200))).astype(np.float32)
    grey[::20, ::20] = 1.0
    assert abs(grain_sigma(grey) - 0.02) < 0.002


def test_grain_does_not_flatten_a_neighbours_contrast() -> None:
    rng = np.random.default_rng(5)
    faint = 0.5 + 0.03 * rng.standard_normal((60, 80), np.float32).repeat(3, 0).repeat(3, 1)
    a, b = (faint + 0.03 * rng.standard_normal(faint.shape, np.float32) for _ in range(2))
    assert match(a, b).gain == pytest.approx(1, abs=0.03)
    assert match(a * 1.1, b).gain == pytest.approx(1.1, abs=0.03)
