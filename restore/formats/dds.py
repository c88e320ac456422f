"""Owns DDS, for now reading only: the top mip level, and cube maps as six faces.

OpenImageIO decodes the blocks.  Mip levels are not read, because they are made anew from the upscaled picture.  Source:
Microsoft's DDS_HEADER and DDS_HEADER_DXT10 documentation.
"""

from __future__ import annotations

import struct

from restore.errors import ImageError
from restore.formats.container import Container, View

_FOURCC = 0x4
_CUBE, _ALL_FACES, _VOLUME = 0x200, 0xFC00, 0x200000


def describe(view: View) -> Container:
    """Reads the headers."""
    found = Container()
    if len(view) < 128:
        raise ImageError(f"a DDS header has 128 bytes, this file has {len(view)}: damaged or truncated")
    height, width = struct.unpack_from("<II", view, 12)
    (mips,) = struct.unpack_from("<I", view, 28)
    flags, fourcc = struct.unpack_from("<I4s", view, 80)
    (kinds,) = struct.unpack_from("<I", view, 112)
    cube = bool(kinds & _CUBE)
    if kinds & _VOLUME:
        raise ImageError("it is a volume texture, which is not supported: export its slices first")
    if flags & _FOURCC and fourcc == b"DX10":
        if len(view) < 148:
            raise ImageError("its DX10 header is cut short: damaged or truncated")
        _, dimension, misc, count, alpha = struct.unpack_from("<IIIII", view, 128)
        cube = cube or bool(misc & 4)
        if dimension == 4:
            raise ImageError("it is a volume texture, which is not supported: export its slices first")
        if count > 1:
            raise ImageError(f"it is an array of {count} textures, which is not supported: export them one by one")
        found.premultiplied = alpha & 7 == 2
    elif cube and kinds & _ALL_FACES != _ALL_FACES:
        raise ImageError("it is a cube map without all six faces, which is not supported")
    found.premultiplied = found.premultiplied or fourcc in (b"DXT2", b"DXT4")
    found.size = (width, height * 6 if cube else height)
    if mips > 1:
        found.notes.append(f"{mips - 1} smaller mip levels are not read: they are made from the top one")
    if cube:
        found.extras["dds.faces"] = 6
    return found
