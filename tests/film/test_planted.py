"""Claims about planted damage: its truth is the truth, and a seed is a seed."""

from __future__ import annotations

import numpy as np
from moving import pan, specks

from restore.film.planted import SIZES, Planting, Scratch, plant, stamps_of

FRAMES = pan(2)


def test_outside_specks_and_scratches_nothing_changes() -> None:
    planting = Planting(lines=1080, scratches=(Scratch(0.3, 0.1),))
    for frame, one in zip(FRAMES, plant(FRAMES, planting, specks(), seed=3), strict=True):
        changed = np.abs(one.frame - frame).max(axis=2) > 0.11
        assert one.specks.any()
        assert one.scratched.any()
        assert not (changed & ~one.specks & ~one.scratched).any()
        assert np.array_equal(one.clean, frame)
        assert np.array_equal(one.labels > 0, one.specks)


def test_the_same_seed_plants_the_same_and_another_one_something_else() -> None:
    first, again, other = (next(plant(FRAMES, Planting(lines=1080), specks(), seed)).frame for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_specks_have_the_size_that_was_measured_rims_included() -> None:
    dust = [stamp for stamp in specks() if stamp.kind == "dust"]
    blank = [np.full((1080, 1440, 1), 0.5, np.float32)]
    one = next(plant(blank, Planting(density=0.3), dust, seed=1))
    areas = np.bincount(one.labels.ravel())[1:]
    median = np.median(np.sqrt(4 / np.pi * areas[areas > 0]))
    assert abs(median - SIZES["dust"].median / 100 * 1080) < 0.8


def test_damage_of_dye_layers_leaves_a_channel_alone() -> None:
    for one in plant(FRAMES, Planting(lines=1080, dye_share=1.0), specks(), seed=3):
        harmed = np.abs(one.frame - one.clean) > 0.1
        assert harmed.any(axis=2).sum() > 0.3 * one.specks.sum()
        assert not harmed.all(axis=2).any()
        assert not harmed[~one.specks].any()


def test_flicker_and_weave_are_what_the_truth_says() -> None:
    one = next(plant(FRAMES, Planting(flicker=0.05), [], seed=4))
    expected = np.clip(FRAMES[0] * one.gain + one.offset, 0, 1)
    assert np.allclose(one.frame, expected, atol=1e-6)
    woven = next(plant(FRAMES, Planting(weave_px=2.0), [], seed=4))
    assert np.hypot(*woven.shift_px) > 0.5
    assert not np.allclose(woven.frame, FRAMES[0], atol=0.01)


def test_an_overlay_falls_into_its_pieces_but_for_tiny_and_cut_off_ones() -> None:
    overlay = np.zeros((60, 60), np.float32)
    overlay[10:16, 10:16] = 1.0
    overlay[30:38, 40:44] = 0.5
    overlay[0:9, 30:36] = 1.0  # cut off by the border
    overlay[50, 50] = 1.0  # a pixel
    pieces = stamps_of(overlay, "dirt")
    assert sorted(piece.alpha.shape for piece in pieces) == [(6, 6), (8, 4)]
