"""Owns DDS, for now reading only: the top mip level, and cube maps as six faces.

OpenImageIO decodes the blocks.  Mip levels are not read, because they are made anew from the upscaled picture.  Source:
Microsoft's DDS_HEADER and DDS_HEADER_DXT10 documentation.
"""

from __future__ import annotations

import struct

from restore.errors import ImageError
from restore.formats.container import Container, View

_FOURCC = 0x4
_LUMINANCE = 0x20000
_UNCOMPRESSED = 0x40 | _LUMINANCE
_WIDE_DXGI = frozenset({2, 3, 6, 7, 11, 12, 13, 16, 24, 34, 35, 36, 37, 38, 41, 54, 56})
"""Uncompressed with more than 8 bits a channel: the decoder would cut them to 8."""
_BC5_DXGI, _BC5_FOURCC = frozenset({82, 83, 84}), frozenset({b"ATI2", b"BC5U", b"BC5S"})
_CUBE, _ALL_FACES, _VOLUME = 0x200, 0xFC00, 0x200000


def describe(view: View) -> Container:
    """Reads the headers."""
    found = Container()
    if len(view) < 128:
        raise ImageError(f"a DDS header has 128 bytes, this file has {len(view)}: damaged or truncated")
    height, width = struct.unpack_from("<II", view, 12)
    (mips,) = struct.unpack_from("<I", view, 28)
    flags, fourcc, _, *masks = struct.unpack_from("<I4sI4I", view, 80)
    (kinds,) = struct.unpack_from("<I", view, 112)
    cube, bc5 = bool(kinds & _CUBE), False
    if kinds & _VOLUME:
        raise ImageError("it is a volume texture, which is not supported: export its slices first")
    if flags & _FOURCC and fourcc == b"DX10":
        if len(view) < 148:
            raise ImageError("its DX10 header is cut short: damaged or truncated")
        code, dimension, misc, count, alpha = struct.unpack_from("<IIIII", view, 128)
        cube = cube or bool(misc & 4)
        if dimension == 4:
            raise ImageError("it is a volume texture, which is not supported: export its slices first")
        if count > 1:
            raise ImageError(f"it is an array of {count} textures, which is not supported: export them one by one")
        if code in _WIDE_DXGI:
            raise ImageError(f"its channels have more than 8 bits (DXGI format {code}), which is not supported")
        bc5 = code in _BC5_DXGI
        found.premultiplied = alpha & 7 == 2
    elif cube and kinds & _ALL_FACES != _ALL_FACES:
        raise ImageError("it is a cube map without all six faces, which is not supported")
    if not flags & _FOURCC and flags & _UNCOMPRESSED and any(mask.bit_count() > 8 for mask in masks):
        raise ImageError("its channels have more than 8 bits, which is not supported")
    if bc5 or fourcc in _BC5_FOURCC:
        found.notes.append("two channels (BC5) expanded to a normal map: blue is made from red and green")
    found.extras["dds.luminance"] = bool(flags & _LUMINANCE)
    found.premultiplied = found.premultiplied or fourcc in (b"DXT2", b"DXT4")
    found.size = (width, height * 6 if cube else height)
    if mips > 1:
        found.notes.append(f"{mips - 1} smaller mip levels are not read: they are made from the top one")
    if cube:
        found.extras["dds.faces"] = 6
    return found
