"""Owns active lists: which blocks of a result must be computed at all, found on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from restore.ops.library import SCHEMAS, declare, kernels_run_on
from restore.ops.masked_conv_reference import BLOCK_PX

_NAME = declare(
    "active_blocks(Tensor valid, int pad_px, int scale) -> (Tensor, Tensor)",
    on_cuda="one warp for each block, a list in order without atomics",
)


def active_blocks(valid: Tensor, *, pad_px: int = 0, scale: int = 1) -> tuple[Tensor, Tensor]:
    """Which blocks of a result of size (scale * H, scale * W) have an active pixel in or near them.

    The host learns nothing of the answer: the list has always the same length and the count stays on the device, so
    that a CUDA graph can hold this call and those that read the list.

    Args:
        valid: (N, 1, H, W), bool (True is active) or uint8 (above 0 is active: alpha).
        pad_px: a block counts if an active pixel is at most so many pixels of the result away from it, in any
            direction, diagonals included.  The reach of the network that follows.
        scale: each pixel of `valid` is scale x scale pixels of the result.

    Returns:
        list: (N * rows * columns,), int32: the numbers of the active blocks of BLOCK_PX pixels, ascending, counted over
            (n, row of blocks, column of blocks); after them -1.
        count: (1,), int32: how many they are.

    Raises:
        ValueError: a shape or type that isn't one of these, or a negative distance.
    """
    if valid.dim() != 4 or valid.shape[1] != 1 or valid.dtype not in (torch.bool, torch.uint8):
        raise ValueError(f"valid must be (N, 1, H, W), bool or uint8, got {tuple(valid.shape)} {valid.dtype}")
    if pad_px < 0 or scale < 1:
        raise ValueError(f"pad_px must be >= 0 and scale >= 1, got {pad_px} and {scale}")
    if valid.is_cuda and not kernels_run_on(valid.device):
        return _reference(valid, pad_px, scale)
    result: tuple[Tensor, Tensor] = torch.ops.restore.active_blocks(valid, pad_px, scale)
    return result


def _reference(valid: Tensor, pad_px: int, scale: int) -> tuple[Tensor, Tensor]:
    """In torch's own operators, without waiting for the device."""
    n, _, height, width = valid.shape
    # How many active pixels lie above and left of each corner: a rectangle's number is four of these.
    sums = torch.zeros((n, height + 1, width + 1), dtype=torch.int64, device=valid.device)
    sums[:, 1:, 1:] = (valid[:, 0] != 0).long().cumsum(1).cumsum(2)
    y0, y1 = _seen(height, BLOCK_PX[0], pad_px, scale, valid.device)
    x0, x1 = _seen(width, BLOCK_PX[1], pad_px, scale, valid.device)
    lower, upper = sums[:, y1], sums[:, y0]
    flags = (lower[:, :, x1] - lower[:, :, x0] - upper[:, :, x1] + upper[:, :, x0] > 0).flatten()
    numbers = torch.arange(len(flags), dtype=torch.int32, device=valid.device)
    ordered = torch.where(flags, numbers, len(flags)).sort().values
    blocks = torch.where(ordered < len(flags), ordered, -1).to(torch.int32)
    return blocks, flags.sum(dtype=torch.int32).view(1)


def _seen(size: int, block_px: int, pad_px: int, scale: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each block along one axis: first pixel of the plane that it sees, and one past the last."""
    first = torch.arange(0, size * scale, block_px, device=device)
    last = first + block_px - 1
    return ((first - pad_px).clamp_min(0) // scale), ((last + pad_px) // scale + 1).clamp_max(size)


def _fake(valid: Tensor, pad_px: int, scale: int) -> tuple[Tensor, Tensor]:
    del pad_px
    n, _, height, width = valid.shape
    blocks = n * -(-height * scale // BLOCK_PX[0]) * -(-width * scale // BLOCK_PX[1])
    return valid.new_empty((blocks,), dtype=torch.int32), valid.new_empty((1,), dtype=torch.int32)


SCHEMAS.impl(_NAME, _reference, "CompositeExplicitAutograd")
torch.library.register_fake(f"restore::{_NAME}", _fake, lib=SCHEMAS)
