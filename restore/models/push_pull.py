"""Owns the cheap fill that everything learned is measured against and starts from: push-pull.

Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4.2, with weights of 0 and 1: known pixels are averaged down a
pyramid until no hole is left, and on the way back up each hole takes the smooth enlargement of the level below.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def push_pull(x: Tensor, valid: Tensor) -> Tensor:
    """`x` with its holes filled; known pixels come back bit for bit.

    One even colour comes back exactly, and no result lies beyond its channel's known values by more than rounding.
    Nothing is carried round an edge.  What stands under a hole, NaN included, has no influence.  A picture without any
    known pixel becomes 0.

    Args:
        x: (N, C, H, W), float32 or float64, any size.
        valid: (N, 1, H, W), bool, True = known.
    """
    if x.dim() != 4 or valid.dtype != torch.bool or valid.shape != (x.shape[0], 1, *x.shape[2:]):
        raise ValueError(f"x must be (N, C, H, W) and valid (N, 1, H, W) bool, got {x.shape} and {valid.shape}")
    # Whatever is even becomes 0, and averages of 0 are 0: (c + c + c) / 3 isn't always c.
    lowest = torch.where(valid, x, torch.inf).amin((2, 3), keepdim=True)
    lowest = torch.where(torch.isfinite(lowest), lowest, 0)
    filled = _fill(torch.where(valid, x - lowest, 0), valid) + lowest
    return torch.where(valid, x, filled)


def _fill(known: Tensor, valid: Tensor) -> Tensor:
    """`known` is 0 in holes."""
    height, width = known.shape[2:]
    if height == width == 1:
        return known
    odd = (0, width % 2, 0, height % 2)  # the pixel beyond the edge is one more hole
    sums = F.avg_pool2d(F.pad(known, odd), 2, divisor_override=1)
    counts = F.avg_pool2d(F.pad(valid.to(known.dtype), odd), 2, divisor_override=1)  # 0 to 4, exactly
    coarse = _fill(sums / counts.clamp_min(1), counts > 0)
    fine = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.where(valid, known, fine[..., :height, :width])
