"""Owns running RRDB networks (ESRGAN, Real-ESRGAN): dense blocks in channels_last.

Architecture: Real-ESRGAN and BasicSR, basicsr/archs/rrdbnet_arch.py (Apache-2.0); canonical names are BasicSR's.

Dense blocks run in the Winograd domain in fp32 on a CPU (`winograd.py`), elsewhere as convolutions in channels_last
whose inputs are joined with `torch.cat`. Measured before choosing, one dense block, torch 2.14, one thread of a
Sapphire Rapids without AMX that other work shared, interleaved, best of 31 to 41 at 64x64 (11 to 15 at 128x128), as
speed over the official form (NCHW fp32, cat, mul, add):

    fp32  cat 1.22 (1.22)   slices of one buffer 1.19 (1.24)   preallocated cat 1.17 (1.34)   Winograd 2.18 (1.97)
    bf16  cat 0.73 (0.81)   slices of one buffer 0.72 (0.66)   preallocated cat 0.73 (0.82)

Slices save nothing: `conv2d` copies a slice of a channels_last buffer before oneDNN sees it. Nor do oneDNN's prepacked
weights: reordering takes 0.03 to 0.1 ms of an 18 ms convolution. That CPU multiplies bf16 slower than fp32 (see
`device.bf16_is_quick_on_cpu`); on one Zen 4 core, torch 2.13, 128x128, cat against slices gave 101 and 100 GFLOP/s in
fp32, 208 and 197 in bf16, against 70 for the official form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.errors import ModelError
from restore.models.network import DTYPES, Built, check_state, convolution_shapes
from restore.models.winograd import DenseBlock, Grid
from restore.recipe import Precision

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


@dataclass(frozen=True)
class Shape:
    """What the tensors of an RRDB network say about it."""

    blocks: int
    features: int
    growth: int
    doublings: int
    """Nearest-neighbour doublings after the body."""
    fold: int
    """Input pixels that are folded into channels first (pixel unshuffle), a side."""
    channels: int

    @property
    def scale(self) -> int:
        return (1 << self.doublings) // self.fold

    @property
    def receptive_radius_px(self) -> int:
        """Exact: 15 a block and 4 for two doublings (94 for 6 blocks, 349 for 23), `fold` times as much when folded."""
        reach = 2  # conv_hr and conv_last, in output pixels
        for _ in range(self.doublings):
            reach = (reach + 2) // 2  # conv_up, then half of it, rounded up
        return self.fold * (15 * self.blocks + 2 + reach)  # 2: conv_first and conv_body


class Rrdb:
    """The network on one device."""

    def __init__(self, state: Mapping[str, Tensor], shape: Shape, device: str, dtype: torch.dtype) -> None:
        self.shape = shape
        self.dtype = dtype
        self._winograd: dict[str, DenseBlock] = {}
        self._weights: dict[str, Tensor] = {}
        self._biases: dict[str, Tensor] = {}
        for name in convolution_order(shape.blocks, shape.doublings):
            # The last layer's answer is the picture: in bf16 it would have steps of 1/256 in bright areas.
            own = torch.float32 if name == "conv_last" else dtype
            weight = state[f"{name}.weight"].to(device, own)
            self._weights[name] = weight.contiguous(memory_format=torch.channels_last)
            self._biases[name] = state[f"{name}.bias"].to(device, own)
        if device == "cpu" and dtype == torch.float32:
            self._go_winograd()

    def _go_winograd(self) -> None:
        """Keep the dense blocks' weights in the Winograd domain only."""
        for block in range(self.shape.blocks):
            for j in (1, 2, 3):
                names = [f"body.{block}.rdb{j}.conv{k}" for k in (1, 2, 3, 4, 5)]
                weights, biases = (
                    [self._weights.pop(name) for name in names],
                    [self._biases.pop(name) for name in names],
                )
                self._winograd[f"body.{block}.rdb{j}"] = DenseBlock(weights, biases)

    @torch.inference_mode()
    def __call__(self, image: Tensor) -> Tensor:
        x = image.to(self.dtype)
        if self.shape.fold > 1:
            x = F.pixel_unshuffle(x, self.shape.fold)
        x = self._convolve("conv_first", x.contiguous(memory_format=torch.channels_last))
        if self._winograd:
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
                done = self._winograd[name](Grid(*seen.shape[:2]), seen, SLOPE, RESIDUAL)
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
        return F.conv2d(x, self._weights[name], self._biases[name], padding=1)


def even_parts(length: int, most: int) -> list[tuple[int, int]]:
    """[0, length) in as few parts of at most `most` as will do, all about equal."""
    count = -(-length // most)
    edges = [i * length // count for i in range(count + 1)]
    return list(pairwise(edges))


def build(state: Mapping[str, Tensor], scale: int, device: str, precision: Precision) -> Built:
    """Check `state` against the architecture and set it up; ModelError says what doesn't fit."""
    shape = shape_of(state, scale)
    check_state(state, wanted(shape))
    network = Rrdb(state, shape, device, DTYPES[precision])
    return Built(network, shape.fold, shape.receptive_radius_px)


def shape_of(state: Mapping[str, Tensor], scale: int) -> Shape:
    """The structure that `state` has under canonical names, enlarging by `scale`."""
    numbers = [int(m[1]) for name in state if (m := re.fullmatch(r"body\.(\d{1,3})\.rdb1\.conv1\.weight", name))]
    ups = [name for name in state if re.fullmatch(r"conv_up\d\.weight", name)]
    try:
        first, last = state["conv_first.weight"], state["conv_last.weight"]
        growth = int(state["body.0.rdb1.conv1.weight"].shape[0])
    except KeyError as error:
        raise ModelError(f"no RRDB network: it has no {error}") from error
    if first.ndim != 4 or last.ndim != 4:
        raise ModelError("no RRDB network: its first or last layer is no convolution")
    channels, inputs = int(last.shape[0]), int(first.shape[1])
    fold = isqrt(inputs // channels) if channels else 0
    shape = Shape(max(numbers) + 1, int(first.shape[0]), growth, len(ups), fold, channels)
    if fold < 1 or fold**2 * channels != inputs or shape.scale != scale:
        raise ModelError(f"no RRDB network x{scale}: {inputs} channels in, {channels} out, {len(ups)} doublings")
    return shape


def wanted(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors, in canonical order."""
    tensors: dict[str, tuple[int, ...]] = {}
    for name in convolution_order(shape.blocks, shape.doublings):
        tensors |= convolution_shapes(name, *_channels(name, shape))
    return tensors


def convolution_order(blocks: int, doublings: int) -> list[str]:
    """Every convolution, in canonical order."""
    inner = [f"body.{i}.rdb{j}.conv{k}" for i in range(blocks) for j in (1, 2, 3) for k in (1, 2, 3, 4, 5)]
    ups = [f"conv_up{i + 1}" for i in range(doublings)]
    return ["conv_first", *inner, "conv_body", *ups, "conv_hr", "conv_last"]


def _channels(name: str, shape: Shape) -> tuple[int, int]:
    """(out, in) channels of one convolution."""
    if name == "conv_first":
        return shape.features, shape.channels * shape.fold**2
    if name == "conv_last":
        return shape.channels, shape.features
    if name.startswith("body."):
        k = int(name[-1])
        return (shape.growth if k < 5 else shape.features), shape.features + (k - 1) * shape.growth
    return shape.features, shape.features
