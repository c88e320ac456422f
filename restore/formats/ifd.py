"""Owns the directory structure that TIFF files and EXIF blocks share: reading, writing, and changing values in place.

Source: TIFF 6.0 (Adobe, 1992), BigTIFF (Adobe/AWare, 2007), EXIF 2.32.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from restore.errors import ImageError

TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WORD = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

EXIF_IFD, GPS_IFD, INTEROP_IFD = 34665, 34853, 40965
SUB_DIRECTORIES = frozenset({EXIF_IFD, GPS_IFD, INTEROP_IFD})
ORIENTATION = 274
_MAX_ENTRIES = 4096
_MAX_DEPTH = 3

Readable = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Layout:
    """How a TIFF structure spells its numbers."""

    endian: str
    """"<" or ">"."""
    big: bool
    """BigTIFF: 8-byte offsets."""
    first: int
    """Where the first directory is."""


@dataclass(frozen=True)
class Place:
    """One directory entry and where its value stands."""

    tag: int
    kind: int
    count: int
    position: int
    size: int


@dataclass(frozen=True)
class Entry:
    """One directory entry with its value, little-endian; a sub-directory holds entries instead."""

    tag: int
    kind: int
    value: bytes | tuple[Entry, ...]


def layout(data: Readable) -> Layout:
    """Reads the 8 or 16 bytes in front.  ImageError when they are no TIFF header."""
    endian = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if endian is None or len(data) < 8:
        raise ImageError("not a TIFF structure")
    (magic,) = struct.unpack_from(endian + "H", data, 2)
    if magic == 42:
        return Layout(endian, False, struct.unpack_from(endian + "I", data, 4)[0])
    if magic == 43 and len(data) >= 16:
        return Layout(endian, True, struct.unpack_from(endian + "Q", data, 8)[0])
    raise ImageError(f"not a TIFF structure (version {magic})")


def places(data: Readable, form: Layout, start: int) -> tuple[list[Place], int]:
    """(entries of the directory at `start`, offset of the next directory or 0).

    Entries whose values lie outside are left out.  ImageError when the directory itself lies outside.
    """
    count_code, entry_bytes, offset_code, inline = ("Q", 20, "Q", 8) if form.big else ("H", 12, "I", 4)
    head = struct.calcsize("<" + count_code)
    if start < 8 or start + head > len(data):
        raise ImageError("a directory lies outside the file: damaged or truncated")
    (count,) = struct.unpack_from(form.endian + count_code, data, start)
    body = start + head
    if count > _MAX_ENTRIES or body + count * entry_bytes + inline > len(data):
        raise ImageError(f"a directory of {count} entries doesn't fit into the file: damaged or truncated")
    found = []
    for at in range(body, body + count * entry_bytes, entry_bytes):
        tag, kind = struct.unpack_from(form.endian + "HH", data, at)
        (number,) = struct.unpack_from(form.endian + offset_code, data, at + 4)
        value_at = at + 4 + inline
        size = TYPE_BYTES.get(kind, 0) * number
        if size > inline:
            (value_at,) = struct.unpack_from(form.endian + offset_code, data, value_at)
        if TYPE_BYTES.get(kind) and value_at + size <= len(data):
            found.append(Place(tag, kind, number, value_at, size))
    (following,) = struct.unpack_from(form.endian + offset_code, data, body + count * entry_bytes)
    return found, following


def chain(data: Readable, form: Layout, most: int) -> Iterator[list[Place]]:
    """The entries of each directory in file order; ends at a loop, and after `most`."""
    seen: set[int] = set()
    start = form.first
    while start and start not in seen and len(seen) < most:
        seen.add(start)
        entries, start = places(data, form, start)
        yield entries


def numbers(data: Readable, form: Layout, place: Place) -> tuple[int, ...]:
    """An integer entry's values; empty for other types."""
    code = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(place.kind)
    if code is None:
        return ()
    return struct.unpack_from(f"{form.endian}{place.count}{code}", data, place.position)


def rationals(data: Readable, form: Layout, place: Place) -> tuple[float, ...]:
    """An unsigned rational entry's values; infinite ones are left out."""
    if place.kind != 5:
        return ()
    flat = struct.unpack_from(f"{form.endian}{2 * place.count}I", data, place.position)
    return tuple(top / bottom for top, bottom in zip(flat[::2], flat[1::2], strict=True) if bottom)


def entry_of(data: Readable, form: Layout, place: Place, depth: int = 0) -> Entry | None:
    """The entry with its value, sub-directories followed; None when a sub-directory can't be read."""
    if place.tag in SUB_DIRECTORIES:
        start = numbers(data, form, place)
        if not start or depth >= _MAX_DEPTH:
            return None
        try:
            inner, _ = places(data, form, start[0])
        except ImageError:
            return None
        children = (entry_of(data, form, one, depth + 1) for one in inner)
        return Entry(place.tag, 4, tuple(child for child in children if child is not None))
    value = bytes(data[place.position : place.position + place.size])
    word = _WORD.get(place.kind, 1)
    if form.endian == ">" and word > 1:
        value = b"".join(value[i : i + word][::-1] for i in range(0, len(value), word))
    return Entry(place.tag, place.kind, value)


def directory(entries: tuple[Entry, ...], base: int, big: bool, following: int = 0) -> bytes:
    """Little-endian bytes of a directory that will stand at offset `base` (even), its values behind it."""
    inline, entry_bytes, count_code, offset_code = (8, 20, "<Q", "<Q") if big else (4, 12, "<H", "<I")
    ordered = sorted(entries, key=lambda entry: entry.tag)
    head = struct.calcsize(count_code) + len(ordered) * entry_bytes + inline
    table = bytearray(struct.pack(count_code, len(ordered)))
    tail = bytearray()
    for entry in ordered:
        tail += b"\0" * ((base + head + len(tail)) % 2)
        here = base + head + len(tail)
        if isinstance(entry.value, tuple):
            kind, count, cell = (16 if big else 4), 1, struct.pack(offset_code, here)
            tail += directory(entry.value, here, big)
        else:
            kind, count = entry.kind, len(entry.value) // TYPE_BYTES[entry.kind]
            fits = len(entry.value) <= inline
            cell = entry.value.ljust(inline, b"\0") if fits else struct.pack(offset_code, here)
            tail += b"" if fits else entry.value
        table += struct.pack("<HH", entry.tag, kind) + struct.pack(offset_code, count) + cell
    table += struct.pack(offset_code, following)
    return bytes(table + tail)


def block(entries: tuple[Entry, ...]) -> bytes:
    """A stand-alone little-endian TIFF structure, as EXIF wants it."""
    return b"II*\0" + struct.pack("<I", 8) + directory(entries, 8, False)


def short(tag: int, value: int) -> Entry:
    """An entry of one 16-bit number."""
    return Entry(tag, 3, struct.pack("<H", value))


def rational(tag: int, value: float) -> Entry:
    """An entry of one unsigned rational, exact to 1/10000 or better."""
    bottom = next(b for b in (10000, 100, 1) if round(value * b) < 1 << 32)
    top = round(value * bottom)
    while bottom > 1 and top % 10 == 0:
        top, bottom = top // 10, bottom // 10
    return Entry(tag, 5, struct.pack("<II", top, bottom))
