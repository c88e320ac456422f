"""Claims about shots: cuts, fades and dissolves are borders; flashes, flicker and motion are none."""

from __future__ import annotations

import numpy as np
from moving import pan, texture

from restore.film.shots import Border, Change, borders
from restore.film.small import apart, small_of

ONE = pan(40)
OTHER = [np.ascontiguousarray(frame[::-1, ::-1]) for frame in pan(40, step_px=(-1.0, 0.5))]
BLACK = np.zeros_like(ONE[0])


def told(frames: list[np.ndarray]) -> list[Border]:
    return list(borders(frames))


def test_a_cut_is_told_at_its_frame() -> None:
    assert told(ONE[:23] + OTHER[:20]) == [Border(23, Change.CUT, 23, 23)]


def test_a_flash_is_no_cut() -> None:
    for length in (1, 3):
        lit = [np.clip(frame * 1.6 + 0.5, 0, 1) if 15 <= i < 15 + length else frame for i, frame in enumerate(ONE)]
        assert told(lit) == []
        blank = [np.ones_like(frame) if 15 <= i < 15 + length else frame for i, frame in enumerate(ONE)]
        assert told(blank) == []


def test_flicker_and_motion_are_no_cuts() -> None:
    rng = np.random.default_rng(1)
    assert (
        told([np.clip(frame * (1 + 0.2 * rng.standard_normal()), 0, 1) for frame in pan(40, step_px=(4.0, 2.0))]) == []
    )


def test_a_fade_through_black_is_one_border_with_its_length() -> None:
    out = [ONE[i] * (1 - i / 9) if i >= 0 else ONE[i] for i in range(10)]
    into = [OTHER[i] * (i / 9) for i in range(10)]
    found = told(ONE[10:30] + out + [BLACK] * 3 + into + OTHER[10:30])
    assert [border.change for border in found] == [Change.FADE]
    assert 29 <= found[0].frame <= 34
    assert found[0].first <= 29
    assert found[0].last >= 34


def test_black_between_two_shots_is_a_cut() -> None:
    found = told(ONE[:20] + [BLACK] * 8 + OTHER[:20])
    assert [border.change for border in found] == [Change.CUT]
    assert found[0].frame == 28


def test_a_dissolve_is_told_within_itself() -> None:
    mixed = [ONE[20 + i] * (1 - (i + 1) / 11) + OTHER[i] * ((i + 1) / 11) for i in range(10)]
    found = told(ONE[:20] + mixed + OTHER[10:35])
    assert [border.change for border in found] == [Change.DISSOLVE]
    assert 19 <= found[0].frame <= 31


def test_blocks_of_a_long_stream_lose_and_repeat_nothing() -> None:
    shots = [[texture(seed, 36, 64)] * 37 for seed in range(40)]
    found = told([frame for shot in shots for frame in shot])
    assert [border.frame for border in found] == [37 * number for number in range(1, 40)]


def test_likeness_does_not_see_light() -> None:
    small = small_of(ONE[0])
    assert apart(small, np.clip(small * 0.5 + 0.1, 0, 1)) < 0.01
    assert apart(small, small_of(OTHER[0])) > 0.3


def test_light_that_is_turned_down_is_no_dissolve() -> None:
    moving = pan(40, step_px=(4.0, 1.0))
    assert told([np.clip(frame * (0.7 + 0.3 * np.cos(i / 7)), 0, 1) for i, frame in enumerate(moving)]) == []


def test_a_dissolve_right_after_a_flash_is_told_once() -> None:
    mixed = [ONE[20 + i] * (1 - (i + 1) / 11) + OTHER[i] * ((i + 1) / 11) for i in range(10)]
    lit = [np.clip(frame * 1.5 + 0.4, 0, 1) if i >= 17 else frame for i, frame in enumerate(ONE[:20])]
    found = told(lit + mixed + OTHER[10:35])
    assert [border.change for border in found] == [Change.DISSOLVE]


def test_a_flash_that_blinds_one_frame_and_lights_the_next_is_no_cut() -> None:
    lit = [*ONE[:15], np.ones_like(ONE[0]), np.clip(ONE[16] * 1.5 + 0.55, 0, 1), *ONE[17:]]
    assert told(lit) == []
