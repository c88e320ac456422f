"""Owns convolution over known pixels only (partial convolution): schemas, checks, fakes.

Liu et al., "Image Inpainting for Irregular Holes Using Partial Convolutions", ECCV 2018 (arXiv:1804.07723).
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from restore.ops.library import SCHEMAS, declare, kernels_run_on, reserve
from restore.ops.masked_conv_reference import gradient, into_reference, masked_conv2d_reference, out_shape, remember

_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_STORED = (torch.float16, torch.bfloat16)
"""Types of the tensor-core kernels."""
_LARGEST_KERNEL = 7
_TILE_FILTERS, _CHUNK = 64, 16
"""Packed weights come in such groups of filters and input channels."""
_SPLIT_PX, _ROOM_BYTES = 1 << 16, 1 << 25
"""Results of more pixels have tiles for all multiprocessors of a GPU (up to 256); for smaller ones kernels may leave
sums of parts of a window in memory (cuda_ops/conv_join.h), in room of at most that size."""

_COMMON = (
    "Tensor weight, Tensor? bias, int stride, int padding, Tensor? skip, Tensor? skip_valid, bool doubled, float slope"
)
_NAME = declare(
    f"masked_conv2d(Tensor x, Tensor valid, {_COMMON}) -> (Tensor, Tensor)",
    on_cpu="passes of our own around torch's convolution",
    on_cuda="tensor cores in fp16 and bf16, passes of our own around torch's convolution in fp32 and fp64",
)
_INTO = declare(
    f"masked_conv2d_into(Tensor(a!) y, Tensor(b!)? valid_out, int at_channel, Tensor x, Tensor? valid, {_COMMON}, "
    "Tensor? first, float first_factor, Tensor? second, float second_factor, "
    "Tensor? active, Tensor? active_count)"
    " -> ()",
    on_cuda="tensor cores in fp16 and bf16",
)


def masked_conv2d(
    x: Tensor,
    valid: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    skip: Tensor | None = None,
    skip_valid: Tensor | None = None,
    doubled: bool = False,
    slope: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Convolution over known pixels only (Liu et al., ECCV 2018, eq. 1 and 2).

    Where a window of kh * kw positions holds n > 0 known pixels: y = conv(x with zeros in holes) * kh * kw / n + bias.
    Where it holds none, y = 0 (no bias).  Positions outside the picture count as holes.  What stands under a hole in
    `x`, NaN included, has no influence.  Sums and ratios are float32 (float64 for float64), whatever the storage.

    With `skip`, the window slides over both, as over torch.cat([x, skip], 1), and each counts with its channels:
    y = conv * kh * kw * (C + S) / (C * n + S * m) + bias, with n known pixels in x and m in skip.

    Args:
        x: (N, C, H, W), float16, bfloat16, float32 or float64; channels_last memory is the fast form.
        valid: (N, 1, H, W), bool, True = known, shared by all channels.
        weight: (K, C, kh, kw) of x's type; (K, C + S, kh, kw) with `skip`.
        bias: (K,) of x's type, or None.
        stride: in pixels, both axes.
        padding: in pixels, all four sides.
        skip: (N, S, H, W) of x's type, of x's size after doubling: a U-Net's skip connection.
        skip_valid: (N, 1, H, W), bool; with `skip`.
        doubled: x and valid are enlarged to twice their size first, nearest neighbour.
        slope: factor for negative results (LeakyReLU; 0 is ReLU); 1 leaves them alone.

    Returns:
        y: (N, K, H', W') of x's type, in channels_last memory; and
        valid: (N, 1, H', W'), bool: the windows that saw at least one known pixel.

    Raises:
        ValueError: shapes or types that don't fit together.
    """
    _check(x, valid, weight, bias, stride, padding, skip, skip_valid, doubled, slope)
    arguments = (x, valid, weight, bias, stride, padding, skip, skip_valid, doubled, slope)
    if x.is_cuda and not kernels_run_on(x.device):
        return masked_conv2d_reference(*arguments)
    if x.is_cuda and not torch.compiler.is_compiling():
        reserve(x.device, *taken_bytes(x, weight, stride, padding, doubled))
    result: tuple[Tensor, Tensor] = torch.ops.restore.masked_conv2d(*arguments)
    return result


def masked_conv2d_into(
    y: Tensor,
    x: Tensor,
    valid: Tensor | None,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    at_channel: int = 0,
    valid_out: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    skip: Tensor | None = None,
    skip_valid: Tensor | None = None,
    doubled: bool = False,
    slope: float = 1.0,
    residuals: tuple[tuple[Tensor, float], ...] = (),
    active: tuple[Tensor, Tensor] | None = None,
) -> None:
    """`masked_conv2d`, written into channels [at_channel, at_channel + K) of `y`; for inference.

    Beyond that function's arguments:

        y: (N, C', H', W') of x's type in channels_last memory.  May be x's own buffer, where other channels of it are
            read: a dense block whose every layer reads the first C channels and writes the next K needs no torch.cat.
        valid: None: an ordinary convolution with a border of zeros.
        valid_out: (N, 1, H', W'), bool: written where given.
        residuals: up to two (addend, factor), in order: y = addend + factor * y.  (N, K, H', W') of x's type; K even.
        active: (list, count) of `active_blocks`, int32 on x's device: only these blocks of BLOCK_PX output pixels are
            computed, the rest of y stays as it was.  The count is read on the device when the kernel runs.
    """
    _check(x, valid, weight, bias, stride, padding, skip, skip_valid, doubled, slope)
    shape = out_shape(x, weight, stride, padding, doubled)
    if (y.shape[0], *y.shape[2:]) != (shape[0], *shape[2:]) or not 0 <= at_channel <= y.shape[1] - shape[1]:
        raise ValueError(f"y {tuple(y.shape)} has no room for {shape} at channel {at_channel}")
    if y.dtype != x.dtype or not y.is_contiguous(memory_format=torch.channels_last):
        raise ValueError(f"y must be of x's type {x.dtype} and in channels_last memory, got {y.dtype}, {y.stride()}")
    if valid is None and valid_out is not None:
        raise ValueError("valid_out comes of valid, which is None")
    if valid_out is not None and (valid_out.shape != (shape[0], 1, *shape[2:]) or valid_out.dtype != torch.bool):
        raise ValueError(f"valid_out must be bool of {(shape[0], 1, *shape[2:])}, got {tuple(valid_out.shape)}")
    if len(residuals) > 2 or (residuals and shape[1] % 2):
        raise ValueError("at most two residuals, and an even number of filters with them")
    for addend, _ in residuals:
        if tuple(addend.shape) != shape or addend.dtype != x.dtype:
            raise ValueError(f"a residual must be {shape} {x.dtype}, got {tuple(addend.shape)} {addend.dtype}")
    if 0 in shape:
        return
    if active is not None and any(t.dtype != torch.int32 or t.dim() != 1 for t in active):
        raise ValueError("active must be two int32 vectors: a list and its count")
    (first, first_factor), (second, second_factor) = (*residuals, (None, 1.0), (None, 1.0))[:2]
    blocks, count = (None, None) if active is None else active
    arguments = (
        *(y, valid_out, at_channel, x, valid, weight, bias, stride, padding, skip, skip_valid, doubled, slope),
        *(first, first_factor, second, second_factor, blocks, count),
    )
    if x.is_cuda and not (kernels_run_on(x.device) and _suits_tensor_cores(x, weight, stride, padding)):
        into_reference(*arguments)
        return
    if x.is_cuda and not torch.compiler.is_compiling():
        reserve(x.device, *taken_bytes(x, weight, stride, padding, doubled)[1:])
    torch.ops.restore.masked_conv2d_into(*arguments)


def _suits_tensor_cores(x: Tensor, weight: Tensor, stride: int, padding: int) -> bool:
    square = weight.shape[2] == weight.shape[3] <= _LARGEST_KERNEL and stride <= 2 and padding <= weight.shape[2]
    return x.dtype in _STORED and square


def taken_bytes(x: Tensor, weight: Tensor, stride: int, padding: int, doubled: bool) -> tuple[int, ...]:
    """Of each block of memory that the compiled library takes for a call on CUDA, at most; the result's first."""
    shape = out_shape(x, weight, stride, padding, doubled)
    y = x.element_size() * prod(shape)
    filters, channels, kernel_h, kernel_w = weight.shape
    if not _suits_tensor_cores(x, weight, stride, padding):
        pixels = x.shape[0] * x.shape[2] * x.shape[3] * (4 if doubled else 1)
        return y, x.element_size() * channels * pixels  # both sources beside each other, with zeros in their holes
    padded = (-(-filters // _TILE_FILTERS) * _TILE_FILTERS) * (channels + 2 * (_CHUNK - 1))
    few_pixels = shape[0] * shape[2] * shape[3] <= _SPLIT_PX
    return y, x.element_size() * padded * kernel_h * kernel_w, _ROOM_BYTES if few_pixels else 0


def _check(
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
) -> None:
    if x.dim() != 4 or x.dtype not in _TYPES:
        raise ValueError(f"x must be (N, C, H, W) of a floating type, got {tuple(x.shape)} {x.dtype}")
    if valid is not None:
        _check_validity("valid", valid, x)
    height, width = (2 * s if doubled else s for s in x.shape[2:])
    channels = x.shape[1]
    if (skip_valid is not None) != (skip is not None and valid is not None):
        raise ValueError("skip_valid comes with skip, and with valid")
    if skip is not None:
        if skip.dim() != 4 or (skip.shape[0], *skip.shape[2:]) != (x.shape[0], height, width) or skip.dtype != x.dtype:
            raise ValueError(
                f"skip must be ({x.shape[0]}, S, {height}, {width}) {x.dtype}, got {tuple(skip.shape)} {skip.dtype}"
            )
        if skip_valid is not None:
            _check_validity("skip_valid", skip_valid, skip)
        channels += skip.shape[1]
    if weight.dim() != 4 or weight.shape[1] != channels or weight.dtype != x.dtype:
        raise ValueError(f"weight {tuple(weight.shape)} {weight.dtype} does not fit {channels} channels of {x.dtype}")
    if bias is not None and (bias.shape != weight.shape[:1] or bias.dtype != x.dtype):
        raise ValueError(f"bias {tuple(bias.shape)} {bias.dtype} does not fit {weight.shape[0]} filters of {x.dtype}")
    if stride < 1 or padding < 0:
        raise ValueError(f"stride must be >= 1 and padding >= 0, got {stride} and {padding}")
    if not slope >= 0:
        raise ValueError(f"slope must be >= 0, got {slope}: its sign tells the gradient which side a result is on")
    if min(size + 2 * padding - kernel for size, kernel in zip((height, width), weight.shape[2:], strict=True)) < 0:
        raise ValueError(f"a kernel of {tuple(weight.shape[2:])} is larger than the padded picture")


def _check_validity(name: str, valid: Tensor, x: Tensor) -> None:
    if valid.dtype != torch.bool:
        raise ValueError(f"{name} must be bool (True = known), got {valid.dtype}; a soft mask needs a threshold first")
    if valid.dim() != 4 or valid.shape[1] != 1 or valid.shape[0] != x.shape[0] or valid.shape[2:] != x.shape[2:]:
        raise ValueError(f"{name} must be (N, 1, H, W) for x of {tuple(x.shape)}, got {tuple(valid.shape)}")


def _fake(
    x: Tensor,
    valid: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    skip: Tensor | None,
    skip_valid: Tensor | None,
    doubled: bool,
    slope: float,
) -> tuple[Tensor, Tensor]:
    del bias, skip, skip_valid, slope
    n, k, out_h, out_w = out_shape(x, weight, stride, padding, doubled)
    y = torch.empty((n, k, out_h, out_w), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    return y, valid.new_empty((n, 1, out_h, out_w))


SCHEMAS.impl(_NAME, masked_conv2d_reference, "CompositeExplicitAutograd")
torch.library.register_fake(f"restore::{_NAME}", _fake, lib=SCHEMAS)
torch.library.register_autograd(f"restore::{_NAME}", gradient, setup_context=remember, lib=SCHEMAS)
SCHEMAS.impl(_INTO, into_reference, "CompositeExplicitAutograd")


torch.library.register_fake(f"restore::{_INTO}", lambda *_: None, lib=SCHEMAS)  # writes into what it was given
