"""Colour under alpha = 0: filled from what is visible, and nothing else touched."""

from __future__ import annotations

import numpy as np
import pytest

from restore.bleed import bleed_color

NOWHERE = (False, False)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
def test_visible_pixels_stay_bit_for_bit(dtype: type) -> None:
    rng = np.random.default_rng(1)
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    pixels = (rng.random((37, 53, 3)) * top).astype(dtype)
    alpha = (rng.random((37, 53)) * top).astype(dtype)
    alpha[10:30, 5:40] = 0
    result = bleed_color(pixels, alpha, NOWHERE)
    assert result.dtype == dtype
    assert np.array_equal(result[alpha > 0], pixels[alpha > 0])
    assert not np.array_equal(result[alpha == 0], pixels[alpha == 0])


def test_green_junk_under_alpha_zero_leaves_no_fringe() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[...] = (0, 255, 0)
    alpha = np.zeros((64, 64), np.uint8)
    alpha[20:44, 20:44] = 255
    pixels[20:44, 20:44] = (200, 40, 30)
    assert np.array_equal(np.unique(bleed_color(pixels, alpha, NOWHERE).reshape(-1, 3), axis=0), [[200, 40, 30]])


def test_hidden_pixel_takes_the_colour_of_the_visible_side_it_lies_at() -> None:
    pixels = np.zeros((32, 64, 3), np.uint8)
    alpha = np.zeros((32, 64), np.uint8)
    alpha[:, :8] = alpha[:, -8:] = 255
    pixels[:, :8], pixels[:, -8:] = (250, 0, 0), (0, 0, 250)
    result = bleed_color(pixels, alpha, NOWHERE).astype(int)
    assert (result[:, 8:12, 0] > 200).all()
    assert (result[:, -12:-8, 2] > 200).all()
    assert abs(result[16, 31] - (125, 0, 125)).max() < 40


def test_faint_pixels_count_less_than_solid_ones() -> None:
    pixels = np.full((16, 16, 3), 9, np.uint8)
    alpha = np.zeros((16, 16), np.uint8)
    alpha[:, :4], pixels[:, :4] = 255, 200
    alpha[:, -4:], pixels[:, -4:] = 1, 0
    assert bleed_color(pixels, alpha, NOWHERE)[:, 6:9].min() > 150


def test_colour_flows_over_the_seam_of_a_repeating_axis_only() -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    alpha = np.zeros((48, 64), np.uint8)
    alpha[:, :4], pixels[:, :4] = 255, 240
    alpha[:, 30:34], pixels[:, 30:34] = 255, 20
    wrapped = bleed_color(pixels, alpha, (False, True)).astype(int)
    plain = bleed_color(pixels, alpha, NOWHERE).astype(int)
    assert wrapped[:, -2:].min() > 180
    assert plain[:, -2:].max() < 60


def test_filling_a_repeating_picture_does_not_depend_on_where_it_starts() -> None:
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    alpha = np.where(rng.random((64, 64)) < 0.2, 255, 0).astype(np.uint8)
    rolled = bleed_color(np.roll(pixels, (16, 32), (0, 1)), np.roll(alpha, (16, 32), (0, 1)), (True, True))
    assert np.array_equal(np.roll(rolled, (-16, -32), (0, 1)), bleed_color(pixels, alpha, (True, True)))


@pytest.mark.parametrize("value", [0, 255])
def test_nothing_to_fill_from_or_to_fill_leaves_the_picture_as_it_is(value: int) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert np.array_equal(bleed_color(pixels, np.full((9, 7), value, np.uint8), NOWHERE), pixels)


def test_nan_and_infinity_under_alpha_zero_do_not_spread() -> None:
    pixels = np.full((20, 20, 3), 0.5, np.float32)
    alpha = np.ones((20, 20), np.float32)
    alpha[5:9, 5:9] = 0.0
    pixels[5:7, 5:9], pixels[7:9, 5:9] = np.nan, np.inf
    assert np.allclose(bleed_color(pixels, alpha, NOWHERE), 0.5)


@pytest.mark.parametrize("size", [(1, 1), (1, 17), (3, 2), (257, 5), (300, 33)])
def test_any_size_is_filled(size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 7, np.uint8)
    alpha = np.zeros(size, np.uint8)
    alpha[0, 0], pixels[0, 0] = 255, 90
    assert (bleed_color(pixels, alpha, (True, False)) == 90).all()


def test_alpha_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="does not cover"):
        bleed_color(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8), NOWHERE)
