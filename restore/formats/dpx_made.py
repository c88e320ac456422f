"""Owns new DPX files, of frames that never had one: the header that says what is known, and code values.

Source: SMPTE 268M-2003.  Big endian, 10 bits filled by method A, as scanners write it and every reader reads it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

from restore.formats import film_raster
from restore.formats.dpx import HEADER_BYTES
from restore.formats.film_raster import Codes, Packing, Raster
from restore.formats.timecode import Timecode
from restore.formats.video import Colour

DEPTHS = (8, 10, 12, 16)
CHANNELS = {("Y",): 6, ("R", "G", "B"): 50, ("R", "G", "B", "A"): 51}
"""Channels -> descriptor."""

_TRANSFERS = {1: 6, 14: 6, 15: 6, 5: 7, 6: 8, 8: 2}
_COLORIMETRICS = {1: 6, 5: 7, 6: 8}
"""H.273 code points -> DPX's: BT.709, BT.601 with 625 and 525 lines, linear."""
_UNSPECIFIED_VIDEO = 4


@dataclass(frozen=True)
class Facts:
    """What a frame's header says beside its pixels."""

    number: int
    rate: Fraction
    colour: Colour
    """As H.273 codes it."""
    sample_aspect: Fraction
    timecode: Timecode | None
    """This frame's own label."""


def made(codes: Codes, channels: tuple[str, ...], bits: int, facts: Facts) -> bytes:
    """A file with `codes` (H, W, C) as its only picture; the same bytes for the same values, without a date.

    KeyError for channels that aren't in CHANNELS, ValueError when a code doesn't fit `bits` (one of DEPTHS).
    """
    height, width, count = codes.shape
    packing = Packing.FILLED_A if bits in (10, 12) else Packing.PACKED
    start = Raster(width, height, count, bits, packing, big_endian=True, offset=HEADER_BYTES, row_bytes=0)
    raster = film_raster.of_size(start, height, width, HEADER_BYTES)
    pixels = film_raster.pack_all(codes, raster)
    head = bytearray(b"\xff" * HEADER_BYTES)

    def put(where: int, kind: str, *values: float) -> None:
        struct.pack_into(f">{kind}", head, where, *values)

    head[0:4] = b"SDPX"
    put(4, "I", HEADER_BYTES)
    head[8:16] = b"V2.0".ljust(8, b"\0")
    put(16, "IIIII", HEADER_BYTES + len(pixels), 1, 1664, 384, 0)
    for where, length in ((36, 624), (1432, 188), (1664, 48), (1732, 132)):  # texts: none
        head[where : where + length] = bytes(length)
    put(768, "HHII", 0, 1, width, height)
    put(780, "I", 0)
    top = (1 << bits) - 1
    put(784, "IfIf", 0, 0.0, top, 1.0)
    transfer = _TRANSFERS.get(facts.colour.transfer, _UNSPECIFIED_VIDEO)
    colorimetric = _COLORIMETRICS.get(facts.colour.primaries, _UNSPECIFIED_VIDEO)
    head[800:804] = bytes([CHANNELS[channels], transfer, colorimetric, bits])
    put(804, "HHIII", packing, 0, HEADER_BYTES, 0, 0)
    put(1628, "II", facts.sample_aspect.numerator, facts.sample_aspect.denominator)
    put(1712, "I", facts.number)
    put(1724, "f", float(facts.rate))
    if facts.timecode is not None:
        put(1920, "II", facts.timecode.bits, 0)
    put(1940, "f", float(facts.rate))
    return bytes(head) + pixels
