"""Owns what masked convolution means: plain-torch reference, shapes, gradient.  `masked_conv.py` has the ops."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_PX = (16, 32)
"""Rows and columns of the output blocks that an active list names."""


def _double(t: Tensor) -> Tensor:
    if t.dtype == torch.bool:
        return t.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return F.interpolate(t, scale_factor=2, mode="nearest")  # one pass, and it keeps the memory format


def _joined(x: Tensor, valid: Tensor, skip: Tensor | None, skip_valid: Tensor | None, doubled: bool) -> Tensor:
    """What the window slides over: holes are zeros."""
    known = torch.where(valid, x, 0)
    known = _double(known) if doubled else known
    if skip is not None and skip_valid is not None:
        known = torch.cat([known, torch.where(skip_valid, skip, 0)], 1)
    return known.contiguous(memory_format=torch.channels_last)


def _counts(
    x: Tensor,
    valid: Tensor,
    weight: Tensor,
    stride: int,
    padding: int,
    skip: Tensor | None,
    skip_valid: Tensor | None,
    doubled: bool,
) -> Tensor:
    """(N, 1, H', W'): known numbers of each window, over channels.  Whole numbers, exact in float32."""
    kind = torch.float64 if weight.dtype == torch.float64 else torch.float32
    counts = _windows((_double(valid) if doubled else valid).to(kind), weight, stride, padding) * x.shape[1]
    if skip is not None and skip_valid is not None:
        counts = counts + _windows(skip_valid.to(kind), weight, stride, padding) * skip.shape[1]
    return counts


def _windows(known: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """How many of each window's positions are known; channels are multiplied after the sums."""
    kernel = (int(weight.shape[2]), int(weight.shape[3]))
    if 2 * padding <= min(kernel):  # the only padding that pooling takes; quicker than a convolution of one channel
        return F.avg_pool2d(known, kernel, stride, padding, divisor_override=1)
    ones = torch.ones(1, 1, *kernel, dtype=known.dtype, device=known.device)
    return F.conv2d(known, ones, None, stride, padding)  # products of 0 and 1 are exact in TF32 too


def _ratio(counts: Tensor, weight: Tensor) -> Tensor:
    return torch.where(counts > 0, weight[0].numel() / counts.clamp_min(1), 0)


def masked_conv2d_reference(
    x: Tensor,
    valid: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    skip: Tensor | None = None,
    skip_valid: Tensor | None = None,
    doubled: bool = False,
    slope: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """`masked_conv2d` in torch's own operators: what every kernel is tested against, and what serves without one."""
    counts = _counts(x, valid, weight, stride, padding, skip, skip_valid, doubled)
    raw = F.conv2d(_joined(x, valid, skip, skip_valid, doubled), weight, None, stride, padding)
    y = raw.to(counts.dtype).mul_(_ratio(counts, weight))
    if bias is not None:
        y.add_(bias.to(counts.dtype).view(1, -1, 1, 1))
    y.masked_fill_(counts == 0, 0)
    if slope != 1.0:
        y = F.leaky_relu(y, slope)
    return y.to(x.dtype).contiguous(memory_format=torch.channels_last), counts > 0


def into_reference(
    y: Tensor,
    valid_out: Tensor | None,
    at_channel: int,
    x: Tensor,
    valid: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    skip: Tensor | None,
    skip_valid: Tensor | None,
    doubled: bool,
    slope: float,
    first: Tensor | None,
    first_factor: float,
    second: Tensor | None,
    second_factor: float,
    active: Tensor | None,
    active_count: Tensor | None,
) -> None:
    if valid is None:
        known = _double(x) if doubled else x
        known = known if skip is None else torch.cat([known, skip], 1)
        result = F.conv2d(known.contiguous(memory_format=torch.channels_last), weight, bias, stride, padding)
        result = F.leaky_relu(result.to(_wide(x)), slope)
        seen = torch.ones_like(result[:, :1], dtype=torch.bool)
    else:
        result, seen = masked_conv2d_reference(
            x, valid, weight, bias, stride, padding, skip, skip_valid, doubled, slope
        )
        result = result.to(_wide(x))
    for addend, factor in ((first, first_factor), (second, second_factor)):
        if addend is not None:
            result = addend + factor * result
    target = y[:, at_channel : at_channel + weight.shape[0]]
    where = None if active is None or active_count is None else _blocks_as_pixels(active, active_count, result)
    target.copy_(result.to(y.dtype) if where is None else torch.where(where, result.to(y.dtype), target))
    if valid_out is not None:
        valid_out.copy_(seen if where is None else torch.where(where, seen, valid_out))


def _wide(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _blocks_as_pixels(active: Tensor, count: Tensor, like: Tensor) -> Tensor:
    """(N, 1, H, W) bool: pixels inside the first `count` of the blocks."""
    n, _, height, width = like.shape
    rows, columns = -(-height // BLOCK_PX[0]), -(-width // BLOCK_PX[1])
    listed = torch.arange(len(active), device=active.device) < count
    flags = torch.zeros(n * rows * columns + 1, dtype=torch.bool, device=active.device)
    flags[torch.where(listed, active, n * rows * columns).long()] = True
    blocks = flags[:-1].view(n, 1, rows, columns)
    return blocks.repeat_interleave(BLOCK_PX[0], 2).repeat_interleave(BLOCK_PX[1], 3)[..., :height, :width]


def out_shape(x: Tensor, weight: Tensor, stride: int, padding: int, doubled: bool) -> tuple[int, int, int, int]:
    n, _, h, w = x.shape
    k, _, kernel_h, kernel_w = weight.shape
    h, w = (2 * h, 2 * w) if doubled else (h, w)
    return n, k, (h + 2 * padding - kernel_h) // stride + 1, (w + 2 * padding - kernel_w) // stride + 1


def remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, valid, weight, bias, ctx.stride, ctx.padding, skip, skip_valid, ctx.doubled, ctx.slope = inputs
    ctx.has_bias = bias is not None
    ctx.save_for_backward(x, valid, weight, skip, skip_valid, output[0] if ctx.slope != 1.0 else None)


def gradient(ctx: Any, grad_y: Tensor, grad_valid: Tensor | None) -> tuple[Tensor | None, ...]:
    """Gradients of x and skip (0 under holes), weight and bias."""
    del grad_valid
    x, valid, weight, skip, skip_valid, y = ctx.saved_tensors
    counts = _counts(x, valid, weight, ctx.stride, ctx.padding, skip, skip_valid, ctx.doubled)
    if y is not None:
        grad_y = torch.where(y > 0, grad_y, grad_y * ctx.slope)
    grad_raw = (grad_y.to(counts.dtype) * _ratio(counts, weight)).to(x.dtype)
    needs = ctx.needs_input_grad
    needs_known = needs[0] or needs[6]
    strides, paddings = [ctx.stride] * 2, [ctx.padding] * 2
    known = _joined(x, valid, skip, skip_valid, ctx.doubled)
    grad_known, grad_weight, _ = torch.ops.aten.convolution_backward(
        grad_raw, known, weight, None, strides, paddings, [1, 1], False, [0, 0], 1, [needs_known, needs[2], False]
    )
    grad_x = grad_skip = None
    if needs[0]:
        grad_x = grad_known[:, : x.shape[1]]
        if ctx.doubled:  # each stored pixel was read four times
            grad_x = F.avg_pool2d(grad_x, 2, divisor_override=1)
        grad_x = torch.where(valid, grad_x, 0)
    if needs[6]:
        grad_skip = torch.where(skip_valid, grad_known[:, x.shape[1] :], 0)
    grad_bias = (grad_y * (counts > 0)).sum((0, 2, 3)) if ctx.has_bias and needs[3] else None
    return grad_x, None, grad_weight, grad_bias, None, None, grad_skip, None, None, None
