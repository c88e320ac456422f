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
from restore.color import FIX_REACH_PX, correct
from restore.errors import ImageError
from restore.image import Image, Pixels, Transfer
from restore.recipe import ColorFix, Upscale
from restore.traits import AlphaUse, Content, Traits

FINISH_REACH_PX = max(FIX_REACH_PX, 1)
"""How far, in source pixels, the way back looks around a pixel: an exact halo is this much wider than the network's."""


class Kind(Enum):
    """How a plane is treated on its way back."""

    COLOR = auto()  # colour fix and grain
    NORMAL = auto()  # vectors, renormalised
    DATA = auto()  # never overshoots its source: flat stays flat, opaque stays opaque
    CUTOUT = auto()  # only 0 and the maximum


@dataclass(frozen=True)
class Curve:
    """How stored values become the [0, 1] that networks were trained on: v -> ((v - low) / (peak - low)), then
    a logarithm where a float image is brighter than 1 (so that highlights don't crush the rest)."""

    low: float
    peak: float
    logarithmic: bool = False

    STEEPNESS = 31.0

    def forward(self, values: Tensor) -> Tensor:
        unit = (values - self.low) / (self.peak - self.low)
        return torch.log1p(unit * self._k) / self._norm if self.logarithmic else unit

    def back(self, unit: Tensor) -> Tensor:
        if self.logarithmic:
            unit = torch.expm1(unit * self._norm) / self._k
        return unit * (self.peak - self.low) + self.low

    @property
    def _k(self) -> float:
        return self.STEEPNESS * (self.peak - self.low)

    @property
    def _norm(self) -> float:
        return float(np.log1p(self._k))


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
    """Values are light already, not display-encoded."""
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
    alpha = image.alpha_channel
    linear = image.stored.transfer is Transfer.LINEAR
    for channel in range(pixels.shape[2]):
        if channel in color:
            continue
        data = pixels[..., channel : channel + 1]
        if _is_constant(data):
            constants.append(Constant(channel, data[0, 0, 0].item()))
            continue
        kind = Kind.CUTOUT if channel == alpha and traits.alpha is AlphaUse.CUTOUT else Kind.DATA
        planes.append(Plane(kind, data, (channel,), _curve(data), linear=True))
    if color and _is_constant(pixels[..., list(color)]):
        constants.extend(Constant(c, pixels[0, 0, c].item()) for c in color)
    elif color:
        plane = _color_plane(image, traits, color, linear)
        planes.insert(0, plane)
        constants.extend(Constant(c, pixels[0, 0, c].item()) for c in color if c not in plane.channels)
    return Split(tuple(planes), tuple(constants))


def _color_plane(image: Image, traits: Traits, color: tuple[int, ...], linear: bool) -> Plane:
    shown = image.pixels[..., list(color)]
    if traits.content is Content.NORMAL:
        kept = tuple(c for c in color if not (c == 2 and _is_constant(image.pixels[..., 2:3])))
        return Plane(Kind.NORMAL, shown, kept, _curve(shown), linear=True)
    weight = None
    if traits.alpha in (AlphaUse.CUTOUT, AlphaUse.BLEND) and image.alpha_channel is not None:
        weight = image.pixels[..., image.alpha_channel : image.alpha_channel + 1]
        shown = bleed_color(shown, weight[..., 0], traits.wraps)
    if traits.grey:
        shown = shown[..., :1]
    return Plane(Kind.COLOR, shown, color, _curve(shown), linear=linear, weight=weight)


def _is_constant(data: Pixels) -> bool:
    return bool((data == data[0, 0]).all())


def _curve(pixels: Pixels) -> Curve:
    if pixels.dtype.kind == "u":
        return Curve(0.0, float(np.iinfo(pixels.dtype).max))
    finite = pixels[np.isfinite(pixels)]
    low = min(0.0, float(finite.min())) if finite.size else 0.0
    peak = max(1.0, float(finite.max())) if finite.size else 1.0
    return Curve(low, peak, logarithmic=peak > 1.0)


def to_network(patch: Pixels, plane: Plane) -> Tensor:
    """(h, w, 1 or 3) of the file's type -> (3, h, w) float32 in [0, 1], on the CPU."""
    values = torch.from_numpy(np.ascontiguousarray(patch).astype(np.float32)).permute(2, 0, 1)
    if patch.dtype.kind == "f":
        values = torch.nan_to_num(values, nan=plane.curve.low, posinf=plane.curve.peak, neginf=plane.curve.low)
    return plane.curve.forward(values).expand(3, -1, -1)


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
        answer = _unit_vectors(answer, two_channels=len(plane.channels) < patch.shape[2])
    elif plane.kind is Kind.DATA:
        answer = _within_neighbours(answer, source)
    else:
        answer = (answer > 0.5).to(answer.dtype)
    return _to_own_type(answer, patch, plane)


def _to_own_type(answer: Tensor, patch: Pixels, plane: Plane) -> Pixels:
    values = plane.curve.back(answer.clamp(0.0, 1.0)).permute(1, 2, 0)
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


def _within_neighbours(answer: Tensor, source: Tensor) -> Tensor:
    """Clamp to the range of the 3 x 3 source pixels around: a flat area stays exactly flat, opaque exactly opaque."""
    scale = answer.shape[-1] // source.shape[-1]
    padded = functional.pad(source[None], (1, 1, 1, 1), mode="replicate")
    highest = functional.max_pool2d(padded, 3, 1)
    lowest = -functional.max_pool2d(-padded, 3, 1)
    low, high = (functional.interpolate(bound, scale_factor=scale, mode="nearest")[0] for bound in (lowest, highest))
    return torch.minimum(torch.maximum(answer, low), high)


def fill_constants(canvas: Pixels, constants: tuple[Constant, ...]) -> None:
    for constant in constants:
        canvas[..., constant.channel] = constant.value
