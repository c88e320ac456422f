"""Owns EXIF blocks: what orientation they say, and the few values that must follow the picture's new size.

A block goes from source to output byte for byte, except that pixel counts are set to the new ones and pixel densities
are multiplied by the scale, so that the physical size stays the same.  Nothing moves, so maker notes stay valid.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from restore.errors import ImageError
from restore.formats import ifd

_WIDTH_TAGS = frozenset({256, 40962})
_HEIGHT_TAGS = frozenset({257, 40963})
_X_DENSITY_TAGS = frozenset({282, 41486})
_Y_DENSITY_TAGS = frozenset({283, 41487})
PREFIX = b"Exif\0\0"


def orientation(exif: bytes) -> int:
    """1..8; 1 where the block says nothing or can't be read."""
    try:
        form = ifd.layout(exif)
        entries, _ = ifd.places(exif, form, form.first)
    except ImageError:
        return 1
    for place in entries:
        if place.tag == ifd.ORIENTATION:
            value = ifd.numbers(exif, form, place)
            return value[0] if value and 1 <= value[0] <= 8 else 1
    return 1


def resized(exif: bytes, width: int, height: int, factors: tuple[float, float]) -> bytes:
    """The block for a picture that is now width x height px and grew by `factors` (x, y)."""
    changed = bytearray(exif)
    try:
        form = ifd.layout(exif)
        entries, _ = ifd.places(exif, form, form.first)
        inner: list[ifd.Place] = []
        for place in entries:
            if place.tag == ifd.EXIF_IFD and (start := ifd.numbers(exif, form, place)):
                inner = ifd.places(exif, form, start[0])[0]
    except ImageError:
        return exif  # unreadable, so nothing in it can be wrong about the size; kept as it is
    for place in (*entries, *inner):
        if place.tag in _WIDTH_TAGS:
            _set_integer(changed, form, place, width)
        elif place.tag in _HEIGHT_TAGS:
            _set_integer(changed, form, place, height)
        elif place.tag in _X_DENSITY_TAGS:
            _multiply(changed, form, place, factors[0])
        elif place.tag in _Y_DENSITY_TAGS:
            _multiply(changed, form, place, factors[1])
    return bytes(changed)


def from_entries(entries: Mapping[int, ifd.Entry]) -> bytes:
    """A block of these entries."""
    return ifd.block(tuple(entries.values()))


def entries_of(exif: bytes) -> dict[int, ifd.Entry]:
    """The first directory's entries by tag; empty when it can't be read."""
    try:
        form = ifd.layout(exif)
        found, _ = ifd.places(exif, form, form.first)
    except ImageError:
        return {}
    entries = (ifd.entry_of(exif, form, place) for place in found)
    return {entry.tag: entry for entry in entries if entry is not None}


def _set_integer(data: bytearray, form: ifd.Layout, place: ifd.Place, value: int) -> None:
    if place.count == 1 and (place.kind == 4 or (place.kind == 3 and value < 1 << 16)):
        struct.pack_into(form.endian + ("I" if place.kind == 4 else "H"), data, place.position, value)


def _multiply(data: bytearray, form: ifd.Layout, place: ifd.Place, factor: float) -> None:
    if place.kind != 5 or place.count != 1:
        return
    top, bottom = struct.unpack_from(form.endian + "II", data, place.position)
    product = top * factor
    if product != round(product):  # a finer denominator where there is room
        finer = 10000 if max(product, bottom) * 10000 < 1 << 32 else 1
        product, bottom = product * finer, bottom * finer
    if round(product) < 1 << 32:
        struct.pack_into(form.endian + "II", data, place.position, round(product), bottom)
