"""Claims about the classical fill: at any depth what OpenCV does in eight bits."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.navier_stokes import navier_stokes, navier_stokes_8bit


def smooth() -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    coarse = rng.random((4, 5, 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (50, 40), interpolation=cv2.INTER_CUBIC), np.float32).clip(0, 1)


def hole() -> NDArray[np.bool_]:
    valid = np.ones((40, 50), np.bool_)
    valid[12:20, 15:30] = False
    valid[0:4, 0:3] = False
    return valid


def test_navier_stokes_has_no_steps_of_eight_bits() -> None:
    fine = navier_stokes(smooth() / 64, hole())[~hole()]
    coarse = navier_stokes_8bit(np.rint(smooth() / 64 * 255).astype(np.uint8), ~hole())[~hole()]
    assert len(np.unique(coarse)) < 10
    assert len(np.unique(fine)) > 200


def test_at_full_depth_it_is_what_opencv_does_in_eight_bits_but_for_rounding() -> None:
    eight = np.rint(smooth() * 255).astype(np.uint8)
    fine = navier_stokes(eight.astype(np.float32) / 255, hole()) * 255
    assert np.abs(fine - navier_stokes_8bit(eight, ~hole()))[~hole()].mean() < 1.5


def test_without_a_known_pixel_all_is_0() -> None:
    assert (navier_stokes(smooth(), np.zeros((40, 50), np.bool_)) == 0).all()


def test_a_grey_plane_is_filled_as_one_channel_of_a_picture() -> None:
    plane = np.rint(smooth()[..., 0] * 255).astype(np.uint8)
    three = navier_stokes_8bit(np.repeat(plane[..., None], 3, 2), ~hole())
    assert np.array_equal(navier_stokes_8bit(plane, ~hole()), three[..., 0])
