"""Owns what `gpu.py` compares with, written from the architectures, and both forms of the inpainting U-Net.

official_rrdb     the RRDBNet module as Real-ESRGAN runs it (basicsr/archs/rrdbnet_arch.py, Apache-2.0; its names)
partial_conv      NVIDIA's partial convolution, step by step in torch's operators, with a mask for each channel
                  (Liu et al., "Image Inpainting for Irregular Holes Using Partial Convolutions", ECCV 2018)
UNet              that paper's network from either of `partial_conv` and `ops.masked_conv2d`, same weights

All of them run on a CPU too, where the tests compare them with this project's references.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore import ops

SLOPE = 0.2
RESIDUAL = 0.2


class _DenseBlock(nn.Module):
    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        for k in range(5):
            outputs = growth if k < 4 else features
            setattr(self, f"conv{k + 1}", nn.Conv2d(features + k * growth, outputs, 3, 1, 1))
        self.lrelu = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.lrelu(self.conv1(x))
        x2 = self.lrelu(self.conv2(torch.cat((x, x1), 1)))
        x3 = self.lrelu(self.conv3(torch.cat((x, x1, x2), 1)))
        x4 = self.lrelu(self.conv4(torch.cat((x, x1, x2, x3), 1)))
        x5 = self.conv5(torch.cat((x, x1, x2, x3, x4), 1))
        return x5 * RESIDUAL + x


class _Group(nn.Module):
    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = _DenseBlock(features, growth)
        self.rdb2 = _DenseBlock(features, growth)
        self.rdb3 = _DenseBlock(features, growth)

    def forward(self, x: Tensor) -> Tensor:
        return self.rdb3(self.rdb2(self.rdb1(x))) * RESIDUAL + x


class OfficialRrdb(nn.Module):
    """The official module; its parameters have the canonical names."""

    def __init__(self, shape: ops.RrdbShape) -> None:
        super().__init__()
        self.shape = shape
        self.conv_first = nn.Conv2d(shape.channels * shape.fold**2, shape.features, 3, 1, 1)
        self.body = nn.Sequential(*(_Group(shape.features, shape.growth) for _ in range(shape.blocks)))
        for name in ("conv_body", *(f"conv_up{i + 1}" for i in range(shape.doublings)), "conv_hr"):
            setattr(self, name, nn.Conv2d(shape.features, shape.features, 3, 1, 1))
        self.conv_last = nn.Conv2d(shape.features, shape.channels, 3, 1, 1)
        self.lrelu = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        if self.shape.fold > 1:
            x = F.pixel_unshuffle(x, self.shape.fold)
        x = self.conv_first(x)
        x = x + self.conv_body(self.body(x))
        for i in range(self.shape.doublings):
            x = self.lrelu(getattr(self, f"conv_up{i + 1}")(F.interpolate(x, scale_factor=2, mode="nearest")))
        return self.conv_last(self.lrelu(self.conv_hr(x)))


def official_rrdb(shape: ops.RrdbShape, state: Mapping[str, Tensor]) -> OfficialRrdb:
    with torch.device("meta"):
        module = OfficialRrdb(shape)
    module.load_state_dict(dict(state), assign=True)
    return module.eval().requires_grad_(False)


def random_state(shape: ops.RrdbShape, generator: torch.Generator, dense_gain: float = 1.0) -> dict[str, Tensor]:
    """Weights that keep features near 1.  `dense_gain` above 1 lets the dense blocks say more beside their residuals,
    so that a check sees a fault in any of their layers: with 6 one wrong row of one filter's taps is several times the
    rounding of float16, with 1 it isn't."""
    state = {}
    for name, outputs, inputs in shape.convolutions():
        scale = (1.6 / (9 * inputs)) ** 0.5 * (dense_gain if name.endswith(".conv5") else 1.0)
        state[f"{name}.weight"] = torch.randn(outputs, inputs, 3, 3, generator=generator) * scale
        state[f"{name}.bias"] = torch.randn(outputs, generator=generator) * 0.1
    return state


def rrdb_flop(shape: ops.RrdbShape, height: int, width: int) -> int:
    """Floating-point operations (two a multiply-add) for one image of height x width."""
    pixels = height * width // shape.fold**2
    total = 0
    for name, outputs, inputs in shape.convolutions():
        level = int(name[-1]) if name.startswith("conv_up") else 0
        level = shape.doublings if name in ("conv_hr", "conv_last") else level
        total += 2 * 9 * inputs * outputs * pixels * 4**level
    return total


def partial_conv(
    x: Tensor, mask: Tensor, weight: Tensor, bias: Tensor, ones: Tensor, *, stride: int, padding: int
) -> tuple[Tensor, Tensor]:
    """One layer: 12 operations on the device, as in NVIDIA's.

    x and mask: (N, C, H, W), the mask 0 or 1 in x's type; ones: like `weight` (or one filter of it), all 1.  NVIDIA's
    adds 1e-8 to the sums, which is nothing in float16: NaN for empty windows.  clamp_min(1) costs the same and differs
    only there, where the next steps put a zero.
    """
    seen = F.conv2d(mask, ones, None, stride, padding)
    ratio = weight[0].numel() / seen.clamp_min(1)
    seen = seen.clamp(0, 1)
    ratio = ratio * seen
    raw = F.conv2d(x * mask, weight, bias, stride, padding)
    offset = bias.view(1, -1, 1, 1)
    y = (raw - offset) * ratio + offset
    return y * seen, seen


def joined(x: Tensor, mask: Tensor, skip: Tensor, skip_mask: Tensor) -> tuple[Tensor, Tensor]:
    """What a decoder's layer slides over: x and its mask enlarged, beside the skip connection and its mask."""
    enlarged, enlarged_mask = (F.interpolate(t, scale_factor=2, mode="nearest") for t in (x, mask))
    return torch.cat([enlarged, skip], 1), torch.cat([enlarged_mask, skip_mask], 1)


@dataclass(frozen=True)
class Layer:
    """Of the U-Net: an encoder's (stride 2) or, with `skip` channels, a decoder's (doubled input)."""

    inputs: int
    skip: int
    outputs: int
    kernel: int
    slope: float


def unet_layers(levels: int = 7, divide: int = 1) -> tuple[list[Layer], list[Layer]]:
    """Encoder and decoder after Liu et al.; `divide` thins them for tests."""
    widths = [width // divide for width in (64, 128, 256, 512, 512, 512, 512)[:levels]]
    kernels = (7, 5, 5, 3, 3, 3, 3)[:levels]
    inputs = [3, *widths[:-1]]
    encoder = [Layer(c, 0, k, size, 0.0) for c, k, size in zip(inputs, widths, kernels, strict=True)]
    decoder = []
    below = widths[-1]
    for skip in reversed(inputs):
        decoder.append(Layer(below, skip, skip, 3, SLOPE if len(decoder) < levels - 1 else 1.0))
        below = skip
    return encoder, decoder


@dataclass(frozen=True)
class UNet:
    """The network with its weights; batch normalisation is taken as folded into them, on both sides."""

    encoder: Sequence[Layer]
    decoder: Sequence[Layer]
    weights: Sequence[Tensor]
    biases: Sequence[Tensor]

    def to(self, device: str, dtype: torch.dtype, layout: torch.memory_format = torch.contiguous_format) -> UNet:
        weights = [w.to(device, dtype).contiguous(memory_format=layout) for w in self.weights]
        return UNet(self.encoder, self.decoder, weights, [b.to(device, dtype) for b in self.biases])

    def ours(self, picture: Tensor, valid: Tensor) -> Tensor:
        """(N, 3, H, W), (N, 1, H, W) bool -> (N, 3, H, W), through `ops.masked_conv2d`."""
        numbers = iter(zip(self.weights, self.biases, strict=True))
        x, seen, skips = picture, valid, []
        for layer in self.encoder:
            skips.append((x, seen))
            weight, bias = next(numbers)
            x, seen = ops.masked_conv2d(x, seen, weight, bias, stride=2, padding=layer.kernel // 2, slope=layer.slope)
        for layer in self.decoder:
            skip, skip_valid = skips.pop()
            weight, bias = next(numbers)
            x, seen = ops.masked_conv2d(
                *(x, seen, weight, bias),
                padding=1,
                skip=skip,
                skip_valid=skip_valid,
                doubled=True,
                slope=layer.slope,
            )
        return x

    def reference(self, picture: Tensor, mask: Tensor, ones: Sequence[Tensor]) -> Tensor:
        """The same step by step; mask (N, 3, H, W), 0 or 1 in the picture's type; ones: `all_ones`."""
        numbers = iter(zip(self.weights, self.biases, ones, strict=True))
        x, seen, skips = picture, mask, []
        for layer in self.encoder:
            skips.append((x, seen))
            x, seen = partial_conv(x, seen, *next(numbers), stride=2, padding=layer.kernel // 2)
            x = F.relu(x)
        for layer in self.decoder:
            x, seen = joined(x, seen, *skips.pop())
            x, seen = partial_conv(x, seen, *next(numbers), stride=1, padding=1)
            x = x if layer.slope == 1.0 else F.leaky_relu(x, layer.slope)
        return x

    def all_ones(self) -> list[Tensor]:
        """The filters of the masks' convolutions: as many as the features have, as in a layer with multi_channel."""
        return [torch.ones_like(weight) for weight in self.weights]

    def flop(self, height: int, width: int) -> int:
        """Of the convolutions over features alone: the masks' are how the reference layers do it."""
        total, pixels = 0, height * width
        for layer in self.encoder:
            pixels //= 4
            total += 2 * layer.kernel**2 * layer.inputs * layer.outputs * pixels
        for layer in self.decoder:
            pixels *= 4
            total += 2 * 9 * (layer.inputs + layer.skip) * layer.outputs * pixels
        return total


def random_unet(generator: torch.Generator, levels: int = 7, divide: int = 1) -> UNet:
    encoder, decoder = unet_layers(levels, divide)
    weights, biases = [], []
    for layer in (*encoder, *decoder):
        inputs, k = layer.inputs + layer.skip, layer.kernel
        weights.append(torch.randn(layer.outputs, inputs, k, k, generator=generator) * (2.0 / (k * k * inputs)) ** 0.5)
        biases.append(torch.randn(layer.outputs, generator=generator) * 0.1)
    return UNet(encoder, decoder, weights, biases)


def holes(n: int, height: int, width: int, generator: torch.Generator, share: float = 0.3) -> Tensor:
    """(N, 1, H, W) bool, True = known: boxes are missing until about `share` of the picture is."""
    valid = torch.ones(n, 1, height, width, dtype=torch.bool)
    for picture in valid:
        while picture.float().mean() > 1 - share:
            y, x = (int(torch.randint(0, size, (), generator=generator)) for size in (height, width))
            h, w = (int(torch.randint(1, max(2, size // 4), (), generator=generator)) for size in (height, width))
            picture[:, y : y + h, x : x + w] = False
    return valid
