"""Owns where an image is cut, and lays the results back.  Integers first, pixels last.

An axis of `size` pixels is first extended by a margin on both sides: a repeated (wrapping) or mirrored border, so that
no network ever meets the edge of a texture as black.  Tiles then cover that extended axis:

        -margin   0                                   size  +margin
           |......|====================================|......|
    read 0 |-------------------------|
    keep 0        |-----------------|
    read 1                   |-------------------------|
    keep 1                          |---------|
    read 2                             |----------------------|       (each read has the same length)
    keep 2                                    |--------|

Keeps partition the image.  A keep stays at least `halo_px` inside its read, except where the read ends with the
extended axis: there the tile sees just what an untiled run would see.  So with a halo of the network's receptive
radius, tiled and untiled outputs are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from restore.image import Pixels

MIRROR_MARGIN_PX = 16
"""Mirrored border of an axis that doesn't wrap: hides the 2 to 3 px of artefacts that zero padding leaves."""


@dataclass(frozen=True)
class Box:
    """Half-open rectangle in pixels; may reach outside the image, into its extension."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def area(self) -> int:
        return self.height * self.width


@dataclass(frozen=True)
class Tile:
    """What the network sees (`read`) and what of its answer is used (`keeps`, disjoint, no other tile's)."""

    read: Box
    keeps: tuple[Box, ...]


@dataclass(frozen=True)
class Span:
    """One axis of a tile."""

    read0: int
    read1: int
    keep0: int
    keep1: int


@dataclass(frozen=True)
class Extent:
    """One axis of a picture with its margins: from where to where an untiled run would read."""

    start: int
    stop: int


def cut(
    height: int, width: int, *, tile_px: int, halo_px: int, wraps: tuple[bool, bool], multiple_of: int = 1
) -> tuple[Tile, ...]:
    """Tiles, all of one shape, whose keeps partition (height, width); reads are at most about `tile_px` a side.

    `wraps` is (y, x).  `multiple_of`: the network takes only sides that are multiples of it.
    Raises ValueError where a tile has nothing left inside its halo.
    """
    rows = cut_axis(height, tile_px=tile_px, halo_px=halo_px, wraps=wraps[0], multiple_of=multiple_of)
    columns = cut_axis(width, tile_px=tile_px, halo_px=halo_px, wraps=wraps[1], multiple_of=multiple_of)
    return tuple(
        Tile(Box(r.read0, c.read0, r.read1, c.read1), (Box(r.keep0, c.keep0, r.keep1, c.keep1),))
        for r in rows
        for c in columns
    )


def cut_axis(size: int, *, tile_px: int, halo_px: int, wraps: bool, multiple_of: int = 1) -> tuple[Span, ...]:
    """One axis of `cut`."""
    if size < 1:
        raise ValueError(f"an image has at least one pixel a side, got {size}")
    extent = extent_of(size, halo_px, wraps, multiple_of)
    length = extent.stop - extent.start
    if length <= tile_px:
        return (Span(extent.start, extent.stop, 0, size),)
    # A start is rounded down to the grid of `multiple_of`, which may widen one step by almost that much.
    longest_step = tile_px - 2 * halo_px - (multiple_of - 1)
    if longest_step < 1:
        raise ValueError(f"a tile of {tile_px} px has nothing left inside a halo of {halo_px} px")
    count = -(-(length - tile_px) // longest_step) + 1
    # The smallest tile that still needs only `count` of them: no slivers, no work for nothing.
    tile = min(
        _round_up(-(-(length + (count - 1) * (2 * halo_px + multiple_of - 1)) // count), multiple_of),
        _round_up(tile_px, multiple_of),
    )
    return spread(extent.start, length, count, tile, (0, size), multiple_of)


def extent_of(size: int, halo_px: int, wraps: bool, multiple_of: int = 1) -> Extent:
    margin = halo_px if wraps else min(halo_px, MIRROR_MARGIN_PX)
    return Extent(-margin, _round_up(size + 2 * margin, multiple_of) - margin)


def spread(
    start: int, length: int, count: int, tile: int, keep: tuple[int, int], multiple_of: int = 1
) -> tuple[Span, ...]:
    """`count` reads of `tile` pixels, evenly over `length` from `start` on, whose keeps partition `keep`."""
    last = max(1, count - 1)
    starts = [(i * (length - tile) // last) // multiple_of * multiple_of + start for i in range(count)]
    inner = [(after + before + tile) // 2 for before, after in pairwise(starts)]
    keeps = [keep[0], *inner, keep[1]]
    return tuple(
        Span(start, start + tile, keep0, keep1)
        for start, (keep0, keep1) in zip(starts, pairwise(keeps), strict=True)
        if keep1 > keep0
    )


def gather(pixels: Pixels, box: Box, wraps: tuple[bool, bool]) -> Pixels:
    """(box.height, box.width, C): the pixels under `box`, with the image extended where it reaches outside."""
    height, width = pixels.shape[:2]
    if box.y0 >= 0 and box.x0 >= 0 and box.y1 <= height and box.x1 <= width:
        return pixels[box.y0 : box.y1, box.x0 : box.x1]
    rows = extended_index(box.y0, box.y1, height, wraps[0])
    columns = extended_index(box.x0, box.x1, width, wraps[1])
    return pixels[rows[:, None], columns[None, :]]


def extended_index(start: int, stop: int, size: int, wraps: bool) -> NDArray[np.intp]:
    """Indices in [0, size) for positions start..stop: repeated (abcabc) or mirrored about the edge pixel (cbabcba)."""
    position = np.arange(start, stop)
    if wraps or size == 1:
        return position % size
    period = 2 * (size - 1)
    position = position % period
    return np.where(position < size, position, period - position)


def sew(canvas: Pixels, result: Pixels, tile: Tile, scale: int, channels: tuple[int, ...]) -> None:
    """Lay the kept parts of `result` (scale * read, len(channels)) into `canvas` (scale * image, C)."""
    read = tile.read
    for keep in tile.keeps:
        inside = result[
            (keep.y0 - read.y0) * scale : (keep.y1 - read.y0) * scale,
            (keep.x0 - read.x0) * scale : (keep.x1 - read.x0) * scale,
        ]
        lay(canvas[keep.y0 * scale : keep.y1 * scale, keep.x0 * scale : keep.x1 * scale], inside, channels)


def lay(view: Pixels, inside: Pixels, channels: tuple[int, ...]) -> None:
    """Set those channels of `view`; one plane fills them all."""
    if channels == tuple(range(view.shape[2])):
        view[...] = inside
        return
    for i, channel in enumerate(channels):
        view[..., channel] = inside[..., min(i, inside.shape[2] - 1)]


def _round_up(value: int, multiple_of: int) -> int:
    return -(-value // multiple_of) * multiple_of
