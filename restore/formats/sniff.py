"""Owns telling a file's format by its first bytes; only TGA, which has no magic, needs its suffix."""

from __future__ import annotations

import struct

from restore.errors import ImageError
from restore.formats.catalogue import FORMATS, SUFFIXES

HEAD_BYTES = 64
"""How much of a file `sniff` wants to see."""

_STRANGERS = (
    (b"GIF8", "a GIF"),
    (b"8BPS", "a Photoshop document"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 codestream"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL"),
    (b"#?RADIANCE", "a Radiance HDR"),
    (b"\xabKTX", "a KTX texture"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "PostScript"),
    (b"SDPX", "a DPX"),
    (b"XPDS", "a DPX"),
    (b"BLP1", "a BLP texture"),
    (b"BLP2", "a BLP texture"),
    (b"icns", "an Apple icon"),
    (b"\x01\xda", "an SGI picture"),
    (b"PK\x03\x04", "a zip archive"),
)


def sniff(head: bytes, suffix: str) -> tuple[str, tuple[str, ...]]:
    """(format, notes) from a file's first HEAD_BYTES bytes and its suffix (".tga", any case).

    Raises ImageError when the content is no format of ours.
    """
    claimed = SUFFIXES.get(suffix.lower())
    found = _by_magic(head)
    if found is None and claimed == "tga":
        _refuse_unlike_tga(head)
        found = "tga"
    if found is None:
        for magic, name in _STRANGERS:
            if head.startswith(magic):
                raise ImageError(f"its content is {name}, which is not supported: convert it to PNG first")
        if head[4:8] == b"ftyp":
            raise ImageError("its content is an AVIF, HEIF or video file, which is not supported: convert it to PNG")
        if not head:
            raise ImageError("the file is empty")
        known = ", ".join(FORMATS)
        raise ImageError(f"its first bytes are those of no supported format ({known})")
    if claimed is not None and claimed != found:
        return found, (f"named {suffix} but its content is {found.upper()}: read and kept as {found.upper()}",)
    return found, ()


def _by_magic(head: bytes) -> str | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith(b"\x76\x2f\x31\x01"):
        return "exr"
    if head.startswith(b"DDS "):
        return "dds"
    if len(head) >= 18 and head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return "bmp"
    if len(head) >= 3 and head[:1] == b"P" and head[1:2] in b"123456Ff" and head[2:3].isspace():
        return "pnm"
    return None


def _refuse_unlike_tga(head: bytes) -> None:
    if len(head) < 18:
        raise ImageError(f"a TGA header has 18 bytes, this file has {len(head)}")
    map_type, kind = head[1], head[2]
    width, height, bits = struct.unpack_from("<HHB", head, 12)
    if map_type > 1 or kind not in (1, 2, 3, 9, 10, 11) or bits not in (8, 15, 16, 24, 32):
        raise ImageError(f"its first bytes are no TGA header (map {map_type}, type {kind}, {bits} bits a pixel)")
    if not width or not height:
        raise ImageError(f"its header says {width} x {height} pixels")
