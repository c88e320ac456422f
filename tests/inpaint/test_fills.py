"""Claims about the classical fills: exact where all is even, at any depth, and blind to what stands under holes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from restore.inpaint.fills import Planes, classical
from restore.navier_stokes import navier_stokes


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
