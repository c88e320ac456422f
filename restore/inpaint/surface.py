"""Owns what of a picture is seen by whoever fills it, and how fills become pixels of the file's own type.

The result is a copy of the picture, and only holes are ever written to: what lies outside them can't change.  Floats
exist for one crop at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from restore.curve import Curve, display_curve, fixed_curve, unit_curve
from restore.errors import ImageError
from restore.holes.found import Found, Holes
from restore.image import Image, Pixels, Transfer
from restore.inpaint.fills import Flags, Planes, classical
from restore.recipe import HolesFrom
from restore.tiling import Box, extended_index, gather
from restore.traits import AlphaUse, Content, Traits

_BAND_ROWS = 256
_ALPHA_CONTEXT_PX = 8


@dataclass(frozen=True)
class Surface:
    """A picture while it is being filled."""

    canvas: Pixels
    """(H, W, C) of the file's own type: the result so far."""
    holes: Holes
    """(H, W), True = missing.  Nothing else is written to."""
    seen: Flags
    """(H, W), True = may be used as context: known, finite and not fully transparent.  Grows as holes are filled."""
    shown: tuple[int, ...]
    """Channels that are filled here: one for grey."""
    written: tuple[int, ...]
    """Channels that get the result; more than `shown` where grey is stored as R, G, B."""
    curve: Curve
    is_normal: bool
    """Vectors: made unit length, and no grain."""
    wraps: tuple[bool, bool]

    @property
    def size(self) -> tuple[int, int]:
        return self.holes.shape[0], self.holes.shape[1]

    @property
    def quantum(self) -> float:
        """One step of the file's type in what `read` gives; 0 for floats."""
        return 1.0 / float(np.iinfo(self.canvas.dtype).max) if self.canvas.dtype.kind == "u" else 0.0

    def flags(self, which: Flags, box: Box) -> Flags:
        """(h, w): `which`, a plane of the picture's size, under `box`; False outside, unless the picture repeats."""
        inside = self._inside(box)
        if inside is None:
            return which[box.y0 : box.y1, box.x0 : box.x1]
        return gather(which[..., None], box, self.wraps)[..., 0] & inside

    def read(self, box: Box) -> tuple[Planes, Flags]:
        """(h, w, 1 or 3) float32, about 0..1, and which of it may be seen; 0 where it may not."""
        seen = self.flags(self.seen, box)
        patch = gather(self.canvas, box, self.wraps)[..., list(self.shown)]
        return np.where(seen[..., None], self._to_unit(patch), np.float32(0)), seen

    def read_filled(self, box: Box) -> Planes:
        """(h, w, 1 or 3) float32, about 0..1: what stands there now, known or filled or neither."""
        return self._to_unit(gather(self.canvas, box, self.wraps)[..., list(self.shown)])

    def write(self, at: tuple[NDArray[np.intp], NDArray[np.intp]], values: Planes) -> None:
        """Lay `values` (n, 1 or 3), about 0..1, at rows and columns (n,) each, which lie in holes; rounded."""
        if not np.isfinite(values).all():
            raise ImageError("the network answered NaN or infinity; try --precision fp32")
        unit = np.clip(values, 0.0, 1.0)
        if self.is_normal:
            unit = _unit_vectors(unit, two_channels=len(self.written) < len(self.shown))
        own = self.curve.back(torch.from_numpy(np.ascontiguousarray(unit.T))).numpy().T
        pixels = _to_own_type(own, self.canvas.dtype)
        for i, channel in enumerate(self.written):
            self.canvas[(*at, channel)] = pixels[:, min(i, pixels.shape[1] - 1)]

    def make_grey(self, at: tuple[NDArray[np.intp], NDArray[np.intp]]) -> None:
        """Gives every colour channel there the second one's value: they differ by float rounding at most."""
        grey = self.canvas[(*at, self.written[len(self.written) // 2])]
        for channel in self.written:
            self.canvas[(*at, channel)] = grey

    def where(self, which: Flags, box: Box) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns in the picture of the pixels of `which` (h, w), a plane over `box`."""
        rows, columns = np.nonzero(which)
        ys = extended_index(box.y0, box.y1, self.size[0], self.wraps[0])
        xs = extended_index(box.x0, box.x1, self.size[1], self.wraps[1])
        return ys[rows], xs[columns]

    def clamp(self, box: Box) -> Box:
        """`box` within the picture along the axes that don't repeat."""
        y0, y1 = (box.y0, box.y1) if self.wraps[0] else (max(0, box.y0), min(self.size[0], box.y1))
        x0, x1 = (box.x0, box.x1) if self.wraps[1] else (max(0, box.x0), min(self.size[1], box.x1))
        return Box(y0, x0, y1, x1)

    def _inside(self, box: Box) -> Flags | None:
        """Which of `box` is the picture, or its repetition; None: all, without repeating."""
        height, width = self.size
        if box.y0 >= 0 and box.x0 >= 0 and box.y1 <= height and box.x1 <= width:
            return None
        rows, columns = np.arange(box.y0, box.y1), np.arange(box.x0, box.x1)
        inside_y = np.full(len(rows), True) if self.wraps[0] else (rows >= 0) & (rows < height)
        inside_x = np.full(len(columns), True) if self.wraps[1] else (columns >= 0) & (columns < width)
        inside: Flags = inside_y[:, None] & inside_x
        return inside

    def _to_unit(self, patch: Pixels) -> Planes:
        values = torch.from_numpy(np.ascontiguousarray(patch)).to(torch.float32)
        unit: Planes = self.curve.forward(values).numpy()
        return unit


def surface_of(page: Image, found: Found, traits: Traits, source: HolesFrom) -> Surface:
    """`page` with the holes of `found`, ready to be filled.

    Its alpha is filled here already, unless alpha is what says where holes are (`source`).  Raises ImageError when
    nothing is known, or nothing can be filled.
    """
    holes = found.holes
    if holes.all():
        raise ImageError("every pixel is missing, so there is nothing to fill from; is the mask inverted?")
    color, alpha = page.color_channels, page.alpha_channel
    if not color:
        raise ImageError(f"has no colour to fill, only {', '.join(page.stored.channels)}; leave it out with --exclude")
    canvas = page.pixels.copy()
    seen = ~holes
    if alpha is not None and traits.alpha in (AlphaUse.CUTOUT, AlphaUse.BLEND):
        visible = seen & (canvas[..., alpha] > 0)
        if visible.any():  # else nobody sees any of it, and what lies there is all there is
            seen = visible
    if canvas.dtype.kind == "f":
        for start in range(0, canvas.shape[0], _BAND_ROWS):
            band = slice(start, start + _BAND_ROWS)
            seen[band] &= np.isfinite(canvas[band][..., list(color)]).all(2)
        if not seen.any():
            raise ImageError("outside its holes are only NaN and infinity, so there is nothing to fill from")
        for channel in color:  # so that what stands in holes has no say in the curve
            canvas[..., channel][holes] = np.nan
    if alpha is not None and source is not HolesFrom.ALPHA:
        _fill_alpha(canvas[..., alpha], holes, [blob.box for blob in found.blobs], traits)
    is_normal = traits.content is Content.NORMAL
    shown, written = (color[:1] if traits.grey and not is_normal else color), color
    if is_normal and len(color) == 3 and (blue := _only_value(canvas[..., color[2]], seen)) is not None:
        canvas[..., color[2]][holes] = blue
        written = color[:2]
    values = canvas[..., shown[0] : shown[-1] + 1] if shown[-1] - shown[0] < len(shown) else canvas[..., list(shown)]
    if is_normal:
        curve = fixed_curve(values)
    else:
        curve = display_curve(values) if page.stored.transfer is Transfer.LINEAR else unit_curve(values)
    return Surface(canvas, holes, seen, shown, written, curve, is_normal, traits.wraps)


def _only_value(plane: Pixels, seen: Flags) -> float | int | None:
    """The one value of (H, W) where it is seen, or None."""
    first = plane.flat[int(np.argmax(seen))]
    for start in range(0, plane.shape[0], _BAND_ROWS):
        band = slice(start, start + _BAND_ROWS)
        if not (plane[band][seen[band]] == first).all():
            return None
    value: float | int = first.item()
    return value


def _fill_alpha(plane: Pixels, holes: Holes, boxes: Sequence[Box], traits: Traits) -> None:
    """Alpha (H, W) in holes, in place, from alpha around them: an opaque picture stays exactly opaque."""
    height, width = plane.shape
    top = float(np.iinfo(plane.dtype).max) if plane.dtype.kind == "u" else 1.0
    for own in boxes:
        px = _ALPHA_CONTEXT_PX
        y0, y1 = (own.y0 - px, own.y1 + px) if traits.wraps[0] else (max(0, own.y0 - px), min(height, own.y1 + px))
        x0, x1 = (own.x0 - px, own.x1 + px) if traits.wraps[1] else (max(0, own.x0 - px), min(width, own.x1 + px))
        box = Box(y0, x0, y1, x1)
        patch = gather(plane[..., None], box, traits.wraps)
        known = ~gather(holes[..., None], box, traits.wraps)[..., 0] & np.isfinite(patch[..., 0])
        if not known.any():
            continue
        values = np.where(known[..., None], patch, 0).astype(np.float32)
        filled = classical(values / np.float32(top), known) * np.float32(top)
        filled = np.clip(filled, values[known].min(), values[known].max())
        if traits.alpha is AlphaUse.CUTOUT:
            filled = np.where(filled > top / 2, top, 0.0)
        inner = np.s_[own.y0 - y0 : own.y1 - y0, own.x0 - x0 : own.x1 - x0]
        here = holes[own.y0 : own.y1, own.x0 : own.x1]
        np.copyto(plane[own.y0 : own.y1, own.x0 : own.x1], _to_own_type(filled[inner][..., 0], plane.dtype), where=here)


def _to_own_type(values: NDArray[np.floating[Any]], kind: np.dtype[Any]) -> Pixels:
    """Rounded, never cut off."""
    return (np.rint(values) if kind.kind == "u" else values).astype(kind)


def _unit_vectors(unit: Planes, *, two_channels: bool) -> Planes:
    """(n, 3) in 0..1: xyz = 2c - 1, made unit length.  Where blue says nothing, x and y stay in the unit circle."""
    vectors = unit * np.float32(2) - np.float32(1)
    if two_channels:
        length = np.maximum(np.sqrt((vectors[:, :2] ** 2).sum(1, keepdims=True)), 1)
    else:
        length = np.maximum(np.sqrt((vectors**2).sum(1, keepdims=True)), 1e-6)
    result: Planes = (vectors / length + np.float32(1)) / np.float32(2)
    return result
