"""Owns where the pixels of a TIFF file stand: strips or tiles, their places and sizes, and whether they can be changed.

Source: TIFF 6.0, BigTIFF.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.formats import ifd
from restore.formats.tiff import MAX_PAGES

NONE, LZW, PACKBITS = 1, 5, 32773
"""Numbers of compressions."""
DEFLATE = frozenset({8, 32946})
CODES = {3: ("H", 2), 4: ("I", 4), 16: ("Q", 8)}
"""How `struct` spells the numbers of a table of some type, and their bytes."""
_COMPRESSIONS = frozenset({NONE, LZW, PACKBITS, *DEFLATE})
_WAY = "save it uncompressed, or with LZW or ZIP, as RGB or grey of 8 or 16 bits"
_MOST_CHUNK_BYTES = 256 << 20
"""Of what has to be decoded to change one pixel: some writers make one strip of a whole picture."""
_DEFAULTS = {259: 1, 262: -1, 266: 1, 277: 1, 284: 1, 317: 1}


@dataclass(frozen=True)
class Table:
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
    offsets: Table
    counts: Table | None

    @property
    def row_bytes(self) -> int:
        return self.width * self.channels * np.dtype(self.dtype).itemsize

    @property
    def across(self) -> int:
        return -(-self.width // self.chunk_width)

    @property
    def down(self) -> int:
        return -(-self.height // self.chunk_rows)


def grids_of(path: Path) -> tuple[Grid, ...]:
    """How every page stands in the file.  ImageError, with the way out, where pages can't be changed in place."""
    with path.open("rb") as file:
        return read_grids(file)


def read_grids(file: BinaryIO) -> tuple[Grid, ...]:
    """`grids_of` an open file."""
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
        is_differenced=compression != NONE and compression != PACKBITS and first(317) == 2,
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
    if compression != NONE and counts is None:
        raise ImageError("its directory doesn't say how long its strips are: damaged")
    if compression != NONE or is_tiled:
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
    elif first(259) not in _COMPRESSIONS:
        what = f"its compression (number {first(259)}) can't be changed in places"
    elif first(262) not in (1, 2):
        what = "its colours are neither RGB nor grey with 0 as black"
    elif first(259) != NONE and first(317) not in (1, 2):
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


def _table(data: memoryview, form: ifd.Layout, place: ifd.Place | None) -> Table | None:
    if place is None or place.kind not in CODES:
        return None
    kind = np.dtype(f"{form.endian}u{CODES[place.kind][1]}")
    values = np.frombuffer(data[place.position : place.position + place.size], kind)
    return Table(values.astype(np.uint64), place.position, place.kind)
