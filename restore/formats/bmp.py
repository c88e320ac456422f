"""Owns BMP: uncompressed 8-bit grey, 24-bit RGB and 32-bit RGBA, rows in the source's direction.

OpenImageIO reads.  Writing is done here, because OpenImageIO writes 32-bit files without the masks that say which bits
are alpha.  Source: Microsoft's BITMAPINFOHEADER and BITMAPV4HEADER documentation.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np

from restore.errors import ImageError
from restore.formats.container import Container, View, grew
from restore.formats.raster import joined_size, strip_bands
from restore.image import Document

_FILE_HEADER_BYTES, _INFO_BYTES, _V4_BYTES = 14, 40, 108
_BITFIELDS = 3
_RGBA_MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)
_SRGB = 0x73524742
_COMPRESSIONS = {1: "run-length coding", 2: "run-length coding", 4: "embedded JPEG", 5: "embedded PNG"}


def describe(view: View) -> Container:
    """Reads the headers."""
    found = Container()
    if len(view) < 26:
        raise ImageError("its header is cut short: damaged or truncated")
    (header_bytes,) = struct.unpack_from("<I", view, 14)
    if header_bytes < _INFO_BYTES or len(view) < 14 + _INFO_BYTES:
        found.extras["bmp.header"] = [False, True, 0]
        return found
    width, height, _, bits, compression, _, x, y, used = struct.unpack_from("<iiHHIIiiI", view, 18)
    found.size = (abs(width), abs(height))
    if bits <= 8:
        found.notes.append(f"palette of {used or 1 << bits} colours expanded")
    elif bits == 16:
        found.notes.append("16-bit colours expanded to 8 bits a channel")
    if compression in _COMPRESSIONS:
        found.notes.append(f"{_COMPRESSIONS[compression]} is not kept: written uncompressed")
    if x > 0 and y > 0:
        found.extras["density"] = [x, y]
    found.extras["bmp.header"] = [height < 0, compression not in (_BITFIELDS, 6), bits]
    return found


def write(document: Document, file: BinaryIO) -> None:
    """One 8-bit page of grey, RGB or RGBA."""
    first = document.first
    extras = first.stored.extras
    width, height = joined_size(document)
    channels = first.pixels.shape[2]
    if channels == 2:
        raise ImageError("BMP holds no grey with alpha: use --format png")
    top_down, plain, _ = extras.get("bmp.header", [False, False, 0])
    masks = channels == 4 and not plain
    factors = grew(extras.get("size"), first.width, first.height)
    x, y = (round(value * factor) for value, factor in zip(extras.get("density", [0, 0]), factors, strict=True))
    palette = b"".join(bytes((v, v, v, 0)) for v in range(256)) if channels == 1 else b""
    stride = -(-width * channels // 4) * 4
    info_bytes = _V4_BYTES if masks else _INFO_BYTES
    start = _FILE_HEADER_BYTES + info_bytes + len(palette)
    if start + stride * height >= 1 << 32:
        raise ImageError("BMP holds up to 4 GiB: use --format png")
    header = struct.pack("<2sIHHI", b"BM", start + stride * height, 0, 0, start)
    header += struct.pack("<IiiHH", info_bytes, width, -height if top_down else height, 1, channels * 8)
    header += struct.pack("<IIiiII", _BITFIELDS if masks else 0, stride * height, x, y, 256 if channels == 1 else 0, 0)
    if masks:
        header += struct.pack("<4II", *_RGBA_MASKS, _SRGB) + bytes(_V4_BYTES - _INFO_BYTES - 20)
    file.write(header + palette)
    for _, band in strip_bands(document, bottom_up=not top_down):
        rows = np.zeros((band.shape[0], stride), np.uint8)
        order = [2, 1, 0, 3][:channels] if channels > 1 else [0]
        rows[:, : width * channels] = band[..., order].reshape(band.shape[0], -1)
        file.write(rows.data)
    file.flush()
