"""Owns taking back what a network did to colour and grain.

Photo models shift colour and take texture grain for noise.  Both are mended against the source itself, around every
pixel on its own, so that the result doesn't depend on the tile.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from restore.color.srgb import linear_to_srgb, srgb_to_linear

if TYPE_CHECKING:
    from torch import Tensor

COLOR_SIGMA_PX = 3.0
_COLOR_RADIUS_PX = 9
GRAIN_SIGMA_PX = 1.5
_GRAIN_RADIUS_PX = 4
LOSS_SIGMA_PX = 2.0
_LOSS_RADIUS_PX = 6
FIX_REACH_PX = 12
"""How far around itself a result's pixel looks, in source pixels."""

_LEAST_LIGHT = 1.0 / 1024.0
_MAX_GAIN = 4.0


def correct(
    source: Tensor,
    output: Tensor,
    *,
    weight: Tensor | None = None,
    linear: bool = False,
    fix: bool = True,
    keep_grain: float = 0.0,
    how: str = "gain",
) -> Tensor:
    from torch.nn import functional

    scale = output.shape[-1] // source.shape[-1]
    src, out = source[None].float(), output[None].float().clamp(0.0, 1.0)
    heavy = None if weight is None else weight[None].float()
    if keep_grain > 0.0:
        out = (out + keep_grain * _grain(src, out, scale)).clamp(0.0, 1.0)
    if fix:
        light_src = src if linear else srgb_to_linear(src)
        light_out = out if linear else srgb_to_linear(out)
        mean = functional.avg_pool2d(light_out, scale)
        want = _blur(light_src, COLOR_SIGMA_PX, _COLOR_RADIUS_PX, heavy)
        have = _blur(mean, COLOR_SIGMA_PX, _COLOR_RADIUS_PX, heavy)
        if how == "gain":
            gain = ((want + _LEAST_LIGHT) / (have + _LEAST_LIGHT)).clamp(1 / _MAX_GAIN, _MAX_GAIN)
            light_out = light_out * _larger(gain, scale, "bilinear")
        else:
            light_out = light_out + _larger(want - have, scale, "bilinear")
        out = (light_out if linear else linear_to_srgb(light_out)).clamp(0.0, 1.0)
    return out[0].to(output.dtype)


def _grain(source: Tensor, output: Tensor, scale: int) -> Tensor:
    """The fine structure of the source that the output lost, at the output's size."""
    from torch.nn import functional

    kept = functional.avg_pool2d(output, scale)
    fine_source = source - _blur(source, GRAIN_SIGMA_PX, _GRAIN_RADIUS_PX)
    fine_kept = kept - _blur(kept, GRAIN_SIGMA_PX, _GRAIN_RADIUS_PX)
    power_source = _blur((fine_source**2).mean(1, keepdim=True), LOSS_SIGMA_PX, _LOSS_RADIUS_PX)
    power_kept = _blur((fine_kept**2).mean(1, keepdim=True), LOSS_SIGMA_PX, _LOSS_RADIUS_PX)
    lost = 1.0 - ((power_kept + 1e-7).sqrt() / (power_source + 1e-7).sqrt())
    return _larger((fine_source - fine_kept) * lost.clamp(0.0, 1.0), scale, "bicubic")


def _larger(planes: Tensor, scale: int, mode: str) -> Tensor:
    from torch.nn import functional

    if scale == 1:
        return planes
    return functional.interpolate(planes, scale_factor=scale, mode=mode, align_corners=False)


@cache
def _kernel(sigma_px: float, radius_px: int) -> tuple[float, ...]:
    from math import exp

    bell = [exp(-0.5 * (x / sigma_px) ** 2) for x in range(-radius_px, radius_px + 1)]
    total = sum(bell)
    return tuple(b / total for b in bell)


def _blur(planes: Tensor, sigma_px: float, radius_px: int, weight: Tensor | None = None) -> Tensor:
    """Normalised convolution with a cut Gaussian: only what exists, and is visible, counts."""
    import torch
    from torch.nn import functional

    if weight is None:
        weight = torch.ones_like(planes[:, :1])
    weight = weight + 1e-4  # where nothing is visible, everything counts alike
    both = torch.cat([planes * weight, weight], 1)
    count = both.shape[1]
    kernel = torch.tensor(_kernel(sigma_px, radius_px), device=planes.device, dtype=planes.dtype)
    both = functional.conv2d(
        both, kernel.view(1, 1, 1, -1).expand(count, 1, 1, -1), padding=(0, radius_px), groups=count
    )
    both = functional.conv2d(
        both, kernel.view(1, 1, -1, 1).expand(count, 1, -1, 1), padding=(radius_px, 0), groups=count
    )
    return both[:, :-1] / both[:, -1:]
