"""Owns the order of weights that the tensor-core kernels read; the twin of cuda_ops/pack.h.

packed[group of outputs][chunk of 16 inputs][tap][pair of 8 outputs][lane][8 numbers]: each lane's share of a tap's
matrix is 16 bytes side by side.  Lane l (g = l // 4, t = l % 4) of a pair holds, for outputs g and 8 + g, the inputs
2t, 2t + 1, 8 + 2t and 9 + 2t: the two fragments of the PTX instruction mma.m16n8k16.  Channels that aren't there are
zeros.
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
    shape = (-(-outputs // group), -(-inputs // 16), taps, group // 16, 32, 8)
    at_group, chunk, tap, pair, lane, e = torch.meshgrid(*(torch.arange(size) for size in shape), indexing="ij")
    output = at_group * group + pair * 16 + e // 4 * 8 + lane // 4
    feature = chunk * 16 + 2 * (lane % 4) + e // 2 % 2 * 8 + e % 2
    place = (output * inputs + feature) * taps + tap
    return torch.where((output < outputs) & (feature < inputs), place, outputs * inputs * taps).reshape(-1)
