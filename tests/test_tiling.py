"""Tiles cover an image once, see enough around themselves, and go back where they came from."""

from __future__ import annotations

import random

import numpy as np
import pytest

from restore.tiling import MIRROR_MARGIN_PX, cut, cut_axis, extended_index, gather, sew


def random_cuts(count: int) -> list[tuple[int, int, int, bool, int]]:
    rng = random.Random(7)
    cuts = []
    for _ in range(count):
        multiple_of = rng.choice([1, 1, 2, 4])
        halo_px = rng.randrange(0, 40)
        tile_px = 2 * halo_px + rng.randrange(multiple_of, 200)
        cuts.append((rng.randrange(1, 700), tile_px, halo_px, rng.random() < 0.5, multiple_of))
    return cuts


@pytest.mark.parametrize(("size", "tile_px", "halo_px", "wraps", "multiple_of"), random_cuts(300))
def test_keeps_partition_the_axis_and_every_keep_sees_its_halo(size, tile_px, halo_px, wraps, multiple_of):
    spans = cut_axis(size, tile_px=tile_px, halo_px=halo_px, wraps=wraps, multiple_of=multiple_of)
    assert [s.keep0 for s in spans] == [0, *[s.keep1 for s in spans[:-1]]]
    assert spans[-1].keep1 == size
    margin = halo_px if wraps else min(halo_px, MIRROR_MARGIN_PX)
    start, stop = spans[0].read0, spans[-1].read1
    assert start == -margin
    assert size + margin <= stop < size + margin + multiple_of
    for span in spans:
        assert span.read0 == start or span.keep0 - span.read0 >= halo_px
        assert span.read1 == stop or span.read1 - span.keep1 >= halo_px
        assert (span.read0 - start) % multiple_of == 0


@pytest.mark.parametrize(("size", "tile_px", "halo_px", "wraps", "multiple_of"), random_cuts(300))
def test_all_tiles_of_an_axis_have_one_length_within_the_limit(size, tile_px, halo_px, wraps, multiple_of):
    spans = cut_axis(size, tile_px=tile_px, halo_px=halo_px, wraps=wraps, multiple_of=multiple_of)
    lengths = {s.read1 - s.read0 for s in spans}
    assert len(lengths) == 1
    (length,) = lengths
    assert length % multiple_of == 0
    assert length < tile_px + multiple_of


def test_tiles_are_evened_out_instead_of_leaving_slivers():
    spans = cut_axis(520, tile_px=256, halo_px=16, wraps=False)
    assert [s.read1 - s.read0 for s in spans] == [206, 206, 206]  # 3 x 206 instead of 3 x 256


@pytest.mark.parametrize("wraps", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (5, 3), (97, 64), (40, 200)])
def test_identity_network_gives_the_image_back(shape, wraps):
    image = np.random.default_rng(3).integers(0, 255, (*shape, 3), dtype=np.uint8)
    canvas = np.zeros_like(image)
    for tile in cut(*shape, tile_px=48, halo_px=9, wraps=wraps):
        sew(canvas, gather(image, tile.read, wraps), tile, 1, (0, 1, 2))
    assert (canvas == image).all()


def test_wrapped_reading_continues_at_the_other_edge():
    assert extended_index(-2, 6, 4, wraps=True).tolist() == [2, 3, 0, 1, 2, 3, 0, 1]


def test_mirrored_reading_turns_at_the_edge_pixel_without_repeating_it():
    assert extended_index(-3, 7, 4, wraps=False).tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]


def test_mirroring_survives_images_smaller_than_the_margin():
    assert extended_index(-5, 6, 1, wraps=False).tolist() == [0] * 11
    assert set(extended_index(-9, 11, 2, wraps=False)) == {0, 1}


def test_one_grey_result_fills_all_three_channels():
    (tile,) = cut(4, 4, tile_px=64, halo_px=0, wraps=(False, False))
    canvas = np.zeros((4, 4, 4), np.uint8)
    sew(canvas, np.full((4, 4, 1), 7, np.uint8), tile, 1, (0, 1, 2))
    assert (canvas[..., :3] == 7).all()
    assert (canvas[..., 3] == 0).all()


def test_a_tile_without_room_inside_its_halo_is_refused():
    with pytest.raises(ValueError, match="nothing left inside"):
        cut(500, 500, tile_px=64, halo_px=32, wraps=(False, False))
