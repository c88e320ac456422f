"""Owns how an RRDB network's numbers lie in memory, for each kind of device.

Canonical names are those of BasicSR, basicsr/archs/rrdbnet_arch.py (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from restore.ops import fragments, winograd


class Layout(IntEnum):
    """How a network's numbers lie in `PackedRrdb.weights`."""

    FLAT = 0
    """All convolutions in order, each as (K, 3, 3, C), then all biases."""
    WINOGRAD = 1
    """The same, but dense blocks' weights are groups of (36, C, K), one for each input of the layer."""
    FRAGMENTS = 2
    """What the tensor-core kernels read (`fragments.py`); biases are in `singles`."""


@dataclass(frozen=True)
class RrdbShape:
    """The structure of an RRDB network."""

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

    def convolutions(self) -> Iterator[tuple[str, int, int]]:
        """(name, outputs, inputs) of each, in canonical order."""
        yield "conv_first", self.features, self.channels * self.fold**2
        for block in range(self.blocks):
            for j in (1, 2, 3):
                for k in range(5):
                    outputs = self.growth if k < 4 else self.features
                    yield f"body.{block}.rdb{j}.conv{k + 1}", outputs, self.features + k * self.growth
        for name in ("conv_body", *(f"conv_up{i + 1}" for i in range(self.doublings)), "conv_hr"):
            yield name, self.features, self.features
        yield "conv_last", self.channels, self.features


@dataclass(frozen=True)
class PackedRrdb:
    """A network's numbers, ready for one device."""

    weights: Tensor
    """Flat, in the type that features are stored in."""
    singles: Tensor
    """Flat fp32: all biases in FRAGMENTS; else the last layer's weights and bias, whose answer is the picture: in bf16
    it would have steps of 1/256 in bright areas."""
    shape: RrdbShape
    layout: Layout


def pack(
    state: Mapping[str, Tensor], shape: RrdbShape, layout: Layout, dtype: torch.dtype, device: torch.device
) -> PackedRrdb:
    names = [name for name, _, _ in shape.convolutions()]
    biases = [state[f"{name}.bias"].float() for name in names]
    if layout is Layout.FRAGMENTS:
        packed = [fragments.pack(state[f"{name}.weight"].to(dtype)) for name in names]
        return PackedRrdb(torch.cat(packed).to(device), torch.cat(biases).to(device), shape, layout)
    parts = []
    for name in names:
        weight = state[f"{name}.weight"]
        if layout is Layout.WINOGRAD and name.startswith("body."):
            parts += [group.reshape(-1) for group in winograd.transform_groups(weight, shape.features, shape.growth)]
        else:
            parts.append(weight.permute(0, 2, 3, 1).reshape(-1))
    flat = torch.cat([part.to(dtype) for part in (*parts, *biases)])
    last = torch.cat([state["conv_last.weight"].float().permute(0, 2, 3, 1).reshape(-1), biases[-1]])
    return PackedRrdb(flat.to(device), last.to(device), shape, layout)
