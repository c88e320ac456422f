"""What is found in bands of rows is what is found in the whole picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from restore.holes.banded import BandedFound, find_in_bands, read_mask
from restore.holes.bits import BitPlane
from restore.holes.find import find
from restore.holes.found import Found
from restore.holes.lint import DoubtKind, doubts
from restore.holes.marked import as_mask
from restore.holes.parts import Parted
from restore.image import Alpha, Banded, Image, Stored, Transfer
from restore.recipe import FindHoles, HolesFrom, TraitRules, Wrap
from restore.traits import Traits, classify
from restore.traits.bands import classify_in_bands

BAND = 128
RULES = TraitRules(Wrap.NONE)


def picture(seed: int, height: int, width: int, *, alpha: bool = False) -> Image:
    """Smooth, a little grainy, with dust, hairs and one transport scratch."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 40 + 3, width // 40 + 3, 3), np.float32)
    pixels = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * 0.4 + 0.3
    pixels += rng.normal(0, 0.006, pixels.shape).astype(np.float32)
    for _ in range(height * width // 8000):
        y, x, radius = int(rng.integers(height)), int(rng.integers(width)), int(rng.integers(1, 5))
        cv2.circle(pixels, (x, y), radius, [0.95] * 3 if rng.random() < 0.5 else [0.02] * 3, -1, cv2.LINE_AA)
    for _ in range(4):
        y, x = int(rng.integers(height)), int(rng.integers(width))
        cv2.line(pixels, (x, y), (x + int(rng.integers(-20, 20)), y + 60), [0.98] * 3, 2, cv2.LINE_AA)
    pixels = (pixels.clip(0, 1) * 65535).round().astype(np.uint16)
    names: tuple[str, ...] = ("R", "G", "B")
    if alpha:
        opaque = np.where(rng.random((height, width, 1)) < 0.01, 0, 65535).astype(np.uint16)
        pixels, names = np.concatenate([pixels, opaque], 2), (*names, "A")
    stored = Stored("tiff", 16, False, Transfer.SRGB, Alpha.STRAIGHT if alpha else Alpha.NONE, names)
    return Image(pixels, stored)


def specks(height: int, width: int, number: int) -> np.ndarray:
    rng, holes = np.random.default_rng(3), np.zeros((height, width), np.uint8)
    for _ in range(number):
        cv2.circle(holes, (int(rng.integers(width)), int(rng.integers(height))), int(rng.integers(1, 6)), 1, -1)
    return holes > 0


def assert_same(banded: BandedFound, whole: Found) -> None:
    height, width = whole.holes.shape
    assert whole.blobs
    assert np.array_equal(banded.holes.rows(0, height), whole.holes)
    assert banded.notes == whole.notes
    page = Image(np.zeros((height, width, 1), np.uint8), as_mask(whole.holes).stored)
    everything, _ = banded.window(page, 0, (0, height))
    assert everything.blobs == whole.blobs
    assert np.array_equal(everything.labels, whole.labels)


@pytest.mark.parametrize(
    "rule",
    [
        FindHoles(HolesFrom.MASKS),
        FindHoles(HolesFrom.MASKS, grow_px=0),
        FindHoles(HolesFrom.MASKS, grow_px=5),
        FindHoles(HolesFrom.ALPHA),
        FindHoles(HolesFrom.KEY, key_rgb=(5, 5, 5), key_tolerance=3, grow_px=2),
        FindHoles(HolesFrom.AUTO),
    ],
    ids=lambda rule: f"{rule.source}-{rule.grow_px}",
)
def test_holes_are_the_whole_picture_s_with_kinds_and_scores(rule: FindHoles) -> None:
    page = picture(1, 900, 300, alpha=rule.source is HolesFrom.ALPHA)
    traits = classify(page, "scan.tif", RULES)
    mask = as_mask(specks(900, 300, 300)) if rule.source is HolesFrom.MASKS else None
    whole = find(page, rule, traits, marked=mask)
    marked = None if mask is None else Banded.of(mask)
    assert_same(find_in_bands(Banded.of(page), rule, traits, marked=marked, band_rows=BAND), whole)


def test_a_picture_taller_than_a_detector_s_band_is_searched_alike() -> None:
    page = picture(2, 4500, 280)
    traits, rule = classify(page, "scan.tif", RULES), FindHoles(HolesFrom.AUTO)
    assert_same(find_in_bands(Banded.of(page), rule, traits), find(page, rule, traits))


def test_a_hole_over_more_than_one_border_is_parted_and_others_stay_whole() -> None:
    holes = np.zeros((600, 90), np.bool_)
    holes[100:140, 10:14] = True  # over one border
    holes[50:500, 40:43] = True  # over three
    holes[300:305, 70:80] = True
    plane = BitPlane(600, 90)
    plane.put(0, holes)
    parted = Parted(plane, BAND)
    assert parted.count_long == 1
    where = parted.places(0, 600)
    assert [(box.y0, box.y1) for box in where.boxes] == [
        (50, 128),
        (100, 140),
        (128, 256),
        (256, 384),
        (300, 305),
        (384, 500),
    ]
    assert np.array_equal(where.labels > 0, holes)
    assert parted.around(0, 128) == (0, 140)
    assert parted.around(256, 384) == (256, 384)


def test_holes_that_touch_only_at_a_corner_across_a_border_are_one() -> None:
    plane = BitPlane(3 * BAND, 40)
    for top in (BAND - 1, 2 * BAND - 1):
        plane.add(top, 10, np.ones((1, 1), np.bool_))
        plane.add(top + 1, 11, np.ones((BAND if top < BAND else 1, 1), np.bool_))
    plane.add(2 * BAND - 1, 11, np.ones((1, 1), np.bool_))
    assert Parted(plane, BAND).count_long == 1


def test_bits_keep_what_is_put_into_them() -> None:
    rng = np.random.default_rng(0)
    holes = rng.random((70, 53)) < 0.3
    plane = BitPlane(70, 53)
    plane.put(0, holes)
    plane.add(60, 45, np.ones((30, 30), np.bool_))
    plane.set_pixels(np.array([0, 0, 3]), np.array([0, 52, 17]))
    holes[60:, 45:] = True
    holes[0, 0] = holes[0, 52] = holes[3, 17] = True
    assert np.array_equal(plane.rows(0, 70), holes)
    assert np.array_equal(plane.rows(13, 31), holes[13:31])
    assert plane.count() == int(holes.sum())


@pytest.mark.parametrize("kind", ["cutout", "grey", "colour"])
def test_traits_are_the_whole_picture_s(kind: str) -> None:
    page = picture(5, 1300, 270, alpha=kind == "cutout")
    if kind == "grey":
        page = page.with_pixels(np.repeat(page.pixels[..., :1], 3, axis=2))
    whole, banded = classify(page, "scan.tif", RULES), classify_in_bands(Banded.of(page), "scan.tif", RULES)
    assert banded == whole
    told: Traits = classify_in_bands(Banded.of(page), "scan.tif", TraitRules())
    assert told.wraps == (False, False)
    assert "scans don't" in told.because


@pytest.mark.parametrize("invert", [False, True])
def test_doubts_about_a_mask_are_the_whole_mask_s(invert: bool) -> None:
    told = set()
    grey = np.repeat(np.linspace(0, 255, 2100).astype(np.uint8), 60).reshape(2100, 60, 1)
    for pixels in (grey, np.zeros_like(grey), np.full_like(grey, 255), np.where(grey < 200, 255, 0).astype(np.uint8)):
        mask = as_mask(pixels[..., 0] > 0).with_pixels(pixels)
        whole = doubts(mask, width_px=60, height_px=2100, invert=invert)
        assert read_mask(Banded.of(mask), None, invert=invert) == whole
        told |= {doubt.kind for doubt in whole}
    assert told >= {DoubtKind.GREY, DoubtKind.EMPTY, DoubtKind.EVERYTHING}


def film(*, depth: float, crosstalk: float = 0.1, shift: int = 0) -> tuple[Image, np.ndarray]:
    """A scan with dirt that holds back all but exp(-depth) of the light, and its infrared image."""
    height, width = 1900, 420
    rng = np.random.default_rng(4)
    coarse = rng.random((height // 50, width // 50, 3), np.float32) * 0.5 + 0.3
    shapes = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0.05, 1)
    dirt = np.zeros((height, width), np.float32)
    for _ in range(150):
        centre = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(dirt, centre, int(rng.integers(2, 5)), float(rng.uniform(0.2, 1.0)), -1)
    for border in range(BAND, height, BAND):
        cv2.circle(dirt, (int(rng.integers(20, width - 20)), border), 4, 0.3, -1)
    through = np.exp(-depth * cv2.GaussianBlur(dirt, (0, 0), 0.8))
    pixels = (shapes**2.2 * through[..., None]) ** (1 / 2.2) + rng.normal(0, 0.003, shapes.shape)
    infrared = 0.6 * (shapes[..., 0] ** 2.2) ** crosstalk * through + rng.normal(0, 0.003, through.shape)
    infrared = np.roll(infrared, shift, axis=0)
    stored = Stored("tiff", 16, False, Transfer.SRGB, Alpha.NONE, ("R", "G", "B"))
    page = Image((pixels.clip(0, 1) * 65535).round().astype(np.uint16), stored)
    return page, (infrared.clip(0, 1) * 65535).round().astype(np.uint16)


@pytest.mark.parametrize(
    ("depth", "crosstalk", "shift"),
    [(3.0, 0.1, 0), (0.5, 0.1, 0), (0.6, 0.1, 3), (0.6, 1.0, 0)],
    ids=["opaque", "thin", "shifted", "silver"],
)
def test_dirt_told_by_infrared_is_the_whole_picture_s_and_so_is_what_is_divided_out(
    depth: float, crosstalk: float, shift: int
) -> None:
    page, plane = film(depth=depth, crosstalk=crosstalk, shift=shift)
    infrared = as_mask(plane > 0).with_pixels(plane[..., None])
    rule = FindHoles(HolesFrom.INFRARED, ir_suffix="_ir")
    traits = classify(page, "scan.tif", RULES)
    whole = find(page, rule, traits, infrared=infrared)
    picture = Banded.of(page)
    banded = find_in_bands(picture, rule, traits, infrared=Banded.of(infrared), band_rows=BAND)
    assert banded.notes == whole.notes
    assert np.array_equal(banded.holes.rows(0, page.height), whole.holes)
    everything, labels = banded.window(page, 0, (0, page.height))
    assert everything.blobs == whole.blobs
    assert np.array_equal(everything.divided, whole.divided)
    assert everything.divided_blobs == whole.divided_blobs
    assert np.array_equal(labels > 0, whole.divided)
    assert np.array_equal(everything.page.pixels, whole.page.pixels)
    assert whole.blobs or whole.divided_blobs
    if crosstalk < 1 and depth < 1:
        assert whole.divided.any()
    assert bool(shift) == any("moved" in note for note in whole.notes)
