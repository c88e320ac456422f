"""Owns which picture formats there are, what each can hold, and the way out when one can't hold a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from restore.image import Arrangement, Document


@dataclass(frozen=True)
class Format:
    """What one file format can hold when this package writes it."""

    name: str
    suffixes: tuple[str, ...]
    """Lower case, the first one is given to new files."""
    plugin: str
    """OpenImageIO's name of it."""
    can_write: bool
    bits: frozenset[int]
    """Integer depths per channel."""
    floats: bool
    alpha: bool
    grey: bool
    grey_alpha: bool
    extra_channels: bool
    pages: bool
    lossy: bool
    exif: bool
    """Holds EXIF, and so an orientation that isn't upright."""
    max_side_px: int


_BOTH = frozenset({8, 16})
_EIGHT = frozenset({8})
_NONE: frozenset[int] = frozenset()

_ALL = (
    # write, bits, float, alpha, grey, grey+alpha, extra channels, pages, lossy, exif, side
    Format("png", (".png",), "png", True, _BOTH, False, True, True, True, False, False, False, True, (1 << 31) - 1),
    Format("tga", (".tga",), "targa", True, _EIGHT, False, True, True, True, False, False, False, False, 65535),
    Format("bmp", (".bmp", ".dib"), "bmp", True, _EIGHT, False, True, True, False, False, False, False, False, 1 << 20),
    Format(
        "jpeg",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        "jpeg",
        *(True, _EIGHT, False, False, True, False, False, False, True, True, 65500),
    ),
    Format("tiff", (".tif", ".tiff"), "tiff", True, _BOTH, True, True, True, True, True, True, False, True, 1 << 30),
    Format("webp", (".webp",), "webp", True, _EIGHT, False, True, False, False, False, False, True, True, 16383),
    Format(
        "pnm",
        (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
        "pnm",
        *(True, _BOTH, True, False, True, False, False, False, False, False, 1 << 30),
    ),
    Format("exr", (".exr",), "openexr", True, _NONE, True, True, True, True, True, True, False, False, 1 << 30),
    Format("dds", (".dds",), "dds", False, _EIGHT, True, True, True, False, False, False, True, False, 16384),
)

FORMATS: Mapping[str, Format] = MappingProxyType({entry.name: entry for entry in _ALL})
"""By name: png tga bmp jpeg tiff webp pnm exr dds."""

SUFFIXES: Mapping[str, str] = MappingProxyType({suffix: entry.name for entry in _ALL for suffix in entry.suffixes})
"""Lower-case suffix with its dot -> name of the format."""


@dataclass(frozen=True)
class Header:
    """What a file says about itself before anything is decoded."""

    format: str
    """A key of FORMATS, told by content."""
    width: int
    """Pixels of one page as stored (EXIF orientation is kept as a tag, never applied); of one face for a cube."""
    height: int
    channels: tuple[str, ...]
    bits: int
    is_float: bool
    pages: int
    arrangement: Arrangement
    notes: tuple[str, ...] = ()
    orientation: int = 1
    """EXIF's 1..8; 1 is upright."""
    lossy: bool = False
    """The file's own compression loses something: JPEG or lossy WebP."""


@dataclass(frozen=True)
class PixelFacts:
    """What the pixels themselves say, without keeping them."""

    finite: bool
    """No NaN and no infinity."""
    constant: bool
    """Every colour channel of every page has one value throughout."""
    size: tuple[int, int]
    """(width, height) of the first page as it stands in the file."""


def colour_channels(channels: tuple[str, ...]) -> tuple[int, ...]:
    """Indices of grey or of red, green and blue; of everything where there are none of these."""
    return tuple(i for i, name in enumerate(channels) if name in ("Y", "R", "G", "B")) or tuple(range(len(channels)))


def is_finite(rows: NDArray[np.generic]) -> bool:
    """No NaN and no infinity; costs nothing for integers."""
    return rows.dtype.kind in "ui" or bool(np.isfinite(rows).all())


def is_constant(rows: NDArray[np.generic], first: NDArray[np.generic], colour: tuple[int, ...]) -> bool:
    """Every colour of (H, W, C) rows is that of the picture's first pixel, (C,)."""
    return all(bool((rows[..., c] == first[c]).all()) for c in colour)


def facts_of(document: Document) -> PixelFacts:
    """The same facts as `Decoder.check` tells, of pictures in memory; works in bands of rows."""
    finite, constant = True, True
    for page in document.pages:
        colour = colour_channels(page.stored.channels)
        for top in range(0, page.height, 256):
            band = page.pixels[top : top + 256]
            finite = finite and is_finite(band)
            constant = constant and is_constant(band, page.pixels[0, 0], colour)
    if document.arrangement is Arrangement.CUBE_STRIP and constant:
        colour = colour_channels(document.first.stored.channels)
        corners = np.stack([page.pixels[0, 0] for page in document.pages])
        constant = all(bool((corners[:, c] == corners[0, c]).all()) for c in colour)
    tall = len(document.pages) if document.arrangement is Arrangement.CUBE_STRIP else 1
    return PixelFacts(finite, constant, (document.first.width, document.first.height * tall))


def written_exactly(format: str, header: Header) -> bool:  # noqa: A002
    """Whether a picture with this header keeps every pixel, bit for bit, when it is written as `format`."""
    if format == "webp":  # lossy only where the source was
        return not header.lossy
    return not FORMATS[format].lossy


def target_suffix(format: str) -> str:  # noqa: A002
    """The suffix that new files of a format get: ".png"."""
    return FORMATS[format].suffixes[0]


def cannot_hold(format: str, header: Header, scale: float) -> str | None:  # noqa: A002
    """Why files of `format` can't hold this picture once its sides are `scale` times as long, and the way out.

    None when they can.
    """
    held = FORMATS[format]
    name = format.upper()
    png_takes = header.pages == 1 or header.arrangement is Arrangement.CUBE_STRIP
    way = "use --format tiff" if header.is_float or not png_takes else "use --format png"
    if not held.can_write:
        return f"{name} can be read but not written yet: {way if not header.is_float else 'use --format exr'}"
    return (
        _cannot_hold_numbers(held, header, "use --format exr" if header.is_float else way)
        or _cannot_hold_channels(held, header)
        or _cannot_hold_layout(held, header, scale)
    )


def _cannot_hold_numbers(held: Format, header: Header, way: str) -> str | None:
    name = held.name.upper()
    if header.is_float:
        if not held.floats:
            return f"{name} holds no floating-point pixels: {way}"
        if held.name == "pnm" and header.bits != 32:
            return f"{name} holds only 32-bit floats, these have {header.bits}: {way}"
    elif header.bits not in held.bits:
        return f"{name} holds no {header.bits}-bit integers: {'use --format png' if held.bits else 'use --format tiff'}"
    return None


def _cannot_hold_channels(held: Format, header: Header) -> str | None:
    name = held.name.upper()
    colour = tuple(c for c in header.channels if c in ("Y", "R", "G", "B"))
    extra = tuple(c for c in header.channels if c not in ("Y", "R", "G", "B", "A"))
    has_alpha = "A" in header.channels
    way = "use --format exr" if header.is_float else "use --format png"
    if not held.extra_channels and (extra or colour not in (("Y",), ("R", "G", "B"))):
        odd = ", ".join(extra or header.channels)
        return f"{name} holds no channels beyond grey or RGB and alpha, this has {odd}: use --format tiff"
    if held.name == "tiff" and header.format == "exr" and (extra or not colour):
        return f"TIFF keeps no channel names, this has {', '.join(extra)}: use --format same"
    if has_alpha and not held.alpha:
        return f"{name} holds no alpha channel: {way}"
    if colour == ("Y",) and has_alpha and not held.grey_alpha:
        return f"{name} holds no grey with alpha: {way}"
    if colour == ("Y",) and not held.grey:
        return f"{name} holds no grey pictures: {way}"
    return None


def _cannot_hold_layout(held: Format, header: Header, scale: float) -> str | None:
    name = held.name.upper()
    strip = header.arrangement is Arrangement.CUBE_STRIP
    if header.pages > 1 and not strip and not held.pages:
        return f"{name} holds one page, this has {header.pages}: use --format tiff"
    if header.orientation != 1 and not held.exif and held.name != header.format:
        return f"{name} has no place for the EXIF orientation {header.orientation}: use --format png"
    side = round(max(header.width, header.height * (6 if strip else 1)) * scale)
    if side > held.max_side_px:
        way = "use --format tiff" if held.name == "png" else "use --format png, a smaller --scale or --max-size"
        return f"{name} holds sides up to {held.max_side_px} px, this would have {side}: {way}"
    return None
