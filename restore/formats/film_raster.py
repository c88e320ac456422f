"""Owns how DPX and Cineon pack code values into words: unpacking rows, and writing single datums back into them.

A datum is one channel of one pixel.  8 and 16 bits stand for themselves; 10 and 12 bits are either packed (no bit
between datums, rows padded to 32 bits) or filled (three 10-bit datums in 32 bits, one 12-bit datum in 16) with the
spare bits below (method A) or above (method B) the datums.  Sources: SMPTE 268M-2003, annex C; of filled 10-bit words,
a picture of one channel has its first datum in the lowest bits and any other in the highest, as FFmpeg reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError

Codes = NDArray[np.uint16]
"""Code values 0 .. 2^bits - 1, whatever the depth."""


class Packing(IntEnum):
    """As DPX numbers it."""

    PACKED = 0
    FILLED_A = 1
    FILLED_B = 2


@dataclass(frozen=True)
class Raster:
    """Where one image element lies in its file, and how its datums are packed."""

    width: int
    height: int
    channels: int
    bits: int
    """8, 10, 12 or 16."""
    packing: Packing
    big_endian: bool
    offset: int
    """Of the first row, in bytes."""
    row_bytes: int
    """From one row to the next, padding included."""

    @property
    def datums(self) -> int:
        return self.width * self.channels

    @property
    def end(self) -> int:
        """Bytes that the file must have."""
        return self.offset + (self.height - 1) * self.row_bytes + used_bytes(self)

    @property
    def max_code(self) -> int:
        return (1 << self.bits) - 1


def used_bytes(raster: Raster) -> int:
    """Bytes of a row that hold datums, up to the end of their last word."""
    datums = raster.datums
    if raster.bits == 8:
        return datums
    if raster.bits == 16 or (raster.bits == 12 and raster.packing is not Packing.PACKED):
        return 2 * datums
    if raster.packing is Packing.PACKED:
        return (datums * raster.bits + 31) // 32 * 4
    return (datums + 2) // 3 * 4


def read(data: bytes | memoryview, raster: Raster) -> Codes:
    """(H, W, C) code values.  ImageError when the file ends too early."""
    rows = _rows(data, raster)
    return _unpack(rows, raster).reshape(raster.height, raster.width, raster.channels)


def patch(data: bytearray, raster: Raster, codes: Codes, changed: NDArray[np.bool_]) -> None:
    """Writes the datums of `changed` (H, W) pixels into the file's bytes; every other bit stays.

    Raises ImageError when the file ends too early, ValueError when a code doesn't fit the depth.
    """
    touched = np.flatnonzero(changed.any(axis=1))
    if not touched.size:
        return
    wanted = codes[touched]
    if wanted.max(initial=0, where=changed[touched][..., None]) > raster.max_code:
        raise ValueError(f"a code above {raster.max_code} does not fit {raster.bits} bits")
    mine = np.where(changed[touched][..., None], np.uint16(raster.max_code), np.uint16(0))
    selected = _pack(np.broadcast_to(mine, wanted.shape).reshape(len(touched), -1), raster)
    fresh = _pack((wanted & mine).reshape(len(touched), -1), raster)
    rows = _rows(data, raster)
    rows[touched] = (rows[touched] & ~selected) | fresh


def pack_all(codes: Codes, raster: Raster) -> bytes:
    """The rows of a whole picture, spare bits and padding 0, for a picture of another size than its source.

    ValueError when a code doesn't fit the depth.
    """
    if codes.max(initial=0) > raster.max_code:
        raise ValueError(f"a code above {raster.max_code} does not fit {raster.bits} bits")
    rows = np.zeros((raster.height, raster.row_bytes), np.uint8)
    rows[:, : used_bytes(raster)] = _pack(codes.reshape(raster.height, -1), raster)
    return rows.tobytes()


def of_size(raster: Raster, height: int, width: int, offset: int) -> Raster:
    """The same packing for a picture of another size, rows padded to 32 bits."""
    other = replace(raster, height=height, width=width, offset=offset)
    used = used_bytes(other)
    return replace(other, row_bytes=used + -used % 4)


def _rows(data: bytes | bytearray | memoryview, raster: Raster) -> NDArray[np.uint8]:
    """(H, used bytes) view of the file's bytes, writable if `data` is."""
    if len(data) < raster.end:
        raise ImageError(
            f"truncated: its header promises {raster.width} x {raster.height} pixels, {raster.end} bytes, but the file"
            f" has {len(data)}: copy it again from its source"
        )
    flat = np.frombuffer(data, np.uint8)
    return np.lib.stride_tricks.as_strided(
        flat[raster.offset :],
        (raster.height, used_bytes(raster)),
        (raster.row_bytes, 1),
        writeable=flat.flags.writeable,
    )


def _unpack(rows: NDArray[np.uint8], raster: Raster) -> Codes:
    """(H, datums)."""
    if raster.bits == 8:
        return rows.astype(np.uint16)
    if raster.bits in (12, 16) and (raster.bits == 16 or raster.packing is not Packing.PACKED):
        halves = _words(rows, raster, 2).astype(np.uint16)
        if raster.bits == 16:
            return halves
        return np.uint16(0xFFF) & (halves >> np.uint16(4 if raster.packing is Packing.FILLED_A else 0))
    words = _words(rows, raster, 4)
    if raster.packing is Packing.PACKED:
        return _unpack_dense(words, raster)
    codes = np.empty((len(words), words.shape[1] * 3), np.uint16)
    for place, shift in enumerate(_filled_shifts(raster)):
        codes[:, place::3] = (words >> np.uint32(shift)) & 0x3FF
    return codes[:, : raster.datums]


def _pack(codes: Codes, raster: Raster) -> NDArray[np.uint8]:
    """(N, datums) -> (N, used bytes), spare bits 0."""
    if raster.bits == 8:
        return codes.astype(np.uint8)
    if raster.bits == 16:
        return _bytes(codes, raster, 2)
    if raster.bits == 12 and raster.packing is not Packing.PACKED:
        return _bytes(codes << 4 if raster.packing is Packing.FILLED_A else codes, raster, 2)
    if raster.packing is Packing.PACKED:
        return _bytes(_pack_dense(codes, raster), raster, 4)
    padded = np.zeros((len(codes), used_bytes(raster) // 4 * 3), np.uint32)
    padded[:, : raster.datums] = codes
    words = np.zeros((len(codes), padded.shape[1] // 3), np.uint32)
    for place, shift in enumerate(_filled_shifts(raster)):
        words |= padded[:, place::3] << np.uint32(shift)
    return _bytes(words, raster, 4)


def _filled_shifts(raster: Raster) -> tuple[int, int, int]:
    spare = 2 if raster.packing is Packing.FILLED_A else 0
    high_first = (20 + spare, 10 + spare, spare)
    return high_first if raster.channels > 1 else (high_first[2], high_first[1], high_first[0])


def _unpack_dense(words: NDArray[np.uint32], raster: Raster) -> Codes:
    """Datum i has bits [i * n, (i + 1) * n) of the row, counted from the lowest bit of the first word."""
    period, per_period = _period(raster)
    groups = -(-words.shape[1] // period)
    wide = np.zeros((len(words), groups * period + 1), np.uint64)
    wide[:, : words.shape[1]] = words
    codes = np.empty((len(words), groups * per_period), np.uint16)
    for place in range(per_period):
        word, shift = divmod(place * raster.bits, 32)
        low = wide[:, word : groups * period : period]
        high = wide[:, word + 1 :: period][:, :groups]
        codes[:, place::per_period] = (low | (high << np.uint64(32))) >> np.uint64(shift) & np.uint64(raster.max_code)
    return codes[:, : raster.datums]


def _pack_dense(codes: Codes, raster: Raster) -> NDArray[np.uint32]:
    period, per_period = _period(raster)
    groups = -(-raster.datums // per_period)
    padded = np.zeros((len(codes), groups * per_period), np.uint64)
    padded[:, : raster.datums] = codes
    words = np.zeros((len(codes), groups * period), np.uint32)
    for place in range(per_period):
        word, shift = divmod(place * raster.bits, 32)
        moved = padded[:, place::per_period] << np.uint64(shift)
        words[:, word::period] |= (moved & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        if shift + raster.bits > 32:
            words[:, word + 1 :: period] |= (moved >> np.uint64(32)).astype(np.uint32)
    return words[:, : used_bytes(raster) // 4]


def _period(raster: Raster) -> tuple[int, int]:
    """(32-bit words, datums) after which the pattern repeats: (5, 16) for 10 bits, (3, 8) for 12."""
    bits = lcm(32, raster.bits)
    return bits // 32, bits // raster.bits


def _words(rows: NDArray[np.uint8], raster: Raster, size: int) -> NDArray[Any]:
    order = ">" if raster.big_endian else "<"
    return np.ascontiguousarray(rows).view(f"{order}u{size}").astype(f"u{size}")


def _bytes(words: NDArray[Any], raster: Raster, size: int) -> NDArray[np.uint8]:
    order = ">" if raster.big_endian else "<"
    return np.ascontiguousarray(words.astype(f"{order}u{size}")).view(np.uint8)
