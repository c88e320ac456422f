"""Owns the form in which frames go out where it isn't their own: a video's as picture files, or such files as a video.

Frames are converted before anything is repaired, so records, proof and undo speak of what is written and know nothing
of converting.  EXR holds linear light: BT.709's curve, or sRGB's where the video is tagged with it, is undone for it
(ITU-R BT.709-6, IEC 61966-2-1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.color import yuv
from restore.color.yuv import Signal
from restore.errors import ImageError, SetupError
from restore.film.native import Native, Sampled, Scan, rescaled
from restore.film.settings import InputColour
from restore.formats import dpx, dpx_made
from restore.formats.dpx_made import Facts
from restore.formats.timecode import Timecode
from restore.formats.video import Clip, Colour
from restore.formats.video_pixels import Family, Layout, layout_of
from restore.image import Alpha, Document, Image, Stored, Transfer

PICTURES = {"png": ".png", "tiff": ".tif", "dpx": ".dpx", "exr": ".exr"}
"""What a video's frames can be -> suffix."""

_SRGB, _LINEAR, _UNSPECIFIED = 13, 8, (0, 2, 3)
_CURVED = (1, 6, 14, 15, 4, 5, 7, _SRGB, _LINEAR)
"""H.273 transfers of which light can be had; 4 and 5 (gammas 2.2 and 2.8) are taken for BT.709's curve."""
_PRIMARIES = {
    1: (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.329),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, 0.3127, 0.329),
    6: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07, 0.3127, 0.329),
    9: (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329),
    12: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329),
}
"""H.273 -> x, y of red, green, blue and white."""
_PRIMARIES_OF_MATRIX = {1: 1, 4: 6, 5: 5, 6: 6, 7: 6, 9: 9}
_DESCRIPTION_TAG, _TEXT = 270, 2


@dataclass(frozen=True)
class AsPictures:
    """A video's frames as files of `kind`."""

    kind: str
    """A key of PICTURES."""
    signal: Signal
    """Of the video."""
    colour: Colour
    """Of the pictures: nothing unspecified, R'G'B' over all codes."""
    rate: Fraction
    sample_aspect: Fraction
    timecode: Timecode | None
    """Of frame 0."""

    @property
    def exact(self) -> bool:
        """Whether the pictures hold the video's own code values, so that they could be taken back."""
        plain = self.signal.full_range and self.signal.layout.family is not Family.YUV
        return plain and self.kind != "exr"

    @property
    def bits(self) -> int:
        """At least the video's, and more where Y'CbCr becomes R'G'B', so that rounding adds less than there was."""
        bits = self.signal.layout.bits
        if self.kind == "exr":
            return 16 if bits <= 10 else 32
        if self.kind == "dpx":
            wanted = bits if self.exact else bits + 2 if bits == 8 else 16
            return min(depth for depth in dpx_made.DEPTHS if depth >= wanted)
        return 8 if self.exact and bits == 8 else 16

    @property
    def working_colour(self) -> InputColour | None:
        """What repair takes the numbers for; None: what it takes the video's for."""
        return InputColour.LINEAR if self.kind == "exr" else None

    @property
    def about(self) -> str:
        """For people, and for who reads the frames later."""
        layout, form = self.signal.layout, f"{self.bits}-bit {self.kind.upper()}"
        if self.exact:
            return f"{form} frames with the video's own code values"
        what = f"{layout.name}, {'full' if self.signal.full_range else 'limited'} range"
        if layout.family is Family.YUV:
            what += f", {self.signal.because}"
        if self.kind == "exr":
            return f"{form} frames in linear light, made of {what}"
        return f"{form} frames, {_colours(layout)} over all codes, made of {what}"

    def of(self, number: int, native: Native) -> Native:
        """Frame `number` of the video as a picture.  Codes beyond nominal black and white are clipped, but in EXR."""
        assert isinstance(native, Sampled)
        planes, signal = native.planes, native.signal
        alpha = planes[-1] if signal.layout.alpha else None
        colours: NDArray[Any]
        if self.kind == "exr":
            dtype = np.float16 if self.bits == 16 else np.float32
            colours = _light(yuv.to_rgb(planes, signal), self.colour.transfer).astype(dtype)
            if alpha is not None:
                alpha = (alpha / np.float32((1 << signal.layout.bits) - 1)).astype(dtype)
        else:
            top = (1 << self.bits) - 1
            if self.exact:
                own = planes[: len(planes) - (alpha is not None)]
                colours = rescaled(np.stack(own, -1), (1 << signal.layout.bits) - 1, top)
            else:
                colours = np.rint(np.clip(yuv.to_rgb(planes, signal), 0, 1) * np.float32(top)).astype(np.uint16)
            if alpha is not None:
                alpha = rescaled(alpha, (1 << signal.layout.bits) - 1, top)
        pixels = colours if alpha is None else np.concatenate([colours, alpha[..., None]], -1)
        channels = ("R", "G", "B") if colours.shape[2] == 3 else ("Y",)
        channels = channels if alpha is None else (*channels, "A")
        return self._scan(number, pixels, channels) if self.kind == "dpx" else self._picture(pixels, channels)

    def _scan(self, number: int, codes: NDArray[Any], channels: tuple[str, ...]) -> Scan:
        label = None if self.timecode is None else self.timecode.moved(number, self.rate)
        facts = Facts(number, self.rate, self.colour, self.sample_aspect, label)
        codes = codes.astype(np.uint16)
        data = dpx_made.made(codes, channels, self.bits, facts)
        return Scan(data, dpx.parse(data), codes)

    def _picture(self, pixels: NDArray[Any], channels: tuple[str, ...]) -> Document:
        floats = self.kind == "exr"
        if not floats:
            pixels = pixels.astype(np.uint8 if self.bits == 8 else np.uint16)
        straight = Alpha.PREMULTIPLIED if floats else Alpha.STRAIGHT
        stored = Stored(
            format=self.kind,
            bits=self.bits,
            is_float=floats,
            transfer=Transfer.LINEAR if floats else Transfer.SRGB,
            alpha=straight if "A" in channels else Alpha.NONE,
            channels=channels,
            extras=self._said(),
        )
        return Document((Image(pixels, stored),))

    def _said(self) -> dict[str, Any]:
        """What the file says of its colours, as its format can."""
        if self.kind == "png":
            tags = bytes([self.colour.primaries, self.colour.transfer, 0, 1])
            return {"png.chunks": [[["cICP", tags]], []]}
        if self.kind == "tiff":
            return {"tiff.entries": [[_DESCRIPTION_TAG, _TEXT, self.about.encode() + b"\0"]]}
        rate = ["FramesPerSecond", "rational", [self.rate.numerator, self.rate.denominator]]
        aspect = ["PixelAspectRatio", "float", float(self.sample_aspect)]
        primaries = ["chromaticities", "float[8]", list(_PRIMARIES.get(self.colour.primaries, _PRIMARIES[1]))]
        return {"exr.attributes": [["compression", "string", "zip"], rate, aspect, primaries]}


@dataclass(frozen=True)
class AsVideo:
    """Frames of a folder as a video's."""

    layout: Layout
    """Of all frames."""
    linear: bool
    """They hold light (EXR, TIFF in floats), which is encoded for display."""

    @property
    def exact(self) -> bool:
        """Whether the video holds the files' own code values."""
        return not self.linear

    @property
    def working_colour(self) -> InputColour | None:
        """What repair takes the numbers for; None: what it takes the files' for."""
        return InputColour.REC709 if self.linear else None

    @property
    def about(self) -> str:
        if self.linear:
            return f"linear light goes out as {self.layout.name} with BT.709's curve; below 0 and above 1 it is clipped"
        return f"frames go out as {self.layout.name}, with their own code values"

    def of(self, number: int, native: Native) -> Native:
        """Frame `number` of the folder as planes.  ImageError when it is of another kind than the first one."""
        assert not isinstance(native, Sampled)
        layout, linear = kind_of(native)
        if (layout, linear) != (self.layout, self.linear):
            raise ImageError(
                f"frame {number}: it holds {layout.name}{' of linear light' if linear else ''}, but the sequence began"
                f" with {self.layout.name}: convert it, or put such frames into a folder of their own"
            )
        if isinstance(native, Scan) and native.sampled is not None:
            return native.sampled
        signal = Signal(layout, True, 1, "no matrix is needed")
        pixels, channels = _samples(native)
        chosen = [channels.index(name) for name in ("R", "G", "B", "Y", "A") if name in channels] or [0]
        if linear:
            pixels = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0)
            coloured = [np.clip(_coded(pixels[..., i]) if channels[i] != "A" else pixels[..., i], 0, 1) for i in chosen]
            planes = [np.rint(one * np.float32(65535)).astype(np.uint16) for one in coloured]
        else:
            planes = [np.ascontiguousarray(pixels[..., i]).astype(layout.dtype) for i in chosen]
        if layout.family is Family.RGB and len(planes) == 2:  # no codec here holds deep grey with alpha
            planes = [planes[0], planes[0], planes[0], planes[1]]
        return Sampled(tuple(planes), signal)


Form = AsPictures | AsVideo


def pictures_of(kind: str, clip: Clip, rate: Fraction) -> AsPictures:
    """How a video's frames become files.  SetupError when its light can't be had."""
    signal = yuv.signal_of(clip.layout, clip.colour.matrix, clip.height, full_range=clip.full_range)
    colour = clip.colour
    transfer = 1 if colour.transfer in _UNSPECIFIED else colour.transfer
    settled = _PRIMARIES_OF_MATRIX.get(signal.matrix, 1)
    if settled == 6 and clip.height in (288, 576):
        settled = 5
    primaries = settled if colour.primaries in _UNSPECIFIED else colour.primaries
    if kind == "exr" and transfer not in _CURVED:
        raise SetupError(
            f"{clip.path}: its transfer (H.273 code {transfer}) isn't turned into light: take --frames-as tiff, which"
            " keeps it as it is"
        )
    if kind == "dpx" and clip.layout.alpha and clip.layout.family is Family.GREY:
        raise SetupError(f"{clip.path}: DPX has no grey with alpha: take --frames-as tiff")
    return AsPictures(kind, signal, Colour(primaries, transfer, 0, 2), rate, clip.sample_aspect, clip.timecode)


def primaries_of(chromaticities: Sequence[float]) -> int:
    """The H.273 code of x, y of red, green, blue and white; 2, unspecified, where there is none."""
    for code, known in _PRIMARIES.items():
        if len(chromaticities) == len(known) and np.allclose(chromaticities, known, atol=2e-3):
            return code
    return 2


def kind_of(native: Scan | Document) -> tuple[Layout, bool]:
    """(layout of a frame's planes in a video, whether it holds linear light)."""
    if isinstance(native, Scan) and native.sampled is not None:
        return native.sampled.signal.layout, False
    pixels, channels = _samples(native)
    linear = pixels.dtype.kind == "f"
    bits = 8 if pixels.dtype == np.uint8 else 16
    if isinstance(native, Scan):
        bits = native.header.elements[0].raster.bits
    alpha = "A" in channels
    depth = "" if bits == 8 else f"{bits}le"
    if {"R", "G", "B"} <= set(channels) or (alpha and bits > 8):
        return layout_of(f"gbr{'a' if alpha else ''}p{depth}"), linear
    return layout_of("ya8" if alpha else f"gray{depth}"), linear


def _samples(native: Scan | Document) -> tuple[NDArray[Any], tuple[str, ...]]:
    if isinstance(native, Scan):
        return native.codes, native.header.elements[0].channels
    return native.first.pixels, native.first.stored.channels


def _colours(layout: Layout) -> str:
    return "grey" if layout.family is Family.GREY else "R'G'B'"


def _light(coded: NDArray[np.float32], transfer: int) -> NDArray[np.float32]:
    """Codes beyond black and white go on along the curve, mirrored below 0."""
    if transfer == _LINEAR:
        return coded
    size = np.abs(coded)
    if transfer == _SRGB:
        low, high = size / np.float32(12.92), ((size + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
        light = np.where(size <= 0.04045, low, high)
    else:
        low, high = size / np.float32(4.5), ((size + np.float32(0.099)) / np.float32(1.099)) ** np.float32(1 / 0.45)
        light = np.where(size < 0.081, low, high)
    return np.copysign(light, coded).astype(np.float32)


def _coded(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """BT.709's curve."""
    bright = np.float32(1.099) * np.maximum(light, np.float32(0.018)) ** np.float32(0.45) - np.float32(0.099)
    return np.where(light < 0.018, light * np.float32(4.5), bright).astype(np.float32)
