"""How far holes grow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from holes_pictures import PLAIN, as_type, calm, covered, disc, image

from restore.holes import as_mask, find
from restore.recipe import FindHoles, HolesFrom

MASKS = FindHoles(HolesFrom.MASKS)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
def test_a_mask_that_is_too_tight_grows_over_the_rim_and_no_further(dtype: type) -> None:
    coverage = disc(120, 140, 60, 70, 8.0)
    page = image(as_type(covered(calm(120, 140), coverage, 0.95), dtype))
    tight = disc(120, 140, 60, 70, 5.0) >= 0.5
    found = find(page, MASKS, PLAIN, marked=as_mask(tight))
    assert found.holes[coverage > 0.2].all()
    assert not found.holes[disc(120, 140, 60, 70, 11.0) == 0.0].any()


def test_a_mask_that_is_wide_enough_stays_as_it_is() -> None:
    page = image(as_type(covered(calm(120, 140), disc(120, 140, 60, 70, 8.0), 0.95), np.uint8))
    wide = disc(120, 140, 60, 70, 10.0) >= 0.5
    assert np.array_equal(find(page, MASKS, PLAIN, marked=as_mask(wide)).holes, wide)


def test_a_crack_with_a_light_and_a_dark_rim_grows_over_both() -> None:
    picture = calm(120, 140)
    picture[40:80, 66:68] -= 0.2  # the shadow
    picture[40:80, 70:72] += 0.2  # the torn edge
    tight = np.zeros((120, 140), np.bool_)
    tight[40:80, 68:70] = True
    found = find(image(as_type(picture, np.uint8)), MASKS, PLAIN, marked=as_mask(tight))
    assert found.holes[40:80, 66:72].all()
    assert not found.holes[:, :63].any()
    assert not found.holes[:, 75:].any()


def test_a_long_hole_across_light_and_dark_that_covers_its_damage_stays_as_it_is() -> None:
    picture = calm(300, 400)
    picture[:, 150:250] += 0.3  # a quarter of the hole's rim, and little of what lies further out
    wide = np.zeros((300, 400), np.bool_)
    wide[140:160, 100:300] = True
    picture[145:155, 105:295] = 0.02
    page = image(as_type(np.clip(picture, 0, 1), np.uint8))
    assert np.array_equal(find(page, MASKS, PLAIN, marked=as_mask(wide)).holes, wide)


def test_growth_is_capped_where_a_mask_lies_on_something_else() -> None:
    step = np.zeros((100, 100, 3), np.uint8)
    step[:, 50:] = 200
    there = disc(100, 100, 50, 50, 6.0) >= 0.5
    grown = find(image(step), MASKS, PLAIN, marked=as_mask(there)).holes
    assert not grown[disc(100, 100, 50, 50, 6.0 + 9.0) == 0.0].any()


def test_growth_by_pixels_is_round() -> None:
    holes = np.zeros((21, 21), np.bool_)
    holes[10, 10] = True
    found = find(image(np.zeros((21, 21, 3), np.uint8)), replace(MASKS, grow_px=5), PLAIN, marked=as_mask(holes))
    assert np.array_equal(found.holes, np.hypot(*(np.mgrid[:21, :21] - 10)) <= 5.1)
    assert (found.blobs[0].box.height, found.blobs[0].kind) == (11, "mask")


def test_blobs_that_grow_together_are_one() -> None:
    holes = np.zeros((20, 40), np.bool_)
    holes[10, 10], holes[10, 16:19] = True, True
    found = find(image(np.zeros((20, 40, 3), np.uint8)), replace(MASKS, grow_px=3), PLAIN, marked=as_mask(holes))
    assert len(found.blobs) == 1
    assert found.blobs[0].area_px == found.holes.sum()


def test_holes_grow_across_the_seam_of_a_repeating_axis_only() -> None:
    holes = np.zeros((20, 30), np.bool_)
    holes[10, 0] = True
    page, rule = image(np.zeros((20, 30, 3), np.uint8)), replace(MASKS, grow_px=2)
    across = find(page, rule, replace(PLAIN, wraps=(False, True)), marked=as_mask(holes)).holes
    assert across[10, -2:].all()
    assert not find(page, rule, PLAIN, marked=as_mask(holes)).holes[:, -5:].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (2, 2)])
def test_tiny_pictures_and_full_masks_are_no_trouble(size: tuple[int, int]) -> None:
    page = image(np.zeros((*size, 3), np.uint8))
    one = np.zeros(size, np.bool_)
    one[0, 0] = True
    for holes in (np.zeros(size, np.bool_), one, np.ones(size, np.bool_)):
        for grow_px in (None, 0, 3):
            found = find(page, replace(MASKS, grow_px=grow_px), PLAIN, marked=as_mask(holes))
            assert found.holes[holes].all()
            assert len(found.blobs) == int(holes.any())


def test_not_a_number_around_a_hole_is_survived() -> None:
    pixels = np.full((30, 30, 3), np.nan, np.float32)
    holes = np.zeros((30, 30), np.bool_)
    holes[10:12, 10:12] = True
    assert find(image(pixels), MASKS, PLAIN, marked=as_mask(holes)).holes[holes].all()
