"""Holes that the picture itself declares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from holes_pictures import PLAIN, image
from numpy.typing import NDArray

from restore.holes import Found, find
from restore.image import Transfer
from restore.recipe import FindHoles, HolesFrom

ALPHA = FindHoles(HolesFrom.ALPHA)
PINK = FindHoles(HolesFrom.KEY, key_rgb=(255, 0, 255))


def keyed(pixels: NDArray[np.generic], rule: FindHoles = PINK, transfer: Transfer = Transfer.SRGB) -> Found:
    return find(image(pixels, transfer), rule, PLAIN)


def square(dtype: type, pink: tuple[float, float, float], around: float) -> NDArray[np.generic]:
    pixels = np.full((20, 30, 3), around, dtype)
    pixels[5:9, 10:16] = np.array(pink, dtype)
    return pixels


@pytest.mark.parametrize(
    ("pixels", "transfer"),
    [
        (square(np.uint8, (255, 0, 255), 90), Transfer.SRGB),
        (square(np.uint16, (65535, 0, 65535), 9000), Transfer.SRGB),
        (square(np.float32, (1.0, 0.0, 1.0), 0.3), Transfer.SRGB),
        (square(np.float16, (1.0, 0.0, 1.0), 0.3), Transfer.LINEAR),
    ],
    ids=["8 bit", "16 bit", "float", "linear half"],
)
def test_the_key_is_found_in_every_number_type(pixels: NDArray[np.generic], transfer: Transfer) -> None:
    found = keyed(pixels, transfer=transfer)
    assert [(b.box.y0, b.box.x0, b.area_px, b.kind) for b in found.blobs] == [(5, 10, 24, "key")]


def test_without_tolerance_one_step_off_is_another_colour() -> None:
    assert not keyed(square(np.uint8, (254, 0, 255), 90)).holes.any()
    assert not keyed(square(np.uint16, (65534, 0, 65535), 90)).holes.any()


def test_tolerance_counts_8_bit_steps_at_any_depth() -> None:
    rule = replace(PINK, key_tolerance=4)
    assert keyed(square(np.uint8, (251, 4, 255), 90), rule).holes.any()
    assert not keyed(square(np.uint8, (250, 0, 255), 90), rule).holes.any()
    assert keyed(square(np.uint16, (65535 - 4 * 257, 0, 65535), 90), rule).holes.any()
    assert not keyed(square(np.uint16, (65534 - 4 * 257, 0, 65535), 90), rule).holes.any()


def test_a_light_key_is_compared_as_light() -> None:
    half = 0.2158605  # light of a display value of 0.5
    found = keyed(square(np.float32, (half, half, half), 0.5), replace(PINK, key_rgb=(128, 128, 128)), Transfer.LINEAR)
    assert found.blobs[0].area_px == 24


def test_grey_pictures_have_only_grey_keys() -> None:
    grey = np.full((4, 4), 7, np.uint8)
    assert keyed(grey, replace(PINK, key_rgb=(7, 7, 7))).holes.all()
    found = keyed(grey)
    assert not found.holes.any()
    assert found.notes


def test_alpha_0_is_missing_and_nothing_else() -> None:
    pixels = np.full((10, 10, 4), 200, np.uint8)
    pixels[2:4, 3:6, 3], pixels[7, 7, 3] = 0, 1
    found = find(image(pixels), ALPHA, PLAIN)
    assert [(b.area_px, b.kind) for b in found.blobs] == [(6, "alpha")]
    assert found.page.pixels is pixels


def test_without_an_alpha_channel_nothing_is_missing_and_it_is_said() -> None:
    found = find(image(np.zeros((3, 3, 3), np.uint8)), ALPHA, PLAIN)
    assert not found.holes.any()
    assert "alpha" in found.notes[0]


def test_declared_holes_grow_only_when_asked_to() -> None:
    assert keyed(square(np.uint8, (255, 0, 255), 90), replace(PINK, grow_px=1)).blobs[0].box.height == 6
