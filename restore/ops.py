"""Owns the only door to native code: per op its schema, plain-torch reference, fake and gradient; the library loader.

The compiled library (`cuda_ops/`) only adds kernels to the ops declared here, so everything works without it, and
`kernels` says what serves.  Environment: RESTORE_OPS=off ignores the library, RESTORE_OPS=FILE loads exactly that one.
"""

from __future__ import annotations

import ctypes
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import restore

INTERFACE = 1
"""Raised with every change of a schema below: the library's file name carries it, so that an old one is never loaded.
CMakeLists.txt reads this line."""

OLDEST_CUDA = (8, 0)
"""Compute capability that the CUDA kernels start at; older devices run the references."""

_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

_library = torch.library.Library("restore", "DEF")
_library.define(
    "masked_conv2d(Tensor x, Tensor valid, Tensor weight, Tensor? bias, int stride, int padding) -> (Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def masked_conv2d(
    x: Tensor, valid: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int = 1, padding: int = 0
) -> tuple[Tensor, Tensor]:
    """Convolution over known pixels only (Liu et al., "Image Inpainting for Irregular Holes", ECCV 2018, eq. 1 and 2).

    Where a window of kh * kw positions holds n > 0 known pixels: y = conv(x with zeros in holes) * kh * kw / n + bias.
    Where it holds none, y = 0 (no bias).  Positions outside the picture count as holes.  What stands under a hole in
    `x`, NaN included, has no influence.  Sums and ratios are float32 (float64 for float64), whatever the storage.

    Args:
        x: (N, C, H, W), float16, bfloat16, float32 or float64; channels_last memory is the fast form.
        valid: (N, 1, H, W), bool, True = known, shared by all channels.
        weight: (K, C, kh, kw) of x's type.
        bias: (K,) of x's type, or None.
        stride: in pixels, both axes.
        padding: in pixels, all four sides.

    Returns:
        y: (N, K, H', W') of x's type, in channels_last memory; and
        valid: (N, 1, H', W'), bool: the windows that saw at least one known pixel.

    Raises:
        ValueError: shapes or types that don't fit together.
    """
    _check(x, valid, weight, bias, stride, padding)
    if x.is_cuda and not _kernels_run_on(x.device):
        return masked_conv2d_reference(x, valid, weight, bias, stride, padding)
    result: tuple[Tensor, Tensor] = torch.ops.restore.masked_conv2d(x, valid, weight, bias, stride, padding)
    return result


def _check(x: Tensor, valid: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> None:
    if x.dim() != 4 or x.dtype not in _TYPES:
        raise ValueError(f"x must be (N, C, H, W) of a floating type, got {tuple(x.shape)} {x.dtype}")
    if valid.dtype != torch.bool:
        raise ValueError(f"valid must be bool (True = known), got {valid.dtype}; a soft mask needs a threshold first")
    if valid.dim() != 4 or valid.shape[1] != 1 or valid.shape[0] != x.shape[0] or valid.shape[2:] != x.shape[2:]:
        raise ValueError(f"valid must be (N, 1, H, W) for x of {tuple(x.shape)}, got {tuple(valid.shape)}")
    if weight.dim() != 4 or weight.shape[1] != x.shape[1] or weight.dtype != x.dtype:
        raise ValueError(f"weight {tuple(weight.shape)} {weight.dtype} does not fit x {tuple(x.shape)} {x.dtype}")
    if bias is not None and (bias.shape != weight.shape[:1] or bias.dtype != x.dtype):
        raise ValueError(f"bias {tuple(bias.shape)} {bias.dtype} does not fit {weight.shape[0]} filters of {x.dtype}")
    if stride < 1 or padding < 0:
        raise ValueError(f"stride must be >= 1 and padding >= 0, got {stride} and {padding}")
    if min(size + 2 * padding - kernel for size, kernel in zip(x.shape[2:], weight.shape[2:], strict=True)) < 0:
        raise ValueError(f"a kernel of {tuple(weight.shape[2:])} is larger than the padded picture")


def _counts(valid: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """(N, 1, H', W'): known pixels of each window.  Whole numbers, exact in float32 and in TF32 products of 0 and 1."""
    kind = torch.float64 if weight.dtype == torch.float64 else torch.float32
    ones = torch.ones(1, 1, *weight.shape[2:], dtype=kind, device=weight.device)
    return F.conv2d(valid.to(kind), ones, None, stride, padding)


def _ratio(counts: Tensor, weight: Tensor) -> Tensor:
    return torch.where(counts > 0, weight.shape[2] * weight.shape[3] / counts.clamp_min(1), 0)


def masked_conv2d_reference(
    x: Tensor, valid: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
) -> tuple[Tensor, Tensor]:
    """`masked_conv2d` in torch's own operators: what every kernel is tested against, and what serves without one."""
    counts = _counts(valid, weight, stride, padding)
    known = torch.where(valid, x, 0).contiguous(memory_format=torch.channels_last)
    raw = F.conv2d(known, weight, None, stride, padding)
    y = raw.to(counts.dtype).mul_(_ratio(counts, weight))
    if bias is not None:
        y.add_(bias.to(counts.dtype).view(1, -1, 1, 1))
    y.masked_fill_(counts == 0, 0)
    return y.to(x.dtype).contiguous(memory_format=torch.channels_last), counts > 0


def _fake(
    x: Tensor, valid: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
) -> tuple[Tensor, Tensor]:
    del bias
    n, _, h, w = x.shape
    k, _, kernel_h, kernel_w = weight.shape
    out_h, out_w = ((s + 2 * padding - kernel) // stride + 1 for s, kernel in ((h, kernel_h), (w, kernel_w)))
    y = torch.empty((n, k, out_h, out_w), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    return y, valid.new_empty((n, 1, out_h, out_w))


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    del output
    x, valid, weight, bias, ctx.stride, ctx.padding = inputs
    ctx.has_bias = bias is not None
    ctx.save_for_backward(x, valid, weight)


def _gradient(ctx: Any, grad_y: Tensor, grad_valid: Tensor | None) -> tuple[Tensor | None, ...]:
    """Gradients of x (0 under holes), weight and bias."""
    del grad_valid
    x, valid, weight = ctx.saved_tensors
    counts = _counts(valid, weight, ctx.stride, ctx.padding)
    grad_raw = (grad_y.to(counts.dtype) * _ratio(counts, weight)).to(x.dtype)
    needs_x, _, needs_weight, needs_bias, *_ = ctx.needs_input_grad
    strides, paddings = [ctx.stride] * 2, [ctx.padding] * 2
    known = torch.where(valid, x, 0)
    grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
        grad_raw, known, weight, None, strides, paddings, [1, 1], False, [0, 0], 1, [needs_x, needs_weight, False]
    )
    if needs_x:
        grad_x = torch.where(valid, grad_x, 0)
    grad_bias = (grad_y * (counts > 0)).sum((0, 2, 3)) if ctx.has_bias and needs_bias else None
    return grad_x, None, grad_weight, grad_bias, None, None


_library.impl("masked_conv2d", masked_conv2d_reference, "CompositeExplicitAutograd")
torch.library.register_fake("restore::masked_conv2d", _fake, lib=_library)
torch.library.register_autograd("restore::masked_conv2d", _gradient, setup_context=_remember, lib=_library)


@dataclass(frozen=True)
class CompiledLibrary:
    """The compiled library as found when this module was imported."""

    path: Path | None
    why_not: str = ""
    """Why there is none, for people; empty if there is one."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What it was built with: compiler, and for CUDA kernels cuda and architectures."""


def _load() -> CompiledLibrary:
    wanted = os.environ.get("RESTORE_OPS", "")
    if wanted == "off":
        return CompiledLibrary(None, "RESTORE_OPS=off")
    # __path__, not __file__: in an editable install the library lies in site-packages and this file does not.
    places = [Path(wanted)] if wanted else [Path(folder) / f"_ops_{INTERFACE}.so" for folder in restore.__path__]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        if wanted:
            return CompiledLibrary(None, f"RESTORE_OPS names {wanted}, which is not there")
        return CompiledLibrary(None, "no compiled library (no C++ compiler, or no torch headers, at install)")
    try:
        torch.ops.load_library(str(found))
        tell = ctypes.CDLL(str(found)).restore_ops_facts
    except (OSError, AttributeError) as error:
        warnings.warn(f"restore runs without its compiled kernels: {error}", stacklevel=2)
        return CompiledLibrary(None, f"{found.name} does not load: {error}")
    tell.restype = ctypes.c_char_p
    lines = tell().decode().splitlines()
    return CompiledLibrary(found, facts=dict(line.split("=", 1) for line in lines))


LIBRARY = _load()


def _kernels_run_on(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= OLDEST_CUDA


def kernels(device: str = "cpu") -> dict[str, str]:
    """What serves each op on `device` ("cpu", "cuda:0", "mps", ...), in words for people: {"masked_conv2d": ...}."""
    return dict.fromkeys(("masked_conv2d",), _kernel_on(torch.device(device)))


def _kernel_on(device: torch.device) -> str:
    if LIBRARY.path is None:
        return f"torch reference: {LIBRARY.why_not}"
    if device.type == "cpu":
        return "CPU kernel around torch's convolution"
    if device.type != "cuda":
        return f"torch reference: no kernel for {device.type}"
    if "cuda" not in LIBRARY.facts:
        return "torch reference: no CUDA compiler at install"
    major, minor = torch.cuda.get_device_capability(device)
    if not _kernels_run_on(device):
        oldest = ".".join(map(str, OLDEST_CUDA))
        return f"torch reference: the kernels need compute capability {oldest}, {device} has {major}.{minor}"
    return f"CUDA kernel (sm_{major}{minor}) around torch's convolution"
