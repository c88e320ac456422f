"""Owns what is remembered of repairs: which pixels are whose, what the journal says of them, their patch files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from restore.batch.facts import RepairFacts, Uncertain
from restore.batch.work import Work
from restore.errors import ImageError
from restore.formats.alpha import premultiplied, straight
from restore.formats.dds_patch import HEAD_BYTES, layout_of, widened
from restore.holes.found import Found, places
from restore.image import Alpha, Document, Image
from restore.trust.ledger import Repair
from restore.trust.untouched import Touched, touched_digest, untouched_digest

UNCERTAIN = 8
"""Least certain repairs that one file names."""
_SETTLING = 8
"""Storing and reading again settles after one turn for integers, and after a few for floats."""


def touched_planes(document: Document, found: Sequence[Found | None]) -> tuple[Touched, ...]:
    """For every page, which pixels a repair may change: holes, and what was divided out."""
    planes = []
    for number, page in enumerate(document.pages):
        one = found[number] if number < len(found) else None
        plane = np.zeros(page.pixels.shape[:2], np.bool_) if one is None else one.holes | one.divided
        planes.append(plane)
    return tuple(planes)


def own_pixels(repairs: Sequence[Repair], found: Sequence[Found | None]) -> tuple[tuple[Repair, Touched], ...]:
    """Each repair with the plane of its box that says which pixels are its own: its blob's.  No pixel is two's."""
    owned = []
    for number, one in enumerate(found):
        mine = [repair for repair in repairs if repair.page == number]
        if one is None or not mine:
            continue
        divided = places(one.divided)
        blobs = [(blob.box, one.labels, k + 1) for k, blob in enumerate(one.blobs)]
        blobs += [(box, divided.labels, k + 1) for k, box in enumerate(divided.boxes)]
        blobs.sort(key=lambda blob: (blob[0].y0, blob[0].x0, blob[0].y1, blob[0].x1))  # as repairs are
        if [blob[0] for blob in blobs] != [repair.box for repair in mine]:
            raise ValueError(f"page {number} has {len(blobs)} blobs and {len(mine)} repairs that don't match")
        for repair, (box, labels, label) in zip(mine, blobs, strict=True):
            owned.append((repair, labels[box.y0 : box.y1, box.x0 : box.x1] == label))
    return tuple(owned)


def storable(work: Work) -> Work:
    """With repairs that a file with premultiplied alpha can hold: a straight colour comes back from there only as
    exactly as its product with alpha is stored, so it is rounded as storing rounds it."""
    touched = planes_of(work)
    pages = tuple(_storable(page, plane) for page, plane in zip(work.document.pages, touched, strict=True))
    return replace(work, document=replace(work.document, pages=pages))


def _storable(page: Image, touched: Touched) -> Image:
    if page.stored.alpha is not Alpha.PREMULTIPLIED or page.alpha_channel is None or not touched.any():
        return page
    colour, light = page.color_channels, bool(page.stored.extras.get("light_without_alpha"))
    pixels = page.pixels.copy()
    filled = pixels[touched][None]
    for _ in range(_SETTLING):
        stored = premultiplied(filled, colour, page.alpha_channel, light)
        again, _ = straight(stored, colour, page.alpha_channel)
        if again.tobytes() == filled.tobytes():
            break
        filled = again
    pixels[touched] = filled[0]
    return page.with_pixels(pixels)


def last_bit_note(document: Document) -> tuple[str, ...]:
    """What a person should know where untouched colour can't be proved to the last bit of the stored number.

    Integers divided by alpha and multiplied again are the same; of a float and its quotient, not always.
    """
    for page in document.pages:
        at = page.alpha_channel
        if page.stored.alpha is not Alpha.PREMULTIPLIED or at is None or page.pixels.dtype.kind != "f":
            continue
        alpha = page.pixels[..., at]
        if ((alpha > 0) & (alpha < 1)).any():
            return ("colour is stored times alpha: where alpha is partial, its last bit may change outside repairs",)
    return ()


def repair_facts(work: Work, *, exact: bool) -> RepairFacts:
    """What the journal keeps.  `exact`: the file will hold every other pixel bit for bit."""
    touched = planes_of(work)
    changed_px = sum(int(plane.sum()) for plane in touched)
    if work.read.job.changes_in_place:
        touched = in_blocks(touched, work.read.job.source)
    untouched = untouched_digest(work.read.document, touched) if exact else None
    return replace(facts_of([repair for repair, _ in work.repairs], touched, untouched), changed_px=changed_px)


def in_blocks(touched: Sequence[Touched], path: Path) -> tuple[Touched, ...]:
    """All pixels of the blocks of a DDS file that hold a touched one: those are encoded anew.  Raises ImageError."""
    try:
        with path.open("rb") as file:
            return widened(touched, layout_of(file.read(HEAD_BYTES), path.stat().st_size))
    except OSError as error:
        raise ImageError(f"can't be read any more: {error.strerror}") from error


def facts_of(repairs: Sequence[Repair], touched: Sequence[Touched], untouched_sha256: str | None) -> RepairFacts:
    """What the journal keeps of these repairs."""
    changed_px = sum(int(plane.sum()) for plane in touched)
    return facts_of_digests(repairs, changed_px, touched_digest(touched), untouched_sha256)


def facts_of_digests(
    repairs: Sequence[Repair], changed_px: int, touched_sha256: str, untouched_sha256: str | None
) -> RepairFacts:
    """What the journal keeps of these repairs, whose planes aren't at hand."""
    least = sorted(repairs, key=lambda repair: repair.confidence)[:UNCERTAIN]
    return RepairFacts(
        holes=len(repairs),
        changed_px=changed_px,
        fills=dict(sorted(Counter(repair.fill.value for repair in repairs).items())),
        uncertain=tuple(
            Uncertain(round(r.confidence, 4), r.page, r.blob, r.box.x0, r.box.y0, r.fill.value) for r in least
        ),
        touched_sha256=touched_sha256,
        untouched_sha256=untouched_sha256,
    )


def planes_of(work: Work) -> tuple[Touched, ...]:
    """For every page, which pixels the repairs that were made own."""
    planes = tuple(np.zeros(page.pixels.shape[:2], np.bool_) for page in work.document.pages)
    for repair, touched in work.repairs:
        box = repair.box
        planes[repair.page][box.y0 : box.y1, box.x0 : box.x1] |= touched
    return planes
