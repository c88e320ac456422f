"""Owns taking repairs of film back: the source's own samples return, and what follows from it is made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from restore.errors import SetupError
from restore.film.blobs import ALL
from restore.reels.review import ledger_of
from restore.reels.run import Report, Summary, restore_reel
from restore.reels.state import State
from restore.reels.work_file import work_of


@dataclass(frozen=True)
class FilmUndone:
    """What was taken back."""

    frame: int
    blobs: tuple[int, ...]
    left: int
    """Repairs that stay in the frame."""
    summary: Summary


def undo_frame(state: State, number: int, blobs: Sequence[int] | None, workers: int, report: Report) -> FilmUndone:
    """Takes the repairs `blobs` of frame `number` back (None: all of its), and makes its segment, and the film, again.

    It stays undone in later runs of the same result.  Raises SetupError, ImageError, DiskFullError.
    """
    work = work_of(state)
    position = number - work.origin
    segment = next((one for one in work.segments if one.start <= position < one.stop), None)
    if segment is None:
        raise SetupError(f"{work.source.label}: there is no frame {number}, only {work.plan.first}-{work.plan.last}")
    place = position - segment.start
    there = [one.repair.blob for one in ledger_of(state, segment).patches if one.repair.page == place]
    if not there:
        raise SetupError(f"{work.source.label}: frame {number} has no repair, or all are undone already")
    chosen = there if blobs is None else list(dict.fromkeys(blobs))
    if missing := [blob for blob in chosen if blob not in there]:
        few = ", ".join(map(str, there[:10])) + (", ..." if len(there) > 10 else "")
        raise SetupError(f"{work.source.label}: frame {number} has no blob {missing[0]}; it has {few}")
    with state.held():
        undone = state.undone()
        before = undone.get(number, [])
        assert isinstance(before, list)  # with all undone, none would be there
        undone[number] = ALL if blobs is None else sorted({*before, *chosen})
        state.set_undone(undone)
    summary = restore_reel(work, state, workers, report)
    return FilmUndone(number, tuple(chosen), len(there) - len(chosen), summary)


def blob_is_in(state: State, number: int) -> bool:
    """Whether the state's reel has frame `number`."""
    work = work_of(state)
    return work.plan.first <= number <= work.plan.last
