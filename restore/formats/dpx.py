"""Owns DPX: every field of its headers, code values of any packing, and changed pixels put into a copy of the file.

A written file is the source's bytes with the datums of changed pixels replaced: header, user data, padding, further
elements and untouched pixels can't differ.  Source: SMPTE 268M-2003 (field positions, undefined values).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.formats import film_raster, timecode
from restore.formats.film_raster import Codes, Packing, Raster

MAGIC = {b"SDPX": True, b"XPDS": False}
"""Magic -> big endian."""
HEADER_BYTES = 2048

Value = int | float | str

_FIELDS = (
    # where, struct code or length of text, name
    (4, "I", "file.offset"),
    (8, 8, "file.version"),
    (16, "I", "file.size"),
    (20, "I", "file.ditto_key"),
    (24, "I", "file.generic_bytes"),
    (28, "I", "file.industry_bytes"),
    (32, "I", "file.user_bytes"),
    (36, 100, "file.name"),
    (136, 24, "file.time"),
    (160, 100, "file.creator"),
    (260, 200, "file.project"),
    (460, 200, "file.copyright"),
    (660, "I", "file.encryption_key"),
    (768, "H", "image.orientation"),
    (770, "H", "image.elements"),
    (772, "I", "image.width"),
    (776, "I", "image.height"),
    (1408, "I", "source.x_offset"),
    (1412, "I", "source.y_offset"),
    (1416, "f", "source.x_centre"),
    (1420, "f", "source.y_centre"),
    (1424, "I", "source.width"),
    (1428, "I", "source.height"),
    (1432, 100, "source.name"),
    (1532, 24, "source.time"),
    (1556, 32, "source.device"),
    (1588, 32, "source.serial"),
    (1620, "H", "source.border_left"),
    (1622, "H", "source.border_right"),
    (1624, "H", "source.border_top"),
    (1626, "H", "source.border_bottom"),
    (1628, "I", "source.aspect_across"),
    (1632, "I", "source.aspect_down"),
    (1664, 2, "film.manufacturer"),
    (1666, 2, "film.type"),
    (1668, 2, "film.perforation_offset"),
    (1670, 6, "film.prefix"),
    (1676, 4, "film.count"),
    (1680, 32, "film.format"),
    (1712, "I", "film.frame_position"),
    (1716, "I", "film.sequence_frames"),
    (1720, "I", "film.held_frames"),
    (1724, "f", "film.frame_rate"),
    (1728, "f", "film.shutter_angle"),
    (1732, 32, "film.frame_id"),
    (1764, 100, "film.slate"),
    (1920, "I", "tv.timecode"),
    (1924, "I", "tv.user_bits"),
    (1928, "B", "tv.interlace"),
    (1929, "B", "tv.field"),
    (1930, "B", "tv.signal"),
    (1932, "f", "tv.sample_rate_across"),
    (1936, "f", "tv.sample_rate_down"),
    (1940, "f", "tv.frame_rate"),
    (1944, "f", "tv.time_offset"),
    (1948, "f", "tv.gamma"),
    (1952, "f", "tv.black_level"),
    (1956, "f", "tv.black_gain"),
    (1960, "f", "tv.break_point"),
    (1964, "f", "tv.white_level"),
    (1968, "f", "tv.integration_s"),
)

_UNDEFINED = {"I": 0xFFFFFFFF, "H": 0xFFFF, "B": 0xFF}

CHANNELS: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        1: ("R",),
        2: ("G",),
        3: ("B",),
        4: ("A",),
        6: ("Y",),
        8: ("Z",),
        50: ("R", "G", "B"),
        51: ("R", "G", "B", "A"),
        52: ("A", "B", "G", "R"),
        100: ("CbCr", "Y"),  # of two pixels, one has Cb and the other Cr
        102: ("Cb", "Y", "Cr"),
        103: ("Cb", "Y", "Cr", "A"),
    }
)
"""Descriptor -> channels in the file's order."""

_NAMES = {7: "chroma alone", 9: "composite video", 101: "CbYACrYA, 4:2:2:4"}
_PARTS = frozenset({1, 2, 3, 6, 7})
"""Descriptors of what may be one colour of several."""


@dataclass(frozen=True)
class Element:
    """One image element: what it means, and where it lies."""

    channels: tuple[str, ...]
    """In the order of the file and of `read`'s last axis."""
    transfer: int
    """As the standard numbers it: 1 printing density, 2 linear, 3 logarithmic, 6 BT.709, ..."""
    colorimetric: int
    low_code: int | None
    """Reference black; None where the header leaves it undefined."""
    high_code: int | None
    raster: Raster


@dataclass(frozen=True)
class Header:
    """What the header says.  Undefined fields are left out."""

    width: int
    height: int
    big_endian: bool
    elements: tuple[Element, ...]
    """The first one, which is the picture, and further ones that can be read, such as an infrared map."""
    fields: Mapping[str, Value]
    """By section and name: "film.frame_position", "tv.timecode" (its 32 bits), "file.creator", ..."""
    user_id: str
    user_data: bytes

    @property
    def timecode(self) -> str | None:
        """ "01:23:45:12", from the BCD of SMPTE 12M; None where undefined."""
        bits = self.fields.get("tv.timecode")
        label = timecode.of_bits(bits) if isinstance(bits, int) else None
        return None if label is None else label.text


def parse(data: bytes | memoryview) -> Header:
    """The header of a DPX file of which at least HEADER_BYTES and the user data are in `data`.

    Row lengths are told from the length of `data` where writers differ, so give the whole file before reading pixels.
    ImageError when it is none, damaged, or of a kind that can't be patched.
    """
    head = bytes(data[:HEADER_BYTES])
    if head[:4] not in MAGIC:
        raise ImageError("its first bytes are not those of a DPX file")
    if len(head) < HEADER_BYTES:
        raise ImageError(f"truncated: a DPX header has {HEADER_BYTES} bytes, this file has {len(head)}")
    big = MAGIC[head[:4]]
    order = ">" if big else "<"
    fields = dict(_read_fields(head, order))
    width, height = int(fields.get("image.width", 0)), int(fields.get("image.height", 0))
    count = int(fields.get("image.elements", 0))
    if not 0 < width <= 1 << 20 or not 0 < height <= 1 << 20 or not 0 < count <= 8:
        raise ImageError(f"damaged header: {width} x {height} pixels in {count} elements")
    places = [struct.unpack_from(f"{order}I", head, 808 + 72 * i)[0] for i in range(count)]
    descriptors = {head[800 + 72 * i] for i in range(count)} & _PARTS
    if len(descriptors) > 1 and head[800] in _PARTS:
        kinds = ", ".join(map(str, sorted(descriptors)))
        raise ImageError(f"its colours lie in elements of their own (descriptors {kinds}): write it as RGB first")
    elements = []
    for i, place in enumerate(places):
        end = min([other for other in places if other > place] + [len(data)])
        try:
            elements.append(_element(head, 780 + 72 * i, order, big, fields, end))
        except ImageError:
            if i == 0:
                raise
    start, length = HEADER_BYTES, int(fields.get("file.user_bytes", 0))
    if length and start + length > int(fields.get("file.offset", 0)):
        length = 0  # writers that say 0xFFFFFFFF or more than there is room for mean none
    user = bytes(data[start : start + length])
    return Header(width, height, big, tuple(elements), MappingProxyType(fields), _text(user[:32]), user[32:])


def read(data: bytes | memoryview, header: Header, element: int = 0) -> Codes:
    """(H, W, C) code values of one element, rows as stored.  ImageError when the file ends too early."""
    return film_raster.read(data, header.elements[element].raster)


def patched(
    data: bytes | memoryview, header: Header, codes: Codes, changed: NDArray[np.bool_], element: int = 0
) -> bytes:
    """The file with the pixels where `changed` (H, W) is True taken from `codes` (H, W, C); no other bit is touched."""
    copy = bytearray(data)
    film_raster.patch(copy, header.elements[element].raster, codes, changed)
    return bytes(copy)


def resized(data: bytes | memoryview, header: Header, codes: Codes) -> bytes:
    """A file with `codes` (H, W, C) of another size as its only picture; all other fields and the user data stay.

    ValueError when the channels or the depth don't fit.
    """
    element = header.elements[0]
    height, width, channels = codes.shape
    if channels != element.raster.channels:
        raise ValueError(f"{codes.shape = } does not match {element.channels}")
    user_bytes = int(header.fields.get("file.user_bytes", 0))
    start = HEADER_BYTES + (user_bytes if HEADER_BYTES + user_bytes <= element.raster.offset else 0)
    raster = film_raster.of_size(element.raster, height, width, start)
    pixels = film_raster.pack_all(codes, raster)
    order = ">" if header.big_endian else "<"
    head = bytearray(data[:start])
    for where, value in ((4, start), (16, start + len(pixels)), (772, width), (776, height), (808, start)):
        struct.pack_into(f"{order}I", head, where, value)
    struct.pack_into(f"{order}H", head, 770, 1)
    struct.pack_into(f"{order}II", head, 812, 0, 0)  # padding of lines and of the image
    head[852:1356] = b"\xff" * (1356 - 852)  # further elements
    return bytes(head) + pixels


def _read_fields(head: bytes, order: str) -> list[tuple[str, Value]]:
    found: list[tuple[str, Value]] = []
    for where, kind, name in _FIELDS:
        if isinstance(kind, int):
            if text := _text(head[where : where + kind]):
                found.append((name, text))
            continue
        (value,) = struct.unpack_from(order + kind, head, where)
        undefined = value == _UNDEFINED[kind] if kind in _UNDEFINED else not math.isfinite(value)
        if not undefined:
            found.append((name, value))
    return found


def _element(head: bytes, at: int, order: str, big: bool, fields: Mapping[str, Value], end: int) -> Element:
    sign, low, _, high, _ = struct.unpack_from(f"{order}IIfIf", head, at)
    descriptor, transfer, colorimetric, bits = struct.unpack_from("4B", head, at + 20)
    packing, encoding, offset, line_padding = struct.unpack_from(f"{order}HHII", head, at + 24)
    if descriptor not in CHANNELS:
        name = _NAMES.get(descriptor, "user defined" if descriptor in (0, *range(150, 157)) else "unknown")
        raise ImageError(
            f"its picture has descriptor {descriptor} ({name}), not RGB, RGBA, ABGR, Y'CbCr or one channel: convert it"
            " to RGB first"
        )
    if bits not in (8, 10, 12, 16):
        raise ImageError(
            f"its picture (descriptor {descriptor}) has {bits} bit{'s' if bits != 1 else ''} a channel: convert it to"
            " 8, 10, 12 or 16 bits first"
        )
    if descriptor == 100 and int(fields["image.width"]) % 2:
        raise ImageError("damaged header: 4:2:2 (descriptor 100) with an odd width")
    if encoding not in (0, 0xFFFF):
        raise ImageError("it is run-length encoded: write it without compression first")
    if sign not in (0, 0xFFFFFFFF):
        raise ImageError("its code values are signed, which is not supported: convert them first")
    if packing not in tuple(Packing):
        raise ImageError(f"its packing is number {packing}: convert it to packing 0, 1 or 2 first")
    if not 0 < offset < 0xFFFFFFFF:
        offset = int(fields.get("file.offset", HEADER_BYTES))
    channels = CHANNELS[descriptor]
    raster = Raster(
        width=int(fields["image.width"]),
        height=int(fields["image.height"]),
        channels=len(channels),
        bits=bits,
        packing=Packing(packing),
        big_endian=big,
        offset=offset,
        row_bytes=0,
    )
    raster = _with_rows(raster, 0 if line_padding == 0xFFFFFFFF else line_padding, end)
    defined = tuple(None if code == 0xFFFFFFFF else int(code) for code in (low, high))
    return Element(channels, transfer, colorimetric, defined[0], defined[1], raster)


def _with_rows(raster: Raster, line_padding: int, end: int) -> Raster:
    """Rows end at 32 bits, says the standard; many write 8 and 16 bits without, told by the room up to `end`."""
    used = film_raster.used_bytes(raster)
    aligned = used + -used % 4 + line_padding
    tight = used + line_padding
    wide = replace(raster, row_bytes=aligned)
    return wide if end >= wide.end else replace(raster, row_bytes=tight)


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].strip(b"\xff").decode("utf-8", "backslashreplace")
