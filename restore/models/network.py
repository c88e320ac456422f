"""Owns what every executor shares: precision, memory layout, and the check of a state dict against a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from restore.errors import ModelError
from restore.recipe import Precision

DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}


@dataclass(frozen=True)
class Built:
    """A network ready to run, and what callers must know of it."""

    net: Callable[[Tensor], Tensor]
    multiple_of: int
    receptive_radius_px: int | None


def check_state(state: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Exactly the `wanted` names and shapes, floating point, finite; else ModelError naming the first difference."""
    missing = [name for name in wanted if name not in state]
    extra = [name for name in state if name not in wanted]
    if missing:
        raise ModelError(f"{len(missing)} tensors are missing, the first is {missing[0]}")
    if extra:
        raise ModelError(f"{len(extra)} tensors don't belong to the network, the first is {extra[0]}")
    for name, shape in wanted.items():
        tensor = state[name]
        if tuple(tensor.shape) != shape:
            raise ModelError(f"tensor {name} has shape {tuple(tensor.shape)}, the network takes {shape}")
        if not tensor.is_floating_point():
            raise ModelError(f"tensor {name} has type {tensor.dtype}, not a floating-point one")
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"tensor {name} holds numbers that are not finite")


def convolution_shapes(name: str, out_channels: int, in_channels: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a 3x3 convolution with bias."""
    return {f"{name}.weight": (out_channels, in_channels, 3, 3), f"{name}.bias": (out_channels,)}
