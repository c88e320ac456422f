"""Claims about the classical fills: exact where all is even, at any depth, and blind to what stands under holes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from restore.inpaint.fills import Planes, classical, navier_stokes, navier_stokes_8bit


def smooth(height: int = 40, width: int = 50) -> Planes:
    rng = np.random.default_rng(0)
    coarse = rng.random((4, 5, 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32).clip(0, 1)


def hole(height: int = 40, width: int = 50) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    valid = np.ones((height, width), np.bool_)
    valid[12:20, 15:30] = False
    valid[0:4, 0:3] = False
    return valid


@pytest.mark.parametrize("value", [0.0, 0.1, 0.123456, 1.0, 1 / 3, 1e-4])
@pytest.mark.parametrize("fill", [navier_stokes, classical])
def test_one_even_colour_comes_back_exactly(fill: object, value: float) -> None:
    values = np.full((40, 50, 3), value, np.float32)
    assert callable(fill)
    assert (fill(values, hole()) == np.float32(value)).all()


def test_navier_stokes_has_no_steps_of_eight_bits() -> None:
    fine = navier_stokes(smooth() / 64, hole())[~hole()]
    coarse = navier_stokes_8bit(np.rint(smooth() / 64 * 255).astype(np.uint8), ~hole())[~hole()]
    assert len(np.unique(coarse)) < 10
    assert len(np.unique(fine)) > 200


def test_at_full_depth_it_is_what_opencv_does_in_eight_bits_but_for_rounding() -> None:
    eight = np.rint(smooth() * 255).astype(np.uint8)
    fine = navier_stokes(eight.astype(np.float32) / 255, hole()) * 255
    assert np.abs(fine - navier_stokes_8bit(eight, ~hole()))[~hole()].mean() < 1.5


@pytest.mark.parametrize("fill", [navier_stokes, classical])
def test_known_values_stay_and_what_is_under_holes_has_no_influence(fill: object) -> None:
    values, valid = smooth(), hole()
    assert callable(fill)
    expected = fill(values, valid)
    assert np.array_equal(expected[valid], values[valid])
    for junk in (np.nan, np.inf, 1e30):
        assert np.array_equal(fill(np.where(valid[..., None], values, np.float32(junk)), valid), expected)
    assert expected.min() >= values[valid].min()
    assert expected.max() <= values[valid].max()


def test_without_a_known_pixel_all_is_0() -> None:
    assert (navier_stokes(smooth(), np.zeros((40, 50), np.bool_)) == 0).all()
