"""Owns decoding one file, inside the limited child: OpenImageIO for pixels, each format's own module for the rest."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from restore.errors import ImageError
from restore.formats import alpha, bmp, dds, exr, jpeg, oiio, png, pnm, tga, tiff, webp
from restore.formats.catalogue import FORMATS, Header, colour_channels, is_constant, is_finite
from restore.formats.container import Container, Describe
from restore.formats.raster import band_rows
from restore.formats.sniff import HEAD_BYTES, sniff
from restore.image import Alpha, Arrangement, Pixels, Stored, Transfer

_DESCRIBE: Mapping[str, Describe] = MappingProxyType(
    {module.__name__.rpartition(".")[2]: module.describe for module in (bmp, dds, exr, jpeg, png, pnm, tga, tiff, webp)}
)
_TYPES = {"uint8": np.uint8, "uint16": np.uint16, "half": np.float16, "float": np.float32}
_SPACES = frozenset({"CMYK", "color separated", "CIELAB", "ICCLAB", "ITULAB", "YCCK", "LOGL", "LOGLUV"})


@dataclass(frozen=True)
class Limits:
    """What one file may ask for."""

    pixels: int
    pages: int
    memory_bytes: int


@dataclass(frozen=True)
class Page:
    """One picture of a file: where its pixels will lie in the shared memory, and how the file holds them."""

    width: int
    height: int
    dtype: str
    offset: int
    stored: Stored

    @property
    def row_bytes(self) -> int:
        return self.width * len(self.stored.channels) * np.dtype(self.dtype).itemsize

    @property
    def end(self) -> int:
        return self.offset + self.height * self.row_bytes


@dataclass(frozen=True)
class Opened:
    """A file whose headers were read."""

    reader: Any
    header: Header
    pages: tuple[Page, ...]
    container: Container


def open_headers(
    descriptor: int, link: str, format_name: str, notes: tuple[str, ...], limits: Limits
) -> Iterator[Opened]:
    """Yields the opened file once; use with `contextlib.contextmanager`.

    `link` is a path to the same content with the format's own suffix, so that OpenImageIO takes the right reader first.
    """
    size = os.fstat(descriptor).st_size
    with mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as view:
        container = _DESCRIBE[format_name](view)
    if container.size is not None:
        _refuse_bomb(*container.size, limits)
    with oiio.opened(link, FORMATS[format_name].plugin) as reader:
        pages = tuple(_pages(reader, format_name, container, limits))
        yield Opened(reader, _header(format_name, pages, container, notes), pages, container)


def identify(descriptor: int, suffix: str) -> tuple[str, tuple[str, ...]]:
    """(format_name, notes) by content."""
    return sniff(os.pread(descriptor, HEAD_BYTES, 0), suffix)


def decode_into(opened: Opened, memory: mmap.mmap) -> tuple[Page, ...]:
    """Decodes all pages into `memory`; returns them with what only pixels tell."""
    done = []
    for number, page in enumerate(opened.pages):
        flat = np.frombuffer(
            memory, np.dtype(page.dtype), page.height * page.width * len(page.stored.channels), page.offset
        )
        target = flat.reshape(page.height, page.width, len(page.stored.channels))
        told: set[str] = set()
        for top, rows, said in _straight_rows(opened, number):
            target[top : top + rows.shape[0]] = rows
            told |= said
        extras = {**page.stored.extras, **dict.fromkeys(sorted(told), True)}
        done.append(replace(page, stored=replace(page.stored, extras=extras)))
        del flat, target
    _refuse_broken(opened)
    return tuple(done)


def part_of(opened: Opened, number: int, top: int, stop: int) -> Page:
    """Rows `top`..`stop` of one page, as a page of its own at offset 0."""
    if not 0 <= number < len(opened.pages):
        raise ImageError(f"it has {len(opened.pages)} pages, so there is no page {number + 1}")
    page = opened.pages[number]
    if not 0 <= top < stop <= page.height:
        raise ImageError(f"it has {page.height} rows, so there are no rows {top} to {stop}")
    return replace(page, height=stop - top, offset=0)


def decode_rows_into(opened: Opened, number: int, top: int, stop: int, memory: mmap.mmap) -> None:
    """Decodes those rows of one page into `memory`."""
    part = part_of(opened, number, top, stop)
    depth = len(part.stored.channels)
    target = np.frombuffer(memory, np.dtype(part.dtype), part.height * part.width * depth).reshape(
        part.height, part.width, depth
    )
    for first, rows, _ in _straight_rows(opened, number, top, stop):
        begin, end = max(first, top), min(first + len(rows), stop)
        target[begin - top : end - top] = rows[begin - first : end - first]
    _refuse_broken(opened)


def decode_facts(opened: Opened) -> dict[str, Any]:
    """Decodes all pages band by band and keeps none of them."""
    finite, constant = True, True
    for number, page in enumerate(opened.pages):
        first: Pixels | None = None
        colour = colour_channels(page.stored.channels)
        for _, rows, _ in _straight_rows(opened, number):
            first = rows[0, 0].copy() if first is None else first
            finite = finite and is_finite(rows)
            constant = constant and is_constant(rows, first, colour)
    _refuse_broken(opened)
    return {"finite": finite, "constant": constant, "size": [opened.pages[0].width, opened.pages[0].height]}


def described(pages: tuple[Page, ...]) -> list[dict[str, Any]]:
    """The pages as plain data for a message."""
    return [asdict(page) for page in pages]


def _straight_rows(
    opened: Opened, number: int, first: int = 0, last: int | None = None
) -> Iterator[tuple[int, Pixels, frozenset[str]]]:
    """(top, rows, which extras they give their page)."""
    page = opened.pages[number]
    for top, rows in _rows(opened.reader, number, page, first, page.height if last is None else last):
        if page.stored.alpha is Alpha.PREMULTIPLIED:
            colour = [i for i, name in enumerate(page.stored.channels) if name in ("Y", "R", "G", "B")]
            at = page.stored.channels.index("A")
            fixed, lit = alpha.straight(rows, colour, at)
            said = {"light_without_alpha": lit, "light_above_alpha": alpha.is_above(rows, colour, at)}
            yield top, fixed, frozenset(name for name, holds in said.items() if holds)
        else:
            yield top, rows, frozenset()


def _rows(reader: Any, number: int, page: Page, first: int, last: int) -> Iterator[tuple[int, Pixels]]:
    """(top, rows) that cover rows `first`..`last` at least: tiles come whole."""
    if not reader.seek_subimage(number, 0):
        oiio.refuse_errors(reader)
        raise ImageError(f"page {number + 1} can't be read: damaged or truncated")
    spec = reader.spec()
    channels = spec.nchannels
    step = band_rows(page.row_bytes, max(1, spec.tile_height))
    for top in range(first // max(1, spec.tile_height) * max(1, spec.tile_height), last, step):
        begin, end = spec.y + top, spec.y + min(top + step, page.height)
        if spec.tile_width:
            rows = reader.read_tiles(
                number, 0, spec.x, spec.x + spec.width, begin, end, spec.z, spec.z + 1, 0, channels, page.dtype
            )
        else:
            rows = reader.read_scanlines(number, 0, begin, end, spec.z, 0, channels, page.dtype)
        oiio.refuse_errors(reader)
        if rows is None:
            raise ImageError("damaged or truncated: its pixels can't be read")
        yield top, np.asarray(rows).reshape(end - begin, page.width, channels)


def _refuse_broken(opened: Opened) -> None:
    oiio.refuse_errors(opened.reader)
    if opened.container.broken:
        raise ImageError(opened.container.broken)


def _refuse_bomb(width: int, height: int, limits: Limits, so_far: int = 0) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"its header says {width} x {height} pixels")
    if so_far + width * height > limits.pixels:
        raise ImageError(f"{width} x {height} pixels are more than the limit of {limits.pixels}: raise --max-pixels")


def _pages(reader: Any, format_name: str, container: Container, limits: Limits) -> Iterator[Page]:
    oiio.refuse_errors(reader)  # a short JPEG is told at opening already, and only there
    offset, pixels, number = 0, 0, 0
    several = FORMATS[format_name].pages  # other readers may lose their place when asked for a page that isn't there
    while number == 0 or (several and reader.seek_subimage(number, 0)):
        if number >= limits.pages:
            raise ImageError(f"it has more than {limits.pages} pages")
        spec = reader.spec()
        _refuse_bomb(spec.width, spec.height, limits, pixels)
        pixels += spec.width * spec.height
        for page in _split(spec, format_name, container, number, offset):
            offset = -(-page.end // 64) * 64
            yield page
        number += 1
    if offset > limits.memory_bytes:
        raise ImageError(f"its pixels take {offset >> 20} MiB, the limit is {limits.memory_bytes >> 20} MiB")
    if several:
        reader.geterror()  # "no such subimage" is how the end of the pages is told
    if container.page_extras and number != len(container.page_extras):
        raise ImageError(f"page {number + 1} of {len(container.page_extras)} can't be read: damaged or truncated")


def _split(spec: Any, format_name: str, container: Container, number: int, offset: int) -> Iterator[Page]:
    if spec.deep or spec.depth > 1:
        raise ImageError(f"it holds {'deep data' if spec.deep else 'a volume'}, which is not supported")
    space = spec.getattribute(f"{format_name}:ColorSpace") or ""
    if space in _SPACES:
        raise ImageError(f"its colours are {space}, which is not supported: convert it to RGB first")
    name = str(spec.format)
    if name not in _TYPES:
        raise ImageError(f"its pixels are {name}, which is not supported: convert it to 8 or 16 bits or to float first")
    dtype = np.dtype(_TYPES[name])
    channels = _channels(spec, format_name, bool(container.extras.get("dds.luminance")))
    stored = Stored(
        format=format_name,
        bits=dtype.itemsize * 8,
        is_float=dtype.kind == "f",
        transfer=container.transfer or (Transfer.LINEAR if dtype.kind == "f" else Transfer.SRGB),
        alpha=_alpha(spec, format_name, channels, container),
        channels=channels,
        extras=_extras(spec, format_name, container, number),
        notes=(),
    )
    yield Page(spec.width, spec.height, dtype.name, offset, stored)


def _channels(spec: Any, format_name: str, luminance: bool) -> tuple[str, ...]:
    names = tuple(spec.channelnames)
    if format_name in ("exr", "tiff"):
        return exr.checked(names) if format_name == "exr" else names
    return {1: ("Y",), 2: ("Y", "A") if luminance or format_name in ("tga", "png") else ("R", "G")}.get(
        len(names), names
    )


def _alpha(spec: Any, format_name: str, channels: tuple[str, ...], container: Container) -> Alpha:
    if "A" not in channels:
        return Alpha.NONE
    if format_name == "exr" or container.premultiplied:
        return Alpha.PREMULTIPLIED
    if format_name == "tiff" and not spec.getattribute("oiio:UnassociatedAlpha"):
        return Alpha.PREMULTIPLIED
    return Alpha.STRAIGHT


def _extras(spec: Any, format_name: str, container: Container, number: int) -> dict[str, Any]:
    extras = dict(container.extras)
    if number < len(container.page_extras):
        extras.update(container.page_extras[number])
    if format_name == "exr":
        extras.update(exr.attributes(spec))
    if format_name == "tiff":
        extras.update(tiff.attributes(spec))
    faces = container.extras.get("dds.faces", 1)
    extras["size"] = [spec.width, spec.height // faces]  # of one face, as `grew` compares one face
    extras["orientation"] = container.orientation
    return extras


def _header(format_name: str, pages: tuple[Page, ...], container: Container, notes: tuple[str, ...]) -> Header:
    first = pages[0]
    faces = container.extras.get("dds.faces", 0)
    return Header(
        format=format_name,
        width=first.width,
        height=first.height // 6 if faces else first.height,
        channels=first.stored.channels,
        bits=first.stored.bits,
        is_float=first.stored.is_float,
        pages=6 if faces else len(pages),
        arrangement=Arrangement.CUBE_STRIP if faces else Arrangement.PAGES,
        notes=(*notes, *container.notes),
        orientation=container.orientation,
        lossy=format_name == "jpeg" or container.extras.get("webp.lossless") is False,
    )
