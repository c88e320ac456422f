"""Owns dense blocks of 3x3 convolutions in the Winograd domain: F(4x4, 3x3), fp32, by plain matrix products.

All five convolutions of a dense block read the same features, so each group of features is transformed once and then
multiplied with the weights of every later convolution: 2.25 products a pixel and weight instead of 9.
Method: A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015 (arXiv:1509.09308); the
matrices are theirs for the points 0, 1, -1, 2, -2.  In fp32 the result differs from direct sums by about 1e-6
of its range.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_SIDE = 4
"""Output pixels a side of one patch; it reads _SIDE + 2."""
_READ = _SIDE + 2
_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_WEIGHT = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


def transform_weight(weight: Tensor) -> Tensor:
    """(out, in, 3, 3) -> (36, in, out) fp32, computed in fp64."""
    g = torch.tensor(_WEIGHT, dtype=torch.float64)
    turned = torch.einsum("ak,bl,oikl->abio", g, g, weight.double())
    return turned.reshape(_READ * _READ, weight.shape[1], weight.shape[0]).float().contiguous()


class Grid:
    """The patches of an image of one size, (H, W, C) fp32 in memory order, zero beyond its edges.

    One image at a time: what a tile becomes then never depends on the tiles beside it in a batch.
    """

    def __init__(self, height_px: int, width_px: int) -> None:
        self.height, self.width = height_px, width_px
        self.rows, self.columns = -(-height_px // _SIDE), -(-width_px // _SIDE)
        self.patches = self.rows * self.columns
        turn_in, turn_out = (torch.tensor(matrix, dtype=torch.float32) for matrix in (_INPUT, _OUTPUT))
        self._turn_in, self._turn_out = torch.kron(turn_in, turn_in), torch.kron(turn_out, turn_out)

    def transform(self, features: Tensor) -> Tensor:
        """(H, W, C) -> (36, patches, C)."""
        channels = features.shape[2]
        below, right = self.rows * _SIDE - self.height, self.columns * _SIDE - self.width
        padded = F.pad(features, (0, 0, 1, 1 + right, 1, 1 + below))
        row, column, _ = padded.stride()
        windows = padded.as_strided(
            (_READ, _READ, self.rows, self.columns, channels), (row, column, _SIDE * row, _SIDE * column, 1)
        )
        flat = windows.reshape(_READ * _READ, self.patches * channels)
        return torch.mm(self._turn_in, flat).view(_READ * _READ, self.patches, channels)

    def restore(self, products: Tensor, bias: Tensor) -> Tensor:
        """(36, patches, C) -> (H, W, C), plus `bias`."""
        channels = products.shape[2]
        pixels = torch.mm(self._turn_out, products.view(_READ * _READ, -1))
        blocks = pixels.view(_SIDE, _SIDE, self.rows, self.columns, channels).permute(2, 0, 3, 1, 4)
        whole = blocks.reshape(self.rows * _SIDE, self.columns * _SIDE, channels)
        return whole[: self.height, : self.width].add_(bias)


def group_widths(inputs: int, features: int, growth: int) -> list[int]:
    """Channels of each group of inputs of a layer in a dense block: the block's input, then each earlier output."""
    return [features, *[growth] * ((inputs - features) // growth)]


def transform_groups(weight: Tensor, features: int, growth: int) -> list[Tensor]:
    """(out, in, 3, 3) -> per group of inputs (36, in, out)."""
    groups = transform_weight(weight).split(group_widths(weight.shape[1], features, growth), dim=1)
    return [group.contiguous() for group in groups]


class DenseBlock:
    """Five convolutions, each reading the block's input and all earlier outputs; then a scaled residual.

    `weights`: each layer's `transform_groups`.
    """

    def __init__(self, weights: list[list[Tensor]], biases: list[Tensor]) -> None:
        self._weights = weights
        self._biases = biases

    def __call__(self, grid: Grid, x: Tensor, slope: float, residual: float) -> Tensor:
        """(H, W, C) -> (H, W, C)."""
        turned: list[Tensor] = []
        y = x
        for i, (groups, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            turned.append(grid.transform(F.leaky_relu_(y, slope) if i else x))
            products = torch.bmm(turned[0], groups[0])
            for features, weight in zip(turned[1:], groups[1:], strict=True):
                products.baddbmm_(features, weight)
            y = grid.restore(products, bias)
        return torch.add(x, y, alpha=residual)
