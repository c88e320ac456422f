"""Owns turning a document into the bytes of a file, in memory.

The policy for what stands beside the pixels: everything that the target can hold is kept; pixels stay in stored
orientation and the EXIF orientation tag stays with them; pixel density is multiplied by the scale, so that the physical
size stays the same; no date and no name of this tool is added, so that the same document gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import BinaryIO

from restore.errors import ImageError
from restore.formats import bmp, exr, jpeg, png, pnm, tga, tiff, webp
from restore.formats.catalogue import Header, cannot_hold
from restore.formats.raster import joined_size
from restore.formats.shared import anonymous_file
from restore.image import Document

_WRITE: Mapping[str, Callable[[Document, BinaryIO], None]] = MappingProxyType(
    {
        "png": png.write,
        "tga": tga.write,
        "bmp": bmp.write,
        "jpeg": jpeg.write,
        "tiff": tiff.write,
        "webp": webp.write,
        "pnm": pnm.write,
        "exr": exr.write,
    }
)


def encode(document: Document, format: str) -> BinaryIO:  # noqa: A002
    """The file's bytes, positioned at 0, in memory that has no name (a temporary file where there is no memfd).

    Each page's `stored.extras` must still be what `Decoder.read` gave: it holds the size that the source had, and with
    it how much the picture grew.  ImageError when the format can't hold the document.
    """
    reason = cannot_hold(format, header_of(document), 1.0)
    if reason is not None:
        raise ImageError(reason)
    file = anonymous_file()
    try:
        _WRITE[format](document, file)
        file.flush()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def header_of(document: Document) -> Header:
    """The header that a document's own file would have."""
    first = document.first
    return Header(
        format=first.stored.format,
        width=first.width,
        height=first.height,
        channels=first.stored.channels,
        bits=first.stored.bits,
        is_float=first.stored.is_float,
        pages=len(document.pages),
        arrangement=document.arrangement,
        notes=first.stored.notes,
        orientation=int(first.stored.extras.get("orientation", 1)),
    )


def written_size(document: Document) -> tuple[int, int, int]:
    """(width, height, pages) that `Decoder.check` will report of the encoded document."""
    width, height = joined_size(document)
    strip = (width, height) != (document.first.width, document.first.height)
    return width, height, 1 if strip else len(document.pages)
