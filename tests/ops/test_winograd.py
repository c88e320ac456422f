"""What is promised of convolutions in the Winograd domain."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from restore.ops.winograd import DenseBlock, Grid, transform_groups, transform_weight


@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 4), (5, 7), (16, 3), (33, 18)])
def test_any_size_gives_the_convolution_with_a_zero_border(height: int, width: int) -> None:
    image, weight, bias = torch.randn(1, 6, height, width), torch.randn(5, 6, 3, 3), torch.randn(5)
    grid = Grid(height, width)
    products = torch.bmm(grid.transform(image[0].permute(1, 2, 0)), transform_weight(weight))
    ours = grid.restore(products, bias).permute(2, 0, 1)
    theirs = F.conv2d(image.double(), weight.double(), bias.double(), padding=1)[0]
    assert torch.allclose(ours.double(), theirs, atol=1e-4, rtol=0)


def test_a_dense_block_gives_what_five_convolutions_do() -> None:
    weights = [0.05 * torch.randn(8 if k < 4 else 16, 16 + 8 * k, 3, 3) for k in range(5)]
    biases = [torch.randn(weight.shape[0]) for weight in weights]
    image = torch.randn(1, 16, 11, 14)
    parts = [image]
    for weight, bias in zip(weights[:4], biases[:4], strict=True):
        parts.append(F.leaky_relu(F.conv2d(torch.cat(parts, 1), weight, bias, padding=1), 0.2))
    theirs = image + 0.2 * F.conv2d(torch.cat(parts, 1), weights[4], biases[4], padding=1)
    before = image.clone()
    groups = [transform_groups(weight, 16, 8) for weight in weights]
    ours = DenseBlock(groups, biases)(Grid(11, 14), image[0].permute(1, 2, 0), 0.2, 0.2)
    assert torch.allclose(ours.permute(2, 0, 1), theirs[0], atol=1e-5, rtol=0)
    assert torch.equal(image, before)
