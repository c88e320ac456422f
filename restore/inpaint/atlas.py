"""Owns the speck atlas: which rectangles of a picture go through the network, so that all holes are seen with context.

A scan has a thousand specks and one repaired pixel in a hundred.  Each hole gets a crop with context around it; crops
that lie near each other become one where that costs fewer pixels; and sides are rounded up to a few sizes, so that
crops of many pictures share batches.  What goes through the network grows with the damage, not with the picture; and
where crops would cost more than all of a cell of the picture with its context, the cell is one crop, so that many
specks and hairs cost about 1.3 times the whole frame at most.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from restore.tiling import Box

GRID_PX = 16
"""Sides of crops are multiples of this, or of the network's own multiple where that is larger."""
_STEPS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32)
LONGEST_PX = GRID_PX * _STEPS[-1]
"""Longest side of a crop; longer holes are cut."""
CELL_PX = 256
"""Side of those cells, from the picture's corner.  Holes that cross their borders are best cut there."""
_CLOUD_PX = 32
"""Side of the cells in which dust is joined first."""
_CALL_PX = 1000
"""What one more crop costs apart from its pixels, in pixels, about: a call takes 1.5 ms with the default network on two
cores, and 1 Mpx a second."""


@dataclass(frozen=True)
class Crop:
    """One rectangle that the network sees."""

    read: Box
    """Of one of the few sizes.  May reach outside the picture: there it goes on at its other edge where it repeats,
    and elsewhere nothing is known."""
    members: tuple[int, ...]
    """Which of the boxes that were given it is for, ascending."""
    shifts: tuple[tuple[int, int], ...]
    """(y, x) by which each member is displaced, a multiple of the picture's size where it is seen across an edge."""


@dataclass(frozen=True)
class Frame:
    """What crops are laid out in."""

    height: int
    width: int
    wraps: tuple[bool, bool]
    context_px: int
    multiple_of: int

    def side(self, length: int) -> int:
        """The size of a crop's side for holes of this length."""
        sides = _sides(self.context_px, self.multiple_of)
        return sides[length] if length < len(sides) else _rounded(length + 2 * self.context_px, self.multiple_of)

    def cost(self, box: Box) -> int:
        """Pixels that a crop for `box` costs."""
        return self.side(box.height) * self.side(box.width) + _CALL_PX

    @property
    def cell_side(self) -> int:
        """Of the crop for a whole cell."""
        grid = _grid(self.multiple_of)
        return -(-(CELL_PX + 2 * self.context_px) // grid) * grid

    @property
    def longest_hole_px(self) -> int:
        """Of a side; longer ones are cut before they come here."""
        return len(_sides(self.context_px, self.multiple_of)) - 1

    def holds(self, box: Box) -> bool:
        return max(box.height, box.width) <= self.longest_hole_px


@lru_cache(maxsize=16)
def _sides(context_px: int, multiple_of: int) -> tuple[int, ...]:
    """Side of a crop by the length of holes, from 0 to the longest."""
    longest = max(_rounded(LONGEST_PX, multiple_of), _rounded(2 * context_px + 1, multiple_of)) - 2 * context_px
    return tuple(_rounded(length + 2 * context_px, multiple_of) for length in range(longest + 1))


def _rounded(wanted: int, multiple_of: int) -> int:
    grid = _grid(multiple_of)
    return next((grid * step for step in _STEPS if grid * step >= wanted), -(-wanted // grid) * grid)


def _grid(multiple_of: int) -> int:
    return -(-GRID_PX // multiple_of) * multiple_of


@dataclass(eq=False)
class _Group:
    box: Box
    members: list[tuple[int, int, int]]
    """(index, shift y, shift x)."""
    cost: int

    def joined(self, other: _Group, dy: int, dx: int, frame: Frame) -> _Group:
        box = _union(self.box, _moved(other.box, dy, dx))
        members = self.members + [(i, y + dy, x + dx) for i, y, x in other.members]
        return _Group(box, members, frame.cost(box))


def lay_out(boxes: Sequence[Box], frame: Frame, deep: frozenset[int] = frozenset()) -> tuple[Crop, ...]:
    """Crops that show every box with context, each box in one of them; in order of their first members.

    `deep`: boxes that at the border of a cell would see less than they should; cells with any are left as they are.
    `boxes` lie inside the picture, none longer than `frame.longest_hole_px`.  A function of its arguments alone.
    """
    crops, sparse = _dense_cells(boxes, frame, deep)
    for group in _grouped(boxes, sparse, frame):
        members = sorted(group.members)
        read = _read(group.box, frame)
        crops.append(Crop(read, tuple(m[0] for m in members), tuple((m[1], m[2]) for m in members)))
    return tuple(sorted(crops, key=lambda crop: crop.members))


def _dense_cells(boxes: Sequence[Box], frame: Frame, deep: frozenset[int]) -> tuple[list[Crop], list[int]]:
    """(a crop for each cell that costs less whole than its boxes do, which boxes are in none of them).

    Whether a cell is dense depends on the boxes that touch it alone, so a band of whole cells decides like the picture.
    """
    cells: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    sparse = []
    closed: set[tuple[int, int]] = set()
    for i, box in enumerate(boxes):
        rows, columns = (range(a // CELL_PX, (b - 1) // CELL_PX + 1) for a, b in ((box.y0, box.y1), (box.x0, box.x1)))
        if i in deep:
            closed.update((row, column) for row in rows for column in columns)
        if len(rows) == len(columns) == 1:
            cells[rows[0], columns[0]].append(i)
        else:
            sparse.append(i)
    whole = frame.cell_side**2 + _CALL_PX
    crops = []
    for (row, column), inside in cells.items():
        dense = (row, column) not in closed and sum(frame.cost(boxes[i]) for i in inside) > whole
        if dense and sum(group.cost for group in _grouped(boxes, inside, frame)) > whole:
            y0, y1 = _read_axis(row * CELL_PX, (row + 1) * CELL_PX, frame.cell_side, frame.height, frame.wraps[0])
            x0, x1 = _read_axis(column * CELL_PX, (column + 1) * CELL_PX, frame.cell_side, frame.width, frame.wraps[1])
            crops.append(Crop(Box(y0, x0, y1, x1), tuple(inside), ((0, 0),) * len(inside)))
        else:
            sparse += inside
    return crops, sorted(sparse)


def _grouped(boxes: Sequence[Box], which: Sequence[int], frame: Frame) -> list[_Group]:
    singles = [_Group(boxes[i], [(i, 0, 0)], frame.cost(boxes[i])) for i in which]
    return _merged(_merged_in_cells(singles, frame), frame)


def _merged_in_cells(singles: list[_Group], frame: Frame) -> list[_Group]:
    """Clouds of dust first, cell by cell: joining their thousands of pairs one by one would take longer than the
    network."""
    groups: list[_Group] = []
    cells: dict[tuple[int, int], int] = {}
    for single in singles:
        box = single.box
        cell = ((box.y0 + box.y1) // (2 * _CLOUD_PX), (box.x0 + box.x1) // (2 * _CLOUD_PX))
        at = cells.get(cell)
        if at is not None:
            joined = groups[at].joined(single, 0, 0, frame)
            if joined.cost < groups[at].cost + single.cost and frame.holds(joined.box):
                groups[at] = joined
                continue
        cells[cell] = len(groups)
        groups.append(single)
    return groups


def _merged(singles: list[_Group], frame: Frame) -> list[_Group]:
    """Join the two groups that save most, again and again, until none saves anything."""
    groups = dict(enumerate(singles))
    near = _Near(frame)
    for name, group in groups.items():
        near.add(name, group.box)
    queue = [
        offer
        for name, group in groups.items()
        for offer in _offers(name, group, groups, near, frame)
        if name < offer[2]
    ]
    heapq.heapify(queue)
    fresh = len(groups)
    while queue:
        _, a, b, dy, dx = heapq.heappop(queue)
        if a not in groups or b not in groups:
            continue
        first, second = groups.pop(a), groups.pop(b)
        near.remove(a, first.box)
        near.remove(b, second.box)
        groups[fresh] = joined = first.joined(second, dy, dx, frame)
        near.add(fresh, joined.box)
        for offer in _offers(fresh, joined, groups, near, frame):
            heapq.heappush(queue, offer)
        fresh += 1
    return list(groups.values())


def _offers(
    name: int, own: _Group, groups: dict[int, _Group], near: _Near, frame: Frame
) -> Iterator[tuple[int, int, int, int, int]]:
    """(minus what is saved, name, other, shift y, shift x) for the joins of `name` that save something."""
    box = own.box
    for other, dy, dx in near.around(box):
        if other == name:
            continue
        theirs = groups[other]
        their_box = theirs.box
        # In plain numbers: this runs for every pair of neighbours.
        height = max(box.y1, their_box.y1 + dy) - min(box.y0, their_box.y0 + dy)
        width = max(box.x1, their_box.x1 + dx) - min(box.x0, their_box.x0 + dx)
        if max(height, width) > frame.longest_hole_px:
            continue
        saved = own.cost + theirs.cost - frame.side(height) * frame.side(width) - _CALL_PX
        if saved > 0:
            yield -saved, name, other, dy, dx


class _Near:
    """Groups by the cells of a grid that their boxes touch, across edges that repeat."""

    CELL_PX = 64

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._cells: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        # A join pays for the gap between two crops and saves their context on both sides of it.
        self._reach = 2 * frame.context_px + GRID_PX

    def add(self, name: int, box: Box) -> None:
        for cell in self._touched(box):
            self._cells[cell].add(name)

    def remove(self, name: int, box: Box) -> None:
        for cell in self._touched(box):
            self._cells[cell].discard(name)

    def around(self, box: Box) -> list[tuple[int, int, int]]:
        """(name, dy, dx): groups near by, displaced by that; ordered, so that runs agree."""
        reach = self._reach
        wider = Box(box.y0 - reach, box.x0 - reach, box.y1 + reach, box.x1 + reach)
        found: set[tuple[int, int, int]] = set()
        for dy in self._shifts(wider.y0, wider.y1, self._frame.height, self._frame.wraps[0]):
            for dx in self._shifts(wider.x0, wider.x1, self._frame.width, self._frame.wraps[1]):
                for cell in self._touched(_moved(wider, -dy, -dx)):
                    found |= {(name, dy, dx) for name in self._cells.get(cell, ())}
        return sorted(found)

    @staticmethod
    def _shifts(start: int, stop: int, size: int, wraps: bool) -> Iterator[int]:
        yield 0
        if wraps and start < 0:
            yield -size
        if wraps and stop > size:
            yield size

    def _touched(self, box: Box) -> Iterator[tuple[int, int]]:
        for row in range(box.y0 // self.CELL_PX, (box.y1 - 1) // self.CELL_PX + 1):
            for column in range(box.x0 // self.CELL_PX, (box.x1 - 1) // self.CELL_PX + 1):
                yield row, column


def _read(box: Box, frame: Frame) -> Box:
    """A rectangle of an allowed size about `box`, moved into the picture where there is room and no repeating."""
    y0, y1 = _read_axis(box.y0, box.y1, frame.side(box.height), frame.height, frame.wraps[0])
    x0, x1 = _read_axis(box.x0, box.x1, frame.side(box.width), frame.width, frame.wraps[1])
    return Box(y0, x0, y1, x1)


def _read_axis(start: int, stop: int, side: int, size: int, wraps: bool) -> tuple[int, int]:
    begin = start - (side - (stop - start)) // 2
    if not wraps:
        begin = max(0, min(begin, size - side))
    return begin, begin + side


def _union(a: Box, b: Box) -> Box:
    return Box(min(a.y0, b.y0), min(a.x0, b.x0), max(a.y1, b.y1), max(a.x1, b.x1))


def _moved(box: Box, dy: int, dx: int) -> Box:
    return Box(box.y0 + dy, box.x0 + dx, box.y1 + dy, box.x1 + dx)
