"""Owns pictures that don't fit into memory: their holes are found, and filled, in bands of rows.

What is held of such a picture is one bit a pixel for its holes, and the pixels of its repairs before and after.  Each
hole is filled with all rows around it that have a say, so it gets what it would get in the whole picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from restore.batch.job import Job, printable, without_place
from restore.errors import ImageError
from restore.formats import Decoder
from restore.formats.tiff_grid import grids_of
from restore.holes.banded import BandedFound, find_in_bands
from restore.holes.lint import DoubtKind, size_doubt
from restore.image import Banded, Document, Image
from restore.recipe import FindHoles, HolesFrom, Recipe
from restore.tiling import Box
from restore.traits import Traits
from restore.traits.bands import classify_in_bands
from restore.trust.patches import PageSize, Patch

if TYPE_CHECKING:
    from restore.inpaint import Inpainter

BAND_ROWS = 2048
"""Rows whose holes are filled at once."""
NEAR_ROWS = 256
"""Holes this near to a band are filled along with its own: crops are shared among neighbours."""
_AROUND_ROWS = 256
"""Rows that are read beyond those holes, at least: more than a crop's context."""
_SMALL_PX = 8
_GRID_ROWS = 256
"""Rows that are read begin at a multiple of this: crops are laid out in cells (`inpaint.atlas.CELL_PX`), and thanks to
`NEAR_ROWS` those with holes of the band are there whole."""


@dataclass(frozen=True)
class Large:
    """A picture that doesn't fit into memory."""

    path: Path
    heads: tuple[Image, ...]
    """Every page without any row: how its file holds it."""
    sizes: tuple[PageSize, ...]
    found: tuple[BandedFound | None, ...] = ()
    """One a page, None where nothing is to be repaired."""

    @property
    def damaged(self) -> bool:
        return any(one is not None and one.has_any(0, one.holes.height) for one in self.found)

    @property
    def document(self) -> Document:
        """What is known of it without its pixels."""
        return Document(self.heads)

    def page(self, number: int, decoder: Decoder) -> Banded:
        """One of its pages, read by `decoder` whenever rows are asked for."""
        return banded(self.path, number, self.sizes[number].height, self.sizes[number].width, decoder)


def banded(path: Path, page: int, height: int, width: int, decoder: Decoder) -> Banded:
    """A page (from 0) of a file."""
    return Banded(height, width, lambda top, stop: decoder.rows(path, page, top, stop))


def open_large(path: Path, decoder: Decoder) -> Large:
    """Raises ImageError where the file isn't of a kind that is worked on in bands."""
    try:
        grids = grids_of(path)
    except OSError as error:
        raise ImageError(f"can't be read any more: {error.strerror}") from error
    firsts = [decoder.rows(path, number, 0, 1) for number in range(len(grids))]
    heads = tuple(first.with_pixels(first.pixels[:0]) for first in firsts)
    sizes = tuple(
        PageSize(grid.height, grid.width, head.stored.channels, head.pixels.dtype.name)
        for grid, head in zip(grids, heads, strict=True)
    )
    return Large(path, heads, sizes)


@dataclass(frozen=True)
class Searched:
    """Such a picture with its holes."""

    large: Large
    traits: tuple[Traits, ...]
    notes: tuple[str, ...]


def search(job: Job, decoder: Decoder, recipe: Recipe) -> Searched:
    """Opens a job's source, and finds its holes where `recipe` fills any.  Raises ImageError."""
    large = open_large(job.source, decoder)
    pages = [large.page(number, decoder) for number in range(len(large.sizes))]
    traits = tuple(classify_in_bands(page, job.relative.name, recipe.rules) for page in pages)
    if recipe.inpaint is None:
        return Searched(large, traits, ())
    rule = recipe.inpaint.holes
    beside = _beside(job, rule, large, decoder)
    found: list[BandedFound | None] = []
    notes: list[str] = []
    for number, (page, kind) in enumerate(zip(pages, traits, strict=True)):
        if not _is_searched(number, large, rule, beside):
            found.append(None)
            continue
        marked = infrared = None
        if rule.source is HolesFrom.MASKS:
            marked = beside[number]
        elif rule.ir_page is not None:
            infrared = _infrared_page(large, rule.ir_page, decoder)
        elif rule.ir_suffix is not None:
            infrared = beside[number]
        one = find_in_bands(page, rule, kind, marked=marked, infrared=infrared, band_rows=BAND_ROWS)
        found.append(one)
        notes += [*one.notes, *_doubts(one), *_parted(one)]
    return Searched(replace(large, found=tuple(found)), traits, tuple(dict.fromkeys(notes)))


def _is_searched(number: int, large: Large, rule: FindHoles, beside: list[Banded]) -> bool:
    """As `finding.py` has it of whole pictures."""
    if rule.source is HolesFrom.MASKS or rule.ir_suffix is not None:
        return number < len(beside)
    if rule.ir_page is not None:
        return number == 0 and len(large.sizes) > 1
    return rule.ir_channel is None or number == 0 or large.heads[number].stored == large.heads[0].stored


def _infrared_page(large: Large, number: int, decoder: Decoder) -> Banded:
    """The infrared page, counted from 1."""
    if not 1 < number <= len(large.sizes):
        raise ImageError(
            f"it has {len(large.sizes)} pages, so page {number} can't be the infrared image of the first one: see "
            "--holes ir:page=N"
        )
    mine, theirs = large.sizes[0], large.sizes[number - 1]
    if (mine.height, mine.width) != (theirs.height, theirs.width):
        raise ImageError(_other_size(theirs.width, theirs.height, mine))
    return large.page(number - 1, decoder)


def _other_size(width: int, height: int, size: PageSize) -> str:
    return (
        f"the infrared image is {width}x{height}, the picture {size.width}x{size.height}: what doesn't fit into memory "
        "needs both at one size: scan or export both alike"
    )


def _beside(job: Job, rule: FindHoles, large: Large, decoder: Decoder) -> list[Banded]:
    """The pages of the mask or infrared file."""
    if job.companion is None:
        return []
    path, name = job.companion.source, job.companion.relative
    try:
        header = decoder.probe(path)
    except ImageError as error:
        what = without_place(str(error), path, name)
        raise ImageError(f"its {printable(name)} can't be read: {what}") from error
    first = large.sizes[0]
    if doubt := size_doubt(header.width, header.height, first.width, first.height):
        is_mask = rule.source is HolesFrom.MASKS
        raise ImageError(f"its mask: {doubt.words}" if is_mask else _other_size(header.width, header.height, first))
    sizes = large.sizes[: header.pages]
    return [banded(path, number, size.height, size.width, decoder) for number, size in enumerate(sizes)]


def _doubts(found: BandedFound) -> list[str]:
    """What a person should know of a mask.  Raises ImageError where it can't be used."""
    for doubt in found.doubts:
        if doubt.fatal:
            raise ImageError(f"its mask: {doubt.words}")
    return [f"its mask: {doubt.words}" for doubt in found.doubts if doubt.kind is not DoubtKind.EMPTY]


def _parted(found: BandedFound) -> list[str]:
    count, rows = found.parted.count_long, found.parted.band_rows
    if not count:
        return []
    what = "1 hole reaches" if count == 1 else f"{count} holes reach"
    return [f"{what} over more than {rows} rows, and the picture is worked on in bands: filled in parts, one a band"]


def fill(large: Large, traits: tuple[Traits, ...], inpainter: Inpainter, decoder: Decoder) -> Iterator[Patch]:
    """The repairs of all pages, by rows.  Raises ImageError."""
    for number, found in enumerate(large.found):
        if found is None:
            continue
        page, blob = large.page(number, decoder), 0
        for top, stop in found.parted.bands:
            if not found.has_any(top, stop):
                continue
            for patch in _fill_band(page, found, traits[number], number, (top, stop), inpainter):
                yield replace(patch, repair=replace(patch.repair, blob=blob))
                blob += 1


def _fill_band(
    page: Banded, found: BandedFound, traits: Traits, number: int, band: tuple[int, int], inpainter: Inpainter
) -> Iterator[Patch]:
    """The repairs that begin in the rows `band`; their numbers don't mean anything yet."""
    from restore.inpaint import Damaged

    _, end = found.around(*band)
    near = max(0, band[0] - NEAR_ROWS), min(page.height, end + NEAR_ROWS)
    first, last = _rows_for(found, near, inpainter)
    source = page.rows(first, last)
    here, divided = found.window(source, first, near)
    blobs = [(blob.box, here.labels, k + 1) for k, blob in enumerate(here.blobs)]
    blobs += [(blob.box, divided, k + 1) for k, blob in enumerate(here.divided_blobs)]
    if not any(band[0] <= first + box.y0 < band[1] for box, _, _ in blobs):
        return
    blobs.sort(key=lambda one: (one[0].y0, one[0].x0, one[0].y1, one[0].x1))  # as repairs are
    repaired = inpainter(Damaged(source, here, traits, number, top=first))
    for repair, (box, labels, label) in zip(repaired.repairs, blobs, strict=True):
        if not band[0] <= first + box.y0 < band[1]:
            continue
        touched = labels[box.y0 : box.y1, box.x0 : box.x1] == label
        before, after = (one.pixels[box.y0 : box.y1, box.x0 : box.x1][touched] for one in (source, repaired.page))
        moved = Box(first + box.y0, box.x0, first + box.y1, box.x1)
        yield Patch(replace(repair, box=moved), touched, before, after)


def _rows_for(found: BandedFound, near: tuple[int, int], inpainter: Inpainter) -> tuple[int, int]:
    """The rows that have a say in what becomes of the holes in rows `near`."""
    low, high = found.around(*near)
    reach = _AROUND_ROWS + max(map(inpainter.reach_px, _wide_radii_px(found, low, high)))
    first = max(0, low - reach) // _GRID_ROWS * _GRID_ROWS
    return first, min(found.holes.height, high + reach)


def _wide_radii_px(found: BandedFound, low: int, high: int) -> Iterator[float]:
    """Largest distances from a pixel in a hole to one outside, of the holes in these rows that aren't small; and 0."""
    yield 0.0
    where = found.parted.places(low, high)
    for k, box in enumerate(where.boxes):
        if min(box.height, box.width) > _SMALL_PX:
            own = (where.labels[box.y0 : box.y1, box.x0 : box.x1] == k + 1).view(np.uint8)
            padded = cv2.copyMakeBorder(own, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
            yield float(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5).max())
