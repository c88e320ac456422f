"""Owns which parts of a picture need a network at all, and the tiles that cover them.

Empty space costs nothing: where no result can be seen, no tile is computed.  What is needed is covered by rectangles,
each cut into tiles with their halos, so that few pixels are read:

1. Each block of 16 px keeps the bounding box of what it holds.  Blocks are paired along one axis or the other, pairs
   are paired again, up to the whole picture: for every rectangle of that kind the cheapest is known, either to cover
   it at once or to take its halves apart (best dyadic partition, as in Donoho, "CART and best-ortho-basis", 1997).
   Nothing is tried out and nothing is random, and a 4096 x 4096 picture takes about 0.2 s.
2. Two rectangles become one where that is cheaper: a halo around both costs less than two.
3. Sides are rounded up to 32 px, and shapes that lie near each other become one, for tiles run together by shape.

Where all that isn't clearly cheaper than the plain cut of the whole picture, there is no cover, and the plain cut runs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import lcm

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.tiling import Box, Extent, Span, Tile, cut, extent_of, spread

_BLOCK_PX = 16
_SIDE_STEP_PX = 32
"""Sides of reads are multiples of it: fewer shapes."""
_TILE_COST_PX = 1 << 10
"""What a tile costs beside its pixels: it is gathered, handed over and sewn."""
_SHAPE_COST_PX = 1 << 15
"""What one more shape costs: on a GPU its last batch is padded, unless other pictures have tiles of it too."""
_CLEARLY_CHEAPER = 0.9

_Ints = NDArray[np.int64]
_Boxes = NDArray[np.int64]
"""(4, ...) y0, y1, x0, x1 of half-open rectangles in pixels; y1 < y0 is an empty one."""
_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Need:
    """Whose results matter: the pixels of `core`, and all in the square of `reach_px` around each."""

    core: _Mask
    """(H, W)."""
    reach_px: int

    def everywhere(self, wraps: tuple[bool, bool]) -> _Mask:
        """(H, W) all that is needed; over a wrapping edge, too."""
        reach = self.reach_px
        padding = [(reach, reach) if axis else (0, 0) for axis in wraps]
        around = np.pad(self.core, padding, mode="wrap") if any(wraps) else self.core
        square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        grown = cv2.dilate(np.ascontiguousarray(around).view(np.uint8), square)
        top, left = padding[0][0], padding[1][0]
        inside = grown[top : top + self.core.shape[0], left : left + self.core.shape[1]]
        return np.ascontiguousarray(inside).view(np.bool_)


@dataclass(frozen=True)
class _Axis:
    """How a stretch of one axis is read."""

    size: int
    extent: Extent
    reach_px: int
    halo_px: int
    tile_px: int
    multiple_of: int

    def reads(self, keep0: _Ints, keep1: _Ints) -> tuple[_Ints, _Ints]:
        """(number, length) of the reads for everything from keep0 to keep1, grown by the reach."""
        start, stop = self._seen(np.maximum(keep0 - self.reach_px, 0), np.minimum(keep1 + self.reach_px, self.size))
        length = stop - start
        several = length > self.tile_px
        count = np.where(several, -(-(length - self.tile_px) // self._longest_step) + 1, 1)
        least = -(-(length + (count - 1) * (2 * self.halo_px + self.multiple_of - 1)) // count)
        least = self._up(least, self.multiple_of)
        rounded = np.minimum(self._up(least, lcm(_SIDE_STEP_PX, self.multiple_of)), self._most)
        return count, np.maximum(least, rounded)

    def spans(self, keep0: int, keep1: int, read_px: int) -> tuple[Span, ...]:
        """Reads of `read_px` each for everything from keep0 to keep1, which is already grown."""
        start, stop = (int(v[0]) for v in self._seen(np.array([keep0]), np.array([keep1])))
        length = max(stop - start, read_px)
        start = min(start, self.extent.stop - length)
        step = read_px - 2 * self.halo_px - (self.multiple_of - 1)
        count = 1 if length == read_px else -(-(length - read_px) // step) + 1
        return spread(start, length, count, read_px, (keep0, keep1), self.multiple_of)

    def grown(self, keep0: int, keep1: int) -> tuple[int, int]:
        return max(keep0 - self.reach_px, 0), min(keep1 + self.reach_px, self.size)

    @property
    def _longest_step(self) -> int:
        return max(1, self.tile_px - 2 * self.halo_px - (self.multiple_of - 1))

    @property
    def _most(self) -> int:
        """Where a side is rounded up, it stays below the limit, and inside the picture's extension."""
        return min(self.extent.stop - self.extent.start, int(self._up(np.array(self.tile_px), self.multiple_of)))

    def _seen(self, keep0: _Ints, keep1: _Ints) -> tuple[_Ints, _Ints]:
        """From where to where a network must read, on the grid of `multiple_of`."""
        first = self.extent.start
        start = (np.maximum(keep0 - self.halo_px, first) - first) // self.multiple_of * self.multiple_of + first
        stop = first + self._up(np.minimum(keep1 + self.halo_px, self.extent.stop) - first, self.multiple_of)
        return start, stop

    @staticmethod
    def _up(value: _Ints, step: int) -> _Ints:
        return -(-value // step) * step


def cover(
    need: Need, *, tile_px: int, halo_px: int, wraps: tuple[bool, bool], multiple_of: int = 1
) -> tuple[Tile, ...] | None:
    """Tiles whose keeps, all disjoint, hold every needed pixel; None where the plain cut is about as cheap.

    The other arguments are `tiling.cut`'s, and what each tile reads obeys the same rules.
    """
    needed = need.everywhere(wraps)
    if not needed.any():
        return ()
    everything = cut(*needed.shape, tile_px=tile_px, halo_px=halo_px, wraps=wraps, multiple_of=multiple_of)
    if needed.all():
        return None
    core = need.core
    if any(wraps):  # what is needed only because the picture goes on over its edge
        core = core | (needed & ~need.everywhere((False, False)))
    y, x = (
        _Axis(size, extent_of(size, halo_px, repeats, multiple_of), need.reach_px, halo_px, tile_px, multiple_of)
        for size, repeats in zip(needed.shape, wraps, strict=True)
    )
    tiles = _tiles(_merge(_partition(core, (y, x)), (y, x)), (y, x), needed)
    return tiles if _cost(tiles) <= _CLEARLY_CHEAPER * _cost(everything) else None


def _cost(tiles: tuple[Tile, ...]) -> int:
    shapes = {(tile.read.height, tile.read.width) for tile in tiles}
    return sum(tile.read.area + _TILE_COST_PX for tile in tiles) + len(shapes) * _SHAPE_COST_PX


def _costs(boxes: _Boxes, axes: tuple[_Axis, _Axis]) -> _Ints:
    rows, height = axes[0].reads(boxes[0], boxes[1])
    columns, width = axes[1].reads(boxes[2], boxes[3])
    return np.where(boxes[1] > boxes[0], rows * columns * (height * width + _TILE_COST_PX), 0)


def _union(a: _Boxes, b: _Boxes) -> _Boxes:
    low, high = np.minimum(a, b), np.maximum(a, b)
    return np.stack([low[0], high[1], low[2], high[3]])


def _partition(core: _Mask, axes: tuple[_Axis, _Axis]) -> _Boxes:
    """The cheapest dyadic partition: (4, n) bounding boxes of what its parts hold."""
    blocks = _blocks(core)
    levels = [n.bit_length() for n in blocks.shape[1:]]
    boxes: dict[tuple[int, int], _Boxes] = {(0, 0): blocks}
    best: dict[tuple[int, int], _Ints] = {}
    apart: dict[tuple[int, int], NDArray[np.int8]] = {}  # 0: covered at once; 1, 2: in halves along y, x
    for i in range(levels[0]):
        for j in range(levels[1]):
            if i:
                finer = boxes[i - 1, j]
                boxes[i, j] = _union(finer[:, 0::2], finer[:, 1::2])
            elif j:
                finer = boxes[i, j - 1]
                boxes[i, j] = _union(finer[:, :, 0::2], finer[:, :, 1::2])
            cost = _costs(boxes[i, j], axes)
            how = np.zeros(cost.shape, np.int8)
            if i:
                halves = best[i - 1, j][0::2] + best[i - 1, j][1::2]
                how[halves < cost] = 1
                cost = np.minimum(cost, halves)
            if j:
                halves = best[i, j - 1][:, 0::2] + best[i, j - 1][:, 1::2]
                how[halves < cost] = 2
                cost = np.minimum(cost, halves)
            best[i, j], apart[i, j] = cost, how
    found = []
    waiting = [(levels[0] - 1, levels[1] - 1, 0, 0)]
    while waiting:
        i, j, row, column = waiting.pop()
        if apart[i, j][row, column] == 1:
            waiting += [(i - 1, j, 2 * row, column), (i - 1, j, 2 * row + 1, column)]
        elif apart[i, j][row, column] == 2:
            waiting += [(i, j - 1, row, 2 * column), (i, j - 1, row, 2 * column + 1)]
        elif best[i, j][row, column] > 0:
            found.append(tuple(boxes[i, j][:, row, column].tolist()))
    return np.array(sorted(found), np.int64).T.copy()


def _blocks(core: _Mask) -> _Boxes:
    """The bounding box of what each block holds; as many blocks a side as the next power of two."""
    sides = [1 << (-(-size // _BLOCK_PX) - 1).bit_length() for size in core.shape]
    whole = np.zeros((sides[0] * _BLOCK_PX, sides[1] * _BLOCK_PX), np.bool_)
    whole[: core.shape[0], : core.shape[1]] = core
    by_block = whole.reshape(sides[0], _BLOCK_PX, sides[1], _BLOCK_PX)
    set_rows: _Mask = np.any(by_block, axis=3)
    set_columns: _Mask = np.any(by_block, axis=1)
    rows = _ends(set_rows.swapaxes(1, 2), np.arange(sides[0])[:, None])
    columns = _ends(set_columns, np.arange(sides[1])[None, :])
    return np.stack([*rows, *columns])


def _ends(lines: _Mask, block: NDArray[np.intp]) -> tuple[_Ints, _Ints]:
    """(rows, columns, 16) -> first and one past the last of those that are set, in pixels."""
    some = lines.any(axis=2)
    first = np.where(some, block * _BLOCK_PX + lines.argmax(axis=2), 1 << 40)
    stop = np.where(some, (block + 1) * _BLOCK_PX - lines[..., ::-1].argmax(axis=2), -1)
    return first.astype(np.int64), stop.astype(np.int64)


def _merge(boxes: _Boxes, axes: tuple[_Axis, _Axis]) -> _Boxes:
    """Two become one as long as that is cheaper: each in turn takes the partner that saves most."""
    costs = _costs(boxes, axes)
    merged = True
    while merged:
        merged, i = False, 0
        while i < boxes.shape[1]:
            union = _union(boxes, boxes[:, i : i + 1])
            together = _costs(union, axes)
            saved = costs + costs[i] - together
            saved[i] = 0
            partner = int(saved.argmax())
            if saved[partner] <= 0:
                i += 1
                continue
            boxes[:, i], costs[i], merged = union[:, partner], together[partner], True
            boxes, costs = np.delete(boxes, partner, axis=1), np.delete(costs, partner)
            i -= partner < i
    return boxes


def _tiles(boxes: _Boxes, axes: tuple[_Axis, _Axis], needed: _Mask) -> tuple[Tile, ...]:
    """Rectangles may overlap by their reach: what two could keep is the earlier one's."""
    rows, heights = axes[0].reads(boxes[0], boxes[1])
    columns, widths = axes[1].reads(boxes[2], boxes[3])
    shapes = list(zip(heights.tolist(), widths.tolist(), strict=True))
    counts: Counter[tuple[int, int]] = Counter()
    for shape, number in zip(shapes, (rows * columns).tolist(), strict=True):
        counts[shape] += number
    shared = _shared_shapes(counts)
    tiles: list[Tile] = []
    taken: list[Box] = []
    for (y0, y1, x0, x1), shape in zip(boxes.T.tolist(), shapes, strict=True):
        (top, bottom), (left, right) = axes[0].grown(y0, y1), axes[1].grown(x0, x1)
        before = [box for box in taken if _overlap(box, Box(top, left, bottom, right))]
        for r in axes[0].spans(top, bottom, shared[shape][0]):
            for c in axes[1].spans(left, right, shared[shape][1]):
                parts = _without(Box(r.keep0, c.keep0, r.keep1, c.keep1), before)
                keeps = tuple(k for k in parts if needed[k.y0 : k.y1, k.x0 : k.x1].any())
                if keeps:
                    tiles.append(Tile(Box(r.read0, c.read0, r.read1, c.read1), keeps))
        taken.append(Box(top, left, bottom, right))
    return tuple(tiles)


def _shared_shapes(counts: Counter[tuple[int, int]]) -> dict[tuple[int, int], tuple[int, int]]:
    """For each shape the one that its tiles get: larger, where another shape less is worth the pixels."""
    becomes = {shape: shape for shape in counts}
    classes = dict(counts)
    while len(classes) > 1:
        shapes = np.array(sorted(classes))
        number = np.array([classes[h, w] for h, w in shapes.tolist()])
        area = shapes.prod(axis=1)
        both = np.maximum(shapes[:, None], shapes[None])
        more = both.prod(axis=2) * (number[:, None] + number[None]) - area * number - (area * number)[:, None]
        more[np.tril_indices(len(shapes))] = 1 << 40
        a, b = np.unravel_index(more.argmin(), more.shape)
        if more[a, b] >= _SHAPE_COST_PX:
            break
        joined = (int(both[a, b, 0]), int(both[a, b, 1]))
        parts = {(int(h), int(w)) for h, w in (shapes[a], shapes[b])}
        classes[joined] = sum(classes.pop(part) for part in parts) + classes.get(joined, 0)
        becomes = {shape: joined if own in parts else own for shape, own in becomes.items()}
    return becomes


def _overlap(a: Box, b: Box) -> bool:
    return a.y0 < b.y1 and b.y0 < a.y1 and a.x0 < b.x1 and b.x0 < a.x1


def _without(box: Box, others: list[Box]) -> tuple[Box, ...]:
    """What is left of `box`, in disjoint rectangles."""
    left = [box]
    for other in others:
        rest = []
        for part in left:
            if not _overlap(part, other):
                rest.append(part)
                continue
            y0, y1 = max(part.y0, other.y0), min(part.y1, other.y1)
            rest += [
                Box(part.y0, part.x0, y0, part.x1),
                Box(y0, part.x0, y1, other.x0),
                Box(y0, other.x1, y1, part.x1),
                Box(y1, part.x0, part.y1, part.x1),
            ]
        left = [part for part in rest if part.height > 0 and part.width > 0]
    return tuple(left)
