"""Owns masks of a whole reel: what its repair would touch, written for a person to correct."""

from __future__ import annotations

from pathlib import Path

from restore.film.plan import Plan
from restore.film.segments import usual_frames
from restore.film.settings import FilmSettings
from restore.reels.run import Report, Summary, restore_reel
from restore.reels.source import Source
from restore.reels.state import State
from restore.reels.work import Work


def write_masks(
    source: Source, plan: Plan, folder: Path, state: State, workers: int, report: Report, *, overwrite: bool
) -> Summary:
    """Writes a mask for every frame, or those that are left; the same ones by any number of workers.

    Masks are as they would be without a network, which fills but doesn't find.  Raises SetupError when `folder` holds
    masks that this tool didn't write as they are, perhaps a person's work, unless `overwrite`; DiskFullError.
    """
    frames = usual_frames(plan.last + 1 - plan.first)
    work = Work(source, plan, FilmSettings(), folder, segment_frames=frames, only_masks=True)
    return restore_reel(work, state, workers, report, overwrite=overwrite)
