"""Tiles cover what is needed, see enough around it, and are used only where they read clearly less than a plain cut."""

from __future__ import annotations

import random

import numpy as np
import pytest

from restore.cover import Need, cover
from restore.tiling import Tile, cut, extent_of, gather, sew

NO_WRAP = (False, False)


def random_needs(count: int) -> list[tuple[Need, dict]]:
    """Sparse and dense spots of a picture, and ways to cut it."""
    rng = random.Random(11)
    needs = []
    for seed in range(count):
        core = np.zeros((rng.randrange(40, 500), rng.randrange(40, 500)), np.bool_)
        for _ in range(rng.randrange(1, 5)):
            y, x = rng.randrange(core.shape[0]), rng.randrange(core.shape[1])
            core[y : y + rng.randrange(1, 90), x : x + rng.randrange(1, 90)] = True
        core &= np.random.default_rng(seed).random(core.shape) < rng.choice([0.01, 0.5, 1.0])
        halo_px, multiple_of = rng.randrange(0, 30), rng.choice([1, 1, 2, 4])
        how = {
            "tile_px": 2 * halo_px + rng.randrange(multiple_of, 200),
            "halo_px": halo_px,
            "wraps": (rng.random() < 0.5, rng.random() < 0.5),
            "multiple_of": multiple_of,
        }
        needs.append((Need(core, rng.randrange(0, 6)), how))
    return needs


def computed_px(tiles: tuple[Tile, ...]) -> int:
    return sum(tile.read.area for tile in tiles)


def spots(*boxes: tuple[slice, slice], size: int = 512) -> Need:
    core = np.zeros((size, size), np.bool_)
    for box in boxes:
        core[box] = True
    return Need(core, 4)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it doesn't pay."""
    monkeypatch.setattr("restore.cover._CLEARLY_CHEAPER", 1e9)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("need", "how"), random_needs(200))
def test_keeps_are_disjoint_hold_all_that_is_needed_and_see_their_halo(need, how):
    tiles = cover(need, **how)
    needed = need.everywhere(how["wraps"])
    assert tiles is not None
    kept = np.zeros(needed.shape, np.uint8)
    rows, columns = (
        extent_of(size, how["halo_px"], wraps, how["multiple_of"])
        for size, wraps in zip(needed.shape, how["wraps"], strict=True)
    )
    for tile in tiles:
        for keep in tile.keeps:
            kept[keep.y0 : keep.y1, keep.x0 : keep.x1] += 1
            assert needed[keep.y0 : keep.y1, keep.x0 : keep.x1].any()
            for extent, read0, read1, keep0, keep1 in (
                (rows, tile.read.y0, tile.read.y1, keep.y0, keep.y1),
                (columns, tile.read.x0, tile.read.x1, keep.x0, keep.x1),
            ):
                assert extent.start <= read0 < read1 <= extent.stop
                assert read0 == extent.start or keep0 - read0 >= how["halo_px"]
                assert read1 == extent.stop or read1 - keep1 >= how["halo_px"]
                assert (read0 - extent.start) % how["multiple_of"] == 0
                assert (read1 - read0) % how["multiple_of"] == 0
                assert read1 - read0 < how["tile_px"] + how["multiple_of"]
    assert kept.max(initial=0) <= 1
    assert kept[needed].all()


@pytest.mark.parametrize(("need", "how"), random_needs(100))
def test_a_cover_computes_clearly_less_than_the_plain_cut_or_there_is_none(need, how):
    tiles = cover(need, **how)
    if tiles is not None:
        assert computed_px(tiles) < computed_px(cut(*need.core.shape, **how))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("wraps", [NO_WRAP, (True, False), (True, True)])
def test_identity_network_gives_back_what_is_needed(wraps):
    image = np.random.default_rng(3).integers(1, 255, (150, 130, 3), dtype=np.uint8)
    need = Need(np.random.default_rng(4).random(image.shape[:2]) < 0.001, 3)
    canvas = np.zeros_like(image)
    tiles = cover(need, tile_px=48, halo_px=9, wraps=wraps)
    assert tiles
    for tile in tiles:
        sew(canvas, gather(image, tile.read, wraps), tile, 1, (0, 1, 2))
    needed = need.everywhere(wraps)
    assert 0 < needed.sum() < needed.size
    assert (canvas[needed] == image[needed]).all()


def test_the_reach_goes_on_over_an_edge_that_wraps_and_ends_at_any_other():
    need = Need(np.zeros((8, 8), np.bool_), 2)
    need.core[0, 4] = True
    assert need.everywhere((True, False)).sum(axis=1).tolist() == [5, 5, 5, 0, 0, 0, 5, 5]
    assert need.everywhere(NO_WRAP).sum(axis=1).tolist() == [5, 5, 5, 0, 0, 0, 0, 0]


def test_nothing_needed_is_no_tile():
    assert cover(spots(), tile_px=96, halo_px=16, wraps=NO_WRAP) == ()


@pytest.mark.parametrize("everything", [True, False])
def test_where_nearly_everything_is_needed_the_plain_cut_is_used(everything):
    need = spots((slice(0, 512), slice(0, 512)))
    need.core[200:240, 200:240] = everything
    assert cover(need, tile_px=256, halo_px=16, wraps=NO_WRAP) is None


def test_neighbours_share_a_halo_and_distant_ones_do_not():
    near = cover(spots((slice(200, 240), slice(200, 220)), (slice(200, 240), slice(240, 260))), tile_px=256, halo_px=48,
                 wraps=NO_WRAP)  # fmt: skip
    distant = cover(spots((slice(40, 60), slice(40, 60)), (slice(440, 460), slice(440, 460))), tile_px=256, halo_px=48,
                    wraps=NO_WRAP)  # fmt: skip
    assert near is not None
    assert distant is not None
    assert (len(near), len(distant)) == (1, 2)


def test_tiles_of_nearly_one_shape_become_one_shape():
    places = [(20, 30, 70), (150, 90, 40), (300, 50, 50), (420, 40, 80)]
    need = spots(*[(slice(at, at + height), slice(at, at + width)) for at, height, width in places])
    tiles = cover(need, tile_px=256, halo_px=24, wraps=NO_WRAP)
    assert tiles is not None
    assert len(tiles) == 4
    assert len({(tile.read.height, tile.read.width) for tile in tiles}) == 1


def test_the_same_need_gives_the_same_tiles():
    (need, how), (again, _) = random_needs(1)[0], random_needs(1)[0]
    assert cover(need, **how) == cover(again, **how)


@pytest.mark.parametrize(("halo_px", "cell_px"), [(48, 512), (48, 1024), (30, 512), (30, 1024)])
@pytest.mark.parametrize("arrangement", ["scattered", "checkerboard"])
def test_a_sprite_sheet_of_three_quarters_empty_cells_costs_at_most_0_35_of_the_whole(halo_px, cell_px, arrangement):
    cells = 2048 // cell_px
    full = np.zeros((cells, cells), np.bool_)
    if arrangement == "scattered":
        full.flat[np.random.default_rng(0).permutation(full.size)[: full.size // 4]] = True
    else:
        full[::2, ::2] = True
    need = Need(full.repeat(cell_px, 0).repeat(cell_px, 1), 4)
    how = {"tile_px": 640, "halo_px": halo_px, "wraps": NO_WRAP}
    tiles = cover(need, **how)
    assert tiles is not None
    assert computed_px(tiles) <= 0.35 * computed_px(cut(2048, 2048, **how))
