"""Claims about the smoothest fill: it goes on with slopes, meets what is around, and leaves wide holes alone."""

from __future__ import annotations

import numpy as np
import pytest

from restore.inpaint.biharmonic import LARGEST_PX, biharmonic
from restore.inpaint.fills import Planes
from restore.navier_stokes import navier_stokes


def ramp(height: int = 40, width: int = 50) -> Planes:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([0.2 + 0.01 * x, 0.8 - 0.01 * y, 0.3 + 0.004 * (x + y)], 2).astype(np.float32)


def test_a_slope_goes_on_through_a_hole() -> None:
    values, holes = ramp(), np.zeros((40, 50), np.bool_)
    holes[10:18, 10:22] = True
    filled = biharmonic(np.where(holes[..., None], np.float32(np.nan), values), ~holes, holes, np.zeros_like(values))
    np.testing.assert_allclose(filled, values, atol=1e-5)


def test_a_curve_is_nearer_than_navier_stokes() -> None:
    y, x = np.mgrid[0:48, 0:48]
    values = (0.5 + 0.4 * np.sin(x / 6) * np.cos(y / 7))[..., None].astype(np.float32)
    holes = np.zeros((48, 48), np.bool_)
    holes[20:27, 20:27] = True
    errors = [
        np.abs(filled - values)[holes].mean()
        for filled in (biharmonic(values, ~holes, holes, values * 0), navier_stokes(values, ~holes))
    ]
    assert errors[0] < 0.2 * errors[1]


@pytest.mark.parametrize("box", [(0, 0, 6, 6), (34, 44, 40, 50), (0, 20, 5, 30), (15, 0, 22, 4)])
def test_a_hole_at_the_border_is_filled_without_a_jump(box: tuple[int, int, int, int]) -> None:
    values, holes = ramp(), np.zeros((40, 50), np.bool_)
    holes[box[0] : box[2], box[1] : box[3]] = True
    filled = biharmonic(np.where(holes[..., None], np.float32(0), values), ~holes, holes, np.zeros_like(values))
    np.testing.assert_allclose(filled, values, atol=0.04)
    assert np.array_equal(filled[~holes], values[~holes])


def test_what_is_too_large_and_what_nobody_wants_keep_the_start() -> None:
    values, start = ramp(), np.full((40, 50, 3), 0.25, np.float32)
    holes, wanted = np.zeros((40, 50), np.bool_), np.zeros((40, 50), np.bool_)
    holes[4:34, 4:24] = True  # 600 px
    assert holes.sum() > LARGEST_PX
    holes[5:9, 35:39] = True
    holes[20:24, 35:39] = wanted[20:24, 35:39] = True
    wanted[4:34, 4:24] = True
    filled = biharmonic(values, ~holes, wanted, start)
    assert (filled[4:34, 4:24] == 0.25).all()
    assert (filled[5:9, 35:39] == 0.25).all()
    np.testing.assert_allclose(filled[20:24, 35:39], values[20:24, 35:39], atol=1e-5)


def test_nothing_lies_beyond_the_range() -> None:
    values = np.zeros((30, 30, 1), np.float32)
    values[:, 12:15] = np.linspace(0.2, 1, 3)[:, None]
    values[:, 15:] = 1
    holes = np.zeros((30, 30), np.bool_)
    holes[10:20, 15:25] = True
    filled = biharmonic(values, ~holes, holes, values * 0)
    assert filled.min() >= 0
    assert filled.max() <= 1


def test_specks_near_each_other_are_one_system() -> None:
    """A checkerboard of holes: each has unknown pixels within its reach."""
    values = ramp()
    holes = np.zeros((40, 50), np.bool_)
    holes[10:20:2, 10:20:2] = True
    filled = biharmonic(np.where(holes[..., None], np.float32(9), values), ~holes, holes, np.zeros_like(values))
    np.testing.assert_allclose(filled, values, atol=1e-5)


def test_where_nothing_is_known_the_start_stays() -> None:
    start = np.full((6, 7, 3), 0.4, np.float32)
    every = np.ones((6, 7), np.bool_)
    assert np.array_equal(biharmonic(np.zeros_like(start), ~every, every, start), start)
