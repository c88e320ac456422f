"""Owns the search for holes in a picture that doesn't fit into memory: band by band, with the whole picture's outcome.

What is found is kept as one bit a pixel and a few numbers for each hole; pixels are read again where they are needed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from restore.holes.bits import BitPlane
from restore.holes.detect import At, Seen, find_specks, leave_unseen_out, mark_of, named
from restore.holes.find import MUCH, infrared_plane, warning
from restore.holes.found import Blob, Found, Labels, Mark, Places, marks_of, told_by
from restore.holes.grow import REACH_PX, grow
from restore.holes.infrared_banded import Divisions, search_infrared
from restore.holes.key import clear_alpha, key_colour
from restore.holes.lines import Scratch, find_scratches, row_means
from restore.holes.lint import RIM_PX, Counts, Doubt, count, count_doubts
from restore.holes.marked import reading_of
from restore.holes.parts import BAND_ROWS, Parted
from restore.image import Banded, Image, Pixels
from restore.recipe import FindHoles, HolesFrom
from restore.traits import AlphaUse, Traits

_READ_ROWS = 1024
_MASK_ROWS = 3072
"""A PNG's rows can only be read from its first one on, so the fewer times the better."""


@dataclass(frozen=True)
class BandedFound:
    """The holes of one picture that is worked on in bands."""

    parted: Parted
    """Grown."""
    marks: tuple[Mark, ...]
    """Of the holes before they grew, by rows."""
    notes: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    """About the mask."""
    divisions: Divisions | None = None
    """What infrared divides out."""

    @property
    def holes(self) -> BitPlane:
        return self.parted.holes

    def has_any(self, top: int, stop: int) -> bool:
        """Whether anything is to be repaired in these rows."""
        if self.divisions is not None and self.divisions.parted.holes.has_any(top, stop):
            return True
        return self.holes.has_any(top, stop)

    def around(self, top: int, stop: int) -> tuple[int, int]:
        """`Parted.around`, of holes and of what is divided out."""
        low, high = self.parted.around(top, stop)
        if self.divisions is None:
            return low, high
        other_low, other_high = self.divisions.parted.around(top, stop)
        return min(low, other_low), max(high, other_high)

    def window(self, page: Image, first: int, near: tuple[int, int]) -> tuple[Found, Labels]:
        """The holes of some rows of the picture, `page` from row `first` on; and labels of what is divided out.

        All of them are holes; blobs are only those that have pixels in the rows `near`, counted in the picture.
        """
        last = first + page.height
        where = self.parted.places(first, last)
        labels, blobs = _near(where, _Marked(list(self.marks)).blobs(where, first), first, near)
        holes = where.labels > 0
        if self.divisions is None:
            return Found(holes, labels, blobs, page, np.zeros_like(holes)), np.zeros_like(labels)
        thin = self.divisions.parted.places(first, last)
        kept, divided = _near(thin, self.divisions.blobs(thin, first, last), first, near)
        return Found(holes, labels, blobs, self.divisions.laid(page, first), kept > 0, divided), kept


def _near(where: Places, blobs: tuple[Blob, ...], first: int, near: tuple[int, int]) -> tuple[Labels, tuple[Blob, ...]]:
    """Labels and blobs of the places, which begin at row `first`, that have pixels in the rows `near`."""
    chosen = [k for k, box in enumerate(where.boxes) if first + box.y0 < near[1] and first + box.y1 > near[0]]
    table = np.zeros(len(where) + 1, np.int32)
    table[np.array(chosen, np.intp) + 1] = np.arange(1, len(chosen) + 1)
    labels: Labels = table[where.labels]
    return labels, tuple(blobs[k] for k in chosen)


def find_in_bands(
    picture: Banded,
    rule: FindHoles,
    traits: Traits,
    *,
    marked: Banded | None = None,
    infrared: Banded | None = None,
    band_rows: int = BAND_ROWS,
) -> BandedFound:
    """The holes of `picture`, grown as `rule` says: those that `find` finds in a whole one.

    `marked` and `infrared` as for `find`, of the picture's own size; `band_rows`: how many rows are grown at once.
    Raises as `find`.
    """
    holes = BitPlane(picture.height, picture.width)
    notes: tuple[str, ...] = ()
    match rule.source:
        case HolesFrom.MASKS:
            if marked is None:
                raise ValueError("holes from masks need the mask picture")
            doubts = read_mask(marked, holes, invert=rule.invert)
            return replace(_grown(picture, holes, rule.grow_px, traits, _OneKind("mask"), band_rows), doubts=doubts)
        case HolesFrom.ALPHA:
            for top, band in picture.bands(_READ_ROWS):
                rows, notes = clear_alpha(band)
                holes.put(top, rows)
            return replace(_grown(picture, holes, rule.grow_px or 0, traits, _OneKind("alpha"), band_rows), notes=notes)
        case HolesFrom.KEY:
            if rule.key_rgb is None:
                raise ValueError("holes by a colour key need key_rgb")
            for top, band in picture.bands(_READ_ROWS):
                rows, notes = key_colour(band, rule.key_rgb, rule.key_tolerance)
                holes.put(top, rows)
            return replace(_grown(picture, holes, rule.grow_px or 0, traits, _OneKind("key"), band_rows), notes=notes)
        case HolesFrom.AUTO:
            found = _grown(picture, holes, rule.grow_px, traits, _damage(picture, holes, rule, traits), band_rows)
            share = found.holes.count() / (picture.height * picture.width)
            return found if share <= MUCH else replace(found, notes=warning(share, _count(found.parted)))
        case HolesFrom.INFRARED:
            return _infrared(picture, rule, traits, infrared, band_rows)


def _infrared(picture: Banded, rule: FindHoles, traits: Traits, infrared: Banded | None, band_rows: int) -> BandedFound:
    """Dirt that infrared tells; what lets light through is divided out."""

    def plane(top: int, stop: int) -> Pixels:
        beside = None if infrared is None else infrared.rows(top, stop)
        return infrared_plane(beside or picture.rows(top, stop), rule, beside)

    found = search_infrared(picture, plane, rule.threshold_sigmas, band_rows)
    divisions = Divisions(found.divisions, Parted(found.divided, band_rows))
    clean = Banded(picture.height, picture.width, lambda top, stop: divisions.laid(picture.rows(top, stop), top))
    grown = _grown(clean, found.holes, rule.grow_px, traits, _Marked(found.marks), band_rows)
    for top in range(0, picture.height, _READ_ROWS):
        stop = min(top + _READ_ROWS, picture.height)
        if grown.holes.has_any(top, stop) and found.divided.has_any(top, stop):
            found.divided.put(top, found.divided.rows(top, stop) & ~grown.holes.rows(top, stop))
    divisions = Divisions(found.divisions, Parted(found.divided, band_rows))
    return replace(grown, divisions=divisions, notes=found.notes)


class _Marked:
    """Holes of which is known what they are."""

    def __init__(self, marks: list[Mark]) -> None:
        self._marks = marks

    def blobs(self, where: Places, first: int) -> tuple[Blob, ...]:
        begin = bisect_left(self._marks, first, key=lambda mark: mark.y)
        end = bisect_left(self._marks, first + where.labels.shape[0], key=lambda mark: mark.y)
        return told_by((replace(mark, y=mark.y - first) for mark in self._marks[begin:end]), where)


def read_mask(marked: Banded, holes: BitPlane | None, *, invert: bool) -> tuple[Doubt, ...]:
    """Reads a mask into `holes`, if given; what is doubtful about it, size apart."""
    reading = reading_of(lambda: (band for _, band in marked.bands(_MASK_ROWS)))
    counts = Counts()
    for top in range(0, marked.height, _MASK_ROWS):
        stop = min(top + _MASK_ROWS, marked.height)
        first, last = max(0, top - RIM_PX), min(marked.height, stop + RIM_PX)
        marks = reading.marks(marked.rows(first, last), invert=invert)
        if holes is not None:
            holes.put(top, marks.holes[top - first : stop - first])
        counts += count(marks, top - first, stop - first)
    return count_doubts(counts, reading, invert=invert)


class _OneKind:
    """Holes that are all of one kind, with no score."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def blobs(self, where: Places, first: int) -> tuple[Blob, ...]:
        del first
        return tuple(Blob(box, area, self._kind, None) for box, area in zip(where.boxes, where.areas_px, strict=True))


class _Damage:
    """Holes that were found in the picture itself."""

    def __init__(self, picture: Banded, spots: list[Seen], scratches: Sequence[Scratch]) -> None:
        self._size = (picture.height, picture.width)
        self._spots = sorted(spots)
        self._scratches = [(scratch.score, scratch.pixels(*self._size)) for scratch in scratches]

    def blobs(self, where: Places, first: int) -> tuple[Blob, ...]:
        last = first + where.labels.shape[0]
        begin, end = bisect_left(self._spots, (first,)), bisect_left(self._spots, (last,))
        spots = [(y - first, x, score) for y, x, score in self._spots[begin:end]]
        drawn: list[tuple[float, At]] = []
        for score, (rows, columns) in self._scratches:
            here = (rows >= first) & (rows < last)
            drawn.append((score, (rows[here] - first, columns[here])))
        return named(where, spots, drawn, None, self._size)


def _damage(picture: Banded, holes: BitPlane, rule: FindHoles, traits: Traits) -> _Damage:
    """Marks dust, dirt, hairs, scratches and cracks in `holes`."""
    spots = []
    for top, spot in find_specks(picture, rule):
        holes.add(top + spot.y0, spot.x0, spot.there)
        spots.append(mark_of(spot, top))
    means = row_means(picture)
    scratches = find_scratches(means, threshold_sigmas=rule.threshold_sigmas, polarity=rule.polarity)
    for scratch in scratches:
        holes.set_pixels(*scratch.pixels(picture.height, picture.width))
    if traits.alpha in (AlphaUse.CUTOUT, AlphaUse.BLEND):
        for top, band in picture.bands(_READ_ROWS):
            rows = holes.rows(top, top + band.height)
            leave_unseen_out(band, traits, rows)
            holes.put(top, rows)
    return _Damage(picture, spots, scratches)


_Kinds = _OneKind | _Damage | _Marked


def _grown(
    picture: Banded, holes: BitPlane, grow_px: int | None, traits: Traits, kinds: _Kinds, band_rows: int
) -> BandedFound:
    """`holes` grown, band by band, with what is known of each."""
    before = Parted(holes, band_rows)
    reach = REACH_PX if grow_px is None else grow_px + 1
    grown = BitPlane(holes.height, holes.width) if grow_px != 0 else holes
    marks: list[Mark] = []
    for top, stop in before.bands:
        low, high = max(0, top - reach), min(holes.height, stop + reach)
        if not holes.has_any(low, high):
            continue
        low, high = before.around(low, high)
        first, last = max(0, low - reach), min(holes.height, high + reach)
        where = before.places(first, last)
        blobs = kinds.blobs(where, first)
        own = [k for k, box in enumerate(where.boxes) if top <= first + box.y0 < stop]
        told = marks_of(where, blobs)
        marks += [replace(told[k], y=first + told[k].y) for k in own]
        if grow_px != 0:
            after = grow(picture.rows(first, last), where, blobs, grow_px, traits.wraps)
            grown.put(top, after.holes[top - first : stop - first])
    return BandedFound(Parted(grown, band_rows) if grow_px != 0 else before, tuple(marks))


def _count(parted: Parted) -> int:
    """Places, parts counted one by one."""
    count = 0
    for top, stop in parted.bands:
        first, last = parted.around(top, stop)
        count += sum(top <= first + box.y0 < stop for box in parted.places(first, last).boxes)
    return count
