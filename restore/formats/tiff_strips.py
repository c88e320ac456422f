"""Owns changing pixels inside a copy of a TIFF file: only the strips and tiles that hold one are written anew.

So a scan that doesn't fit into memory is repaired in bands of rows, and all the rest of its file (tags, profiles,
strips that nothing touched) keeps its bytes.  Without compression the new pixels stand where the old ones did.  A
compressed strip goes to its own place where it has become no longer, else to the file's end, and the directory is told.
Source: TIFF 6.0, BigTIFF.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.formats import ifd, oiio
from restore.formats.shared import anonymous_file, named_for_library
from restore.formats.tiff_grid import CODES, DEFLATE, LZW, NONE, PACKBITS, Grid, Table, read_grids
from restore.image import Pixels

_THROUGH_LIBRARY = {LZW: "lzw", PACKBITS: "packbits"}
_SPAN_BYTES = 64 << 20
"""Rows that are decoded at once."""


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


Rows = Callable[[int, int, int], Pixels]
"""(page, first row, row after the last) -> (rows, W, C) as they stand in the source."""


def rewrite(file: BinaryIO, changes: Sequence[Change], rows: Rows) -> None:
    """Makes `changes` in `file`, a copy of the file that `rows` reads, open for reading and writing.

    Raises ImageError; then, and after an OSError, the copy is worth nothing.
    """
    grids = read_grids(file)
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
        self._step = 1 if grid.compression == NONE and not grid.is_tiled else grid.chunk_rows
        """Rows that are written together: without compression each row of a strip stands for itself."""

    def change(self, changes: Sequence[Change], rows: Rows) -> None:
        grid = self._grid
        firsts = np.array([one.y0 for one in changes])
        lasts = np.array([one.y0 + len(one.touched) for one in changes])
        for top, stop in self._spans(changes):
            band = rows(self._number, top, stop).copy()
            touched = np.zeros(band.shape[:2], np.bool_)
            for i in np.flatnonzero((firsts < stop) & (lasts > top)).tolist():
                _lay(changes[i], band, touched, top)
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
        if grid.compression == NONE:
            self._write_at(start + row * samples[0].nbytes, data)
            return
        assert grid.counts is not None  # `tiff_grid` refuses compressed pages without
        if self._shared or len(data) > int(grid.counts.values[index]):
            start = self._file.seek(0, os.SEEK_END)
            start += start % 2
            self._tell(grid.offsets, index, start)
        self._write_at(start, data)
        self._tell(grid.counts, index, len(data))

    def _tell(self, table: Table, index: int, value: int) -> None:
        code, size = CODES[table.kind]
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
    if grid.compression == NONE:
        return raw.tobytes()
    if grid.compression in DEFLATE:
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
