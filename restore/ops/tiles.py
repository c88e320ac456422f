"""Owns the way of tiles on the device: out of a stored picture as floats, and a network's answers back into a canvas.

Both read where tiles lie from device memory, so that a CUDA graph can be replayed with other places.  Places aren't
checked for that reason: a corner may lie anywhere, and what a keep or a tile has outside the canvas is cut off.
"""

from __future__ import annotations

import torch
from torch import Tensor

from restore.ops.library import SCHEMAS, declare, kernels_run_on

_PICTURES = {torch.uint8: 255, torch.uint16: 65535}
"""Types of pictures and the number that is 1.0."""
_TILES = (torch.float16, torch.bfloat16, torch.float32)
_MOST_FEATHER_PX = 1 << 16

_GATHER = declare(
    "gather_tiles(Tensor picture, Tensor corners, int height, int width, bool wrap_y, bool wrap_x, int channels, "
    "ScalarType dtype, bool grey_as_rgb) -> Tensor",
    on_cuda="one pass, 16 bytes a thread",
)
_SCATTER = declare(
    "scatter_tiles(Tensor(a!) canvas, Tensor tiles, Tensor corners, Tensor keeps, int feather_px) -> ()",
    on_cuda="one pass, always the same sum: no atomics",
)


def gather_tiles(
    picture: Tensor,
    corners: Tensor,
    *,
    size: tuple[int, int],
    wraps: tuple[bool, bool],
    channels: int | None = None,
    dtype: torch.dtype = torch.float16,
    grey_as_rgb: bool = False,
) -> Tensor:
    """Tiles of a stored picture as a network takes them: value / 255 or value / 65535, in channels_last memory.

    Outside the picture each axis is extended as `tiling.gather` does: repeated, or mirrored about its edge pixel, at
    any distance.

    Args:
        picture: (H, W, C), uint8 or uint16; may be some channels of a wider one, which costs no copy.
        corners: (T, 2), int32, on the picture's device: (y0, x0) of each tile, anywhere.
        size: (h, w) of all tiles.
        wraps: (y, x): the axis is repeated; else it is mirrored.
        channels: of a tile, at least the picture's; what the picture has not is 0.  None: as many as there are.
        dtype: of the tiles: float16, bfloat16 or float32.
        grey_as_rgb: a picture of one channel fills the first three of a tile.  Others are as without it.

    Returns:
        (T, channels, h, w) of `dtype` in channels_last memory.

    Raises:
        ValueError: shapes or types that don't fit together.
    """
    _check_picture("picture", picture)
    _check_places("corners", corners, 2, picture)
    grey = grey_as_rgb and picture.shape[2] == 1
    least = 3 if grey else picture.shape[2]
    channels = least if channels is None else channels
    if channels < least:
        raise ValueError(f"tiles of {channels} channels have no room for {least}")
    if min(size) < 1:
        raise ValueError(f"a tile has at least one pixel a side, got {size}")
    if dtype not in _TILES:
        raise ValueError(f"tiles must be float16, bfloat16 or float32, got {dtype}")
    arguments = (picture, corners, *size, *wraps, channels, dtype, grey)
    if picture.is_cuda and not kernels_run_on(picture.device):
        return _gather_reference(*arguments)
    result: Tensor = torch.ops.restore.gather_tiles(*arguments)
    return result


def scatter_tiles(canvas: Tensor, tiles: Tensor, corners: Tensor, keeps: Tensor, *, feather_px: int = 0) -> None:
    """Lay tiles into `canvas`: what counts there, times 255 or 65535, rounded (halves to even).

    With feather_px = 0 a tile counts inside its keep.  Above that, its weight is the product over both axes of a ramp
    that is 1 further than feather_px inside the keep, 1/2 at its edge, and 0 at feather_px beyond; at an edge that is
    the canvas's own it stays 1.  (Of a keep narrower than its two ramps the lower one holds.)  A tile never counts
    where it has no pixels, so its pixels should reach feather_px beyond its keep.  A canvas pixel becomes the weighted
    mean of the tiles that count there, in float32; where none does, it stays as it was.  Tiles that agree give just
    what they agree on.  Overlapping keeps without feathering are averaged too.

    Numbers are clamped to [0, 1] first, and NaN is 0: whoever calls this has checked that they are finite.  The
    result doesn't depend on the device.  For the few tiles (tens) that a network answers at once: each of the tiles'
    pixels asks all keeps.

    Args:
        canvas: (H, W, C), uint8 or uint16, written; may be some channels of a wider one.
        tiles: (T, C', h, w), float16, bfloat16 or float32, C' >= C: the first C channels are laid.  channels_last
            memory is the fast form.
        corners: (T, 2), int32, on canvas's device: (y0, x0) of each tile in the canvas, which it may leave.
        keeps: (T, 4), int32, on canvas's device: (y0, x0, y1, x1) in the canvas.
        feather_px: half the length of a ramp, in canvas pixels.

    Raises:
        ValueError: shapes or types that don't fit together.
    """
    _check_picture("canvas", canvas)
    if tiles.dim() != 4 or tiles.shape[1] < canvas.shape[2] or tiles.dtype not in _TILES:
        raise ValueError(
            f"tiles must be (T, >= {canvas.shape[2]}, h, w), float16, bfloat16 or float32, "
            f"got {tuple(tiles.shape)} {tiles.dtype}"
        )
    if tiles.shape[2] < 1 or tiles.shape[3] < 1:
        raise ValueError(f"a tile has at least one pixel a side, got {tuple(tiles.shape)}")
    if tiles.device != canvas.device:
        raise ValueError(f"tiles are on {tiles.device}, canvas on {canvas.device}")
    _check_places("corners", corners, 2, canvas)
    _check_places("keeps", keeps, 4, canvas)
    if not len(tiles) == len(corners) == len(keeps):
        raise ValueError(f"{len(tiles)} tiles, but {len(corners)} corners and {len(keeps)} keeps")
    if not 0 <= feather_px <= _MOST_FEATHER_PX:
        raise ValueError(f"feather_px must be 0 to {_MOST_FEATHER_PX}, got {feather_px}")
    if canvas.is_cuda and not kernels_run_on(canvas.device):
        _scatter_reference(canvas, tiles, corners, keeps, feather_px)
    else:
        torch.ops.restore.scatter_tiles(canvas, tiles, corners, keeps, feather_px)


def _check_picture(name: str, picture: Tensor) -> None:
    if picture.dim() != 3 or min(picture.shape) < 1 or picture.dtype not in _PICTURES:
        raise ValueError(
            f"{name} must be (H, W, C) and not empty, uint8 or uint16, got {tuple(picture.shape)} {picture.dtype}"
        )


def _check_places(name: str, places: Tensor, columns: int, picture: Tensor) -> None:
    if places.dim() != 2 or places.shape[1] != columns or places.dtype != torch.int32:
        raise ValueError(f"{name} must be (T, {columns}), int32, got {tuple(places.shape)} {places.dtype}")
    if places.device != picture.device:
        raise ValueError(f"{name} are on {places.device}, the picture on {picture.device}")


def _gather_reference(
    picture: Tensor,
    corners: Tensor,
    height: int,
    width: int,
    wrap_y: bool,
    wrap_x: bool,
    channels: int,
    dtype: torch.dtype,
    grey_as_rgb: bool,
) -> Tensor:
    """In torch's own operators, without waiting for the device."""
    rows = _extended(corners[:, :1], height, picture.shape[0], wrap_y)
    columns = _extended(corners[:, 1:], width, picture.shape[1], wrap_x)
    # torch indexes no uint16: the same bits as int16, and back.
    stored = picture.view(torch.int16) if picture.dtype == torch.uint16 else picture
    values = stored[rows[:, :, None], columns[:, None, :]].to(torch.int32) & _PICTURES[picture.dtype]
    peak = torch.full((), _PICTURES[picture.dtype], dtype=torch.float32, device=picture.device)
    unit = (values / peak).permute(0, 3, 1, 2)  # by a tensor: a plain number becomes a product with 1/255 on CUDA
    size = (len(corners), channels, height, width)
    tiles = torch.empty(size, dtype=dtype, device=picture.device, memory_format=torch.channels_last).zero_()
    if grey_as_rgb and picture.shape[2] == 1:
        unit = unit.expand(-1, 3, -1, -1)
    tiles[:, : unit.shape[1]] = unit
    return tiles


def _extended(start: Tensor, length: int, size: int, wraps: bool) -> Tensor:
    """(T, 1) -> (T, length) indices in [0, size): `tiling.extended_index`, for all tiles."""
    position = start.long() + torch.arange(length, device=start.device)
    if wraps or size == 1:
        return position % size
    period = 2 * (size - 1)
    position = position % period
    return torch.where(position < size, position, period - position)


class _Reach:
    """One axis of a tile in the canvas: where it counts, and how much there."""

    def __init__(self, corner: int, length: int, keep0: int, keep1: int, size: int, feather_px: int) -> None:
        self.corner, self.size, self.feather_px = corner, size, feather_px
        self.edge0, self.edge1 = max(keep0, 0), min(keep1, size)
        self.begin = max(0, corner, self.edge0 - feather_px)
        self.end = min(size, corner + length, self.edge1 + feather_px)
        if self.edge0 >= self.edge1:  # keeps nothing
            self.end = self.begin

    def in_tile(self, begin: int, end: int) -> slice:
        return slice(begin - self.corner, end - self.corner)

    def weights(self, begin: int, end: int, device: torch.device) -> Tensor:
        """Whole numbers, 4 * feather_px where the ramp is 1."""
        at = torch.arange(begin, end, device=device)
        if self.feather_px == 0:
            return torch.ones_like(at)
        full = 4 * self.feather_px
        weights = torch.full_like(at, full)
        if self.edge0 > 0:
            weights = torch.minimum(weights, 2 * (at - self.edge0) + 1 + full // 2)
        if self.edge1 < self.size:
            weights = torch.minimum(weights, 2 * (self.edge1 - at) - 1 + full // 2)
        return weights


def _scatter_reference(canvas: Tensor, tiles: Tensor, corners: Tensor, keeps: Tensor, feather_px: int) -> None:
    """In torch's own operators.  Waits for the device: tiles become slices on the host."""
    height, width, channels = canvas.shape
    peak = _PICTURES[canvas.dtype]
    places = [
        (
            _Reach(y, tiles.shape[2], y0, y1, height, feather_px),
            _Reach(x, tiles.shape[3], x0, x1, width, feather_px),
        )
        for (y, x), (y0, x0, y1, x1) in zip(corners.tolist(), keeps.tolist(), strict=True)
    ]

    def part(i: int, y0: int, y1: int, x0: int, x1: int) -> tuple[Tensor, Tensor]:
        """Values (h, w, C) and weights (h, w) of tile i on a part of the canvas where it counts."""
        rows, columns = places[i]
        inside = tiles[i, :channels, rows.in_tile(y0, y1), columns.in_tile(x0, x1)].detach().float()
        weights = rows.weights(y0, y1, canvas.device)[:, None] * columns.weights(x0, x1, canvas.device)
        return inside.nan_to_num(0.0).clamp(0.0, 1.0).permute(1, 2, 0), weights

    for i, (rows, columns) in enumerate(places):
        if rows.begin >= rows.end or columns.begin >= columns.end:
            continue
        first, total = part(i, rows.begin, rows.end, columns.begin, columns.end)
        total, added = total.clone(), torch.zeros_like(first)
        unlaid = torch.ones_like(total, dtype=torch.bool)
        for j, (other_rows, other_columns) in enumerate(places):
            y0, y1 = max(rows.begin, other_rows.begin), min(rows.end, other_rows.end)
            x0, x1 = max(columns.begin, other_columns.begin), min(columns.end, other_columns.end)
            if j == i or y0 >= y1 or x0 >= x1:
                continue
            both = (slice(y0 - rows.begin, y1 - rows.begin), slice(x0 - columns.begin, x1 - columns.begin))
            if j < i:
                unlaid[both] = False  # the first tile that counts there has added this one
                continue
            values, weights = part(j, y0, y1, x0, x1)
            total[both] += weights
            added[both] += weights[..., None].float() * (values - first[both])
        mean = first + added / total[..., None].float()
        numbers = (mean * peak).round().to(torch.int32)
        target = canvas[rows.begin : rows.end, columns.begin : columns.end]
        target.copy_(torch.where(unlaid[..., None], numbers, target.to(torch.int32)))


def _gather_fake(
    picture: Tensor,
    corners: Tensor,
    height: int,
    width: int,
    wrap_y: bool,
    wrap_x: bool,
    channels: int,
    dtype: torch.dtype,
    grey_as_rgb: bool,
) -> Tensor:
    del wrap_y, wrap_x, grey_as_rgb
    size = (corners.shape[0], channels, height, width)
    return torch.empty(size, dtype=dtype, device=picture.device, memory_format=torch.channels_last)


SCHEMAS.impl(_GATHER, _gather_reference, "CompositeExplicitAutograd")
torch.library.register_fake(f"restore::{_GATHER}", _gather_fake, lib=SCHEMAS)
SCHEMAS.impl(_SCATTER, _scatter_reference, "CompositeExplicitAutograd")
torch.library.register_fake(f"restore::{_SCATTER}", lambda *_: None, lib=SCHEMAS)  # writes into what it was given
