"""Owns measuring on a person's own stock by several processes: damage planted on segments, restored, and counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from restore.errors import ImageError
from restore.film.bench import Score, Tally, score_of
from restore.film.plan import Plan
from restore.film.segments import usual_frames
from restore.film.settings import FilmSettings
from restore.reels.pool import Job, Pool
from restore.reels.run import Report, judged
from restore.reels.source import Source
from restore.reels.state import State, write_whole
from restore.reels.work import Damage, Work
from restore.reels.work_file import pack


def bench_reel(
    source: Source, plan: Plan, settings: FilmSettings, damage: Damage, folder: Path, workers: int, report: Report
) -> Score:
    """Plants damage on the plan's frames, restores them, and counts; the same score from any number of workers.

    `folder` is an empty one for what passes between processes.  Raises SetupError when no frame can be read, ImageError
    when a stretch can't be counted.
    """
    state = State(folder, folder / "lock", folder / "none")
    frames = usual_frames(plan.last + 1 - plan.first)
    work = Work(source, plan, settings, state.target, segment_frames=frames, damage=damage)
    counted: dict[int, Tally] = {}
    with Pool(state, workers) as pool:
        work = replace(work, plan=judged(work, state, pool, report))
        write_whole(state.work, pack(work))
        for done in pool.run([Job("count", segment.number) for segment in work.segments]):
            segment = work.segments[done.job.number]
            first, last = segment.start + work.origin, segment.stop - 1 + work.origin
            if done.answer is None:
                raise ImageError(f"{source.label}: frames {first}-{last}: {done.error}")
            counted[segment.number] = Tally(**done.answer)
            report.on_note(f"frames {first}-{last} counted, {len(counted)} of {len(work.segments)}")
    return score_of([counted[number] for number in sorted(counted)], source.label)
