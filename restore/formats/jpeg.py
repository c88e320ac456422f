"""Owns JPEG: its segments go from source to output as they are, and so do its quantisation tables and subsampling.

OpenImageIO decodes.  Pillow encodes, because OpenImageIO can't be given quantisation tables: with the source's own
tables and subsampling the output has the source's quality, and no quality number has to be guessed.  The price is one
copy of the picture, in Pillow's own layout.  Source: ITU-T T.81 (1992), JFIF 1.02.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from restore.errors import ImageError
from restore.formats import exif, ifd
from restore.formats.container import MAX_METADATA_BYTES, Container, View, grew
from restore.formats.pillow import image_of
from restore.formats.shared import splice
from restore.image import Document

_SOF = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_DQT, _SOS, _EOI, _COM, _APP0, _APP1, _APP2, _APP13, _APP14 = 0xDB, 0xDA, 0xD9, 0xFE, 0xE0, 0xE1, 0xE2, 0xED, 0xEE
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_ICC = b"ICC_PROFILE\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_ZIGZAG = tuple(
    sorted(range(64), key=lambda at: (sum(divmod(at, 8)), at // 8 if sum(divmod(at, 8)) % 2 else -(at // 8)))
)
"""Where each coefficient of a table lies: along the diagonals, down every other one (T.81, figure A.6)."""
_SAMPLING = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0"}
DEFAULT_QUALITY = 95
"""For pictures that don't come from a JPEG; with full chroma."""


def describe(view: View) -> Container:
    """Reads all segments in front of the first scan."""
    found = Container()
    segments: list[list[Any]] = []
    tables: dict[int, list[int]] = {}
    icc: dict[int, bytes] = {}
    frame: tuple[int, bytes] | None = None
    adobe: int | None = None
    total = 0
    for marker, start, length in _segments(view):
        payload = bytes(view[start : start + length])
        if marker == _DQT:
            tables.update(_tables(payload))
        elif marker in _SOF:
            frame = (marker, payload)
        elif marker == _APP14 and payload.startswith(b"Adobe") and length >= 12:
            adobe = payload[11]
        elif marker == _APP0 + 2 and payload.startswith(b"MPF\0"):
            _refuse_further_pictures(payload)
        elif _APP0 <= marker <= 0xEF or marker == _COM:
            total += length
            if total > MAX_METADATA_BYTES:
                raise ImageError(f"its metadata takes more than {MAX_METADATA_BYTES >> 20} MiB: strip it first")
            segments.append([marker, payload])
            _understand(marker, payload, found, icc)
    if frame is None:
        raise ImageError("it has no frame header: damaged or truncated")
    _understand_frame(frame, adobe, tables, found)
    if icc:
        found.extras["icc"] = b"".join(icc[i] for i in sorted(icc))
    found.extras["jpeg.segments"] = segments
    return found


def write(document: Document, file: BinaryIO) -> None:
    """One 8-bit page of grey or RGB."""
    page = document.first
    extras = page.stored.extras
    options: dict[str, Any] = {"quality": DEFAULT_QUALITY, "subsampling": "4:4:4"}
    if "jpeg.tables" in extras:
        options = {
            "qtables": extras["jpeg.tables"],
            "progressive": extras["jpeg.progressive"],
            **({"subsampling": extras["jpeg.sampling"]} if extras["jpeg.sampling"] else {}),
            **({"keep_rgb": True} if extras["jpeg.rgb"] else {}),
        }
    with image_of(document) as picture:
        try:
            picture.save(file, "JPEG", optimize=False, **options)
        except (OSError, ValueError) as error:
            raise ImageError(f"can't be encoded as JPEG: {error}") from error
    file.flush()
    _replace_segments(file, _segments_for(document))


def _segments(view: View) -> Iterator[tuple[int, int, int]]:
    """(marker, start of payload, its length) up to the first scan."""
    at = 2
    while at + 4 <= len(view):
        if view[at] != 0xFF:
            return
        marker = view[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:  # fill bytes, and markers without a length
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", view, at + 2)
        if marker in (_SOS, _EOI) or length < 2 or at + 2 + length > len(view):
            return
        yield marker, at + 4, length - 2
        at += 2 + length


def _tables(payload: bytes) -> Iterator[tuple[int, list[int]]]:
    at = 0
    while at < len(payload):
        wide, number = payload[at] >> 4, payload[at] & 15
        size = 128 if wide else 64
        if at + 1 + size > len(payload):
            return
        raw = struct.unpack_from(">64H" if wide else ">64B", payload, at + 1)
        natural = [0] * 64
        for position, value in zip(_ZIGZAG, raw, strict=True):
            natural[position] = value
        yield number, natural
        at += 1 + size


def _understand(marker: int, payload: bytes, found: Container, icc: dict[int, bytes]) -> None:
    if marker == _APP1 and payload.startswith(exif.PREFIX):
        found.extras["exif"] = payload[len(exif.PREFIX) :]
        found.orientation = exif.orientation(found.extras["exif"])
    elif marker == _APP1 and payload.startswith(_XMP):
        found.extras["xmp"] = payload[len(_XMP) :]
    elif marker == _APP2 and payload.startswith(_ICC) and len(payload) >= 14:
        icc[payload[12]] = payload[14:]
    elif marker == _APP0 and payload.startswith(b"JFIF\0") and len(payload) >= 14:
        unit, x, y = struct.unpack_from(">BHH", payload, 7)
        if unit in (1, 2) and x and y:
            factor = 100 if unit == 2 else 1 / 0.0254
            found.extras["density"] = [x * factor, y * factor]


def _understand_frame(
    frame: tuple[int, bytes], adobe: int | None, tables: dict[int, list[int]], found: Container
) -> None:
    marker, payload = frame
    if len(payload) < 6 or len(payload) < 6 + 3 * payload[5]:
        raise ImageError("its frame header is cut short: damaged or truncated")
    depth, height, width, count = struct.unpack_from(">BHHB", payload)
    if depth != 8:
        raise ImageError(f"it is a {depth}-bit JPEG, which is not supported: convert it to a 16-bit PNG first")
    if count == 4:
        raise ImageError("its colours are CMYK, which is not supported: convert it to RGB first")
    found.size = (width, height)
    parts = [(payload[6 + 3 * i], payload[7 + 3 * i], payload[8 + 3 * i]) for i in range(count)]
    found.extras["jpeg.tables"] = _tables_in_order([tables.get(table) for _, _, table in parts])
    if found.extras["jpeg.tables"] is None:
        del found.extras["jpeg.tables"]  # lossless, or its tables come later: quality can't be kept
        found.notes.append(f"no quantisation tables: written with quality {DEFAULT_QUALITY}")
    found.extras["jpeg.progressive"] = marker in (0xC2, 0xC6, 0xCA, 0xCE)
    found.extras["jpeg.rgb"] = count == 3 and (adobe == 0 or bytes(part[0] for part in parts) == b"RGB")
    found.extras["jpeg.sampling"] = _sampling([part[1] for part in parts], found) if count == 3 else ""


def _tables_in_order(tables: list[list[int] | None]) -> list[list[int]] | None:
    """One table a component as Pillow wants them: the last one given serves all further components."""
    wanted = [table for table in tables if table is not None]
    if len(wanted) != len(tables):
        return None
    while len(wanted) > 1 and wanted[-1] == wanted[-2]:
        wanted.pop()
    return wanted


def _sampling(factors: list[int], found: Container) -> str:
    (lx, ly), *chroma = [(factor >> 4, factor & 15) for factor in factors]
    if len(set(chroma)) == 1 and all(chroma[0]) and lx % chroma[0][0] == 0 and ly % chroma[0][1] == 0:
        ratio = (lx // chroma[0][0], ly // chroma[0][1])
        if ratio in _SAMPLING:
            return _SAMPLING[ratio]
    found.notes.append("unusual chroma subsampling: written with full chroma (4:4:4)")
    return "4:4:4"


def _refuse_further_pictures(payload: bytes) -> None:
    form_at = 4
    try:
        form = ifd.layout(payload[form_at:])
        entries, _ = ifd.places(payload[form_at:], form, form.first)
    except ImageError:
        return
    for place in entries:
        count = ifd.numbers(payload[form_at:], form, place)
        if place.tag == 0xB001 and count and count[0] > 1:
            raise ImageError(
                f"it holds {count[0]} pictures (multi-picture format), which is not supported: save the first one alone"
            )


def _segments_for(document: Document) -> list[tuple[int, bytes]]:
    page = document.first
    extras = page.stored.extras
    factors = grew(extras.get("size"), page.width, page.height)
    if "jpeg.segments" in extras:
        return [(m, _sized(m, data, page.width, page.height, factors)) for m, data in extras["jpeg.segments"]]
    segments = [(_APP0, _jfif(extras, factors))]
    if "exif" in extras:
        segments.append((_APP1, exif.PREFIX + exif.resized(extras["exif"], page.width, page.height, factors)))
    if "xmp" in extras:
        segments.append((_APP1, _XMP + extras["xmp"]))
    if "iptc" in extras:
        segments.append((_APP13, _PHOTOSHOP + _resource(extras["iptc"])))
    for what, (_, data) in zip(("", "EXIF", "XMP", "IPTC"), segments, strict=False):
        if len(data) > 65533:
            raise ImageError(f"its {what} data is too long for one JPEG segment: use --format png")
    icc = extras.get("icc", b"")
    parts = [icc[i : i + 65519] for i in range(0, len(icc), 65519)]
    segments += [(_APP2, _ICC + bytes([i, len(parts)]) + part) for i, part in enumerate(parts, 1)]
    return segments


def _jfif(extras: Any, factors: tuple[float, float]) -> bytes:
    unit, x, y = 0, 1, 1
    if "density" in extras:
        wanted = [round(value * factor * 0.0254) for value, factor in zip(extras["density"], factors, strict=True)]
        if all(1 <= value < 1 << 16 for value in wanted):
            unit, x, y = 1, wanted[0], wanted[1]
    return b"JFIF\0" + struct.pack(">BBBHHBB", 1, 2, unit, x, y, 0, 0)


def _resource(iptc: bytes) -> bytes:
    return b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)


def _sized(marker: int, data: bytes, width: int, height: int, factors: tuple[float, float]) -> bytes:
    if marker == _APP1 and data.startswith(exif.PREFIX):
        return exif.PREFIX + exif.resized(data[len(exif.PREFIX) :], width, height, factors)
    if marker == _APP0 and data.startswith(b"JFIF\0") and len(data) >= 14:
        unit, x, y = struct.unpack_from(">BHH", data, 7)
        scaled = [round(v * f) for v, f in zip((x, y), factors, strict=True)]
        if unit and all(0 < value < 1 << 16 for value in scaled):
            return data[:8] + struct.pack(">HH", *scaled) + data[12:]
    return data


def _replace_segments(file: BinaryIO, segments: list[tuple[int, bytes]]) -> None:
    """Takes out Pillow's JFIF segment and puts these in after the start marker."""
    file.seek(0)
    head = file.read(4096)
    end = 2
    if head[2:4] == bytes([0xFF, _APP0]):
        end = 4 + struct.unpack_from(">H", head, 4)[0]
    ours = b"".join(struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data for marker, data in segments)
    splice(file, 2, end, ours)
