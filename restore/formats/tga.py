"""Owns TGA: origin, run-length coding, attribute bits and identification go back as they were.

Kept: image id, RLE or not, attribute bits, top or bottom origin (many games read only one), the version-2 footer.
Dropped: the extension and developer areas (author, software, thumbnail), and a right-hand origin, which is turned
round.
Source: Truevision TGA file format specification 2.0 (1991).
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from restore.errors import ImageError
from restore.formats.container import Container, View
from restore.formats.raster import write_pages
from restore.formats.shared import splice
from restore.image import Document

_HEADER_BYTES = 18
_FOOTER_BYTES = 26
_SIGNATURE = b"TRUEVISION-XFILE.\0"
_TOP, _RIGHT, _ATTRIBUTES = 0x20, 0x10, 0x0F
_PREMULTIPLIED = 4
_EXTENSION_BYTES = 495


def describe(view: View) -> Container:
    """Reads header and footer."""
    found = Container()
    (id_length, map_type, kind, _, map_length, map_bits, _, _, width, height, bits, descriptor) = struct.unpack_from(
        "<BBBHHBHHHHBB", view
    )
    found.size = (width, height)
    footer = bytes(view[-_FOOTER_BYTES:]) if len(view) >= _HEADER_BYTES + _FOOTER_BYTES else b""
    versioned = footer.endswith(_SIGNATURE)
    if kind in (1, 9):
        found.notes.append(f"palette of {map_length} colours ({map_bits} bits each) expanded to RGB")
    elif bits in (15, 16) and kind in (2, 10):
        found.notes.append(f"{bits}-bit colours expanded to 8 bits a channel")
    if descriptor & _RIGHT:
        found.notes.append("written with its origin on the left, the picture is the same")
    if versioned:
        (extension,) = struct.unpack_from("<I", footer)
        if extension and extension + _EXTENSION_BYTES <= len(view):
            found.premultiplied = view[extension + 494] == _PREMULTIPLIED
    needs = width * height * (-(-bits // 8))
    if kind < 8 and len(view) < _HEADER_BYTES + id_length + (map_length * -(-map_bits // 8) if map_type else 0) + needs:
        found.broken = "truncated: its pixels end too early"
    found.extras.update(
        {
            "tga.id": bytes(view[_HEADER_BYTES : _HEADER_BYTES + id_length]),
            "tga.rle": kind > 8,
            "tga.descriptor": descriptor,
            "tga.footer": versioned,
            "tga.wide": bits == 32 or (bits in (8, 16) and kind in (3, 11)),
        }
    )
    return found


def write(document: Document, file: BinaryIO) -> None:
    """One 8-bit page of grey or RGB, with or without alpha, up to 65535 px a side."""
    extras = document.first.stored.extras
    has_alpha = document.first.alpha_channel is not None
    descriptor = extras.get("tga.descriptor", 8 if has_alpha else 0)
    rle = bool(extras.get("tga.rle", False))
    # OpenImageIO writes plain files bottom-up and run-length coded ones top-down: rows are given in the order that
    # makes what it calls its origin the source's own
    top_down = bool(descriptor & _TOP)
    write_pages(
        document, file, "targa", ".tga", {"compression": "rle" if rle else "none"}, bottom_up=top_down is not rle
    )
    attributes = descriptor & _ATTRIBUTES if extras.get("tga.wide") else (8 if has_alpha else 0)
    _tidy(file, attributes | (_TOP if top_down else 0), extras.get("tga.id", b""), extras.get("tga.footer", True))


def _tidy(file: BinaryIO, descriptor: int, identification: bytes, footer: bool) -> None:
    """Sets the descriptor and the id, and takes out the empty extension area that OpenImageIO adds."""
    size = os.fstat(file.fileno()).st_size
    file.seek(size - _FOOTER_BYTES)
    tail = file.read(_FOOTER_BYTES)
    if not tail.endswith(_SIGNATURE):
        raise ImageError("can't be encoded: the TGA writer's output ends in an unknown way")
    extension, developer = struct.unpack_from("<II", tail)
    end = min(offset for offset in (extension, developer, size - _FOOTER_BYTES) if offset)
    splice(file, end, size, struct.pack("<II", 0, 0) + _SIGNATURE if footer else b"")
    file.seek(0)
    header = bytearray(file.read(_HEADER_BYTES))
    old_id = header[0]
    header[0], header[17] = len(identification), descriptor
    splice(file, 0, _HEADER_BYTES + old_id, bytes(header) + identification)
