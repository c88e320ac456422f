"""Owns making a segment anew of which repairs were taken back: from the source and the ledger, with no second search.

A repair is a function of the source alone, so taking one back changes the pixels under it and no others.  What the
ledger holds of the rest is put on the source's frames as it was the first time: the same bytes come out as from a
search, a proof of which is in the tests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from restore.batch.fsops import digest_of
from restore.errors import ImageError
from restore.film.blobs import ALL
from restore.film.native import spliced
from restore.film.prepared import read_on
from restore.film.reel import Fault, FilmFrame, Reel
from restore.film.render import Rendered
from restore.film.segments import Segment
from restore.reels import publish
from restore.reels.review import ledger_of
from restore.reels.state import State, Undone, undone_from_plain
from restore.reels.work import Work
from restore.trust.patches import Patch


@dataclass(frozen=True)
class Before:
    """A segment as it was made, and what is to be different now."""

    receipt: Mapping[str, Any]
    frames: frozenset[int]
    """Of which repairs were taken back since."""
    patches: Mapping[int, list[Patch]]
    """What stays, by the frames' numbers."""


def can_be_made_again(work: Work, state: State, segment: Segment) -> bool:
    """Whether repairs that were taken back are all that a segment lacks, and its ledger is whole."""
    known = state.get(publish.receipt_name(segment))
    if known is None or work.only_masks:
        return False
    first, last = segment.start + work.origin, segment.stop - 1 + work.origin
    if any(one.settings.whole_frame for one in work.plan.shots if one.first <= last and first <= one.last):
        return False  # under a repair would be the frame held steady, which nobody kept
    earlier = undone_from_plain(known.get("undone", {}))
    frames = _taken_back(earlier, work.undone_in(segment))
    if not frames or replace(work, undone=earlier).fingerprint(segment) != known["fingerprint"]:
        return False
    if not all(publish.is_as_made(work.target, one) for one in known.get("files", ()) if one[0] not in frames):
        return False
    try:
        with state.ledger(segment).open("rb") as file:
            return bool(digest_of(file) == known["ledger_sha256"])
    except OSError:
        return False


def before(work: Work, state: State, segment: Segment) -> Before:
    """What `frames_again` needs, for a segment that `can_be_made_again`.  Raises ImageError."""
    known = state.get(publish.receipt_name(segment))
    if known is None:
        raise ImageError(f"the receipt of frames from {segment.start + work.origin} on is gone: run again")
    first = segment.start + work.origin
    patches: defaultdict[int, list[Patch]] = defaultdict(list)
    for patch in ledger_of(state, segment).patches:
        number, blob = first + patch.repair.page, patch.repair.blob
        gone = work.undone.get(number, ())
        if gone != ALL and blob not in gone:
            patches[number].append(patch)
    frames = _taken_back(undone_from_plain(known.get("undone", {})), work.undone_in(segment))
    return Before(known, frames, patches)


def frames_again(reel: Reel, segment: Segment, origin: int, was: Before) -> Iterator[Rendered | Fault]:
    """Every frame of the segment, as `film.render` gives it.  ImageError when a frame can't be read any more."""
    lost: Mapping[str, str] = was.receipt["faults"]
    position = segment.start - 1
    for position, item in read_on(reel, segment.start, segment.stop):
        number = position + origin
        if str(number) in lost:
            yield Fault(number, lost[str(number)])
        elif isinstance(item, FilmFrame):
            yield _repaired(item, was.patches.get(number, []))
        else:
            raise ImageError(f"{item.reason}: it could be read before")
    for number in range(position + 1 + origin, segment.stop + origin):
        if str(number) not in lost:
            raise ImageError(f"frame {number} can't be read any more")
        yield Fault(number, lost[str(number)])


def _repaired(film: FilmFrame, patches: list[Patch]) -> Rendered:
    touched = np.zeros(film.working.shape[:2], np.bool_)
    if not patches:
        return Rendered(film.number, film.native, film.native, (), touched, film.working, film.working, film.damage)
    new = film.working.copy()
    repairs = []
    for patch in patches:
        box = patch.repair.box
        place = np.s_[box.y0 : box.y1, box.x0 : box.x1]
        new[place][patch.touched] = patch.after
        touched[place] |= patch.touched
        repairs.append((replace(patch.repair, page=film.number), patch.touched))
    after = spliced(film.native, new, touched)
    return Rendered(film.number, film.native, after, tuple(repairs), touched, film.working, new, film.damage)


def _taken_back(before: Undone, now: Undone) -> frozenset[int]:
    """Frames with fewer repairs than before; none where one came back."""
    for number, blobs in before.items():
        new = now.get(number, ())
        if new != ALL and (blobs == ALL or not set(blobs) <= set(new)):
            return frozenset()
    return frozenset(number for number, blobs in now.items() if before.get(number, ()) != blobs)
