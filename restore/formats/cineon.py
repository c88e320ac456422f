"""Owns Cineon: Kodak's ancestor of DPX, read and patched by the same means (`film_raster`).

Source: Kodak, Cineon image file format draft (4.5), as the field positions of its header.
"""

from __future__ import annotations

import math
import struct
from types import MappingProxyType

from restore.errors import ImageError
from restore.formats.dpx import Element, Header, Value
from restore.formats.film_raster import Codes, Packing, Raster, of_size, pack_all, used_bytes

MAGIC = {b"\x80\x2a\x5f\xd7": True, b"\xd7\x5f\x2a\x80": False}
"""Magic -> big endian; the draft knows big endian only."""
HEADER_BYTES = 2048

PRINTING_DENSITY = 1
"""Cineon's only transfer, as DPX numbers it."""

_FIELDS = (
    (4, "I", "file.offset"),
    (16, "I", "file.user_bytes"),
    (20, "I", "file.size"),
    (24, 8, "file.version"),
    (32, 100, "file.name"),
    (132, 12, "file.date"),
    (144, 12, "file.time"),
    (192, "B", "image.orientation"),
    (193, "B", "image.channels"),
    (452, 200, "image.label"),
    (712, "i", "source.x_offset"),
    (716, "i", "source.y_offset"),
    (720, 100, "source.name"),
    (820, 12, "source.date"),
    (832, 12, "source.time"),
    (844, 64, "source.device"),
    (908, 32, "source.model"),
    (940, 32, "source.serial"),
    (980, "f", "source.gamma"),
    (1024, "B", "film.manufacturer"),
    (1025, "B", "film.type"),
    (1026, "B", "film.perforation_offset"),
    (1028, "I", "film.prefix"),
    (1032, "I", "film.count"),
    (1036, 32, "film.format"),
    (1068, "I", "film.frame_position"),
    (1072, "f", "film.frame_rate"),
    (1076, 32, "film.frame_id"),
    (1108, 200, "film.slate"),
)
_UNDEFINED = {"I": 0xFFFFFFFF, "i": 0x7FFFFFFF, "B": 0xFF}
_FILLED = {0: Packing.PACKED, 5: Packing.FILLED_A, 6: Packing.FILLED_B}
"""Cineon's packing (long words, left or right justified) -> DPX's."""


def parse(data: bytes | memoryview) -> Header:
    """The header of a Cineon file, as `dpx.parse` gives it, for `dpx.read` and `dpx.patched`.

    ImageError when it is none, damaged, or not interleaved by pixel.
    """
    head = bytes(data[:HEADER_BYTES])
    if head[:4] not in MAGIC:
        raise ImageError("its first bytes are not those of a Cineon file")
    if len(head) < 1024:
        raise ImageError(f"truncated: a Cineon header has at least 1024 bytes, this file has {len(head)}")
    head = head.ljust(HEADER_BYTES, b"\xff")  # the industry part is optional
    big = MAGIC[head[:4]]
    order = ">" if big else "<"
    fields: dict[str, Value] = {}
    for where, kind, name in _FIELDS:
        if isinstance(kind, int):
            text = head[where : where + kind].split(b"\0")[0].strip(b"\xff").decode("utf-8", "backslashreplace")
            if text:
                fields[name] = text
            continue
        (value,) = struct.unpack_from(order + kind, head, where)
        if value != _UNDEFINED[kind] if kind in _UNDEFINED else math.isfinite(value):
            fields[name] = value
    count = int(fields.get("image.channels", 0))
    sizes = {struct.unpack_from(f"{order}BxII", head, 198 + 28 * i) for i in range(min(count, 8))}
    if count not in (1, 3) or len(sizes) != 1:
        raise ImageError(f"it has {count} channels of {len(sizes)} sizes or depths: convert it to RGB or luma first")
    ((bits, width, height),) = sizes
    interleave, packing = head[680], head[681]
    line_padding = struct.unpack_from(f"{order}I", head, 684)[0]
    if not 0 < width <= 1 << 20 or not 0 < height <= 1 << 20:
        raise ImageError(f"damaged header: {width} x {height} pixels")
    if (interleave and count > 1) or packing & 0x7F not in _FILLED or bits not in (8, 10, 12, 16):
        raise ImageError(
            f"its {bits}-bit picture has interleaving {interleave} and packing {packing}: convert it to DPX first"
        )
    raster = Raster(
        width=width,
        height=height,
        channels=count,
        bits=bits,
        packing=_FILLED[packing & 0x7F],
        big_endian=big,
        offset=int(fields.get("file.offset", HEADER_BYTES)),
        row_bytes=0,
    )
    used = used_bytes(raster)
    padding = 0 if line_padding == 0xFFFFFFFF else line_padding
    raster = Raster(**{**raster.__dict__, "row_bytes": used + padding})
    channels = ("R", "G", "B") if count == 3 else ("Y",)
    element = Element(channels, PRINTING_DENSITY, PRINTING_DENSITY, None, None, raster)
    user = bytes(data[HEADER_BYTES : HEADER_BYTES + int(fields.get("file.user_bytes", 0))])
    user = user if HEADER_BYTES + len(user) <= raster.offset else b""
    return Header(width, height, big, (element,), MappingProxyType(fields), "", user)


def resized(data: bytes | memoryview, header: Header, codes: Codes) -> bytes:
    """A file with `codes` (H, W, C) of another size; all other fields and the user data stay.

    ValueError when the channels or the depth don't fit.
    """
    element = header.elements[0]
    height, width, channels = codes.shape
    if channels != element.raster.channels:
        raise ValueError(f"{codes.shape = } does not match {element.channels}")
    start = element.raster.offset
    raster = of_size(element.raster, height, width, start)
    pixels = pack_all(codes, raster)
    order = ">" if header.big_endian else "<"
    head = bytearray(data[:start])
    struct.pack_into(f"{order}I", head, 20, start + len(pixels))
    for channel in range(channels):
        struct.pack_into(f"{order}II", head, 200 + 28 * channel, width, height)
    struct.pack_into(f"{order}I", head, 684, raster.row_bytes - used_bytes(raster))
    return bytes(head) + pixels
