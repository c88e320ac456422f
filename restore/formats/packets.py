"""Owns a segment's file: the packets that one encoder gave, before they are joined into a film.

    magic, length of the head, head (JSON), packets, number of packets, sha256 of all before it

A packet is its frame's place in the segment, whether it is a key frame, its length, its bytes.  Timestamps are no part
of it: the joined film gets the source's.  A file that was cut off or altered doesn't verify.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from restore.errors import ImageError

_MAGIC = b"restore segment 1\n"
_PACKET = struct.Struct("<IBI")
_END = struct.Struct("<I")
_LAST = 0xFFFFFFFF


@dataclass(frozen=True)
class Packet:
    """What the encoder gave for one frame."""

    place: int
    """Of its frame among the segment's, in order of presentation."""
    is_key: bool
    data: bytes


class Writer:
    """Writes one segment's file; `close` makes it whole."""

    def __init__(self, file: BinaryIO, head: dict[str, Any]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._packets = 0
        text = json.dumps(head, sort_keys=True).encode()
        self._put(_MAGIC + _END.pack(len(text)) + text)

    def add(self, packet: Packet) -> None:
        self._put(_PACKET.pack(packet.place, packet.is_key, len(packet.data)) + packet.data)
        self._packets += 1

    def close(self) -> None:
        """Ends the file with its digest; the caller syncs and names it."""
        self._put(_PACKET.pack(_LAST, 0, self._packets))
        self._file.write(self._digest.digest())
        self._file.flush()

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)


def head_of(path: Path) -> dict[str, Any]:
    """ImageError when it is no segment."""
    with path.open("rb") as file:
        return _head(file, path, hashlib.sha256())


def packets_of(path: Path) -> Iterator[Packet]:
    """In order of decoding.  ImageError at the end, or where it shows, when the file isn't what was written."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        _head(file, path, digest)
        count = 0
        while True:
            start = file.read(_PACKET.size)
            if len(start) < _PACKET.size:
                raise _broken(path)
            place, is_key, length = _PACKET.unpack(start)
            digest.update(start)
            if place == _LAST:
                if length != count or file.read() != digest.digest():
                    raise _broken(path)
                return
            data = file.read(length)
            if len(data) < length:
                raise _broken(path)
            digest.update(data)
            count += 1
            yield Packet(place, bool(is_key), data)


def _head(file: BinaryIO, path: Path, digest: Any) -> dict[str, Any]:
    start = file.read(len(_MAGIC) + _END.size)
    if not start.startswith(_MAGIC) or len(start) < len(_MAGIC) + _END.size:
        raise _broken(path)
    text = file.read(min(_END.unpack_from(start, len(_MAGIC))[0], 1 << 24))
    digest.update(start + text)
    try:
        head: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise _broken(path) from error
    return head


def _broken(path: Path) -> ImageError:
    return ImageError(f"{path}: this segment is damaged or was cut off: delete it, and the next run makes it again")
