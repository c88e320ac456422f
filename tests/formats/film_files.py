"""DPX and Cineon files of every packing, packed bit by bit in Python: not by the code under test."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

DESCRIPTORS = {1: 6, 3: 50, 4: 51}


def pack_row(datums: list[int], bits: int, packing: int, channels: int, *, big: bool) -> bytes:
    """One row as SMPTE 268M-2003, annex C, draws it."""
    order = ">" if big else "<"
    if bits == 8:
        return bytes(datums)
    if bits == 16:
        return struct.pack(f"{order}{len(datums)}H", *datums)
    if packing == 0:
        number = sum(code << (bits * place) for place, code in enumerate(datums))
        words = -(-len(datums) * bits // 32)
        return b"".join(struct.pack(f"{order}I", number >> (32 * word) & 0xFFFFFFFF) for word in range(words))
    if bits == 12:
        return b"".join(struct.pack(f"{order}H", code << 4 if packing == 1 else code) for code in datums)
    row = b""
    for start in range(0, len(datums), 3):
        three = [*datums[start : start + 3], 0, 0][:3]
        high, middle, low = three if channels > 1 else reversed(three)
        row += struct.pack(f"{order}I", (high << 20 | middle << 10 | low) << (2 if packing == 1 else 0))
    return row


def dpx_file(
    codes: NDArray[np.uint16],
    bits: int,
    packing: int,
    *,
    big: bool,
    user: bytes = b"",
    row_padding: bytes = b"",
    spare: int = 0,
    descriptor: int | None = None,
) -> bytes:
    """A DPX file with film and TV information; `spare` is or-ed into the row's words of filled 10 bits.

    `descriptor` 100 to 103: Y'CbCr of BT.709.
    """
    height, width, channels = codes.shape
    order = ">" if big else "<"
    rows = [pack_row(row.ravel().tolist(), bits, packing, channels, big=big) for row in codes]
    if spare:
        rows = [(int.from_bytes(row, "big") | int.from_bytes(_spread(spare, len(row), order), "big")) for row in rows]
        rows = [
            row.to_bytes(len(pack_row(codes[0].ravel().tolist(), bits, packing, channels, big=big))) for row in rows
        ]
    pixels = b"".join(row + row_padding for row in rows)
    head = bytearray(b"\xff" * 2048)
    offset = 2048 + len(user)

    def put(where: int, kind: str, *values: object) -> None:
        struct.pack_into(order + kind, head, where, *values)

    head[0:4] = b"SDPX" if big else b"XPDS"
    put(4, "I", offset)
    head[8:16] = b"V2.0\0\0\0\0"
    put(16, "I", offset + len(pixels))
    put(24, "III", 1664, 384, len(user))
    head[36:136] = b"reel.1001.dpx".ljust(100, b"\0")
    put(768, "HHII", 0, 1, width, height)
    put(780, "II", 0, 95)
    put(792, "I", 685)
    kind = (6, 6) if descriptor else (1, 1)
    head[800:804] = bytes([descriptor or DESCRIPTORS[channels], *kind, bits])
    put(804, "HHII", packing, 0, offset, len(row_padding) or 0xFFFFFFFF)
    put(1712, "I", 86400)
    put(1724, "f", 24.0)
    head[1732:1764] = b"KJ 12 3456".ljust(32, b"\0")
    put(1920, "I", 0x01234512)
    return bytes(head) + user + pixels


def cineon_file(codes: NDArray[np.uint16]) -> bytes:
    """A 10-bit Cineon file, as Kodak's scanners wrote it."""
    height, width, channels = codes.shape
    rows = [pack_row(row.ravel().tolist(), 10, 1, channels, big=True) for row in codes]
    head = bytearray(2048)
    struct.pack_into(">IIIIII", head, 0, 0x802A5FD7, 2048, 1024, 1024, 0, 2048 + sum(map(len, rows)))
    head[24:32] = b"V4.5\0\0\0\0"
    head[192:194] = bytes([0, channels])
    for i in range(channels):
        struct.pack_into(">BBBBIIffff", head, 196 + 28 * i, 0, i + 1, 10, 0, width, height, 0, 0, 1023, 2.046)
    head[680:683] = bytes([0, 5, 0])
    struct.pack_into(">II", head, 684, 0, 0)
    head[1076:1108] = b"KJ 12 3456".ljust(32, b"\0")
    return bytes(head) + b"".join(rows)


def _spread(spare: int, length: int, order: str) -> bytes:
    return struct.pack(f"{order}I", spare) * (length // 4)
