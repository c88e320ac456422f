"""Owns the shape of samples in Matroska files: PyAV's writer has no way to ask for it, so it is put in afterwards.

The Tracks element grows by DisplayWidth and DisplayHeight; it and what precedes it move into the empty space that
FFmpeg leaves behind the table of contents, so clusters stay where they are.  Sources: RFC 9559 (Matroska), RFC 8794
(EBML).
"""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from typing import BinaryIO

from restore.errors import ImageError

_SEGMENT, _SEEK_HEAD, _SEEK, _SEEK_POSITION = 0x18538067, 0x114D9B74, 0x4DBB, 0x53AC
_TRACKS, _TRACK, _VIDEO = 0x1654AE6B, 0xAE, 0xE0
_VOID, _CRC = 0xEC, 0xBF
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_AS_ASPECT = 3
_HEAD_BYTES = 1 << 20
"""Tracks begin long before that, unless a codec's private data is huge."""

Element = tuple[int, bytes]
"""(id, content)."""


def set_sample_aspect(file: BinaryIO, aspect: Fraction, width: int, height: int) -> None:
    """Gives the first picture track of a finished file its sample aspect; `file` is open for reading and writing.

    ImageError when the file has no room for it.
    """
    if aspect == 1:
        return
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    where = _start_of(head, _SEGMENT)
    places = _top_level(head, where)
    void = places.get(_VOID)
    tracks = places.get(_TRACKS)
    contents = places.get(_SEEK_HEAD)
    if void is None or tracks is None or contents is None or not contents[0] < void[0] < tracks[0]:
        raise ImageError("the joined film has no room for its sample aspect")
    old = head[tracks[0] : tracks[1]]
    fresh = _rebuilt(old, aspect, width, height)
    grown = len(fresh) - len(old)
    room = void[1] - void[0] - grown
    if room < 2:
        raise ImageError("the joined film has no room for its sample aspect")
    moved = head[void[1] : tracks[0]]
    table = _moved_entries(head[contents[0] : contents[1]], void[1] - where, tracks[1] - where, grown)
    between = head[contents[1] : void[0]]
    empty = bytes([_VOID]) + (struct.pack(">B", 0x80 | (room - 2)) if room < 129 else _size8(room - 9))
    empty += b"\0" * (room - len(empty))
    patched = table + between + empty + moved + fresh
    if len(patched) != tracks[1] - contents[0]:
        raise ImageError("the joined film has no room for its sample aspect")
    file.seek(contents[0])
    file.write(patched)
    file.flush()


def _rebuilt(tracks: bytes, aspect: Fraction, width: int, height: int) -> bytes:
    wide, tall = Fraction(width) * aspect, Fraction(height)
    unit = b""
    if wide.denominator != 1:
        wide, tall = Fraction(width), Fraction(height) / aspect
    if tall.denominator != 1:
        shape = Fraction(width, height) * aspect
        wide, tall, unit = Fraction(shape.numerator), Fraction(shape.denominator), _element(_DISPLAY_UNIT, b"\3")
    sizes = _element(_DISPLAY_WIDTH, _uint(int(wide))) + _element(_DISPLAY_HEIGHT, _uint(int(tall))) + unit
    known = (_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT)
    done = False
    content = b""
    for kind, body in _children(_body(tracks)):
        if kind == _TRACK and not done and any(child == _VIDEO for child, _ in _children(body)):
            body = b"".join(  # noqa: PLW2901
                _element(child, _without(inner, known) + sizes if child == _VIDEO else inner)
                for child, inner in _children(body)
            )
            done = True
        if kind != _CRC:
            content += _element(kind, body)
    return _with_crc(_TRACKS, content, had=any(kind == _CRC for kind, _ in _children(_body(tracks))))


def _moved_entries(table: bytes, start: int, end: int, shift: int) -> bytes:
    """The table of contents with places in [start, end) of the segment `shift` bytes earlier."""
    content, crc = b"", False
    for kind, body in _children(_body(table)):
        if kind == _CRC:
            crc = True
            continue
        if kind == _SEEK:
            parts = []
            for child, inner in _children(body):
                place = int.from_bytes(inner, "big")
                if child == _SEEK_POSITION and start <= place < end:
                    inner = (place - shift).to_bytes(len(inner), "big")  # noqa: PLW2901
                parts.append(_element(child, inner))
            body = b"".join(parts)  # noqa: PLW2901
        content += _element(kind, body)
    fresh = _with_crc(_SEEK_HEAD, content, had=crc)
    if len(fresh) == len(table):
        return fresh
    body_bytes = len(fresh) - 4 - _size_length(fresh[4])  # the table had longer sizes than needed: keep its length
    return fresh[:4] + _padded_size(body_bytes, len(table) - 4 - body_bytes) + fresh[-body_bytes:]


def _with_crc(kind: int, content: bytes, *, had: bool) -> bytes:
    crc = _element(_CRC, struct.pack("<I", zlib.crc32(content))) if had else b""
    return _element(kind, crc + content)


def _without(content: bytes, kinds: tuple[int, ...]) -> bytes:
    return b"".join(_element(kind, body) for kind, body in _children(content) if kind not in kinds)


def _top_level(head: bytes, where: int) -> dict[int, tuple[int, int]]:
    """id -> (start, end) in the file, of the first element of each kind that lies in `head` whole."""
    found: dict[int, tuple[int, int]] = {}
    at = where
    while at + 12 < len(head):
        kind, after = _id(head, at)
        size, body = _size(head, after)
        if body + size > len(head):
            break
        found.setdefault(kind, (at, body + size))
        at = body + size
    return found


def _start_of(head: bytes, wanted: int) -> int:
    at = 0
    while at + 12 < len(head):
        kind, after = _id(head, at)
        size, body = _size(head, after)
        if kind == wanted:
            return body
        at = body + size
    raise ImageError("the joined film is no Matroska file")


def _children(content: bytes) -> list[Element]:
    found, at = [], 0
    while at < len(content):
        kind, after = _id(content, at)
        size, body = _size(content, after)
        found.append((kind, content[body : body + size]))
        at = body + size
    return found


def _body(element: bytes) -> bytes:
    _, after = _id(element, 0)
    _, body = _size(element, after)
    return element[body:]


def _id(data: bytes, at: int) -> tuple[int, int]:
    length = 9 - data[at].bit_length()
    return int.from_bytes(data[at : at + length], "big"), at + length


def _size_length(first: int) -> int:
    return 9 - first.bit_length()


def _size(data: bytes, at: int) -> tuple[int, int]:
    length = _size_length(data[at])
    return int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1), at + length


def _padded_size(size: int, length: int) -> bytes:
    return (size | 1 << 7 * length).to_bytes(length, "big")


def _size8(size: int) -> bytes:
    return _padded_size(size, 8)


def _uint(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def _element(kind: int, content: bytes) -> bytes:
    length = next(n for n in range(1, 9) if len(content) < (1 << 7 * n) - 1)
    return _uint(kind) + _padded_size(len(content), length) + content
