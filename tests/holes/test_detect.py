"""Damage told from the picture itself: what is found, and above all what is left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from holes_pictures import AUTO, PLAIN, as_type, calm, covered, disc, image
from numpy.typing import NDArray

from restore.formats import Decoder
from restore.holes import find
from restore.image import Image, Transfer
from restore.recipe import Polarity
from restore.traits import AlphaUse

SPECKS = ((60, 70, 1.5), (150, 300, 2.5), (240, 120, 2.0), (100, 200, 1.0))


def dusty(level: float, height: int = 300, width: int = 400) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    coverage = np.max([disc(height, width, *speck) for speck in SPECKS], axis=0)
    return covered(calm(height, width), coverage, level), coverage


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("level", [0.02, 0.97])
def test_specks_on_calm_ground_are_found_whole_and_nothing_else(dtype: type, level: float) -> None:
    picture, coverage = dusty(level)
    found = find(image(as_type(picture, dtype)), AUTO, PLAIN)
    assert len(found.blobs) == len(SPECKS)
    assert found.holes[coverage > 0.3].all()
    assert {b.kind for b in found.blobs} <= {"dust", "dirt"}
    assert all(b.score is not None and b.score >= AUTO.threshold_sigmas for b in found.blobs)
    assert not found.divided.any()


def test_a_picture_without_damage_has_no_holes() -> None:
    for seed in range(3):
        assert not find(image(as_type(calm(seed=seed, noise=0.03), np.uint8)), AUTO, PLAIN).holes.any()


def test_polarity_leaves_the_other_kind_alone() -> None:
    dark, _ = dusty(0.02)
    page = image(as_type(dark, np.uint8))
    assert not find(page, replace(AUTO, polarity=Polarity.LIGHT), PLAIN).holes.any()
    assert len(find(page, replace(AUTO, polarity=Polarity.DARK), PLAIN).blobs) == len(SPECKS)


def test_what_is_larger_than_the_cap_is_no_dust() -> None:
    picture = covered(calm(), disc(300, 400, 150, 200, 6.0), 0.95)
    page = image(as_type(picture, np.uint8))
    assert not find(page, AUTO, PLAIN).holes.any()
    assert len(find(page, replace(AUTO, max_size_px=20), PLAIN).blobs) == 1


def test_a_hair_is_found_and_called_one() -> None:
    coverage = np.zeros((300, 400), np.float32)
    curve = np.array([[(120 + 30 * np.cos(t), 150 + 40 * np.sin(t))] for t in np.linspace(0, 2.4, 40)], np.int32)
    cv2.polylines(coverage, [curve], False, 1.0, 2, cv2.LINE_AA)
    found = find(image(as_type(covered(calm(), coverage, 0.95), np.uint8)), AUTO, PLAIN)
    assert found.holes[coverage > 0.5].mean() > 0.9
    assert {b.kind for b in found.blobs} == {"hair"}


@pytest.mark.parametrize("level", [0.04, -0.04])
def test_a_faint_scratch_is_found_by_its_length(level: float) -> None:
    picture = calm(800, 500, noise=0.02)
    x = 200 + 8 * np.arange(800) / 800
    line = np.clip(1.5 - np.abs(np.arange(500)[None] - x[:, None]), 0.0, 1.0).astype(np.float32)
    found = find(image(as_type(np.clip(picture + level * line[..., None], 0, 1), np.uint16)), AUTO, PLAIN)
    assert [b.kind for b in found.blobs] == ["scratch"]
    assert found.holes[line > 0.5].mean() > 0.9
    assert found.holes.sum() < 6 * 800


def test_text_is_left_alone() -> None:
    page = as_type(calm(noise=0.004), np.uint8).copy()
    for row in range(5):
        cv2.putText(
            page, "The quick brown fox, i.e. a joke;", (10, 40 + 50 * row), 1, 1.3, (10, 10, 10), 1, cv2.LINE_AA
        )
    found = find(image(page), AUTO, PLAIN)
    assert found.holes.sum() < 0.02 * np.count_nonzero(page.max(axis=2) < 60)


def test_not_a_number_is_a_hole_and_bright_light_is_none() -> None:
    pixels = (4.0 * calm()).astype(np.float32)
    pixels[40:43, 50:52, 1] = np.nan
    found = find(image(pixels, Transfer.LINEAR), AUTO, PLAIN)
    assert [b.kind for b in found.blobs] == ["not a number"]
    assert found.holes[40:43, 50:52].all()
    everywhere = find(image(np.full((20, 20, 3), np.nan, np.float32)), AUTO, PLAIN)
    assert everywhere.holes.all()


def test_a_pattern_that_passes_for_dust_is_warned_of() -> None:
    pixels = as_type(calm(noise=0.003), np.uint8).copy()
    pixels[10::40, 10::40] = pixels[11::40, 10::40] = pixels[10::40, 11::40] = pixels[11::40, 11::40] = 255
    found = find(image(pixels), replace(AUTO, grow_px=4), PLAIN)
    assert any("look at the masks" in note for note in found.notes)
    assert not find(image(dusty(0.97)[0]), AUTO, PLAIN).notes


def test_nothing_is_sought_where_nobody_sees_it() -> None:
    picture, coverage = dusty(0.97)
    opacity = np.ones((300, 400, 1), np.float32)
    opacity[:, 250:] = 0.0
    page = image(as_type(np.concatenate([picture, opacity], axis=2), np.uint8))
    found = find(page, replace(AUTO, grow_px=0), replace(PLAIN, alpha=AlphaUse.CUTOUT))
    assert not found.holes[:, 250:].any()
    assert found.holes[coverage > 0.9][:1].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (4, 4), (6, 200), (300, 9)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_odd_sizes_are_no_trouble(size: tuple[int, int], channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (*size, channels), dtype=np.uint8)
    found = find(image(pixels), AUTO, PLAIN)
    assert found.holes.shape == size


def test_a_tall_picture_is_searched_in_bands_without_a_trace_of_them() -> None:
    picture = calm(4200, 60)
    coverage = np.max([disc(4200, 60, y, 30, 2.0) for y in (30, 2046, 2049, 3000, 4095)], axis=0)
    found = find(image(as_type(covered(picture, coverage, 0.97), np.uint8)), replace(AUTO, max_size_px=8), PLAIN)
    assert len(found.blobs) == 4, "two of them grow together"
    assert found.holes[coverage > 0.5].all()


@pytest.mark.slow
def test_clean_photographs_stay_clean(shared_data: Path) -> None:
    """At most one false object a picture on average."""
    paths = sorted((shared_data / "sr" / "Set14").rglob("*.png"))
    if not paths:
        pytest.skip(f"no Set14 in {shared_data}")
    with Decoder() as decoder:
        pages: list[Image] = [decoder.read(path).first for path in paths]
    assert sum(len(find(page, AUTO, PLAIN).blobs) for page in pages) <= len(pages)
