"""Sums along lines."""

from __future__ import annotations

import numpy as np
import pytest

from restore.holes.lines import find_scratches, sheared_sums
from restore.recipe import Polarity


@pytest.mark.parametrize("count", [64, 100])
def test_a_line_adds_up_at_its_own_slope(count: int) -> None:
    rows = np.zeros((count, 200), np.float32)
    slope = 15
    length = 1 << (count - 1).bit_length()
    for y in range(count):
        rows[y, 50 + round(slope * y / length)] = 1.0
    sums = sheared_sums(rows)
    slopes = np.unravel_index(int(sums.argmax()), sums.shape)
    assert abs(int(slopes[0]) - slope) <= 1
    assert abs(int(slopes[1]) - 50) <= 1
    assert sums.max() >= 0.7 * count


def test_sums_at_slope_0_are_column_sums() -> None:
    rows = np.random.default_rng(0).normal(size=(48, 90)).astype(np.float32)
    assert np.allclose(sheared_sums(rows)[0], rows.sum(axis=0), atol=1e-4)


def test_noise_and_texture_hold_no_scratch() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0.5, 0.02, size=(200, 600)).astype(np.float32)
    stripes = noise + 0.1 * np.sin(np.arange(600) / 1.7)[None].astype(np.float32)
    for rows in (noise, stripes):
        assert find_scratches(rows, threshold_sigmas=6.0, polarity=Polarity.BOTH) == ()


def test_a_short_line_is_no_transport_scratch() -> None:
    rows = np.random.default_rng(0).normal(0.5, 0.01, size=(200, 600)).astype(np.float32)
    rows[40:110, 300:302] += 0.1
    assert find_scratches(rows, threshold_sigmas=6.0, polarity=Polarity.BOTH) == ()
