"""Owns running compact networks (SRVGGNetCompact): a chain of 3x3 convolutions with PReLU, then one pixel shuffle.

Architecture: Real-ESRGAN, https://github.com/xinntao/Real-ESRGAN, realesrgan/archs/srvgg_arch.py (BSD-3-Clause).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.errors import ModelError
from restore.models.network import DTYPES, Built, check_state, convolution_shapes
from restore.recipe import Precision


class Compact:
    """The network on one device.

    `scale` may be less than what the weights enlarge by: a bicubic resize follows then, as in ncnn's form of
    animevideov3-x2 and -x3, where it is the last layer (no antialiasing, a = -0.75, pixel centres).
    """

    def __init__(self, state: Mapping[str, Tensor], scale: int, device: str, dtype: torch.dtype) -> None:
        self.depth = _depth(state)
        self.enlarges_by = _enlargement(state)
        self.scale = scale
        self.dtype = dtype
        self._convolutions: list[tuple[Tensor, Tensor]] = []
        self._slopes: list[Tensor] = []
        for i in range(0, 2 * self.depth - 1, 2):
            weight = state[f"body.{i}.weight"].to(device, dtype).contiguous(memory_format=torch.channels_last)
            self._convolutions.append((weight, state[f"body.{i}.bias"].to(device, dtype)))
        for i in range(1, 2 * self.depth - 1, 2):
            self._slopes.append(state[f"body.{i}.weight"].to(device, dtype))

    @torch.inference_mode()
    def __call__(self, image: Tensor) -> Tensor:
        x = image.to(self.dtype).contiguous(memory_format=torch.channels_last)
        for (weight, bias), slope in zip(self._convolutions, self._slopes, strict=False):
            x = F.prelu(F.conv2d(x, weight, bias, padding=1), slope)
        weight, bias = self._convolutions[-1]
        # The residual is small, the picture it is added to isn't: the sum is made in fp32.
        residual = F.pixel_shuffle(F.conv2d(x, weight, bias, padding=1).float(), self.enlarges_by)
        out = residual.add_(F.interpolate(image, scale_factor=self.enlarges_by, mode="nearest"))
        if self.scale != self.enlarges_by:
            factor = self.scale / self.enlarges_by
            out = F.interpolate(out, scale_factor=factor, mode="bicubic", align_corners=False)
        return out


def build(state: Mapping[str, Tensor], scale: int, device: str, precision: Precision) -> Built:
    """Check `state` against the architecture and set it up; ModelError says what doesn't fit."""
    depth, enlarges_by = _depth(state), _enlargement(state)
    check_state(state, wanted(state))
    if not 1 <= scale <= enlarges_by:
        raise ModelError(f"its weights enlarge by {enlarges_by}, so they can't give x{scale}")
    return Built(Compact(state, scale, device, DTYPES[precision]), 1, receptive_radius_px(depth, scale == enlarges_by))


def wanted(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors of a compact network with the first and last layer of `state`."""
    depth, enlarges_by = _depth(state), _enlargement(state)
    first = state["body.0.weight"]
    features, channels = int(first.shape[0]), int(first.shape[1])
    tensors = convolution_shapes("body.0", features, channels)
    for i in range(1, depth):
        out_channels = features if i < depth - 1 else channels * enlarges_by**2
        tensors |= {f"body.{2 * i - 1}.weight": (features,)}
        tensors |= convolution_shapes(f"body.{2 * i}", out_channels, features)
    return tensors


def receptive_radius_px(depth: int, plain: bool) -> int:
    """Exact: a pixel a convolution; a final bicubic resize (not `plain`) reaches one more."""
    return depth if plain else depth + 1


def _depth(state: Mapping[str, Tensor]) -> int:
    depth = (len([name for name in state if name.endswith(".weight")]) + 1) // 2
    for name in ("body.0.weight", f"body.{2 * depth - 2}.weight"):
        if name not in state or state[name].ndim != 4:
            raise ModelError(f"no compact network: it has no convolution {name}")
    return depth


def _enlargement(state: Mapping[str, Tensor]) -> int:
    channels = int(state["body.0.weight"].shape[1])
    outputs = int(state[f"body.{2 * _depth(state) - 2}.weight"].shape[0])
    factor = isqrt(outputs // channels) if channels else 0
    if factor < 1 or factor**2 * channels != outputs:
        raise ModelError(f"no compact network: {outputs} outputs are no square of {channels} channels")
    return factor
