"""Owns writing pixels through OpenImageIO in bands of rows, so that no second full copy of a picture is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from restore.errors import ImageError
from restore.formats import oiio
from restore.formats.alpha import premultiplied
from restore.formats.shared import named_for_library
from restore.image import Arrangement, Document, Image, Pixels

BAND_BYTES = 4 << 20


def band_rows(row_bytes: int, multiple_of: int = 1) -> int:
    """How many rows to handle at once: about BAND_BYTES, a multiple of `multiple_of`."""
    rows = max(1, BAND_BYTES // max(row_bytes, 1))
    return max(multiple_of, rows // multiple_of * multiple_of)


def bands(
    page: Image, *, bottom_up: bool = False, premultiply: bool = False, multiple_of: int = 1
) -> Iterator[tuple[int, Pixels]]:
    """(first row in the file, contiguous rows)."""
    rows = band_rows(page.width * page.pixels.shape[2] * page.pixels.itemsize, multiple_of)
    source = page.pixels[::-1] if bottom_up else page.pixels
    for top in range(0, page.height, rows):
        band = source[top : top + rows]
        if premultiply and page.alpha_channel is not None:
            lit = bool(page.stored.extras.get("light_without_alpha"))
            band = premultiplied(band, page.color_channels, page.alpha_channel, lit)
        yield top, np.ascontiguousarray(band)


def joined_size(document: Document) -> tuple[int, int]:
    """(width, height) of the first page in the file: six faces stand one under the other."""
    faces = len(document.pages) if document.arrangement is Arrangement.CUBE_STRIP else 1
    return document.first.width, document.first.height * faces


def strip_bands(
    document: Document, *, bottom_up: bool = False, premultiply: bool = False
) -> Iterator[tuple[int, Pixels]]:
    """Bands of the only page, or of a cube's faces joined into one strip."""
    if document.arrangement is Arrangement.CUBE_STRIP:
        faces = reversed(document.pages) if bottom_up else iter(document.pages)
        for number, face in enumerate(faces):
            for top, band in bands(face, bottom_up=bottom_up, premultiply=premultiply):
                yield number * face.height + top, band
    elif len(document.pages) > 1:
        raise ImageError(f"this format holds one page, there are {len(document.pages)}: use --format tiff")
    else:
        yield from bands(document.first, bottom_up=bottom_up, premultiply=premultiply)


def write_pages(
    document: Document,
    file: BinaryIO,
    plugin: str,
    suffix: str,
    attributes: Mapping[str, Any],
    *,
    bottom_up: bool = False,
) -> None:
    """Writes the only page, or a cube's strip, with these OpenImageIO attributes."""
    width, height = joined_size(document)
    first = document.first
    spec = oiio.make_spec(first.pixels, first.stored.channels, attributes)
    spec.width, spec.height, spec.full_width, spec.full_height = width, height, width, height
    with named_for_library(file, suffix) as path:
        writer = oiio.create(plugin)
        oiio.require(writer.open(path, spec), writer)
        for top, band in strip_bands(document, bottom_up=bottom_up):
            oiio.require(writer.write_scanlines(top, top + band.shape[0], 0, band), writer)
        oiio.require(writer.close(), writer)
