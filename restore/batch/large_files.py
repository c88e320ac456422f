"""Owns the files of pictures that don't fit into memory: a changed copy of the source, proved band by band."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from restore.batch.facts import Facts, RepairFacts
from restore.batch.fsops import OutputRoot
from restore.batch.job import Job, Staged
from restore.batch.large import Large, banded, open_large
from restore.batch.repairs import facts_of_digests
from restore.errors import ImageError
from restore.formats import Decoder
from restore.formats.tiff_strips import Change, rewrite
from restore.image import Banded, Document, Image, Pixels
from restore.trust.patches import PageSize, Patch, Patches
from restore.trust.untouched import Touched, TouchedDigest, UntouchedDigest, first_difference

_BAND_BYTES = 96 << 20

Side = Callable[[Patch], Pixels]
"""Which of a patch's pixels are written."""


def after(patch: Patch) -> Pixels:
    return patch.after


def before(patch: Patch) -> Pixels:
    return patch.before


@dataclass(frozen=True)
class Digests:
    """As `trust.untouched` defines them."""

    touched_sha256: str
    untouched_sha256: str


def stage_large(
    large: Large,
    patches: Patches,
    job: Job,
    facts: Facts,
    output: OutputRoot,
    decoder: Decoder,
    *,
    side: Side = after,
    remaining: Patches | None = None,
) -> Staged:
    """A copy of the source with `patches` laid on, under a temporary name; read back and compared, band by band.

    The copy holds what the source and the patches say, bit for bit, in all its pixels.  `remaining`: the repairs that
    the result has, where `side` takes some off; they are what its facts tell of.  Raises ImageError, DiskFullError.
    """
    if patches.pages != large.sizes:
        raise ImageError(f"the repairs were made for {patches.pages}, this is {large.sizes}: it is another picture")
    written = output.rewrite(job.source, job.target, lambda file: _change(file, large, patches, side, decoder))
    try:
        with output.open(written.path) as file:
            result = [
                Banded(size.height, size.width, _reader(decoder, file, job.format, number))
                for number, size in enumerate(large.sizes)
            ]
            kept = patches if remaining is None else remaining
            digests = _proved(large, result, patches, side, kept, decoder)
    except OSError as error:
        output.remove(written.path)
        raise ImageError(f"the written result can't be read back: {error.strerror}: check the output's disk") from error
    except BaseException:
        output.remove(written.path)
        raise
    facts = replace(facts, repair=large_facts(kept, digests))
    return Staged(job, written.path, written.size, written.sha256, facts)


def large_facts(patches: Patches, digests: Digests) -> RepairFacts:
    """What the journal keeps."""
    changed_px = sum(int(np.count_nonzero(patch.touched)) for patch in patches.patches)
    repairs = [patch.repair for patch in patches.patches]
    return facts_of_digests(repairs, changed_px, digests.touched_sha256, digests.untouched_sha256)


def digests_of(pages: Sequence[Banded], sizes: Sequence[PageSize], patches: Patches) -> Digests:
    """Of a picture with `patches` on it.  Raises ImageError."""
    touched_digest, untouched_digest = TouchedDigest(), UntouchedDigest()
    for number, (page, size) in enumerate(zip(pages, sizes, strict=True)):
        touched_digest.begin(size.height, size.width)
        untouched_digest.begin(size.height, size.width, size.dtype, size.channels)
        own = _ByRows(patches, number)
        for top, band in page.bands(_band_rows(size)):
            touched = own.touched(top, band)
            touched_digest.add(touched)
            untouched_digest.add(band.pixels, touched)
    return Digests(touched_digest.hexdigest(), untouched_digest.hexdigest())


def difference_in_bands(
    one: Sequence[Banded], other: Sequence[Banded], sizes: Sequence[PageSize], patches: Patches
) -> str | None:
    """Where two pictures of these sizes differ outside the patches, in words; None: nowhere."""
    for number, (a, b, size) in enumerate(zip(one, other, sizes, strict=True)):
        own = _ByRows(patches, number)
        for top, band in a.bands(_band_rows(size)):
            if said := _difference(band, b.rows(top, top + band.height), number, top, own.touched(top, band)):
                return said
    return None


class _ByRows:
    """The patches of one page, by the rows that they touch."""

    def __init__(self, patches: Patches, page: int) -> None:
        self._own = [patch for patch in patches.patches if patch.repair.page == page]
        self._firsts = np.array([patch.repair.box.y0 for patch in self._own], np.int64)
        self._lasts = np.array([patch.repair.box.y1 for patch in self._own], np.int64)

    def touched(self, top: int, band: Image) -> Touched:
        """(H, W) of a band that begins at row `top`: which of its pixels they touch."""
        plane = np.zeros(band.pixels.shape[:2], np.bool_)
        for patch, first, last in self._within(top, band.height):
            box = patch.repair.box
            plane[first - top : last - top, box.x0 : box.x1] |= patch.touched[first - box.y0 : last - box.y0]
        return plane

    def laid(self, top: int, band: Image, side: Side) -> Image:
        """The band with their pixels."""
        pixels = band.pixels.copy()
        for patch, first, last in self._within(top, band.height):
            box = patch.repair.box
            mine = patch.touched[first - box.y0 : last - box.y0]
            start = int(np.count_nonzero(patch.touched[: first - box.y0]))
            window = pixels[first - top : last - top, box.x0 : box.x1]
            window[mine] = side(patch)[start : start + int(np.count_nonzero(mine))]
        return band.with_pixels(pixels)

    def _within(self, top: int, height: int) -> Iterator[tuple[Patch, int, int]]:
        """Those with rows in `top`..`top + height`, and these rows."""
        for i in np.flatnonzero((self._firsts < top + height) & (self._lasts > top)).tolist():
            yield self._own[i], max(int(self._firsts[i]), top), min(int(self._lasts[i]), top + height)


def pages_of(path: Path, sizes: Sequence[PageSize], decoder: Decoder) -> list[Banded]:
    """A file's pages, which must have those sizes.  Raises ImageError."""
    found = open_large(path, decoder).sizes
    if found != tuple(sizes):
        raise ImageError(f"its pages are {found}, they were {tuple(sizes)}: it is another picture")
    return [banded(path, number, size.height, size.width, decoder) for number, size in enumerate(sizes)]


def _change(file: BinaryIO, large: Large, patches: Patches, side: Side, decoder: Decoder) -> None:
    changes = [
        Change(patch.repair.page, patch.repair.box.y0, patch.repair.box.x0, patch.touched, side(patch))
        for patch in patches.patches
    ]
    rewrite(file, changes, lambda page, top, stop: large.page(page, decoder).rows(top, stop).pixels)


def _proved(
    large: Large, result: Sequence[Banded], patches: Patches, side: Side, kept: Patches, decoder: Decoder
) -> Digests:
    """The digests of the result, once all of it is what was meant."""
    touched_digest, untouched_digest = TouchedDigest(), UntouchedDigest()
    for number, size in enumerate(large.sizes):
        touched_digest.begin(size.height, size.width)
        untouched_digest.begin(size.height, size.width, size.dtype, size.channels)
        laid, left = _ByRows(patches, number), _ByRows(kept, number)
        for top, band in large.page(number, decoder).bands(_band_rows(size)):
            meant = laid.laid(top, band, side)
            found = result[number].rows(top, top + band.height)
            if said := _difference(meant, found, number, top, None):
                raise ImageError(f"the written result is not what was meant: {said}: nothing was written")
            touched = left.touched(top, band)
            touched_digest.add(touched)
            untouched_digest.add(meant.pixels, touched)
    return Digests(touched_digest.hexdigest(), untouched_digest.hexdigest())


def _difference(one: Image, other: Image, number: int, top: int, touched: Touched | None) -> str | None:
    planes = None if touched is None else (touched,)
    said = first_difference(Document((one,)), Document((other,)), planes)
    return None if said is None else f"page {number + 1}, from row {top} on: {said}"


def _reader(decoder: Decoder, file: BinaryIO, form: str, number: int) -> Callable[[int, int], Image]:
    return lambda top, stop: decoder.rows_back(file, form, number, top, stop)


def _band_rows(size: PageSize) -> int:
    row_bytes = size.width * len(size.channels) * np.dtype(size.dtype).itemsize
    return max(64, _BAND_BYTES // row_bytes // 64 * 64)
