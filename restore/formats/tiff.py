"""Owns TIFF and BigTIFF: pages, compression, layout and tags go back as they were.

OpenImageIO codes the pixels.  It would rewrite or drop most tags and date the file, so after it each directory is
written anew: what describes the samples comes from its own, everything else from the source's.  Pixel density is
multiplied by the scale.  Maker notes with absolute offsets inside EXIF are copied but can't be followed.  Source:
TIFF 6.0.
"""

from __future__ import annotations

import mmap
import os
import struct
from itertools import islice
from typing import Any, BinaryIO

from restore.errors import ImageError
from restore.formats import exif, ifd, oiio
from restore.formats.container import MAX_METADATA_BYTES, Container, View, grew
from restore.formats.raster import BAND_BYTES, bands, joined_size, strip_bands
from restore.formats.shared import named_for_library
from restore.image import Alpha, Arrangement, Document, Image, Transfer

_SAMPLES = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 322, 323, 324, 325, 338, 339, 347, 530, 532}
)
"""Tags that describe how the samples stand in the file: the writer's own."""
_STALE = _SAMPLES | {263, 265, 280, 281, 288, 289, 290, 291, 301, 320, 336, 340, 341, 342, 512, 513, 529, 531, 37724}
"""Tags of the source that would be wrong beside other samples."""
_PLACED = frozenset({33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113, 50844, 65000})
"""Tags that tie pixels to places on Earth."""
_LAYERS, _SUB_DIRECTORIES = 37724, 330
_X_DENSITY, _Y_DENSITY, _DENSITY_UNIT = 282, 283, 296
_XMP, _IPTC, _ICC = 700, 33723, 34675
_EXIF_MAY_HOLD = frozenset({270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 33432, ifd.EXIF_IFD, ifd.GPS_IFD})
_COMPRESSIONS = frozenset({"none", "lzw", "zip", "packbits"})
_COMPRESSION_CODES = frozenset({1, 5, 8, 32946, 32773})
_CLASSIC_BYTES = 4_000_000_000
_NO_DATE = ""
"""For the library, which else writes the time of day: its directory goes, but its bytes stay in the file, unlinked."""
MAX_PAGES = 1024


def describe(view: View) -> Container:
    """Reads every directory, none of the pixels."""
    found = Container()
    with memoryview(view) as data:
        form = ifd.layout(data)
        for number, places in enumerate(islice(ifd.chain(data, form, MAX_PAGES), MAX_PAGES)):
            by_tag = {place.tag: place for place in places}
            if sum(place.size for place in places if place.tag not in _SAMPLES) > MAX_METADATA_BYTES:
                raise ImageError(f"its metadata takes more than {MAX_METADATA_BYTES >> 20} MiB: strip it first")
            if _SUB_DIRECTORIES in by_tag:
                raise ImageError("it holds pages inside pages (SubIFDs), which is not supported: flatten it first")
            if number == 0:
                _understand_first(data, form, by_tag, found)
            _note_oddities(data, form, by_tag, found, number)
            found.page_extras.append(_page_extras(data, form, places))
    if not found.page_extras:
        raise ImageError("it has no page: damaged or truncated")
    found.extras["tiff.big"] = form.big
    return found


def attributes(spec: Any) -> dict[str, Any]:
    """How the samples of a page stand in the file, for `write`."""
    return {
        "tiff.compression": spec.getattribute("compression") or "none",
        "tiff.planar": spec.getattribute("planarconfig") or "contig",
        "tiff.predictor": spec.getattribute("tiff:Predictor") or 0,
        "tiff.tile": [spec.tile_width, spec.tile_height],
    }


def write(document: Document, file: BinaryIO) -> None:
    """Any pages of 8 or 16 bits or of floats, with any channels."""
    strip = document.arrangement is Arrangement.CUBE_STRIP
    pages = document.pages[:1] if strip else document.pages
    raw_bytes = sum(page.pixels.nbytes for page in document.pages)
    big = bool(document.first.stored.extras.get("tiff.big")) or raw_bytes > _CLASSIC_BYTES
    with named_for_library(file, ".tif") as path:
        writer = oiio.create("tiff")
        for number, page in enumerate(pages):
            width, height = joined_size(document) if strip else (page.width, page.height)
            spec = _spec(page, width, height, big)
            oiio.require(writer.open(path, spec, "AppendSubimage" if number else "Create"), writer)
            step, mixed = max(1, spec.tile_height), page.stored.alpha is Alpha.PREMULTIPLIED
            rows = strip_bands(document, premultiply=mixed)
            for top, band in rows if strip else bands(page, premultiply=mixed, multiple_of=step):
                if spec.tile_width:
                    done = writer.write_tiles(0, width, top, top + band.shape[0], 0, 1, band)
                else:
                    done = writer.write_scanlines(top, top + band.shape[0], 0, band)
                oiio.require(done, writer)
        oiio.require(writer.close(), writer)
    _replace_directories(file, [_metadata(page) for page in pages])


def _understand_first(data: memoryview, form: ifd.Layout, by_tag: dict[int, ifd.Place], found: Container) -> None:
    def first(tag: int, default: int) -> int:
        values = ifd.numbers(data, form, by_tag[tag]) if tag in by_tag else ()
        return values[0] if values else default

    turned = first(ifd.ORIENTATION, 1)
    found.orientation = turned if 1 <= turned <= 8 else 1
    for tag, key in ((_XMP, "xmp"), (_IPTC, "iptc"), (_ICC, "icc")):
        if tag in by_tag:
            place = by_tag[tag]
            found.extras[key] = bytes(data[place.position : place.position + place.size])
    entries = {tag: ifd.entry_of(data, form, by_tag[tag]) for tag in sorted(_EXIF_MAY_HOLD & by_tag.keys())}
    known = {tag: entry for tag, entry in entries.items() if entry is not None}
    if known:
        found.extras["exif"] = exif.from_entries(known)
    density = [ifd.rationals(data, form, by_tag[tag]) for tag in (_X_DENSITY, _Y_DENSITY) if tag in by_tag]
    unit = first(_DENSITY_UNIT, 2)
    if len(density) == 2 and all(density) and unit in (2, 3):
        found.extras["density"] = [values[0] * (100 if unit == 3 else 1 / 0.0254) for values in density]
    if first(339, 1) == 3:
        found.transfer = Transfer.LINEAR


def _note_oddities(
    data: memoryview, form: ifd.Layout, by_tag: dict[int, ifd.Place], found: Container, number: int
) -> None:
    where = f"page {number + 1}: " if number else ""
    kind = ifd.numbers(data, form, by_tag[262])[:1] if 262 in by_tag else ()
    bits = ifd.numbers(data, form, by_tag[258])[:1] if 258 in by_tag else (1,)
    code = ifd.numbers(data, form, by_tag[259])[:1] if 259 in by_tag else (1,)
    if code and code[0] not in _COMPRESSION_CODES:
        name = {2: "CCITT", 3: "CCITT", 4: "CCITT", 6: "JPEG", 7: "JPEG"}.get(code[0], f"number {code[0]}")
        found.notes.append(f"{where}compression {name} can't be written: ZIP is used, which loses nothing")
    if kind == (3,):
        found.notes.append(f"{where}palette of {1 << min(bits[0], 16)} entries expanded to RGB")
    elif bits and bits[0] not in (8, 16, 32, 64):
        found.notes.append(f"{where}{bits[0]}-bit samples expanded to {8 if bits[0] < 8 else 16} bits")
    if kind == (0,):
        found.notes.append(f"{where}written with 0 as black, the picture is the same")
    if kind == (6,):
        found.notes.append(f"{where}YCbCr colours written as RGB")
    if _LAYERS in by_tag:
        found.notes.append(f"{where}Photoshop layers left out: the flat picture is kept")
    if placed := sorted(_PLACED & by_tag.keys()):
        found.notes.append(f"{where}georeferencing tags left out: {', '.join(map(str, placed))}")


def _page_extras(data: memoryview, form: ifd.Layout, places: list[ifd.Place]) -> dict[str, Any]:
    entries = (ifd.entry_of(data, form, place) for place in places if place.tag not in _STALE | _PLACED)
    return {"tiff.entries": [_plain(entry) for entry in entries if entry is not None]}


def _plain(entry: ifd.Entry) -> list[Any]:
    if isinstance(entry.value, tuple):
        return [entry.tag, entry.kind, [_plain(one) for one in entry.value]]
    return [entry.tag, entry.kind, entry.value]


def _entry(plain: list[Any]) -> ifd.Entry:
    tag, kind, value = plain
    return ifd.Entry(tag, kind, tuple(_entry(one) for one in value) if isinstance(value, list) else value)


def _spec(page: Image, width: int, height: int, big: bool) -> Any:
    extras = page.stored.extras
    compression = extras.get("tiff.compression", "zip")
    if compression not in _COMPRESSIONS:
        compression = "zip"
    wanted: dict[str, Any] = {"compression": compression, "tiff:bigtiff": int(big), "tiff:write_exif": 0}
    wanted["DateTime"] = _NO_DATE
    if page.stored.is_float and page.stored.bits == 16:
        wanted["tiff:half"] = 1
    if extras.get("tiff.planar") == "separate":
        wanted["planarconfig"] = "separate"
    if compression in ("lzw", "zip"):
        default = 1 if page.stored.is_float else 2
        wanted["tiff:Predictor"] = extras.get("tiff.predictor", default) or 1
    spec = oiio.make_spec(page.pixels, page.stored.channels, wanted)
    spec.width, spec.height, spec.full_width, spec.full_height = width, height, width, height
    if page.stored.alpha is Alpha.PREMULTIPLIED:
        spec.erase_attribute("oiio:UnassociatedAlpha")
    tile_width, tile_height = extras.get("tiff.tile", [0, 0])
    if tile_width and tile_height * width * page.pixels.shape[2] * page.pixels.itemsize <= 16 * BAND_BYTES:
        spec.tile_width, spec.tile_height = tile_width, tile_height
    return spec


def _metadata(page: Image) -> tuple[ifd.Entry, ...]:
    extras = page.stored.extras
    factors = grew(extras.get("size"), page.width, page.height)
    if "tiff.entries" in extras:
        entries = {entry.tag: entry for entry in map(_entry, extras["tiff.entries"])}
    else:
        entries = _foreign(extras)
    unit = entries.get(_DENSITY_UNIT)
    if unit is None or unit.value != struct.pack("<H", 1):  # unit 1 is no unit: only a ratio, which stays
        for tag, factor in ((_X_DENSITY, factors[0]), (_Y_DENSITY, factors[1])):
            if tag in entries and (value := _rational_value(entries[tag])):
                entries[tag] = ifd.rational(tag, value * factor)
    if ifd.EXIF_IFD in entries:
        entries[ifd.EXIF_IFD] = _with_size(entries[ifd.EXIF_IFD], page.width, page.height)
    return tuple(entries.values())


def _foreign(extras: Any) -> dict[int, ifd.Entry]:
    found = exif.entries_of(extras["exif"]) if "exif" in extras else {}
    entries = {tag: entry for tag, entry in found.items() if tag in _EXIF_MAY_HOLD}
    for tag, key, kind in ((_XMP, "xmp", 1), (_IPTC, "iptc", 7), (_ICC, "icc", 7)):
        if key in extras:
            entries[tag] = ifd.Entry(tag, kind, extras[key])
    if "density" in extras:
        x, y = (value * 0.0254 for value in extras["density"])
        entries[_X_DENSITY], entries[_Y_DENSITY] = ifd.rational(_X_DENSITY, x), ifd.rational(_Y_DENSITY, y)
        entries[_DENSITY_UNIT] = ifd.short(_DENSITY_UNIT, 2)
    return entries


def _rational_value(entry: ifd.Entry) -> float:
    if entry.kind != 5 or isinstance(entry.value, tuple) or len(entry.value) != 8:
        return 0.0
    top, bottom = struct.unpack("<II", entry.value)
    return top / bottom if bottom else 0.0


def _with_size(entry: ifd.Entry, width: int, height: int) -> ifd.Entry:
    if not isinstance(entry.value, tuple):
        return entry
    sizes = {40962: width, 40963: height}
    inner = tuple(
        ifd.Entry(one.tag, 4, struct.pack("<I", sizes[one.tag])) if one.tag in sizes else one for one in entry.value
    )
    return ifd.Entry(entry.tag, entry.kind, inner)


def _replace_directories(file: BinaryIO, metadata: list[tuple[ifd.Entry, ...]]) -> None:
    """Writes new directories behind the file and links them instead of the old ones."""
    size = os.fstat(file.fileno()).st_size
    with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as view, memoryview(view) as data:
        form = ifd.layout(data)
        kept = []
        for places in ifd.chain(data, form, MAX_PAGES + 1):
            own = (ifd.entry_of(data, form, place) for place in places if place.tag in _SAMPLES)
            kept.append(tuple(entry for entry in own if entry is not None))
    if form.endian != "<" or len(kept) != len(metadata):
        raise ImageError("can't be encoded: the TIFF writer's output is not as expected")
    start = first = size + size % 2
    blocks = b"\0" * (size % 2)
    for number, (samples, others) in enumerate(zip(kept, metadata, strict=True)):
        entries = (*samples, *(entry for entry in others if entry.tag not in _SAMPLES))
        length = len(ifd.directory(entries, start, form.big))
        following = start + length + length % 2 if number + 1 < len(kept) else 0
        blocks += ifd.directory(entries, start, form.big, following) + b"\0" * (length % 2)
        start = following
    file.seek(size)
    file.write(blocks)
    file.seek(8 if form.big else 4)
    file.write(struct.pack("<Q" if form.big else "<I", first))
    file.flush()
