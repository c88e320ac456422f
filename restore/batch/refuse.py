"""Owns what makes a whole run pointless: formats that can't hold the results, others' files in the way, a full disk.

Each is a SetupError with examples and the way out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from restore.batch.job import Job, Other
from restore.batch.journal import Journal
from restore.batch.walk import examples
from restore.errors import ImageError, SetupError
from restore.formats import cannot_hold, written_exactly
from restore.formats.dds_patch import HEAD_BYTES, layout_of
from restore.recipe import PATCHES

SIZE_RATIOS = {
    "bmp": (1.0, 1.0),
    "pnm": (1.0, 1.0),
    "jpeg": (0.01, 0.1),
    "webp": (0.01, 0.3),
    "dds": (0.15, 0.3),
}
"""Bytes on disk over bytes of pixels: (hardly ever less, typical).  Of the others: OTHER_RATIO."""
OTHER_RATIO = (0.02, 0.5)


def refuse_unholdable(jobs: Iterable[Job], *, in_place: bool) -> None:
    """`in_place`: sizes stay, so that DDS files can be changed where they are touched."""
    reasons: defaultdict[str, list[Path]] = defaultdict(list)
    for job in jobs:
        if job.format == PATCHES or job.is_copy:
            continue
        if in_place and job.changes_in_place:
            if reason := _unpatchable(job):
                reasons[reason].append(job.relative)
            continue
        before, after = job.header, (job.output_width_px, job.output_height_px)
        scale = max(after) / max(before.width, before.height)  # sides may grow unlike; the longest one counts
        if reason := cannot_hold(job.format, job.header, scale):
            reasons[reason].append(job.relative)
    if reasons:
        lines = [f"{reason} ({len(paths)} files: {examples(paths)})" for reason, paths in reasons.items()]
        raise SetupError("; ".join(lines) + "; or leave such files out with --exclude")


def _unpatchable(job: Job) -> str | None:
    """Why a DDS file can't be changed in place, and the way out."""
    try:
        with job.source.open("rb") as file:
            layout_of(file.read(HEAD_BYTES), job.source_state.size)
    except ImageError as error:
        return str(error)
    except OSError:
        return None  # the worker will say why
    return None


def refuse_lossy(jobs: Iterable[Job]) -> None:
    """Formats that change every pixel can't promise that pixels outside repairs are untouched."""
    lossy = [job for job in jobs if job.format != PATCHES and not job.is_copy]
    lossy = [job for job in lossy if not job.changes_in_place and not written_exactly(job.format, job.header)]
    if lossy:
        kinds = " and ".join(sorted({job.format.upper() for job in lossy}))
        raise SetupError(
            f"{len(lossy)} results would be lossy {kinds}, where pixels outside the repairs change too: "
            f"{examples([job.relative for job in lossy])}: write them with --format png or tiff, keep only the repairs "
            "with --patches DIR, or allow it with --lossy"
        )


def refuse_foreign(targets: Iterable[Path], journal: Journal) -> None:
    """Never replaces a file that isn't known to be this tool's own, unchanged."""
    foreign, changed = [], []
    for target in targets:
        there = journal.output.lstat(target)
        if there is None:
            continue
        record = journal.find(target)
        if record is None:
            foreign.append(target)
        elif not journal.is_ours(record, there):
            changed.append(target)
    lines = []
    if foreign:
        what = "1 file in the output was" if len(foreign) == 1 else f"{len(foreign)} files in the output were"
        lines.append(f"{what} not made by a run that its journal knows: {examples(foreign)}")
    if changed:
        what = "1 result was" if len(changed) == 1 else f"{len(changed)} results were"
        lines.append(f"{what} changed after they were made: {examples(changed)}")
    if lines:
        raise SetupError("; ".join(lines) + ": move them away, name another output, or let --overwrite replace them")


def estimate(jobs: Iterable[Job], others: Iterable[Other]) -> tuple[int, int]:
    """Bytes that will be written: (hardly ever less, typical)."""
    low = typical = float(sum(other.size for other in others))
    for job in jobs:
        if job.in_bands and job.format != PATCHES:  # a changed copy of the source
            low, typical = low + job.source_state.size, typical + job.source_state.size
            continue
        raw = job.out_pixels * len(job.header.channels) * job.header.bits / 8
        ratios = SIZE_RATIOS.get(job.format, OTHER_RATIO)
        low += raw * ratios[0]
        typical += raw * ratios[1]
    return int(low), int(typical)


def check_disk(low: int, typical: int, free: int, notes: list[str]) -> None:
    """Refuses only what surely doesn't fit: how well results compress is known only afterwards."""
    if low > free:
        raise SetupError(
            f"the results need at least {_mib(low)}, typically {_mib(typical)}, and the output's disk has {_mib(free)} "
            "free: make room, name another output, or use --limit or --format png"
        )
    if typical > free:
        notes.append(
            f"the results typically need {_mib(typical)} and the output's disk has {_mib(free)} free: if it fills up, "
            "the run stops in good order and can be resumed"
        )


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
