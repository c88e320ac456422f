"""Owns what a run will do, decided from headers and the journal before anything is computed or written.

What makes the whole run pointless is a SetupError, with examples and the way out; what is wrong with one file is a
Problem of that file, which the run counts as failed.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from restore.batch.job import Job, Other, Plan, Problem, SourceState, printable, without_place
from restore.batch.journal import Journal
from restore.batch.places import Places, nearest_existing
from restore.batch.probe import OpenDecoder, probe_all
from restore.batch.refuse import check_disk, estimate, refuse_foreign, refuse_unholdable
from restore.batch.sources import source_state
from restore.batch.targets import MAX_NAME_BYTES, name_targets, too_long
from restore.batch.walk import walk
from restore.errors import ImageError, SetupError
from restore.formats import SUFFIXES, Decoder, Header
from restore.recipe import Recipe, RunOptions

OutputSize = Callable[[int, int], tuple[int, int]]
"""(height, width) of a source page in px -> (height, width) of its result in px."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    relative: Path
    source: Path
    target: Path
    state: SourceState


def make_plan(
    recipe: Recipe,
    options: RunOptions,
    journal: Journal,
    output_size: OutputSize,
    open_decoder: OpenDecoder = Decoder,
) -> Plan:
    """Walks IN, drops what is done, reads the headers of the rest and checks that their results can be written.

    Writes nothing.  `--limit` takes the first N matching images in order, done or not, so that a second run with it has
    nothing to do.  Raises SetupError.
    """
    places = journal.places
    output_format = _output_format(recipe, places)
    found = walk(places.source, options.include, options.exclude)
    copied = found.others if options.copy_others else ()
    targets = name_targets(found.images, copied, places, output_format, options.on_collision)
    base = places.source if places.source.is_dir() else places.source.parent
    problems = list(found.problems)
    todo, done = [], 0
    fingerprint = recipe.fingerprint()
    for relative in found.images[: options.limit]:
        candidate = _candidate(base, relative, targets[relative], options.check_content)
        if isinstance(candidate, Problem):
            problems.append(candidate)
        elif _is_done(candidate, journal, fingerprint):
            done += 1
        elif blocked := _blocked(candidate, journal):
            problems.append(Problem(relative, blocked))
        else:
            todo.append(candidate)
    answers = probe_all([c.source for c in todo], open_decoder, decode=options.check_decode)
    jobs: list[Job] = []
    for candidate, header in zip(todo, answers, strict=True):
        if isinstance(header, ImageError):
            problems.append(
                Problem(candidate.relative, without_place(str(header), candidate.source, candidate.relative))
            )
        else:
            job = _job(candidate, header, output_format, output_size)
            if job.out_pixels > options.max_pixels:
                problems.append(Problem(candidate.relative, _too_large(job, options.max_pixels)))
            else:
                deviation = journal.find_deviation(job.target, job.source_state, fingerprint)
                jobs.append(replace(job, deviation=deviation))
    refuse_unholdable(jobs)
    others, others_done, other_problems = _others(base, copied, journal)
    problems += other_problems
    if not options.overwrite:
        refuse_foreign([job.target for job in jobs] + [other.relative for other in others], journal)
    low, typical = estimate(jobs, others)
    free = shutil.disk_usage(nearest_existing(places.root)).free
    notes = [*journal.notes, *found.notes]
    check_disk(low, typical, free, notes)
    if not found.images and not found.problems:
        raise SetupError(f"{printable(places.source)}: no image to work on: check the folder, --include and --exclude")
    problems.sort(key=lambda problem: os.fsencode(problem.relative))
    return Plan(tuple(jobs), done, others, tuple(problems), tuple(notes), fingerprint, free, typical, others_done)


def _candidate(base: Path, relative: Path, target: Path, content: bool) -> _Candidate | Problem:
    source = base / relative
    try:
        if content:
            state = source_state(source, content=True)
        else:
            facts = os.stat(source)
            state = SourceState(facts.st_size, facts.st_mtime_ns, facts.st_ino)
    except OSError as error:
        return Problem(relative, f"can't be read: {error.strerror}")
    except ImageError as error:
        return Problem(relative, str(error))
    if too_long(target):
        return Problem(relative, f"the result's name would be longer than {MAX_NAME_BYTES} bytes: shorten the name")
    return _Candidate(relative, source, target, state)


def _is_done(candidate: _Candidate, journal: Journal, fingerprint: str) -> bool:
    """Same source, same recipe, and the result is there with the recorded size.

    A source counts as the same if size, time and inode are (with `--check content`: if its sha256 is).  Where only time
    or inode differ (a copied or touched tree) its bytes decide, so that nothing is done twice.
    """
    record = journal.find(candidate.target)
    if record is None or record.fingerprint != fingerprint or record.source != candidate.relative:
        return False
    result = journal.output.lstat(candidate.target)
    if result is None or not stat.S_ISREG(result.st_mode) or result.st_size != record.size:
        return False
    if record.unsure and journal.output.sha256(candidate.target) != record.sha256:
        return False
    now, then = candidate.state, record.source_state
    if now.size != then.size:
        return False
    if now.sha256 is None:
        if (now.mtime_ns, now.inode) == (then.mtime_ns, then.inode) and not record.unsure:
            return True
        try:
            now = source_state(candidate.source, content=True)
        except (OSError, ImageError):
            return False  # the worker will say why
    return now.sha256 == then.sha256


def _blocked(candidate: _Candidate, journal: Journal) -> str | None:
    """Why nothing can get the target's name, whatever is done."""
    if journal.output.is_blocked(candidate.target):
        return (
            f"a symbolic link or a file lies in the way of {printable(candidate.target)} inside the output folder "
            "and is not followed: move it away"
        )
    there = journal.output.lstat(candidate.target)
    if there is not None and stat.S_ISDIR(there.st_mode):
        return f"a folder has the name of its result, {printable(candidate.target)}: move it away"
    return None


def _output_format(recipe: Recipe, places: Places) -> str:
    """What the user asked for; the suffix of a named output file counts too."""
    wanted = recipe.output.format
    if places.target_name is None:
        return wanted
    told = SUFFIXES[Path(places.target_name).suffix.lower()]
    if wanted == "same" and SUFFIXES.get(places.source.suffix.lower()) == told:
        return wanted
    if wanted not in ("same", told):
        raise SetupError(f"{places.target_name} is named as {told} but --format says {wanted}: make them agree")
    return told


def _job(candidate: _Candidate, header: Header, output_format: str, output_size: OutputSize) -> Job:
    height, width = output_size(header.height, header.width)
    return Job(
        relative=candidate.relative,
        source=candidate.source,
        target=candidate.target,
        header=header,
        source_state=candidate.state,
        format=header.format if output_format == "same" else output_format,
        output_width_px=width,
        output_height_px=height,
    )


def _too_large(job: Job, max_pixels: int) -> str:
    return (
        f"its result would have {job.out_pixels / 1e6:.0f} megapixels, more than --max-pixels {max_pixels} allows: "
        "raise that, or lower --scale"
    )


def _others(base: Path, copied: Iterable[Path], journal: Journal) -> tuple[tuple[Other, ...], int, list[Problem]]:
    """Files to copy along, how many already are, and those that can't be.  Done: same size and time in the output."""
    todo, done, problems = [], 0, []
    for relative in copied:
        try:
            facts = os.stat(base / relative)
        except OSError as error:
            problems.append(Problem(relative, f"can't be read: {error.strerror}"))
            continue
        there = journal.output.lstat(relative)
        if there is not None and stat.S_ISDIR(there.st_mode):
            problems.append(Problem(relative, "a folder has its name in the output: move it away"))
        elif there is not None and (there.st_size, there.st_mtime_ns) == (facts.st_size, facts.st_mtime_ns):
            done += 1
        else:
            todo.append(Other(relative, base / relative, facts.st_size, facts.st_mtime_ns))
    return tuple(todo), done, problems
