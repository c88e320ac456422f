"""Owns what a network is given of a picture, and how its answer becomes pixels again.

A picture is split into planes that networks can take: colour (bled under alpha = 0), a normal map, and one grey plane
for alpha and for each further channel.  Every plane comes with its way back, tile by tile:

    Image --split--> Plane --patch--> to_network --(3, h, w) in [0, 1]--> network --> from_network --> own number type

Floats exist only between `to_network` and `from_network`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from restore.bleed import bleed_color
from restore.color import FIX_REACH_PX, correct, recentre
from restore.curve import Curve, Shape, data_curve, display_curve, fixed_curve, unit_curve
from restore.errors import ImageError
from restore.image import Image, Pixels, Transfer
from restore.recipe import ColorFix, Upscale
from restore.traits import AlphaUse, Content, Traits

_BAND_ROWS = 256
_HOLE_REACH_PX = 2
"""How far a NaN looks for numbers to stand in for it."""
FINISH_REACH_PX = max(FIX_REACH_PX, 1)
"""How far, in source pixels, the way back looks around a pixel: an exact halo is this much wider than the network's."""


class Kind(Enum):
    """How a plane is treated on its way back."""

    COLOR = auto()  # colour fix and grain
    NORMAL = auto()  # vectors: like data (flat stays flat, nothing tilts), and renormalised
    DATA = auto()  # the source's local mean, and never beyond its neighbours: flat stays flat, opaque stays opaque
    CUTOUT = auto()  # only 0 and the maximum


@dataclass(frozen=True)
class Plane:
    """Something that a network can take, in the file's own number type."""

    kind: Kind
    pixels: Pixels
    """(H, W, 1 or 3)."""
    channels: tuple[int, ...]
    """Where the result goes in the picture: fewer than `pixels` has for a normal map whose blue is constant."""
    curve: Curve
    linear: bool
    """What the network sees is light, not display-encoded."""
    weight: Pixels | None = None
    """(H, W, 1) alpha: how much a pixel's colour counts; None: all alike."""


@dataclass(frozen=True)
class Constant:
    """A channel of one value needs no network."""

    channel: int
    value: float | int


@dataclass(frozen=True)
class Split:
    planes: tuple[Plane, ...]
    constants: tuple[Constant, ...]


def split(image: Image, traits: Traits) -> Split:
    """What a network is given of `image`, and what it isn't."""
    planes: list[Plane] = []
    constants: list[Constant] = []
    pixels = image.pixels
    color = image.color_channels
    for channel in range(pixels.shape[2]):
        if channel in color:
            continue
        data = pixels[..., channel : channel + 1]
        if _is_constant(data):
            constants.append(Constant(channel, data[0, 0, 0].item()))
            continue
        is_alpha = channel == image.alpha_channel
        kind = Kind.CUTOUT if is_alpha and traits.alpha is AlphaUse.CUTOUT else Kind.DATA
        planes.append(Plane(kind, data, (channel,), unit_curve(data) if is_alpha else data_curve(data), linear=True))
    if color and _is_constant(_channels(pixels, color)):
        constants.extend(Constant(c, pixels[0, 0, c].item()) for c in color)
    elif color:
        plane = _color_plane(image, traits, color)
        planes.insert(0, plane)
        constants.extend(Constant(c, pixels[0, 0, c].item()) for c in color if c not in plane.channels)
    return Split(tuple(planes), tuple(constants))


def _color_plane(image: Image, traits: Traits, color: tuple[int, ...]) -> Plane:
    if traits.content is Content.NORMAL:
        shown = _channels(image.pixels, color)
        kept = tuple(c for c in color if not (c == 2 and _is_constant(image.pixels[..., 2:3])))
        return Plane(Kind.NORMAL, shown, kept, fixed_curve(shown), linear=True)
    shown = _channels(image.pixels, color[:1] if traits.grey else color)
    weight = None
    if traits.alpha in (AlphaUse.CUTOUT, AlphaUse.BLEND) and image.alpha_channel is not None:
        weight = image.pixels[..., image.alpha_channel : image.alpha_channel + 1]
        shown = bleed_color(shown, weight[..., 0], traits.wraps)
    is_light = image.stored.transfer is Transfer.LINEAR
    curve = display_curve(shown) if is_light else unit_curve(shown)
    return Plane(Kind.COLOR, shown, color, curve, linear=is_light and curve.shape is Shape.PLAIN, weight=weight)


def _channels(pixels: Pixels, indices: tuple[int, ...]) -> Pixels:
    """Those channels, as a view where they lie side by side: a copy of a large picture is a lot of memory."""
    if indices == tuple(range(indices[0], indices[-1] + 1)):
        return pixels[..., indices[0] : indices[-1] + 1]
    return pixels[..., list(indices)]


def _is_constant(data: Pixels) -> bool:
    first = data[0, 0]
    bands = range(0, data.shape[0], _BAND_ROWS)
    return all(bool((data[start : start + _BAND_ROWS] == first).all()) for start in bands)


def to_network(patch: Pixels, plane: Plane) -> Tensor:
    """(h, w, 1 or 3) of the file's type -> (3, h, w) float32 in [0, 1], on the CPU."""
    return plane.curve.forward(_numbers(patch, plane.curve)).expand(3, -1, -1)


def _numbers(patch: Pixels, curve: Curve) -> Tensor:
    """(h, w, C) of the file's type -> (C, h, w) float32, finite: a NaN would make everything around it NaN."""
    values = torch.from_numpy(np.ascontiguousarray(patch).astype(np.float32)).permute(2, 0, 1)
    if patch.dtype.kind != "f":
        return values
    values = values.clamp(curve.low, curve.peak)  # infinity, too; NaN stays NaN
    holes = values.isnan()
    if not bool(holes.any()):
        return values
    side, known = 2 * _HOLE_REACH_PX + 1, (~holes).float()
    around = functional.avg_pool2d(torch.stack([values.nan_to_num(0.0), known]), side, 1, _HOLE_REACH_PX)
    filled = torch.where(around[1] > 0.0, around[0] / around[1].clamp_min(1e-6), curve.low)
    return torch.where(holes, filled, values)


def from_network(
    answer: Tensor, source: Tensor, patch: Pixels, weight: Pixels | None, plane: Plane, step: Upscale
) -> Pixels:
    """(3, s*h, s*w) float32 -> (s*h, s*w, 1 or 3) of the file's type, rounded.

    `source` (3, h, w) is what the network was given, made of `patch` (h, w, 1 or 3); `weight` (h, w, 1) is alpha.
    Raises ImageError where the answer isn't finite.
    """
    if not bool(torch.isfinite(answer).all()):
        raise ImageError(f"the network answered NaN or infinity in {step.precision}; try --precision fp32")
    grey = patch.shape[2] == 1
    if grey:
        answer, source = answer.mean(0, keepdim=True), source[:1]
    if plane.kind is Kind.COLOR:
        if step.color_fix is ColorFix.AUTO or step.keep_grain > 0:
            answer = correct(
                source,
                answer,
                weight=None if weight is None else _unit(weight).to(answer.device),
                linear=plane.linear,
                fix=step.color_fix is ColorFix.AUTO,
                keep_grain=step.keep_grain,
            )
    elif plane.kind is Kind.NORMAL:
        answer = _within_neighbours(recentre(source, answer), source)
        answer = _unit_vectors(answer, two_channels=len(plane.channels) < patch.shape[2])
    elif plane.kind is Kind.DATA:
        answer = recentre(source, answer)
    else:
        answer = (answer > 0.5).to(answer.dtype)
    values = plane.curve.back(answer.clamp(0.0, 1.0))
    if plane.kind is Kind.DATA:
        values = _within_neighbours(values, _numbers(patch, plane.curve).to(values.device))
    return _to_own_type(values, patch)


def _to_own_type(values: Tensor, patch: Pixels) -> Pixels:
    """(C, s*h, s*w) float32 -> (s*h, s*w, C) of `patch`'s type."""
    values = values.permute(1, 2, 0)
    if patch.dtype == np.uint8:
        return values.round().to(torch.uint8).cpu().numpy()
    if patch.dtype == np.uint16:
        return values.round().to(torch.int32).cpu().numpy().astype(np.uint16)
    result = values.cpu().numpy().astype(patch.dtype)
    broken = ~np.isfinite(patch)
    if broken.any():  # NaN and infinity survive, enlarged: they mean something to whoever wrote them
        scale = result.shape[0] // patch.shape[0]
        mask = broken.repeat(scale, 0).repeat(scale, 1)
        result[mask] = patch.repeat(scale, 0).repeat(scale, 1)[mask]
    return result


def _unit(weight: Pixels) -> Tensor:
    values = torch.from_numpy(weight.astype(np.float32)).permute(2, 0, 1)
    return values / float(np.iinfo(weight.dtype).max) if weight.dtype.kind == "u" else values.clamp(0.0, 1.0)


def _unit_vectors(answer: Tensor, *, two_channels: bool) -> Tensor:
    """Normal maps: xyz = 2c - 1, made unit length.  Where blue says nothing, x and y stay in the unit circle."""
    vectors = answer * 2.0 - 1.0
    if two_channels:
        vectors = vectors / vectors[:2].norm(dim=0, keepdim=True).clamp_min(1.0)
    else:
        vectors = functional.normalize(vectors, dim=0, eps=1e-6)
    return (vectors + 1.0) / 2.0


def _within_neighbours(values: Tensor, source: Tensor) -> Tensor:
    """Clamp to the range of the 3 x 3 source pixels around: a flat area stays exactly flat, opaque exactly opaque."""
    scale = values.shape[-1] // source.shape[-1]
    padded = functional.pad(source[None], (1, 1, 1, 1), mode="replicate")
    highest = functional.max_pool2d(padded, 3, 1)
    lowest = -functional.max_pool2d(-padded, 3, 1)
    low, high = (functional.interpolate(bound, scale_factor=scale, mode="nearest")[0] for bound in (lowest, highest))
    return torch.minimum(torch.maximum(values, low), high)


def fill_constants(canvas: Pixels, constants: tuple[Constant, ...]) -> None:
    for constant in constants:
        canvas[..., constant.channel] = constant.value
