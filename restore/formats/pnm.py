"""Owns PNM (PBM, PGM, PPM) and PFM: binary stays binary and text stays text; comments are dropped.

OpenImageIO codes the pixels.  Bitmaps become 8-bit grey and odd maximal values the full range, both with a note.
Source: Netpbm's format pages.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from restore.errors import ImageError
from restore.formats.container import Container, View
from restore.formats.raster import write_pages
from restore.image import Document

_NUMBERS = re.compile(rb"(?:\s+|#[^\n\r]*[\n\r])*(\d+)")


def describe(view: View) -> Container:
    """Reads the header."""
    found = Container()
    kind = bytes(view[1:2])
    found.extras["pnm.binary"] = kind not in b"123"
    if kind in b"Ff":
        return found
    head, at, values = bytes(view[:4096]), 2, []
    for _ in range(2 if kind in b"14" else 3):
        match = _NUMBERS.match(head, at)
        if match is None:
            raise ImageError("its header can't be read: damaged")
        values.append(int(match[1]))
        at = match.end()
    width, height = values[0], values[1]
    found.size = (width, height)
    if kind in b"14":
        found.notes.append("1-bit picture expanded to 8-bit grey")
        needs = -(-width // 8) * height
    else:
        top = values[2]
        if not 0 < top < 1 << 16:
            raise ImageError(f"its largest value is {top}: damaged")
        if top not in (255, 65535):
            found.notes.append(f"largest value {top} scaled to {255 if top < 256 else 65535}")
        needs = width * height * (3 if kind in b"36" else 1) * (2 if top > 255 else 1)
    if kind in b"456":
        rest = len(view) - at - 1 - needs
        if rest < 0:
            found.broken = "truncated: its pixels end too early"
        elif rest > 0 and bytes(view[at + 1 + needs : at + 2 + needs]) == b"P":
            raise ImageError("it holds several pictures one after the other, which is not supported: split it first")
    return found


def write(document: Document, file: BinaryIO) -> None:
    """One page of grey or RGB: 8 or 16 bits, or 32-bit floats."""
    binary = int(document.first.stored.extras.get("pnm.binary", True))
    write_pages(document, file, "pnm", ".ppm", {"pnm:binary": binary})
