"""The kernels of cuda_ops/small.cu on the CPU: their arguments as ctypes structures, made of torch tensors."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from emulated import Emulator, Run
from torch import Tensor

_NUMBERS = {torch.float16: 0, torch.bfloat16: 1, torch.float32: 2}
GUARD = 0x5A
"""What surrounds every result in memory, byte by byte: nothing may touch it."""


class ActiveBlocks(ctypes.Structure):
    _fields_ = (
        ("plane", ctypes.c_void_p),
        *((name, ctypes.c_int) for name in ("n", "height", "width", "scale", "pad_px")),
        *((name, ctypes.c_void_p) for name in ("flags", "list", "count")),
    )  # fmt: skip


class PictureShape(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("height", "width", "channels")),
        *((name, ctypes.c_int64) for name in ("row", "pixel", "channel")),
        ("sixteen_bit", ctypes.c_bool),
    )  # fmt: skip

    @classmethod
    def of(cls, picture: Tensor) -> PictureShape:
        return cls(*picture.shape, *picture.stride(), picture.dtype == torch.uint16)


class GatherTiles(ctypes.Structure):
    _fields_ = (
        ("picture", ctypes.c_void_p), ("shape", PictureShape), ("corners", ctypes.c_void_p),
        *((name, ctypes.c_bool) for name in ("wrap_y", "wrap_x", "grey_as_rgb")),
        ("tiles", ctypes.c_void_p),
        *((name, ctypes.c_int) for name in ("number", "count", "height", "width", "channels")),
    )  # fmt: skip


class ScatterTiles(ctypes.Structure):
    _fields_ = (
        ("canvas", ctypes.c_void_p), ("shape", PictureShape), ("tiles", ctypes.c_void_p),
        *((name, ctypes.c_int) for name in ("number", "count", "height", "width", "channels")),
        ("corners", ctypes.c_void_p), ("keeps", ctypes.c_void_p), ("feather_px", ctypes.c_int),
    )  # fmt: skip


def check_structures(emulator: Emulator) -> None:
    for name, structure in (("active_blocks", ActiveBlocks), ("gather", GatherTiles), ("scatter", ScatterTiles)):
        size = getattr(emulator.library, f"size_of_{name}")()
        assert size == ctypes.sizeof(structure), f"{structure.__name__} in this file is out of date"


@dataclass
class Guarded:
    """A tensor with 64 bytes before and after it that must stay as they are."""

    inside: Tensor
    whole: Tensor

    @classmethod
    def like(cls, shape: tuple[int, ...], dtype: torch.dtype) -> Guarded:
        size = torch.Size(shape).numel() * dtype.itemsize
        whole = torch.full((size + 128,), GUARD, dtype=torch.uint8)
        return cls(whole[64 : 64 + size].view(dtype).view(shape), whole)

    def assert_guarded(self) -> None:
        assert (self.whole[:64] == GUARD).all()
        assert (self.whole[-64:] == GUARD).all()


def active_blocks(
    emulator: Emulator, valid: Tensor, *, pad_px: int, scale: int, seed: int = 0
) -> tuple[Tensor, Tensor, Run]:
    plane = valid.contiguous()
    n, _, height, width = plane.shape
    blocks = n * -(-height * scale // 16) * -(-width * scale // 32)
    flags = Guarded.like((blocks,), torch.uint8)
    numbers, count = Guarded.like((blocks,), torch.int32), Guarded.like((1,), torch.int32)
    places = (g.inside.data_ptr() for g in (flags, numbers, count))
    p = ActiveBlocks(plane.data_ptr(), n, height, width, scale, pad_px, *places)
    run = emulator.call(emulator.library.emulate_active_blocks, ctypes.byref(p), seed=seed)
    for guarded in (flags, numbers, count):
        guarded.assert_guarded()
    return numbers.inside, count.inside, run


def gather_tiles(
    emulator: Emulator,
    picture: Tensor,
    corners: Tensor,
    *,
    size: tuple[int, int],
    wraps: tuple[bool, bool],
    channels: int,
    dtype: torch.dtype,
    grey_as_rgb: bool = False,
    seed: int = 0,
) -> tuple[Tensor, Run]:
    tiles = Guarded.like((len(corners), *size, channels), dtype)
    p = GatherTiles(
        *(picture.data_ptr(), PictureShape.of(picture), corners.data_ptr(), *wraps, grey_as_rgb),
        *(tiles.inside.data_ptr(), _NUMBERS[dtype], len(corners), *size, channels),
    )
    run = emulator.call(emulator.library.emulate_gather, ctypes.byref(p), seed=seed)
    tiles.assert_guarded()
    return tiles.inside.permute(0, 3, 1, 2), run


def scatter_tiles(
    emulator: Emulator, canvas: Tensor, tiles: Tensor, corners: Tensor, keeps: Tensor, *, feather_px: int, seed: int = 0
) -> Run:
    """Writes into `canvas`, which may be a view: whoever calls this looks after what lies beside it."""
    dense = tiles.permute(0, 2, 3, 1).contiguous()
    p = ScatterTiles(
        *(canvas.data_ptr(), PictureShape.of(canvas), dense.data_ptr(), _NUMBERS[tiles.dtype]),
        *(*dense.shape, corners.data_ptr(), keeps.data_ptr(), feather_px),
    )
    return emulator.call(emulator.library.emulate_scatter, ctypes.byref(p), seed=seed)
