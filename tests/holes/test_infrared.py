"""Dirt told by infrared, on pictures whose clean state is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
from holes_pictures import PLAIN, as_type, calm, disc, image
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.holes import Found, find
from restore.holes.found import places
from restore.image import Image, Stored, Transfer
from restore.recipe import FindHoles, HolesFrom

RULE = FindHoles(HolesFrom.INFRARED, ir_suffix="_ir")
HEIGHT, WIDTH = 320, 400


@dataclass(frozen=True)
class Scan:
    page: Image
    clean: NDArray[np.generic]
    infrared: NDArray[np.float32]
    """0..1, with the picture's crosstalk in it."""
    let_through: NDArray[np.float32]


def scan(*, depth: float, seed: int = 0, crosstalk: float = 0.1, dtype: type = np.uint16, light: bool = False) -> Scan:
    """Twelve specks that hold back all but exp(-depth) of the light; display values unless `light`."""
    rng = np.random.default_rng(seed)
    shapes = calm(HEIGHT, WIDTH, seed=seed, noise=0.0) * np.array([1.0, 0.8, 0.7], np.float32)
    shapes[100:200, 120:260] *= 0.4  # something with edges, so that crosstalk has edges, too
    places = [(y, x) for y in (50, 150, 260) for x in (60, 160, 240, 340)]
    dirt = np.max([disc(HEIGHT, WIDTH, y, x, 4.0) for y, x in places], axis=0)
    let_through = np.exp(-depth * cv2.GaussianBlur(dirt, (0, 0), 0.8)).astype(np.float32)
    power = 1.0 if light else 1.0 / 2.2
    grain = rng.normal(scale=0.004, size=shapes.shape)
    clean = np.clip((shapes**2.2) ** power + grain, 0, 1).astype(np.float32)
    damaged = np.clip((shapes**2.2 * let_through[..., None]) ** power + grain, 0, 1).astype(np.float32)
    infrared = 0.6 * (shapes[..., 0] ** 2.2) ** crosstalk * let_through * np.linspace(0.8, 1.0, WIDTH)
    noisy = (infrared + rng.normal(scale=0.003, size=infrared.shape)).astype(np.float32)
    transfer = Transfer.LINEAR if light else Transfer.SRGB
    return Scan(image(as_type(damaged, dtype), transfer), as_type(clean, dtype), noisy, let_through)


def searched(one: Scan, infrared: NDArray[np.float32] | None = None, rule: FindHoles = RULE) -> Found:
    plane = one.infrared if infrared is None else infrared
    return find(one.page, rule, PLAIN, infrared=image(as_type(plane, np.uint16)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_opaque_dirt_becomes_holes_and_nothing_else_does(dtype: type) -> None:
    one = scan(depth=3.0, dtype=dtype)
    found = searched(one)
    assert len(found.blobs) == 12
    assert found.holes[one.let_through < 0.8].all()
    assert not found.holes[one.let_through > 0.999].any() or found.holes[one.let_through > 0.999].mean() < 0.01
    assert not found.divided.any()
    assert {b.kind for b in found.blobs} == {"infrared"}
    assert np.array_equal(found.page.pixels, one.page.pixels)


@pytest.mark.parametrize("light", [False, True])
def test_thin_dirt_is_divided_out_and_the_picture_comes_back(light: bool) -> None:
    one = scan(depth=0.3, light=light)
    found = searched(one)
    assert len(found.divided_blobs) >= 10
    at = found.divided
    before = np.abs(one.page.pixels[at].astype(float) - one.clean[at]).mean()
    after = np.abs(found.page.pixels[at].astype(float) - one.clean[at]).mean()
    assert after < 0.25 * before
    assert np.array_equal(found.page.pixels[~at & ~found.holes], one.page.pixels[~at & ~found.holes])


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_divided_out_is_recorded_as_the_places_that_changed(seed: int) -> None:
    """Soft rims of neighbours meet, so there may be fewer places than specks."""
    rng = np.random.default_rng(seed)
    through = np.ones((HEIGHT, WIDTH), np.float32)
    for y, x in rng.integers(10, min(HEIGHT, WIDTH) - 10, (60, 2)).tolist():
        for dx in (0, 7):
            through = np.minimum(through, 1 - 0.25 * disc(HEIGHT, WIDTH, y, x + dx, 2.0))
    colour = (calm(HEIGHT, WIDTH) * through[..., None] ** (1 / 2.2)).astype(np.float32)
    infrared = (0.6 * through + rng.normal(scale=0.003, size=through.shape)).astype(np.float32)
    page = image(as_type(colour, np.uint16))
    found = find(page, RULE, PLAIN, infrared=image(as_type(infrared, np.uint16)))
    where = places(found.divided)
    assert len(where) > 10
    assert tuple((blob.box, blob.area_px) for blob in found.divided_blobs) == tuple(
        zip(where.boxes, where.areas_px, strict=True)
    )
    assert all(blob.kind == "infrared" and (blob.score or 0) >= RULE.threshold_sigmas for blob in found.divided_blobs)
    assert not (found.divided & found.holes).any()


def test_a_threshold_in_sigmas_fits_every_scanner() -> None:
    one = scan(depth=3.0)
    counts = {len(searched(one, gain * one.infrared).blobs) for gain in (0.2, 0.6, 1.4)}
    assert counts == {12}


def test_half_resolution_and_a_shift_are_put_right() -> None:
    one = scan(depth=3.0)
    moved = cv2.warpAffine(
        one.infrared, np.array([[1, 0, 5.0], [0, 1, -3.0]]), (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE
    )
    half = cv2.resize(moved, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
    found = searched(one, half)
    assert len(found.blobs) == 12
    assert found.holes[one.let_through < 0.5].all()
    assert any("enlarged by 2" in note for note in found.notes)
    assert any("moved by -" in note for note in found.notes)


def test_an_infrared_image_of_other_proportions_is_refused() -> None:
    with pytest.raises(ImageError, match="proportions"):
        searched(scan(depth=1.0), np.ones((100, 400), np.float32))


def test_silver_is_warned_of_and_nothing_is_divided() -> None:
    one = scan(depth=0.3, crosstalk=1.0)
    found = searched(one)
    assert any("silver" in note for note in found.notes)
    assert not found.divided.any()
    assert not any("silver" in note for note in searched(scan(depth=0.3)).notes)


def test_a_clean_channel_gives_no_holes() -> None:
    found = searched(scan(depth=0.0))
    assert not found.holes.any()
    assert not found.divided.any()


def test_infrared_as_a_channel_of_the_picture_is_kept_in_it() -> None:
    one = scan(depth=0.3)
    four = np.dstack([one.page.pixels, as_type(one.infrared, np.uint16)])
    stored = Stored("tiff", 16, False, Transfer.SRGB, one.page.stored.alpha, ("R", "G", "B", "ir"))
    rule = replace(RULE, ir_suffix=None, ir_channel=3)
    found = find(Image(four, stored), rule, PLAIN)
    assert found.divided.any()
    assert np.array_equal(found.page.pixels[..., 3], four[..., 3])
    with pytest.raises(ImageError, match="no channel 4"):
        find(Image(four, stored), replace(rule, ir_channel=4), PLAIN)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (40, 2), (17, 17)])
def test_odd_sizes_are_no_trouble(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    page = image(rng.integers(0, 255, (*size, 3), dtype=np.uint8))
    found = find(page, RULE, PLAIN, infrared=image(rng.integers(0, 255, size, dtype=np.uint8)))
    assert found.holes.shape == size


def test_not_a_number_is_survived() -> None:
    one = scan(depth=0.3, dtype=np.float32)
    pixels = one.page.pixels.copy()
    pixels[45:60, 50:70] = np.nan
    found = find(one.page.with_pixels(pixels), RULE, PLAIN, infrared=image(one.infrared))
    assert np.array_equal(np.isnan(found.page.pixels), np.isnan(pixels))
