"""Owns FFmpeg's pixel formats: what one holds, its samples as plain arrays, and arrays as its frames.

In memory a frame's planes are always apart, in the order Y, Cb, Cr (or R, G, B, or Y), then A, each (h, w) of uint8 or
uint16 with the code values that the file has: no format here is converted to read it, only taken apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.formats.pyav import load

Planes = tuple[NDArray[Any], ...]
"""Y, Cb, Cr | R, G, B | Y, then A: (h, w) arrays of uint8 (8 bits) or uint16."""


class Family(StrEnum):
    YUV = "yuv"
    RGB = "rgb"
    GREY = "grey"


@dataclass(frozen=True)
class Layout:
    """What one pixel format holds."""

    name: str
    """FFmpeg's, of the file: "yuv422p10le", "nv12", "gbrp"."""
    family: Family
    bits: int
    """Per sample, 8 to 16."""
    halvings: tuple[int, int]
    """How often chroma is halved across and down: (1, 1) is 4:2:0, (1, 0) is 4:2:2, (0, 0) 4:4:4."""
    alpha: bool
    full_range: bool
    """The name itself says full range (yuvj420p)."""

    @property
    def dtype(self) -> type[np.uint8 | np.uint16]:
        return np.uint8 if self.bits == 8 else np.uint16

    @property
    def planar_name(self) -> str:
        """The format with the same samples, planes apart, that encoders take."""
        depth = "" if self.bits == 8 else f"{self.bits}le"
        if self.family is Family.GREY:
            return {8: "ya8", 16: "ya16le"}.get(self.bits, "ya16le") if self.alpha else f"gray{depth}"
        if self.family is Family.RGB:
            return f"gbr{'a' if self.alpha else ''}p{depth}"
        return f"yuv{'a' if self.alpha else ''}{_SUBSAMPLINGS[self.halvings]}p{depth}"

    def shapes(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """Of every plane of a picture of that size."""
        across, down = self.halvings
        small = (-(-height >> down), -(-width >> across))
        colour = {Family.GREY: (), Family.RGB: ((height, width),) * 2, Family.YUV: (small, small)}[self.family]
        return ((height, width), *colour, *([(height, width)] if self.alpha else []))


_SUBSAMPLINGS = {(0, 0): "444", (1, 0): "422", (1, 1): "420", (0, 1): "440", (2, 0): "411", (2, 2): "410"}

_TOGETHER: Mapping[str, str] = MappingProxyType(
    {"rgb": "RGB", "bgr": "BGR", "rgba": "RGBA", "bgra": "BGRA", "argb": "ARGB", "abgr": "ABGR"}
    | {"rgb0": "RGB0", "bgr0": "BGR0", "0rgb": "0RGB", "0bgr": "0BGR"}
)
"""Formats with a pixel's samples side by side, name less its bits -> order."""

_FAMILIAR: Mapping[str, str] = MappingProxyType(
    {"pal8": "gbrap", "monow": "gray", "monob": "gray", "x2rgb10le": "gbrp10le", "y210le": "yuv422p10le"}
    | {"rgb565le": "gbrp", "rgb555le": "gbrp", "rgb8": "gbrp", "y212le": "yuv422p12le", "rgb4_byte": "gbrp"}
)
"""Formats that hold nothing that the other one can't: FFmpeg takes them apart."""


@cache
def layout_of(name: str) -> Layout:
    """ImageError for formats that aren't read: floats, Bayer, XYZ, signed chroma."""
    av = load()
    shown = _FAMILIAR.get(name, name)
    form = av.VideoFormat(shown, 64, 64)
    parts = form.components
    depths = {part.bits for part in parts}
    strange = any(word in shown for word in ("f32", "f16", "bayer", "xyz", "32le", "32be", "msb"))
    if strange or not parts or len(depths) != 1 or not 8 <= next(iter(depths)) <= 16 or form.has_palette:
        raise ImageError(f"pixel format {name} is not read: convert it to a YUV, RGB or grey format of 8 to 16 bits")
    alpha = any(part.is_alpha for part in parts)
    colours = len(parts) - alpha
    family = Family.RGB if form.is_rgb else Family.GREY if colours == 1 else Family.YUV
    halvings = (0, 0)
    if family is Family.YUV:
        halvings = ((64 // form.chroma_width()).bit_length() - 1, (64 // form.chroma_height()).bit_length() - 1)
    if halvings != (0, 0) and halvings not in _SUBSAMPLINGS:
        raise ImageError(f"pixel format {name} is not read: its chroma has a rare size")
    return Layout(name, family, depths.pop(), halvings, alpha, shown.startswith("yuvj"))


def planes_of(frame: Any, layout: Layout) -> Planes:
    """Copies of a decoded av.VideoFrame's samples."""
    if frame.format.name in _FAMILIAR:
        frame = frame.reformat(format=_FAMILIAR[frame.format.name])
    name, shapes = frame.format.name, layout.shapes(frame.height, frame.width)
    rows = [_rows(plane, layout, name) for plane in frame.planes]
    bare = name.removesuffix("le").removesuffix("be").rstrip("0123456789") or name
    if name.startswith("gbr"):
        rows = [rows[2], rows[0], rows[1], *rows[3:]]
    elif name[:2] in ("nv", "p0", "p2", "p4"):
        chroma = rows[1][:, : 2 * shapes[1][1]]
        first, second = chroma[:, 0::2], chroma[:, 1::2]
        rows = [rows[0], *((second, first) if name in ("nv21", "nv42") else (first, second))]
        if name[0] == "p":  # samples stand in the high bits
            rows = [plane >> (16 - layout.bits) for plane in rows]
    elif name in ("yuyv422", "uyvy422", "yvyu422"):
        places = {"yuyv422": (0, 1, 3), "uyvy422": (1, 0, 2), "yvyu422": (0, 3, 1)}[name]
        rows = [rows[0][:, place :: 2 if i == 0 else 4] for i, place in enumerate(places)]
    elif bare == "ya":
        rows = [rows[0][:, 0::2], rows[0][:, 1::2]]
    elif (order := _TOGETHER.get(name if name in _TOGETHER else bare)) is not None:
        rows = [rows[0][:, order.index(colour) :: len(order)] for colour in ("RGBA" if layout.alpha else "RGB")]
    elif len(rows) != len(shapes):
        raise ImageError(f"pixel format {name} is not read: convert it to {layout.planar_name} first")
    return tuple(np.array(plane[:h, :w], layout.dtype) for plane, (h, w) in zip(rows, shapes, strict=True))


def frame_of(planes: Sequence[NDArray[Any]], layout: Layout, name: str) -> Any:
    """An av.VideoFrame of format `name`, which holds what `layout` does: its planar_name, or bgr0, bgra for 8-bit RGB.

    ValueError for another format.
    """
    av = load()
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, name)
    if name in ("bgr0", "bgra"):
        sheet = np.zeros((height, width, 4), np.uint8)
        for place, colour in zip((2, 1, 0, 3), planes, strict=False):
            sheet[..., place] = colour
        _fill(frame.planes[0], sheet.reshape(height, -1))
        return frame
    if name in ("ya8", "ya16le"):
        _fill(
            frame.planes[0],
            np.stack([planes[0], planes[1]], -1).reshape(height, -1).astype(f"<u{int(name != 'ya8') + 1}"),
        )
        return frame
    if name not in (layout.planar_name, layout.planar_name.replace("yuv4", "yuvj4")):
        raise ValueError(f"{layout.name} planes are no {name}")
    ordered = list(planes)
    if layout.family is Family.RGB:
        ordered[:3] = [planes[1], planes[2], planes[0]]
    for plane, samples in zip(frame.planes, ordered, strict=True):
        _fill(plane, samples)
    return frame


def _rows(plane: Any, layout: Layout, name: str) -> NDArray[Any]:
    """(h, samples of a row and its padding) view."""
    order = ">" if name.endswith("be") else "<"
    size = 1 if layout.bits == 8 else 2
    flat = np.frombuffer(plane, np.uint8)
    line_bytes = abs(plane.line_size)
    rows = flat[: plane.height * line_bytes].reshape(plane.height, line_bytes)
    return rows[:, : line_bytes // size * size].view(f"{order}u{size}")


def _fill(plane: Any, samples: NDArray[Any]) -> None:
    line = np.zeros((plane.height, plane.line_size), np.uint8)
    raw = np.ascontiguousarray(samples.astype(samples.dtype.newbyteorder("<"), copy=False)).view(np.uint8)
    line[:, : raw.shape[1]] = raw
    whole = np.zeros(plane.buffer_size, np.uint8)
    whole[: line.size] = line.reshape(-1)
    plane.update(whole.tobytes())
