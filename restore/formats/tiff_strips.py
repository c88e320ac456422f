"""Owns changing pixels inside a copy of a TIFF file: only the strips and tiles that hold one are written anew.

So a scan that doesn't fit into memory is repaired in bands of rows, and all the rest of its file (tags, profiles,
strips that nothing touched) keeps its bytes.  Without compression the new pixels stand where the old ones did.  A
compressed strip goes to its own place where it has become no longer, else to the file's end, and the directory is told.
Source: TIFF 6.0, BigTIFF.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.formats import ifd, oiio
from restore.formats.shared import anonymous_file, named_for_library
from restore.formats.tiff import MAX_PAGES
from restore.image import Pixels

_NONE, _LZW, _PACKBITS = 1, 5, 32773
_DEFLATE = frozenset({8, 32946})
_THROUGH_LIBRARY = {_LZW: "lzw", _PACKBITS: "packbits"}
_WAY = "save it uncompressed, or with LZW or ZIP, as RGB or grey of 8 or 16 bits"
_MOST_CHUNK_BYTES = 256 << 20
"""Of what has to be decoded to change one pixel: some writers make one strip of a whole picture."""
_SPAN_BYTES = 64 << 20
"""Rows that are decoded at once."""
_CODES = {3: ("H", 2), 4: ("I", 4), 16: ("Q", 8)}
_DEFAULTS = {259: 1, 262: -1, 266: 1, 277: 1, 284: 1, 317: 1}


@dataclass(frozen=True)
class Change:
    """Pixels of one page that become others."""

    page: int
    """From 0."""
    y0: int
    x0: int
    """Corner of a rectangle."""
    touched: NDArray[np.bool_]
    """(h, w): which of the rectangle's pixels."""
    pixels: Pixels
    """(n, C): what they become, row by row."""


@dataclass(frozen=True)
class _Table:
    """An array of the directory, and where its numbers stand in the file."""

    values: NDArray[np.uint64]
    position: int
    kind: int


@dataclass(frozen=True)
class Grid:
    """How one page's samples stand in the file."""

    width: int
    height: int
    channels: int
    dtype: str
    """"uint8" or "uint16"."""
    endian: str
    compression: int
    is_differenced: bool
    """Predictor 2: what is stored is each sample's difference from the one to its left."""
    is_separate: bool
    """Each channel has strips or tiles of its own."""
    chunk_width: int
    chunk_rows: int
    is_tiled: bool
    offsets: _Table
    counts: _Table | None

    @property
    def row_bytes(self) -> int:
        return self.width * self.channels * np.dtype(self.dtype).itemsize

    @property
    def across(self) -> int:
        return -(-self.width // self.chunk_width)

    @property
    def down(self) -> int:
        return -(-self.height // self.chunk_rows)


Rows = Callable[[int, int, int], Pixels]
"""(page, first row, row after the last) -> (rows, W, C) as they stand in the source."""


def grids_of(path: Path) -> tuple[Grid, ...]:
    """How every page stands in the file.  ImageError, with the way out, where pages can't be changed in place."""
    with path.open("rb") as file:
        return _grids(file)


def rewrite(file: BinaryIO, changes: Sequence[Change], rows: Rows) -> None:
    """Makes `changes` in `file`, a copy of the file that `rows` reads, open for reading and writing.

    Raises ImageError; then, and after an OSError, the copy is worth nothing.
    """
    grids = _grids(file)
    for number, grid in enumerate(grids):
        own = sorted((change for change in changes if change.page == number), key=lambda change: change.y0)
        if own:
            _Page(file, grid, number).change(own, rows)


class _Page:
    """One page that is being changed."""

    def __init__(self, file: BinaryIO, grid: Grid, number: int) -> None:
        self._file = file
        self._grid = grid
        self._number = number
        self._shared = len(np.unique(grid.offsets.values)) < len(grid.offsets.values)
        """Several strips in one place: some writers store equal ones once."""
        self._step = 1 if grid.compression == _NONE and not grid.is_tiled else grid.chunk_rows
        """Rows that are written together: without compression each row of a strip stands for itself."""

    def change(self, changes: Sequence[Change], rows: Rows) -> None:
        grid = self._grid
        for top, stop in self._spans(changes):
            band = rows(self._number, top, stop).copy()
            touched = np.zeros(band.shape[:2], np.bool_)
            for change in changes:
                _lay(change, band, touched, top)
            for start in range(top, stop, self._step):
                end = min(start + self._step, grid.height)
                if touched[start - top : end - top].any():
                    self._write_row_of_chunks(band[start - top : end - top], touched[start - top : end - top], start)

    def _spans(self, changes: Sequence[Change]) -> Iterator[tuple[int, int]]:
        """Rows, whole chunks, that hold changes; about `_SPAN_BYTES` each."""
        grid, step = self._grid, self._step
        hit = np.zeros(-(-grid.height // step), np.bool_)
        for change in changes:
            hit[change.y0 // step : -(-(change.y0 + len(change.touched)) // step)] = True
        most = max(1, _SPAN_BYTES // (grid.row_bytes * step))
        at = 0
        while at < len(hit):
            if not hit[at]:
                at += 1
                continue
            stop = min(len(hit), at + most)
            used = int(np.flatnonzero(hit[at:stop])[-1]) + 1
            yield at * step, min((at + used) * step, grid.height)
            at += used

    def _write_row_of_chunks(self, band: Pixels, touched: NDArray[np.bool_], top: int) -> None:
        grid = self._grid
        planes = [(c, c + 1) for c in range(grid.channels)] if grid.is_separate else [(0, grid.channels)]
        for column in range(grid.across):
            left = column * grid.chunk_width
            right = min(left + grid.chunk_width, grid.width)
            if not touched[:, left:right].any():
                continue
            for plane, (first, last) in enumerate(planes):
                index = (plane * grid.down + top // grid.chunk_rows) * grid.across + column
                self._write_chunk(index, top % grid.chunk_rows, band[:, left:right, first:last])

    def _write_chunk(self, index: int, row: int, samples: Pixels) -> None:
        """`row`: of the chunk, where `samples` begin; 0 where all of it is written."""
        grid = self._grid
        if grid.is_tiled:  # tiles are stored whole, also where the picture ends
            missing = (grid.chunk_rows - samples.shape[0], grid.chunk_width - samples.shape[1])
            samples = np.pad(samples, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        data = _encoded(samples, grid)
        start = int(grid.offsets.values[index])
        if grid.compression == _NONE:
            self._write_at(start + row * samples[0].nbytes, data)
            return
        assert grid.counts is not None  # `_grids` refuses compressed pages without
        if self._shared or len(data) > int(grid.counts.values[index]):
            start = self._file.seek(0, os.SEEK_END)
            start += start % 2
            self._tell(grid.offsets, index, start)
        self._write_at(start, data)
        self._tell(grid.counts, index, len(data))

    def _tell(self, table: _Table, index: int, value: int) -> None:
        code, size = _CODES[table.kind]
        if value >> (8 * size):
            raise ImageError(
                "its repaired strips need more room than its directory can tell of: save it as BigTIFF, or uncompressed"
            )
        self._write_at(table.position + index * size, struct.pack(self._grid.endian + code, value))

    def _write_at(self, position: int, data: bytes) -> None:
        self._file.seek(position)
        self._file.write(data)


def _lay(change: Change, band: Pixels, touched: NDArray[np.bool_], top: int) -> None:
    """Lays what of `change` falls into the rows of `band`, which begins at row `top`."""
    first, last = max(change.y0, top), min(change.y0 + len(change.touched), top + len(band))
    if first >= last:
        return
    mine = change.touched[first - change.y0 : last - change.y0]
    before = int(np.count_nonzero(change.touched[: first - change.y0]))
    window = np.s_[first - top : last - top, change.x0 : change.x0 + mine.shape[1]]
    band[window][mine] = change.pixels[before : before + int(np.count_nonzero(mine))]
    touched[window] |= mine


def _encoded(samples: Pixels, grid: Grid) -> bytes:
    """(rows, w, c) as a strip or tile of the page."""
    if grid.is_differenced:
        differences = samples.copy()
        differences[:, 1:] -= samples[:, :-1]  # wraps around, as it should
        samples = differences
    raw = np.ascontiguousarray(samples, np.dtype(grid.dtype).newbyteorder("<" if grid.endian == "<" else ">"))
    if grid.compression == _NONE:
        return raw.tobytes()
    if grid.compression in _DEFLATE:
        return zlib.compress(raw.tobytes(), 6)
    return _through_library(np.frombuffer(raw.tobytes(), np.uint8).reshape(len(raw), -1, 1), grid.compression)


def _through_library(raw: NDArray[np.uint8], compression: int) -> bytes:
    """(rows, bytes, 1) compressed as the only strip of a file of bytes: a coder asks for no more than that."""
    wanted = {
        "compression": _THROUGH_LIBRARY[compression],
        "tiff:Predictor": 1,
        "tiff:RowsPerStrip": len(raw),
        "tiff:write_exif": 0,
        "DateTime": "",
    }
    spec = oiio.make_spec(raw, ("Y",), wanted)
    with anonymous_file() as file:
        with named_for_library(file, ".tif") as path:
            writer = oiio.create("tiff")
            oiio.require(writer.open(path, spec), writer)
            oiio.require(writer.write_scanlines(0, len(raw), 0, raw), writer)
            oiio.require(writer.close(), writer)
        file.seek(0)
        data = file.read()
    form = ifd.layout(data)
    places, _ = ifd.places(data, form, form.first)
    told = {place.tag: ifd.numbers(data, form, place) for place in places}
    if len(told[273]) != 1:
        raise ImageError("can't be encoded: the TIFF writer's output is not as expected")
    return data[told[273][0] : told[273][0] + told[279][0]]


def _grids(file: BinaryIO) -> tuple[Grid, ...]:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view, memoryview(view) as data:
        form = ifd.layout(data)
        pages = list(ifd.chain(data, form, MAX_PAGES + 1))
        if len(pages) > MAX_PAGES:
            raise ImageError(f"it has more than {MAX_PAGES} pages")
        return tuple(_grid(data, form, {place.tag: place for place in places}) for places in pages)


def _grid(data: memoryview, form: ifd.Layout, by_tag: dict[int, ifd.Place]) -> Grid:
    def numbers(tag: int) -> tuple[int, ...]:
        return ifd.numbers(data, form, by_tag[tag]) if tag in by_tag else ()

    def first(tag: int) -> int:
        return (*numbers(tag), _DEFAULTS.get(tag, 0))[0]

    width, height, channels, compression = first(256), first(257), first(277), first(259)
    bits = set(numbers(258)) or {1}
    _refuse_unchangeable(by_tag, bits, set(numbers(339)), first, numbers(338))
    is_tiled, is_separate = 322 in by_tag, first(284) == 2
    chunk_width = first(322) if is_tiled else width
    chunk_rows = first(323) if is_tiled else min(first(278) or height, height)
    offsets = _table(data, form, by_tag.get(324 if is_tiled else 273))
    counts = _table(data, form, by_tag.get(325 if is_tiled else 279))
    if min(width, height, channels, chunk_width, chunk_rows) < 1 or offsets is None:
        raise ImageError("its directory doesn't say where its pixels are: damaged")
    item = max(bits) // 8
    grid = Grid(
        *(width, height, channels, f"uint{8 * item}", form.endian, compression),
        is_differenced=compression != _NONE and compression != _PACKBITS and first(317) == 2,
        is_separate=is_separate,
        chunk_width=chunk_width,
        chunk_rows=chunk_rows,
        is_tiled=is_tiled,
        offsets=offsets,
        counts=counts,
    )
    chunks = grid.across * grid.down * (channels if is_separate else 1)
    if len(offsets.values) != chunks or (counts is not None and len(counts.values) != chunks):
        raise ImageError(f"it has {len(offsets.values)} strips or tiles, its size makes {chunks}: damaged")
    if compression != _NONE and counts is None:
        raise ImageError("its directory doesn't say how long its strips are: damaged")
    if compression != _NONE or is_tiled:
        held = chunk_rows * chunk_width * item * (1 if is_separate else channels)
        rows = chunk_rows * grid.row_bytes
        if max(held, rows) > _MOST_CHUNK_BYTES:
            raise ImageError(
                f"its strips hold {chunk_rows} rows each, too many to change one: {_WAY} in smaller strips"
            )
    last = int(offsets.values.max())
    if last >= len(data):
        raise ImageError("its strips lie outside the file: damaged or truncated")
    return grid


def _refuse_unchangeable(
    by_tag: dict[int, ifd.Place],
    bits: set[int],
    kinds: set[int],
    first: Callable[[int], int],
    extra: tuple[int, ...],
) -> None:
    """ImageError for pages whose pixels stand in the file otherwise than they are read."""
    if bits not in ({8}, {16}) or kinds - {1, 4}:
        what = "its pixels are neither 8 nor 16 bits"
    elif first(259) not in {_NONE, *_THROUGH_LIBRARY, *_DEFLATE}:
        what = f"its compression (number {first(259)}) can't be changed in places"
    elif first(262) not in (1, 2):
        what = "its colours are neither RGB nor grey with 0 as black"
    elif first(259) != _NONE and first(317) not in (1, 2):
        what = f"its predictor (number {first(317)}) can't be changed in places"
    elif first(266) != 1:
        what = "its bits are stored backwards"
    elif 1 in extra:
        what = "its colours are premultiplied with alpha"
    elif 330 in by_tag:
        what = "it holds pages inside pages (SubIFDs)"
    else:
        return
    raise ImageError(f"{what}: {_WAY}")


def _table(data: memoryview, form: ifd.Layout, place: ifd.Place | None) -> _Table | None:
    if place is None or place.kind not in _CODES:
        return None
    kind = np.dtype(f"{form.endian}u{_CODES[place.kind][1]}")
    values = np.frombuffer(data[place.position : place.position + place.size], kind)
    return _Table(values.astype(np.uint64), place.position, place.kind)
