"""Owns WebP: lossless stays lossless with every colour under alpha 0, lossy is written at a stated quality.

OpenImageIO decodes.  Pillow encodes, because OpenImageIO's writer drops profile, EXIF and XMP, and changes colours
under alpha 0 even in lossless files.  Source: WebP container specification (Google).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from restore.errors import ImageError
from restore.formats import exif
from restore.formats.container import MAX_METADATA_BYTES, Container, View, grew
from restore.formats.pillow import image_of
from restore.image import Document

QUALITY = 92
"""Of lossy output: a lossy WebP does not say what quality it was made with."""
_METHOD = 4
_MAX_SIDE_PX = 16383


def describe(view: View) -> Container:
    """Reads the chunks, none of the pixels."""
    found = Container()
    lossless, total = False, 0
    for name, start, length in _chunks(view):
        if name in (b"ANIM", b"ANMF"):
            raise ImageError("it is an animated WebP, which is not supported: split it into frames first")
        if name == b"VP8L":
            lossless = True
        elif name in (b"ICCP", b"EXIF", b"XMP "):
            total += length
            if total > MAX_METADATA_BYTES:
                raise ImageError(f"its metadata takes more than {MAX_METADATA_BYTES >> 20} MiB: strip it first")
            payload = bytes(view[start : start + length])
            key = {b"ICCP": "icc", b"EXIF": "exif", b"XMP ": "xmp"}[name]
            found.extras[key] = payload.removeprefix(exif.PREFIX) if key == "exif" else payload
    if "exif" in found.extras:
        found.orientation = exif.orientation(found.extras["exif"])
    found.extras["webp.lossless"] = lossless
    if not lossless:
        found.notes.append(f"lossy WebP: written with quality {QUALITY}")
    (size,) = struct.unpack_from("<I", view, 4)
    if size + 8 > len(view):
        found.broken = f"truncated: {size + 8} bytes are announced, {len(view)} are there"
    return found


def write(document: Document, file: BinaryIO) -> None:
    """One 8-bit page of RGB, with or without alpha, of at most 16383 px a side."""
    page = document.first
    extras = page.stored.extras
    # from anything but a lossy WebP, lossless is what loses nothing
    lossless = extras.get("webp.lossless", page.stored.format != "jpeg")
    options: dict[str, Any] = {"quality": 75 if lossless else QUALITY}
    if "icc" in extras:
        options["icc_profile"] = extras["icc"]
    if "xmp" in extras:
        options["xmp"] = extras["xmp"]
    if "exif" in extras:
        factors = grew(extras.get("size"), page.width, page.height)
        options["exif"] = exif.resized(extras["exif"], page.width, page.height, factors)
    with image_of(document) as picture:
        if max(picture.size) > _MAX_SIDE_PX:
            raise ImageError(f"WebP holds sides up to {_MAX_SIDE_PX} px, this has {max(picture.size)}")
        try:
            picture.save(file, "WEBP", lossless=lossless, exact=True, method=_METHOD, **options)
        except (OSError, ValueError) as error:
            raise ImageError(f"can't be encoded as WebP: {error}") from error
    if page.alpha_channel is not None and lossless:
        _keep_opaque_alpha(file)


def _keep_opaque_alpha(file: BinaryIO) -> None:
    """libwebp leaves out an alpha channel that is opaque throughout: the flags that say so are set again."""
    file.flush()
    file.seek(0)
    head = file.read()
    for name, start, _ in _headers(head):
        if name == b"VP8X":
            _set_bit(file, start, 0x10)
        elif name == b"VP8L":
            _set_bit(file, start + 4, 0x10)
            return


def _set_bit(file: BinaryIO, at: int, bit: int) -> None:
    file.seek(at)
    (value,) = file.read(1)
    file.seek(at)
    file.write(bytes([value | bit]))


def _headers(head: View) -> Iterator[tuple[bytes, int, int]]:
    at = 12
    while at + 8 <= len(head):
        name, length = struct.unpack_from("<4sI", head, at)
        yield name, at + 8, length
        at += 8 + length + length % 2


def _chunks(view: View) -> Iterator[tuple[bytes, int, int]]:
    for name, start, length in _headers(view):
        if start + length > len(view):
            return
        yield name, start, length
