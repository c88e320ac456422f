"""Owns the order of weights that the tensor-core kernels of 3 x 3 convolutions read; the twin of cuda_ops/pack.h.

packed[group of outputs][chunk of 16 inputs][tap][half of the chunk][output][8 inputs]: eight outputs are 128 bytes side
by side, one matrix for the PTX instructions ldmatrix and wgmma.  Channels that aren't there are zeros.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def group_of(outputs: int) -> int:
    """Outputs of one tile."""
    return 16 if outputs <= 16 else 32 if outputs <= 32 else 64


def elements(outputs: int, inputs: int, kernel: int = 3) -> int:
    """Numbers in the packed weights."""
    group = group_of(outputs)
    return -(-outputs // group) * -(-inputs // 16) * kernel * kernel * 16 * group


def pack(weight: Tensor) -> Tensor:
    """(K, C, k, k) -> flat, of one source."""
    outputs, inputs, kernel, _ = weight.shape
    flat = torch.cat([weight.reshape(-1), weight.new_zeros(1)])
    return flat[_order(outputs, inputs, kernel).to(weight.device)]


def unpack(packed: Tensor, outputs: int, inputs: int, kernel: int = 3) -> Tensor:
    """The other way."""
    order = _order(outputs, inputs, kernel).to(packed.device)
    flat = packed.new_zeros(outputs * inputs * kernel * kernel + 1)
    flat[order] = packed
    return flat[:-1].view(outputs, inputs, kernel, kernel)


@lru_cache(maxsize=32)
def _order(outputs: int, inputs: int, kernel: int) -> Tensor:
    """For each packed number its place in the weights; one past their end for those that aren't there."""
    group, taps = group_of(outputs), kernel * kernel
    shape = (-(-outputs // group), -(-inputs // 16), taps, 2, group, 8)
    at_group, chunk, tap, half, filter_, e = torch.meshgrid(*(torch.arange(size) for size in shape), indexing="ij")
    output, feature = at_group * group + filter_, chunk * 16 + half * 8 + e
    place = (output * inputs + feature) * taps + tap
    return torch.where((output < outputs) & (feature < inputs), place, outputs * inputs * taps).reshape(-1)
