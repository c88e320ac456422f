"""Owns a whole RRDB network as one op: which layout a device gets, and the reference over any of them.

Architecture: Real-ESRGAN and BasicSR, basicsr/archs/rrdbnet_arch.py (Apache-2.0); canonical names are BasicSR's.

Weights are packed once for the device that they run on (`Layout`).  The reference runs any layout on any device.
WINOGRAD is for fp32 on CPUs whose matrix products are as quick as their convolutions: dense blocks are products
(`winograd.py`); elsewhere they are convolutions in channels_last whose inputs are joined with `torch.cat`.  Measured
before choosing, as speed over the official form (NCHW fp32, cat, mul, add), by turns:

    one dense block, one thread of a Sapphire Rapids without AMX, 64x64 (128x128), torch 2.14
    fp32  cat 1.22 (1.22)   slices of one buffer 1.19 (1.24)   preallocated cat 1.17 (1.34)   Winograd 2.18 (1.97)
    bf16  cat 0.73 (0.81)   slices of one buffer 0.72 (0.66)   preallocated cat 0.73 (0.82)
    the whole network, one thread of a Zen 5, 64x64 (128x128), torch 2.14; then with oneDNN held to AVX2, as on Zen 2, 3
    fp32  cat 1.26 (1.41)   Winograd 1.11 (0.92)
    fp32  cat 1.12          Winograd 1.68

Slices save nothing: `conv2d` copies a slice of a channels_last buffer before oneDNN sees it.  On Zen 5, MKL multiplies
at half the speed (`cpu.convolves_quicker_than_mkl_multiplies`), so a quarter of the products is no gain.  On one Zen 4
core, torch 2.13, 128x128, cat against slices gave 101 and 100 GFLOP/s in fp32, 208 and 197 in bf16, against 70 for the
official form.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from functools import cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from restore import cpu
from restore.ops import fragments, winograd
from restore.ops.library import LIBRARY, SCHEMAS, declare, kernels_run_on, reserve
from restore.ops.rrdb_layout import Layout, PackedRrdb, RrdbShape, pack

SLOPE = 0.2
RESIDUAL = 0.2
DENSE_REACH_PX = 5
"""A dense block is five 3x3 convolutions."""
TAIL_REACH_PX = 3
"""More than the layers after the body see, in their input pixels."""
BLOCK_PX = 96
"""Side of what a dense block computes at once in the Winograd domain."""
BAND_PX = 1 << 15
"""Input pixels of the enlarging layers at once."""
STRIP_ROWS = 0
"""Rows of a dense block that the CUDA kernels finish before the next ones, so that its features stay in the L2 cache;
0: all.  The result is the same bytes."""
RESIDENT = 0
"""Blocks that each multiprocessor keeps, which take one tile after the other; 0: a block for each tile.  The result is
the same bytes.  Two have room there on compute capability 9.0 and 10, else one."""


def _layout_on_cpu(dtype: torch.dtype) -> Layout:
    """The same in every run: it follows from the CPU and from what torch was built with."""
    if dtype != torch.float32 or cpu.convolves_quicker_than_mkl_multiplies():
        return Layout.FLAT
    return Layout.WINOGRAD


def _choice_on_cpu() -> str:
    if _layout_on_cpu(torch.float32) is Layout.WINOGRAD:
        return "fp32 by matrix products in the Winograd domain, else convolutions"
    return "convolutions, as MKL's fp32 products don't use AVX-512 on this CPU"


_NAME = declare(
    "rrdb_forward(Tensor image, Tensor weights, Tensor singles, int[] shape, int layout, int strip_rows, int resident)"
    " -> Tensor",
    on_cuda="tensor cores in fp16 and bf16; no copies between layers",
    choice_on_cpu=_choice_on_cpu,
)


def pack_rrdb(state: Mapping[str, Tensor], shape: RrdbShape, device: str, dtype: torch.dtype) -> PackedRrdb:
    """`state` under canonical names -> the layout that `device` runs best in `dtype`."""
    place = torch.device(device)
    half = dtype in (torch.float16, torch.bfloat16)
    suits = shape.features % 16 == 0 and shape.growth % 16 == 0 and shape.doublings <= 4 and shape.fold <= 16
    if half and suits and kernels_run_on(place):
        layout = Layout.FRAGMENTS
    else:
        layout = _layout_on_cpu(dtype) if place.type == "cpu" else Layout.FLAT
    return pack(state, shape, layout, dtype, place)


def rrdb_forward(
    image: Tensor, network: PackedRrdb, *, strip_rows: int = STRIP_ROWS, resident: int = RESIDENT
) -> Tensor:
    """(N, C, H, W) float32 in [0, 1] -> (N, C, scale*H, scale*W) float32 in channels_last memory, not clamped.

    H and W are multiples of `fold`.  Features are stored in the type of the packed weights, sums are fp32.
    """
    _, channels, height, width = image.shape
    shape = network.shape
    if channels != shape.channels or height % shape.fold or width % shape.fold or image.dtype != torch.float32:
        raise ValueError(
            f"an image must be (N, {shape.channels}, H, W) float32, got {tuple(image.shape)} {image.dtype}"
        )
    arguments = (
        image,
        network.weights,
        network.singles,
        list(astuple(shape)),
        int(network.layout),
        strip_rows,
        resident,
    )
    if image.is_cuda and network.layout is not Layout.FRAGMENTS:
        return reference(*arguments)
    if image.is_cuda and not torch.compiler.is_compiling():
        result_bytes = 4 * image.numel() * shape.scale**2
        reserve(image.device, result_bytes, _workspace_bytes(shape, image.shape[0], height, width))
    result: Tensor = torch.ops.restore.rrdb_forward(*arguments)
    return result


def _workspace_bytes(shape: RrdbShape, n: int, height: int, width: int) -> int:
    """What the compiled kernels take beside the result."""
    return int(
        _bytes_function()((ctypes.c_int64 * 6)(*astuple(shape)), *(ctypes.c_int64(size) for size in (n, height, width)))
    )


@cache
def _bytes_function() -> Callable[..., int]:
    ask = ctypes.CDLL(str(LIBRARY.path)).restore_ops_rrdb_bytes
    ask.restype = ctypes.c_int64
    return ask


def reference(
    image: Tensor,
    weights: Tensor,
    singles: Tensor,
    shape: list[int],
    layout: int,
    strip_rows: int = STRIP_ROWS,
    resident: int = RESIDENT,
) -> Tensor:
    """`rrdb_forward` in torch's own operators."""
    del strip_rows, resident  # they change when, not what
    with torch.inference_mode():
        y = _Forward(weights, singles, RrdbShape(*shape), Layout(layout))(image)
        return y.contiguous(memory_format=torch.channels_last)


class _Forward:
    """Views of the packed numbers, and the network over them."""

    def __init__(self, weights: Tensor, singles: Tensor, shape: RrdbShape, layout: Layout) -> None:
        self.shape = shape
        self.dtype = weights.dtype
        self.weights: dict[str, Tensor] = {}
        self.biases: dict[str, Tensor] = {}
        self.dense: dict[str, winograd.DenseBlock] = {}
        rest, sizes = _Reader(weights), _Reader(singles)
        order = list(shape.convolutions())
        groups: dict[str, list[Tensor]] = {}
        for name, outputs, inputs in order:
            if layout is Layout.FRAGMENTS:
                self.weights[name] = fragments.unpack(rest.take(fragments.elements(outputs, inputs)), outputs, inputs)
            elif layout is Layout.WINOGRAD and name.startswith("body."):
                widths = winograd.group_widths(inputs, shape.features, shape.growth)
                groups[name] = [rest.take(36 * width * outputs).view(36, width, outputs) for width in widths]
            else:
                self.weights[name] = rest.take(9 * inputs * outputs).view(outputs, 3, 3, inputs).permute(0, 3, 1, 2)
        for name, outputs, _ in order:
            reader = sizes if layout is Layout.FRAGMENTS else rest
            self.biases[name] = reader.take(outputs).to(self.dtype)
        if layout is not Layout.FRAGMENTS:
            size = 9 * shape.features * shape.channels
            last = sizes.take(size).view(shape.channels, 3, 3, shape.features)
            self.weights["conv_last"], self.biases["conv_last"] = last.permute(0, 3, 1, 2), sizes.take(shape.channels)
        else:
            self.weights["conv_last"] = self.weights["conv_last"].float()
            self.biases["conv_last"] = self.biases["conv_last"].float()
        for block in {name.rpartition(".")[0] for name in groups}:
            names = [f"{block}.conv{k + 1}" for k in range(5)]
            self.dense[block] = winograd.DenseBlock([groups[n] for n in names], [self.biases[n] for n in names])

    def __call__(self, image: Tensor) -> Tensor:
        x = image.to(self.dtype)
        if self.shape.fold > 1:
            x = F.pixel_unshuffle(x, self.shape.fold)
        x = self._convolve("conv_first", x.contiguous(memory_format=torch.channels_last))
        if self.dense:
            trunks = [self._body(self._dense_winograd, image) for image in x.permute(0, 2, 3, 1)]
            trunk = torch.stack(trunks).permute(0, 3, 1, 2)
        else:
            trunk = self._body(self._dense, x)
        x = self._convolve("conv_body", trunk).add_(x)
        return self._enlarge(x)

    def _enlarge(self, x: Tensor) -> Tensor:
        """The layers after the body, a band of rows at a time: they hold 4^doublings times as many pixels, and would
        otherwise need more memory than all the others together.  Same sums, since each band reads what it sees."""
        growth = 2**self.shape.doublings
        height = x.shape[-2]
        bands = []
        for start, stop in even_parts(height, max(1, BAND_PX // x.shape[-1])):
            first, last = max(0, start - TAIL_REACH_PX), min(height, stop + TAIL_REACH_PX)
            band = x[..., first:last, :]
            for i in range(self.shape.doublings):
                band = F.interpolate(band, scale_factor=2, mode="nearest")
                band = F.leaky_relu_(self._convolve(f"conv_up{i + 1}", band), SLOPE)
            band = F.leaky_relu_(self._convolve("conv_hr", band), SLOPE)
            band = self._convolve("conv_last", band.float())
            bands.append(band[..., (start - first) * growth : (stop - first) * growth, :])
        return torch.cat(bands, -2)

    def _body(self, dense: Callable[[str, Tensor], Tensor], trunk: Tensor) -> Tensor:
        for block in range(self.shape.blocks):
            start = trunk
            for j in (1, 2, 3):
                trunk = dense(f"body.{block}.rdb{j}", trunk)
            trunk = torch.add(start, trunk, alpha=RESIDUAL)
        return trunk

    def _dense_winograd(self, name: str, x: Tensor) -> Tensor:
        """(H, W, C) -> (H, W, C), a block of pixels at a time that stays in the caches."""
        height, width, _ = x.shape
        y = torch.empty_like(x)
        for top, bottom in even_parts(height, BLOCK_PX):
            rows = slice(max(0, top - DENSE_REACH_PX), min(height, bottom + DENSE_REACH_PX))
            for left, right in even_parts(width, BLOCK_PX):
                columns = slice(max(0, left - DENSE_REACH_PX), min(width, right + DENSE_REACH_PX))
                seen = x[rows, columns]
                done = self.dense[name](winograd.Grid(*seen.shape[:2]), seen, SLOPE, RESIDUAL)
                inner = done[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start]
                y[top:bottom, left:right] = inner
        return y

    def _dense(self, name: str, x: Tensor) -> Tensor:
        parts = [x]
        for k in (1, 2, 3, 4):
            joined = torch.cat(parts, 1) if k > 1 else x
            parts.append(F.leaky_relu_(self._convolve(f"{name}.conv{k}", joined), SLOPE))
        return torch.add(x, self._convolve(f"{name}.conv5", torch.cat(parts, 1)), alpha=RESIDUAL)

    def _convolve(self, name: str, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weights[name], self.biases[name], padding=1)


@dataclass
class _Reader:
    """Takes views off a flat tensor, from the front."""

    flat: Tensor
    at: int = 0

    def take(self, count: int) -> Tensor:
        self.at += count
        return self.flat[self.at - count : self.at]


def even_parts(length: int, most: int) -> list[tuple[int, int]]:
    """[0, length) in as few parts of at most `most` as will do, all about equal."""
    count = -(-length // most)
    edges = [i * length // count for i in range(count + 1)]
    return list(pairwise(edges))


def _fake(
    image: Tensor,
    weights: Tensor,
    singles: Tensor,
    shape: list[int],
    layout: int,
    strip_rows: int,
    resident: int,
) -> Tensor:
    del weights, singles, layout, strip_rows, resident
    structure = RrdbShape(*shape)
    n, _, height, width = image.shape
    size = (n, structure.channels, height * structure.scale, width * structure.scale)
    return torch.empty(size, dtype=torch.float32, device=image.device, memory_format=torch.channels_last)


SCHEMAS.impl(_NAME, reference, "CompositeExplicitAutograd")
torch.library.register_fake(f"restore::{_NAME}", _fake, lib=SCHEMAS)
