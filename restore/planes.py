"""Owns what a network is given of a picture, and how its answer becomes pixels again.

A picture is split into planes that networks can take: colour (bled under alpha = 0), a normal map, and one grey plane
for alpha and for each further channel.  Every plane comes with its way back, tile by tile:

    Image --split--> Plane --patch--> to_network --(3, h, w) in [0, 1]--> network --> from_network --> own number type

Floats exist only between `to_network` and `from_network`, on the device: what travels there and back is in the file's
own type.  Where nobody would see a plane's result, or where it is known beforehand, `needed` says so, and the source
itself is laid there (`fill_source`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from restore.bleed import bleed_color
from restore.color import FIX_REACH_PX, correct, recentre
from restore.cover import Need
from restore.curve import Curve, Shape, data_curve, display_curve, fixed_curve, unit_curve
from restore.errors import ImageError
from restore.image import Image, Pixels, Transfer
from restore.recipe import ColorFix, Upscale
from restore.tiling import Box, gather, lay
from restore.traits import AlphaUse, Content, Traits

_BAND_ROWS = 256
_HOLE_REACH_PX = 2
"""How far a NaN looks for numbers to stand in for it."""
FINISH_REACH_PX = max(FIX_REACH_PX, 1)
"""How far, in source pixels, the way back looks around a pixel: an exact halo is this much wider than the network's."""

COLOR_REACH_PX = 4
"""Colour is computed this far around what is visible, in source pixels.  Enlarged alpha may spread by 1, and a change
of size down to half the source's mixes what is 2 px apart, by alpha: neither sees what was only filled."""
DATA_REACH_PX = 1
"""Data stays within the range of the 3 x 3 around, so around a change of value only the next pixel changes."""
CUTOUT_REACH_PX = 4
"""How far from a cut-out's edge the network may move it: further off its answer would be the even surface's own."""


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


def to_network(patch: Pixels, plane: Plane, device: str | torch.device = "cpu") -> Tensor:
    """(h, w, 1 or 3) of the file's type -> (3, h, w) float32 in [0, 1], on `device`."""
    return plane.curve.forward(_numbers(patch, plane.curve, device)).expand(3, -1, -1)


def _moved(patch: Pixels, device: str | torch.device) -> Tensor:
    """(h, w, C) of the file's type -> (C, h, w) float32: it travels in its own type and becomes numbers there."""
    return torch.from_numpy(np.ascontiguousarray(patch)).to(device).to(torch.float32).permute(2, 0, 1)


def _numbers(patch: Pixels, curve: Curve, device: str | torch.device) -> Tensor:
    """(h, w, C) of the file's type -> (C, h, w) float32, finite: a NaN would make everything around it NaN."""
    values = _moved(patch, device)
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
                weight=None if weight is None else _unit(weight, answer.device),
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
        values = _within_neighbours(values, _numbers(patch, plane.curve, values.device))
    return _to_own_type(values, patch)


def _to_own_type(values: Tensor, patch: Pixels) -> Pixels:
    """(C, s*h, s*w) float32 -> (s*h, s*w, C) of `patch`'s type."""
    values = values.permute(1, 2, 0)
    if patch.dtype == np.uint8:
        return values.round().to(torch.uint8).cpu().numpy()
    if patch.dtype == np.uint16:
        return values.round().to(torch.int32).to(torch.uint16).cpu().numpy()
    result = values.cpu().numpy().astype(patch.dtype)
    broken = ~np.isfinite(patch)
    if broken.any():  # NaN and infinity survive, enlarged: they mean something to whoever wrote them
        scale = result.shape[0] // patch.shape[0]
        mask = broken.repeat(scale, 0).repeat(scale, 1)
        result[mask] = patch.repeat(scale, 0).repeat(scale, 1)[mask]
    return result


def _unit(weight: Pixels, device: str | torch.device) -> Tensor:
    values = _moved(weight, device)
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


def needed(plane: Plane, wraps: tuple[bool, bool]) -> Need | None:
    """Where a network must work; None is everywhere.

    Colour that counts by its alpha: around what is visible.  Data and alpha: around changes of value, since an even
    surface comes back as it is.  Normals and plain colour: everywhere.
    """
    if plane.kind is Kind.COLOR:
        return None if plane.weight is None else Need(plane.weight[..., 0] > 0, COLOR_REACH_PX)
    if plane.kind in (Kind.DATA, Kind.CUTOUT):
        reach = DATA_REACH_PX if plane.kind is Kind.DATA else CUTOUT_REACH_PX
        return Need(_above_a_neighbour(plane.pixels, wraps), reach)
    return None


def _above_a_neighbour(data: Pixels, wraps: tuple[bool, bool]) -> NDArray[np.bool_]:
    """(H, W, 1) -> (H, W): the higher side of every change of value between neighbours, and all that isn't finite."""
    height, width = data.shape[:2]
    around = gather(data, Box(-1, -1, height + 1, width + 1), wraps)[..., 0]
    if data.dtype.kind != "f":
        return np.asarray(data[..., 0] > cv2.erode(around, np.ones((3, 3), np.uint8))[1:-1, 1:-1])
    finite = np.isfinite(data[..., 0])
    around = np.nan_to_num(around.astype(np.float32), nan=0.0)
    return np.asarray((around > cv2.erode(around, np.ones((3, 3), np.uint8)))[1:-1, 1:-1] | ~finite)


def fill_source(canvas: Pixels, plane: Plane, wraps: tuple[bool, bool]) -> None:
    """Lay the plane's source, enlarged, into `canvas` (s*H, s*W, C): for what no tile covers.

    Colour (invisible there, and bled from what is visible) is bilinear.  Data is repeated, which is exact where it is
    even; so is colour beside NaN or infinity.
    """
    height, width = plane.pixels.shape[:2]
    scale = canvas.shape[0] // height
    for start in range(0, height, _BAND_ROWS):
        stop = min(start + _BAND_ROWS, height)
        view = canvas[start * scale : stop * scale]
        band = gather(plane.pixels, Box(start - 1, -1, stop + 1, width + 1), wraps)
        if plane.kind is Kind.COLOR and np.isfinite(band).all():
            floats = band.astype(np.float32) if band.dtype.kind == "f" else band
            size = (band.shape[1] * scale, band.shape[0] * scale)
            larger = cv2.resize(floats, size, interpolation=cv2.INTER_LINEAR).reshape(size[1], size[0], -1)
            inside = larger[scale:-scale, scale:-scale].astype(band.dtype, copy=False)
        else:
            inside = band[1:-1, 1:-1].repeat(scale, 0).repeat(scale, 1)
        lay(view, inside, plane.channels)
