"""Owns OpenEXR: parts, channel names and types, windows and attributes go back as they were.

OpenImageIO codes the pixels.  Files hold premultiplied colour, memory holds it straight (`formats.alpha`).  Channels
of a part may differ in type: memory holds the widest of them, and the file gets each one's own again.  Source:
OpenEXR's technical introduction.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from restore.errors import ImageError
from restore.formats import oiio
from restore.formats.container import Container, View, grew
from restore.formats.raster import BAND_BYTES, bands, joined_size, strip_bands
from restore.formats.shared import named_for_library
from restore.image import Arrangement, Document, Image

_KEPT_OUT = frozenset({"oiio:UnassociatedAlpha", "oiio:subimages", "oiio:subimagename", "openexr:chunkCount"})
_SIMPLE = (int, float, str)


def describe(_view: View) -> Container:
    """Everything is told by OpenImageIO."""
    return Container()


def checked(names: tuple[str, ...]) -> tuple[str, ...]:
    """Channel names as they are; ImageError for luminance with subsampled chroma."""
    if "RY" in names or "BY" in names:
        raise ImageError("its colours are luminance and subsampled chroma, which is not supported: convert it to RGB")
    return names


def attributes(spec: Any) -> dict[str, Any]:
    """What a part says beside its pixels, for `write`."""
    if any(str(kind) not in ("half", "float") for kind in spec.channelformats or ()):
        raise ImageError("some of its channels are integers, which is not supported: convert them to float")
    plain = [
        [one.name, str(one.type), list(one.value) if isinstance(one.value, tuple) else one.value]
        for one in spec.extra_attribs
        if one.name not in _KEPT_OUT and (isinstance(one.value, _SIMPLE) or _numbers(one.value))
    ]
    return {
        "exr.attributes": plain,
        "exr.types": [str(kind) for kind in spec.channelformats or ()],
        "exr.part": spec.getattribute("oiio:subimagename") or "",
        "exr.tile": [spec.tile_width, spec.tile_height],
        "exr.windows": [spec.x, spec.y, spec.full_x, spec.full_y, spec.full_width, spec.full_height],
    }


def write(document: Document, file: BinaryIO) -> None:
    """Half or float pages with any channels; several become parts."""
    if document.arrangement is Arrangement.CUBE_STRIP:
        specs = [_spec(document.first, *joined_size(document))]
    else:
        specs = [_spec(page, page.width, page.height) for page in document.pages]
    with named_for_library(file, ".exr") as path:
        writer = oiio.create("openexr")
        oiio.require(writer.open(path, specs if len(specs) > 1 else specs[0]), writer)
        for number, spec in enumerate(specs):
            if number:
                oiio.require(writer.open(path, spec, "AppendSubimage"), writer)
            strip = document.arrangement is Arrangement.CUBE_STRIP
            page = document.pages[number]
            step = max(1, spec.tile_height)
            rows = strip_bands(document, premultiply=True) if strip else bands(page, premultiply=True, multiple_of=step)
            for top, band in rows:
                begin, end = spec.y + top, spec.y + top + band.shape[0]
                if spec.tile_width:
                    done = writer.write_tiles(spec.x, spec.x + spec.width, begin, end, spec.z, spec.z + 1, band)
                else:
                    done = writer.write_scanlines(begin, end, 0, band)
                oiio.require(done, writer)
        oiio.require(writer.close(), writer)


def _spec(page: Image, width: int, height: int) -> Any:
    extras = page.stored.extras
    spec = oiio.make_spec(page.pixels, page.stored.channels, {})
    spec.width, spec.height, spec.full_width, spec.full_height = width, height, width, height
    spec.attribute("DateTime", "")  # else the library writes the time of day, and no two runs are alike
    for name, kind, value in extras.get("exr.attributes", []):
        spec.attribute(name, oiio.load().TypeDesc(kind), tuple(value) if isinstance(value, list) else value)
    if not extras.get("exr.attributes"):
        spec.attribute("compression", "zip")
    if len(extras.get("exr.types", ())) == len(page.stored.channels):
        spec.channelformats = tuple(oiio.load().TypeDesc(kind) for kind in extras["exr.types"])
    if extras.get("exr.part"):
        spec.attribute("oiio:subimagename", extras["exr.part"])
    tile = extras.get("exr.tile", [0, 0])
    if tile[0] and tile[1] * width * page.pixels.shape[2] * page.pixels.itemsize <= 16 * BAND_BYTES:
        spec.tile_width, spec.tile_height = tile
    if "exr.windows" in extras:
        x, y, full_x, full_y, full_width, full_height = extras["exr.windows"]
        across, down = grew(extras.get("size"), width, height)
        spec.x, spec.y = round(x * across), round(y * down)
        spec.full_x, spec.full_y = round(full_x * across), round(full_y * down)
        spec.full_width, spec.full_height = round(full_width * across), round(full_height * down)
    return spec


def _numbers(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, int | float) for item in value)
