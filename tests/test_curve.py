"""Stored values become what networks know, and come back as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from restore.curve import Curve, Shape, data_curve, display_curve, fixed_curve, unit_curve

RAMP = np.linspace(0.0, 1.0, 64 * 64, dtype=np.float32).reshape(64, 64, 1)


def through(curve: Curve, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(what the network sees, what comes back of it)."""
    unit = curve.forward(torch.from_numpy(values.astype(np.float32)))
    return unit.numpy(), curve.back(unit).numpy()


@pytest.mark.parametrize("exposure", [0.001, 0.05, 1.0, 700.0])
def test_light_of_any_exposure_looks_alike_to_the_network(exposure: float) -> None:
    seen, back = through(display_curve(RAMP * exposure), RAMP * exposure)
    reference, _ = through(display_curve(RAMP), RAMP)
    np.testing.assert_allclose(seen, reference, atol=1e-4)
    np.testing.assert_allclose(back, RAMP * exposure, rtol=1e-4, atol=1e-6 * exposure)
    assert 0.4 < np.median(seen) < 0.8


def test_a_single_bright_pixel_leaves_most_of_the_range_to_the_others() -> None:
    sun = RAMP.copy()
    sun[5, 5] = 60000.0
    curve = display_curve(sun)
    seen, back = through(curve, sun)
    assert seen[5, 5] == pytest.approx(1.0)
    assert np.median(seen) > 0.35
    np.testing.assert_allclose(back, sun, rtol=1e-3, atol=1e-6)


def test_sixteen_bit_light_comes_back_exactly() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    curve = display_curve(values)
    assert curve.shape is Shape.DISPLAY
    assert np.array_equal(np.rint(through(curve, values)[1]), values)


def test_positions_and_vectors_stored_as_colour_are_not_taken_for_light() -> None:
    values = (RAMP - 0.5) * 200.0
    curve = display_curve(values)
    assert (curve.shape, curve.low, curve.peak) == (Shape.PLAIN, -100.0, 100.0)


def test_a_depth_ramp_stays_straight() -> None:
    seen, back = through(data_curve(RAMP * 40000.0), RAMP * 40000.0)
    np.testing.assert_allclose(seen, RAMP, atol=1e-6)
    np.testing.assert_allclose(back, RAMP * 40000.0, rtol=1e-6)


def test_a_far_plane_does_not_swallow_near_depth() -> None:
    depth = 1.0 + 30.0 * RAMP
    depth[:32] = 1e10
    seen, back = through(data_curve(depth), depth)
    assert np.ptp(seen[32:]) > 0.02
    np.testing.assert_allclose(back, depth, rtol=1e-4)


def test_what_has_a_range_of_its_own_keeps_it() -> None:
    half = (RAMP * 0.5).astype(np.float16)
    assert (unit_curve(half).low, unit_curve(half).peak) == (0.0, 1.0)
    assert unit_curve(RAMP * 3).peak == 3.0
    assert fixed_curve(RAMP * 3).peak == 1.0
    assert unit_curve(np.zeros((2, 2, 1), np.uint16)).peak == 65535.0


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-30, 3e38, np.nan, np.inf])
@pytest.mark.parametrize("make", [unit_curve, display_curve, data_curve])
def test_odd_floats_never_give_nan(make, value: float) -> None:
    values = np.full((3, 3, 1), value, np.float32)
    values[0, 0] = 0.25
    curve = make(values)
    finite = torch.from_numpy(values[np.isfinite(values)])
    unit = curve.forward(finite)
    assert torch.isfinite(unit).all()
    assert torch.isfinite(curve.back(unit.clamp(0.0, 1.0))).all()
