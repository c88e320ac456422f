"""Claims about the speck atlas: every hole is seen with context, in few sizes, never dearer than alone or than all."""

from __future__ import annotations

import numpy as np
import pytest

from restore.batch import large
from restore.inpaint.atlas import CELL_PX, Frame, lay_out
from restore.tiling import Box


def frame(height: int = 900, width: int = 1200, wraps: tuple[bool, bool] = (False, False), multiple: int = 16) -> Frame:
    return Frame(height, width, wraps, 16, multiple)


def scattered(count: int, seed: int = 0) -> list[Box]:
    rng = np.random.default_rng(seed)
    boxes = []
    for _ in range(count):
        height, width = (int(side) for side in rng.integers(1, 40, 2))
        y, x = int(rng.integers(0, 900 - height)), int(rng.integers(0, 1200 - width))
        boxes.append(Box(y, x, y + height, x + width))
    return boxes


@pytest.mark.parametrize("multiple", [1, 16, 32, 64, 256])
def test_every_hole_is_in_one_crop_with_its_context(multiple: int) -> None:
    boxes = scattered(150)
    crops = lay_out(boxes, frame(multiple=multiple))
    assert sorted(i for crop in crops for i in crop.members) == list(range(150))
    for crop in crops:
        read = crop.read
        assert read.height % multiple == 0
        assert read.width % multiple == 0
        for i in crop.members:
            box = boxes[i]
            assert read.y0 <= max(0, box.y0 - 16)
            assert read.x0 <= max(0, box.x0 - 16)
            assert read.y1 >= min(900, box.y1 + 16)
            assert read.x1 >= min(1200, box.x1 + 16)


def test_crops_stay_inside_a_picture_that_has_room_and_does_not_repeat() -> None:
    for crop in lay_out([Box(0, 0, 5, 5), Box(895, 1190, 900, 1200), Box(450, 0, 455, 3)], frame()):
        assert crop.read.y0 >= 0
        assert crop.read.x0 >= 0
        assert crop.read.y1 <= 900
        assert crop.read.x1 <= 1200


def test_near_holes_share_a_crop_where_that_is_cheaper_and_far_ones_do_not() -> None:
    near = [Box(100, 100, 104, 104), Box(106, 106, 110, 110)]
    assert len(lay_out(near, frame())) == 1
    assert len(lay_out([near[0], Box(500, 500, 504, 504)], frame())) == 2


def test_together_crops_never_cost_more_than_one_for_each_hole() -> None:
    for seed in range(5):
        boxes, where = scattered(300, seed), frame()
        alone = sum(where.cost(box) for box in boxes)
        together = sum(crop.read.area for crop in lay_out(boxes, where))
        assert together < alone
        assert together < 0.85 * sum(where.side(box.height) * where.side(box.width) for box in boxes)


def test_holes_on_both_sides_of_a_repeating_edge_share_a_crop() -> None:
    boxes = [Box(100, 0, 110, 4), Box(100, 1195, 110, 1200)]
    assert len(lay_out(boxes, frame())) == 2
    (crop,) = lay_out(boxes, frame(wraps=(False, True)))
    (_, first), (_, second) = crop.shifts
    assert abs(first - second) == 1200
    for box, (_, dx) in zip(boxes, crop.shifts, strict=True):
        assert crop.read.x0 + 16 <= box.x0 + dx
        assert box.x1 + dx + 16 <= crop.read.x1


def test_sides_come_in_a_few_sizes_only() -> None:
    where = frame()
    sides = {where.side(length) for length in range(1, where.longest_hole_px + 1)}
    assert len(sides) <= 15
    assert max(sides) == 512


def test_the_layout_does_not_depend_on_chance() -> None:
    boxes = scattered(200)
    assert lay_out(boxes, frame()) == lay_out(list(boxes), frame())


def dense(height: int, width: int, first_row: int = 0, seed: int = 1) -> list[Box]:
    """Small boxes everywhere below `first_row`, cut at the borders of cells."""
    rng = np.random.default_rng(seed)
    boxes = []
    for y in range(first_row, height - 8, 24):
        for x in range(0, width - 8, 24):
            dy, dx = (int(n) for n in rng.integers(0, 16, 2))
            if y // CELL_PX == (y + dy + 7) // CELL_PX and x // CELL_PX == (x + dx + 7) // CELL_PX:
                boxes.append(Box(y + dy, x + dx, y + dy + 8, x + dx + 8))
    return boxes


@pytest.mark.parametrize("wraps", [(False, False), (True, True)])
def test_where_damage_is_dense_whole_cells_cap_what_it_costs(wraps: tuple[bool, bool]) -> None:
    boxes, where = dense(1024, 1536), frame(1024, 1536, wraps)
    crops = lay_out(boxes, where)
    assert sorted(i for crop in crops for i in crop.members) == list(range(len(boxes)))
    assert sum(crop.read.area for crop in crops) <= 1.27 * 1024 * 1536
    for crop in crops:
        for i in crop.members:
            assert crop.read.y0 + 16 <= boxes[i].y0 or (crop.read.y0 == 0 and not wraps[0])
            assert boxes[i].x1 + 16 <= crop.read.x1 or (crop.read.x1 == 1536 and not wraps[1])


def test_dense_cells_leave_the_crops_of_sparse_ones_as_they_are() -> None:
    sparse, where = [Box(100, 100, 110, 110), Box(100, 900, 104, 960)], frame(1024, 1536)
    alone = [crop.read for crop in lay_out(sparse, where)]
    together = lay_out(sparse + dense(1024, 1536, first_row=512), where)
    assert [crop.read for crop in together if crop.members[0] < 2] == alone
    assert any(crop.read.height == where.cell_side for crop in together)


def test_a_cell_with_a_deep_hole_is_left_as_it_is() -> None:
    boxes, where = [Box(250, 250, 262, 262), *dense(1024, 1536)], frame(1024, 1536)
    found = lay_out(boxes, where, frozenset({0}))
    assert sorted(i for crop in found for i in crop.members) == list(range(len(boxes)))
    assert all(crop.read.height != where.cell_side for crop in found if crop.read.y1 <= 512 and crop.read.x1 <= 512)
    assert any(crop.read.height == where.cell_side for crop in found)


def test_a_band_of_whole_cells_is_laid_out_like_the_picture() -> None:
    boxes = dense(1024, 1536)
    assert large._GRID_ROWS % CELL_PX == 0
    assert large.NEAR_ROWS >= CELL_PX
    band = [Box(b.y0 - 256, b.x0, b.y1 - 256, b.x1) for b in boxes if b.y0 >= 256]
    picture = {crop.read for crop in lay_out(boxes, frame(1024, 1536)) if crop.read.y0 > 512}
    found = {crop.read for crop in lay_out(band, frame(768, 1536))}
    assert {Box(b.y0 - 256, b.x0, b.y1 - 256, b.x1) for b in picture} <= found
