"""Owns taking back what a network did to colour and grain.

Photo models shift colour and take texture grain for noise: `x4plus` turns a grey stone smooth and blue.  Both are
mended against the source itself, around every pixel on its own, so that the result doesn't depend on the tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import exp
from typing import TYPE_CHECKING

from restore.color.srgb import linear_to_srgb, srgb_to_linear

if TYPE_CHECKING:
    from torch import Tensor

KEEP_GRAIN = 0.4
"""The default, chosen by looking at 19 textures with x4plus, and 4 with animevideov3-x4, between 0 and 1.  From 0.3 on
a grey stone that the model had smoothed looks like stone again; up to 0.5 what the model drew crisply (ornaments,
lettering, skies) stays so; at 1 ornaments get mottled and the source's JPEG noise is back."""


@dataclass(frozen=True)
class _Bell:
    """A Gaussian, cut off."""

    sigma_px: float
    radius_px: int


_BRIGHTNESS = _Bell(2.0, 6)
_HUE = _Bell(1.0, 3)
"""Narrower: false colour shows in single crevices, and eyes (and JPEG) are coarse about colour."""
_FINE = _Bell(1.5, 4)
_LOSS = _Bell(2.0, 6)
_ENLARGE_PX = 2

FIX_REACH_PX = 12
"""How far around itself a result's pixel looks, in source pixels: fine structure, its loss, enlarging."""
assert max(_BRIGHTNESS.radius_px, _HUE.radius_px) + 1 <= FIX_REACH_PX
assert _FINE.radius_px + _LOSS.radius_px + _ENLARGE_PX <= FIX_REACH_PX

_LEAST_LIGHT = 1.0 / 1024.0
_MAX_GAIN = 4.0
_LOSS_SLOPE = 2.0
"""Grain counts as wholly lost when half of its amplitude is."""


def correct(
    source: Tensor,
    output: Tensor,
    *,
    weight: Tensor | None = None,
    linear: bool = False,
    fix: bool = True,
    keep_grain: float = 0.0,
) -> Tensor:
    """Give `output` the colour, and some of the grain, of `source`.

    `source` (C, h, w) and `output` (C, s*h, s*w) are in [0, 1], C is 1 or 3 (a grey picture is handed over as one
    channel, and so stays grey), s a whole number; `linear`: values are light already, not sRGB-encoded.  `weight`
    (1, h, w) in [0, 1] is alpha: invisible pixels don't count.  Returns (C, s*h, s*w) in [0, 1] of `output`'s type;
    the work is fp32.

    fix: a gain for each channel, in linear light, makes the local mean of the output equal to the source's: brightness
    within about 2 px, hue within about 1 px.  A gain (at most 4) rather than a difference, because a difference that
    leaks from a bright object into the black beside it is seen as a glow, and a gain keeps black black.

    keep_grain (0..1): that share of the fine structure (below about 1.5 px) that the source has and the output,
    averaged back to the source's pixels, has not; enlarged smoothly; only where fine structure got weaker, so that
    edges which the network drew sharper are neither blurred nor doubled.
    """
    from torch.nn import functional

    scale = output.shape[-1] // source.shape[-1]
    src, out = source[None].float(), output[None].float().clamp(0.0, 1.0)
    if keep_grain > 0.0:
        out = (out + keep_grain * _lost_grain(src, functional.avg_pool2d(out, scale), scale)).clamp(0.0, 1.0)
    if fix:
        light = out if linear else srgb_to_linear(out)
        gain = _gain(
            src if linear else srgb_to_linear(src),
            functional.avg_pool2d(light, scale),
            None if weight is None else weight[None].float(),
        )
        light = light * _enlarge(gain, scale, "bilinear")
        out = (light if linear else linear_to_srgb(light)).clamp(0.0, 1.0)
    return out[0].to(output.dtype)


def recentre(source: Tensor, output: Tensor) -> Tensor:
    """Give `output` the local mean of `source`, within about 1 px: for data and vectors, whose 0 isn't black.

    `source` (C, h, w), `output` (C, s*h, s*w), in one unit; returns `output`'s shape, unclamped.
    """
    from torch.nn import functional

    scale = output.shape[-1] // source.shape[-1]
    stray = source[None].float() - functional.avg_pool2d(output[None].float(), scale)
    return output + _enlarge(_blur(stray, _HUE), scale, "bilinear")[0]


def _gain(want: Tensor, have: Tensor, weight: Tensor | None) -> Tensor:
    """What each channel's light must be multiplied by, at the source's size."""
    gain = _ratio(_blur(want, _BRIGHTNESS, weight), _blur(have, _BRIGHTNESS, weight))
    if want.shape[1] == 3:
        near_want, near_have = _blur(want, _HUE, weight), _blur(have, _HUE, weight)
        far = _ratio(_luminance(_blur(want, _BRIGHTNESS, weight)), _luminance(_blur(have, _BRIGHTNESS, weight)))
        gain = _ratio(near_want, near_have) / _ratio(_luminance(near_want), _luminance(near_have)) * far
    return gain.clamp(1.0 / _MAX_GAIN, _MAX_GAIN)


def _ratio(want: Tensor, have: Tensor) -> Tensor:
    return (want + _LEAST_LIGHT) / (have + _LEAST_LIGHT)


def _luminance(light: Tensor) -> Tensor:
    return light[:, :1] * 0.2126 + light[:, 1:2] * 0.7152 + light[:, 2:] * 0.0722


def _lost_grain(source: Tensor, kept: Tensor, scale: int) -> Tensor:
    """Fine structure of `source` that `kept` (the output at the source's size) lost, at the output's size."""
    fine_source = source - _blur(source, _FINE)
    fine_kept = kept - _blur(kept, _FINE)
    amplitude_source = _amplitude(fine_source)
    lost = (amplitude_source - _amplitude(fine_kept)) / amplitude_source
    return _enlarge((fine_source - fine_kept) * (lost * _LOSS_SLOPE).clamp(0.0, 1.0), scale, "bicubic")


def _amplitude(fine: Tensor) -> Tensor:
    return (_blur((fine**2).mean(1, keepdim=True), _LOSS) + 1e-7).sqrt()


def _enlarge(planes: Tensor, scale: int, mode: str) -> Tensor:
    from torch.nn import functional

    if scale == 1:
        return planes
    return functional.interpolate(planes, scale_factor=scale, mode=mode, align_corners=False)


@cache
def _kernel(bell: _Bell) -> tuple[float, ...]:
    values = [exp(-0.5 * (x / bell.sigma_px) ** 2) for x in range(-bell.radius_px, bell.radius_px + 1)]
    return tuple(value / sum(values) for value in values)


def _blur(planes: Tensor, bell: _Bell, weight: Tensor | None = None) -> Tensor:
    """Normalised convolution: only what exists, and is visible, counts."""
    import torch
    from torch.nn import functional

    if weight is None:
        weight = torch.ones_like(planes[:, :1])
    weight = weight + 1e-4  # where nothing is visible, everything counts alike
    both = torch.cat([planes * weight, weight], 1)
    count, radius = both.shape[1], bell.radius_px
    kernel = torch.tensor(_kernel(bell), device=planes.device, dtype=planes.dtype)
    across, down = kernel.view(1, 1, 1, -1).expand(count, 1, 1, -1), kernel.view(1, 1, -1, 1).expand(count, 1, -1, 1)
    both = functional.conv2d(both, across, padding=(0, radius), groups=count)
    both = functional.conv2d(both, down, padding=(radius, 0), groups=count)
    return both[:, :-1] / both[:, -1:]
