"""Owns a frame in its source's own form: a video's planes, a scan's bytes, a picture's pixels; and repairs put back.

A working picture is (H, W, 1 or 3): uint16 over its full range, or float32 as the file has it (EXR).  Putting back
touches the samples that holes reach and no others: planes of a video (`color.yuv`), bits of a DPX (`formats.dpx`),
pixels of a picture.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.color import yuv
from restore.color.yuv import Signal
from restore.errors import ImageError
from restore.formats import FORMATS, Decoder, cineon, dpx, dpx_ycbcr, encode
from restore.formats.dpx import Header
from restore.formats.film_raster import Codes
from restore.formats.video_pixels import Family, Planes
from restore.image import Alpha, Document

Working = NDArray[Any]
"""(H, W, 1 or 3) uint16 or float32."""
Holes = NDArray[np.bool_]
"""(H, W), True = missing."""

_LOSSY_EXR = ("dwa", "b44", "pxr24")


@dataclass(frozen=True)
class Sampled:
    """A video's frame as its planes."""

    planes: Planes
    signal: Signal


@dataclass(frozen=True)
class Scan:
    """A DPX or Cineon file as its bytes."""

    data: bytes
    header: Header
    codes: Codes
    """(H, W, C) of its first element."""

    @cached_property
    def sampled(self) -> Sampled | None:
        """Its planes, where it holds Y'CbCr; else None."""
        layout = dpx_ycbcr.layout_in(self.header)
        if layout is None:
            return None
        matrix, full = dpx_ycbcr.matrix_in(self.header)
        signal = yuv.signal_of(layout, matrix, self.header.height, full_range=full)
        return Sampled(dpx_ycbcr.planes_of(self.codes, layout), signal)


Native = Scan | Sampled | Document
"""One frame as its source holds it."""


def native_of(path: Path, decoder: Decoder) -> Scan | Document:
    """One frame's file.  ImageError names it when it can't be read, or has several pages."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            if magic not in dpx.MAGIC and magic not in cineon.MAGIC:
                document = decoder.read(path)
                if len(document.pages) != 1:
                    raise ImageError(f"{path}: it has {len(document.pages)} pages: a frame has one")
                return document
            before = os.fstat(file.fileno())
            data = magic + file.read()
            after = os.fstat(file.fileno())
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ImageError(f"{path}: it changed while it was being read: run again once nothing writes to it")
    try:
        header = (dpx if magic in dpx.MAGIC else cineon).parse(data)
        return Scan(data, header, dpx.read(data, header))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def spliced(native: Native, picture: Working, holes: Holes) -> Native:
    """The frame with `picture`'s colours where `holes` is True; every other sample is the source's.

    `picture` is like `working_of(native)`.  Alpha and further channels stay.
    """
    shape, dtype = _working_form(native)
    if picture.shape != shape or picture.dtype != dtype:
        raise ValueError(f"{picture.shape} {picture.dtype} is no repair of {shape} {np.dtype(dtype).name}")
    if holes.shape != picture.shape[:2]:
        raise ValueError(f"{holes.shape = } does not match {picture.shape = }")
    if isinstance(native, Sampled):
        return replace(native, planes=yuv.splice(native.planes, picture, holes, native.signal))
    if isinstance(native, Scan) and native.sampled is not None:
        signal = native.sampled.signal
        codes = dpx_ycbcr.codes_of(yuv.splice(native.sampled.planes, picture, holes, signal), signal.layout)
        differs = _any_channel(codes != native.codes)
        return Scan(dpx.patched(native.data, native.header, codes, differs), native.header, codes)
    if isinstance(native, Scan):
        element = native.header.elements[0]
        codes = native.codes.copy()
        fresh = _scaled(picture[holes], element.raster.max_code)
        for i, place in enumerate(_colour_places(element.channels)):
            codes[..., place][holes] = fresh[:, i]
        return Scan(dpx.patched(native.data, native.header, codes, holes), native.header, codes)
    image = native.first
    pixels = image.pixels.copy()
    fresh = picture[holes]
    if pixels.dtype.kind == "u":
        fresh = _scaled(fresh, int(np.iinfo(pixels.dtype).max))
    for i, place in enumerate(_colour_places(image.stored.channels)):
        pixels[..., place][holes] = fresh[:, i].astype(pixels.dtype)
    return replace(native, pages=(image.with_pixels(pixels),))


def resized(native: Native, picture: Working) -> Native:
    """`picture`, of another size, in the form of `native`; further channels (alpha) are enlarged by interpolation.

    ImageError where the form can't take it.
    """
    height, width = picture.shape[:2]
    if isinstance(native, Sampled):
        layout = native.signal.layout
        alpha = _stretched(native.planes[-1], width, height) if layout.alpha else None
        return replace(native, planes=yuv.from_rgb(picture, native.signal, alpha))
    if isinstance(native, Scan):
        if native.sampled is not None:
            planes = resized(native.sampled, picture)
            assert isinstance(planes, Sampled)
            codes = dpx_ycbcr.codes_of(planes.planes, planes.signal.layout)
        else:
            codes = _resized_codes(native, picture)
        form = dpx if native.data[:4] in dpx.MAGIC else cineon
        data = form.resized(native.data, native.header, codes)
        return Scan(data, form.parse(data), codes)
    image = native.first
    places = _colour_places(image.stored.channels)
    pixels = np.empty((height, width, image.pixels.shape[2]), image.pixels.dtype)
    fresh = _scaled(picture, int(np.iinfo(pixels.dtype).max)) if pixels.dtype.kind == "u" else picture
    for place in range(pixels.shape[2]):
        if place in places:
            pixels[..., place] = fresh[..., places.index(place)]
        else:
            pixels[..., place] = _stretched(image.pixels[..., place], width, height)
    return replace(native, pages=(image.with_pixels(pixels),))


def _resized_codes(native: Scan, picture: Working) -> Codes:
    height, width = picture.shape[:2]
    element = native.header.elements[0]
    codes = np.empty((height, width, len(element.channels)), np.uint16)
    fresh = _scaled(picture, element.raster.max_code)
    places = _colour_places(element.channels)
    for place in range(codes.shape[2]):
        if place in places:
            codes[..., place] = fresh[..., places.index(place)]
        else:
            codes[..., place] = _stretched(native.codes[..., place], width, height)
    return codes


def working_of(native: Native) -> Working:
    """What a frame in its own form looks like to repair; NaN is shown as 0 and infinities as the largest half."""
    if isinstance(native, Scan) and native.sampled is not None:
        native = native.sampled
    if isinstance(native, Sampled):
        return yuv.to_working(native.planes, native.signal)
    if isinstance(native, Scan):
        element = native.header.elements[0]
        return _widened(_colours(native.codes, element.channels), element.raster.max_code)
    pixels = _colours(native.first.pixels, native.first.stored.channels)
    if pixels.dtype.kind == "u":
        return _widened(pixels, int(np.iinfo(pixels.dtype).max))
    return np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=65504.0, neginf=-65504.0)


def changed(before: Native, after: Native) -> Holes:
    """(H, W): which pixels have another sample; chroma counts for all pixels that share it.  NaN equals NaN."""
    if isinstance(before, Scan) and isinstance(after, Scan) and before.sampled is not None:
        before, after = before.sampled, after.sampled or after
    if isinstance(before, Sampled) and isinstance(after, Sampled):
        across, down = before.signal.layout.halvings
        height, width = before.planes[0].shape
        differs = np.zeros((height, width), bool)
        for old, new in zip(before.planes, after.planes, strict=True):
            sample = old != new
            if old.shape != (height, width):
                sample = sample.repeat(1 << down, 0).repeat(1 << across, 1)[:height, :width]
            differs |= sample
        return differs
    if isinstance(before, Scan) and isinstance(after, Scan):
        return _any_channel(before.codes != after.codes)
    if isinstance(before, Document) and isinstance(after, Document):
        old, new = before.first.pixels, after.first.pixels
        return _any_channel((old != new) & ~((old != old) & (new != new)))
    raise ValueError("frames of two kinds can't be compared")


def inexact(native: Scan | Document) -> str:
    """Why untouched pixels can't come back as the same numbers from the frame's own format; "" when they can."""
    if isinstance(native, Scan):
        return ""
    image = native.first
    if FORMATS[image.stored.format].lossy:
        return f"{image.stored.format} is lossy: what is written anew loses a little everywhere"
    for name, _, value in image.stored.extras.get("exr.attributes", []):
        if name == "compression" and str(value).startswith(_LOSSY_EXR):
            return f"its {value} compression is lossy: what is written anew loses a little everywhere"
    if image.stored.alpha is Alpha.PREMULTIPLIED and image.alpha_channel is not None:
        alpha = image.pixels[..., image.alpha_channel]
        opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind == "u" else 1
        if np.any((alpha != 0) & (alpha != opaque)):
            return "colours under partial alpha are stored multiplied, and may change in their last digit"
    return ""


def encoded(native: Scan | Document) -> BinaryIO:
    """A frame's file, positioned at 0.  ImageError when its format can't hold it."""
    if isinstance(native, Scan):
        return BytesIO(native.data)
    return encode(native, native.first.stored.format)


def _stretched(plane: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    values = cv2.resize(np.ascontiguousarray(plane, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.rint(values) if plane.dtype.kind == "u" else values).astype(plane.dtype)


def _colours(pixels: NDArray[Any], channels: Sequence[str]) -> NDArray[Any]:
    places = _colour_places(channels)
    return pixels if places == list(range(pixels.shape[2])) else pixels[..., places]


def _any_channel(differs: NDArray[np.bool_]) -> Holes:
    any_channel: Holes = np.asarray(differs.any(axis=2))
    return any_channel


def _working_form(native: Native) -> tuple[tuple[int, int, int], type[np.generic]]:
    """Shape and type of the working picture."""
    if isinstance(native, Scan) and native.sampled is not None:
        native = native.sampled
    if isinstance(native, Sampled):
        height, width = native.planes[0].shape
        return (height, width, 1 if native.signal.layout.family is Family.GREY else 3), np.uint16
    if isinstance(native, Scan):
        height, width = native.codes.shape[:2]
        return (height, width, len(_colour_places(native.header.elements[0].channels))), np.uint16
    image = native.first
    channels = len(_colour_places(image.stored.channels))
    return (image.height, image.width, channels), np.uint16 if image.pixels.dtype.kind == "u" else np.float32


def _colour_places(channels: Sequence[str]) -> list[int]:
    """Where R, G and B are, or Y, or the only channel there is."""
    wanted = ("R", "G", "B") if {"R", "G", "B"} <= set(channels) else ("Y",) if "Y" in channels else channels[:1]
    return [channels.index(name) for name in wanted]


def rescaled(codes: NDArray[Any], top: int, new_top: int) -> NDArray[Any]:
    """Codes 0..`top` over 0..`new_top`, rounded; a larger `new_top` can be taken back exactly."""
    if top == new_top:
        return codes
    wide = codes.astype(np.uint32)
    return ((wide * new_top + top // 2) // top).astype(np.uint16)


def _widened(codes: NDArray[Any], top: int) -> NDArray[np.uint16]:
    """Codes 0..top over all of uint16; `_scaled` takes it back exactly."""
    return codes.astype(np.uint16) if top == 65535 else np.take(_wide_table(top), codes)


@cache
def _wide_table(top: int) -> NDArray[np.uint16]:
    codes = np.arange(top + 1, dtype=np.uint32)
    return ((codes * 65535 + top // 2) // top).astype(np.uint16)


def _scaled(working: NDArray[np.uint16], top: int) -> NDArray[np.uint16]:
    if top == 65535:
        return working
    return ((working.astype(np.uint32) * top + 32767) // 65535).astype(np.uint16)
