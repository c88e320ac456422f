"""Owns what is remembered of repairs: which pixels are whose, what the journal says of them, their patch files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from restore.batch.facts import RepairFacts, Uncertain
from restore.batch.work import Work
from restore.holes.found import Found, places
from restore.image import Document
from restore.tiling import Box
from restore.trust.ledger import Repair
from restore.trust.untouched import Touched, touched_digest, untouched_digest

UNCERTAIN = 8
"""Least certain repairs that one file names."""


def touched_planes(document: Document, found: Sequence[Found | None]) -> tuple[Touched, ...]:
    """For every page, which pixels a repair may change: holes, and what was divided out."""
    planes = []
    for number, page in enumerate(document.pages):
        one = found[number] if number < len(found) else None
        plane = np.zeros(page.pixels.shape[:2], np.bool_) if one is None else one.holes | one.divided
        planes.append(plane)
    return tuple(planes)


def own_pixels(repairs: Sequence[Repair], found: Sequence[Found | None]) -> tuple[tuple[Repair, Touched], ...]:
    """Each repair with the plane of its box that says which pixels are its own; no pixel is two repairs'.

    A repair owns the pixels of the blobs that lie in its box and that no earlier one owns.
    """
    owned = []
    for number, one in enumerate(found):
        mine = [repair for repair in repairs if repair.page == number]
        if one is None or not mine:
            continue
        divided = places(one.divided)
        blobs = [(box, one.labels, k + 1) for k, box in enumerate(blob.box for blob in one.blobs)]
        blobs += [(box, divided.labels, k + 1) for k, box in enumerate(divided.boxes)]
        exact = {repair.box: repair for repair in reversed(mine)}
        planes = {repair: np.zeros((repair.box.height, repair.box.width), np.bool_) for repair in mine}
        for box, labels, label in blobs:
            owner = exact.get(box) or next((repair for repair in mine if _inside(box, repair.box)), None)
            if owner is None:
                raise ValueError(f"no repair holds the hole at {box} of page {number}")
            here = owner.box
            window = planes[owner][box.y0 - here.y0 : box.y1 - here.y0, box.x0 - here.x0 : box.x1 - here.x0]
            window |= labels[box.y0 : box.y1, box.x0 : box.x1] == label
        owned += [(repair, plane) for repair, plane in planes.items() if plane.any()]
    return tuple(owned)


def repair_facts(work: Work, *, exact: bool) -> RepairFacts:
    """What the journal keeps.  `exact`: the file will hold every other pixel bit for bit."""
    repairs = [repair for repair, _ in work.repairs]
    touched = planes_of(work)
    least = sorted(repairs, key=lambda repair: repair.confidence)[:UNCERTAIN]
    return RepairFacts(
        holes=len(repairs),
        changed_px=sum(int(plane.sum()) for plane in touched),
        fills=dict(sorted(Counter(repair.fill.value for repair in repairs).items())),
        uncertain=tuple(
            Uncertain(round(r.confidence, 4), r.page, r.blob, r.box.x0, r.box.y0, r.fill.value) for r in least
        ),
        touched_sha256=touched_digest(touched),
        untouched_sha256=untouched_digest(work.read.document, touched) if exact else None,
    )


def planes_of(work: Work) -> tuple[Touched, ...]:
    """For every page, which pixels the repairs that were made own."""
    planes = tuple(np.zeros(page.pixels.shape[:2], np.bool_) for page in work.document.pages)
    for repair, touched in work.repairs:
        box = repair.box
        planes[repair.page][box.y0 : box.y1, box.x0 : box.x1] |= touched
    return planes


def _inside(inner: Box, outer: Box) -> bool:
    return outer.y0 <= inner.y0 and inner.y1 <= outer.y1 and outer.x0 <= inner.x0 and inner.x1 <= outer.x1
