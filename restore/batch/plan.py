"""Owns what a run will do, decided from headers and the journal before anything is computed or written.

What makes the whole run pointless is a SetupError, with examples and the way out; what is wrong with one file is a
Problem of that file, which the run counts as failed.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from restore.batch.companions import Companions, companion_at, find_companions
from restore.batch.doubts import check_companions
from restore.batch.job import Companion, Job, Other, Plan, Problem, Skipped, SourceState, printable, without_place
from restore.batch.journal import Journal
from restore.batch.memory import WAYS_OUT, bytes_inside, decoder_for, not_in_bands, too_much
from restore.batch.places import Places, nearest_existing
from restore.batch.probe import OpenDecoder, probe_all
from restore.batch.refuse import check_disk, estimate, refuse_foreign, refuse_lossy, refuse_unholdable
from restore.batch.sources import is_same, source_state
from restore.batch.targets import MAX_NAME_BYTES, name_targets, too_long
from restore.batch.walk import walk
from restore.device import free_bytes
from restore.errors import ImageError, SetupError
from restore.formats import SUFFIXES, Header
from restore.recipe import PATCHES, NoMask, Recipe, RunOptions

OutputSize = Callable[[int, int], tuple[int, int]]
"""(height, width) of a source page in px -> (height, width) of its result in px."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    relative: Path
    source: Path
    target: Path
    state: SourceState
    companion: Companion | None = None


@dataclass
class _Sorted:
    """Every source in one of these."""

    todo: list[_Candidate] = field(default_factory=list)
    done: int = 0
    problems: list[Problem] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def make_plan(
    recipe: Recipe,
    options: RunOptions,
    journal: Journal,
    output_size: OutputSize,
    open_decoder: OpenDecoder | None = None,
) -> Plan:
    """Walks IN, drops what is done, reads the headers of the rest and checks that their results can be written.

    Writes nothing.  `--limit` takes the first N matching images in order, done or not, so that a second run with it has
    nothing to do.  Raises SetupError.
    """
    places = journal.places
    open_decoder = open_decoder or partial(decoder_for, options.max_pixels)
    output_format = _output_format(recipe, places)
    found = walk(places.source, options.include, options.exclude)
    companions = find_companions(recipe, options, found)
    copied = found.others if options.copy_others else ()
    targets = name_targets(companions.images, copied, places, output_format, options.on_collision)
    sources = _sort(companions, targets, recipe, options, journal)
    problems = [*found.problems, *sources.problems]
    unpaired = f"no {companions.word} belongs to it" if companions.word and recipe.upscale is None else ""
    jobs, failed = _jobs(sources.todo, unpaired, recipe, options, output_format, output_size, open_decoder)
    problems += failed
    refuse_unholdable(jobs, in_place=recipe.upscale is None)
    if recipe.upscale is None and not options.lossy:
        refuse_lossy(jobs)
    jobs, failed, doubts = check_companions(jobs, companions, recipe, open_decoder, strict=options.masks.strict)
    problems += failed
    if doubts and options.masks.strict:
        raise SetupError(f"--strict: {'; '.join(doubts)}")
    fingerprint = recipe.fingerprint()
    jobs = [replace(j, deviation=journal.find_deviation(j.target, j.source_state, fingerprint)) for j in jobs]
    base = places.source if places.source.is_dir() else places.source.parent
    others, others_done, other_problems = _others(base, copied, journal)
    problems += other_problems
    if not options.overwrite:
        refuse_foreign([job.target for job in jobs] + [other.relative for other in others], journal)
    low, typical = estimate(jobs, others)
    free = shutil.disk_usage(nearest_existing(places.root)).free
    notes = [*journal.notes, *found.notes, *doubts]
    check_disk(low, typical, free, notes)
    if not found.images and not found.problems:
        raise SetupError(f"{printable(places.source)}: no image to work on: check the folder, --include and --exclude")
    problems.sort(key=lambda problem: os.fsencode(problem.relative))
    return Plan(
        *(tuple(jobs), sources.done, others, tuple(problems), tuple(notes), fingerprint, free, typical, others_done),
        skipped=tuple(sources.skipped),
        pairs=companions.pairs,
    )


def _sort(
    companions: Companions, targets: Mapping[Path, Path], recipe: Recipe, options: RunOptions, journal: Journal
) -> _Sorted:
    """What is to do, what is done, and what can't be."""
    base = journal.places.source if journal.places.source.is_dir() else journal.places.source.parent
    failing = {problem.relative: problem for problem in companions.failing}
    fingerprint = recipe.fingerprint()
    into = _Sorted()
    for relative in companions.images[: options.limit]:
        candidate = _candidate(base, relative, targets[relative], options.check_content, companions)
        if relative in failing:
            into.problems.append(failing[relative])
        elif isinstance(candidate, Problem):
            into.problems.append(candidate)
        elif (verdict := _without(candidate, companions, recipe, options)) is not None:
            (into.problems if isinstance(verdict, Problem) else into.skipped).append(verdict)  # type: ignore[arg-type]
        elif _is_done(candidate, journal, fingerprint):
            into.done += 1
        elif blocked := _blocked(candidate, journal):
            into.problems.append(Problem(relative, blocked))
        else:
            into.todo.append(candidate)
    return into


def _without(
    candidate: _Candidate, companions: Companions, recipe: Recipe, options: RunOptions
) -> Problem | Skipped | None:
    """What becomes of a source without the companion that would say where its holes are; None: it is worked on."""
    if not companions.word or candidate.companion is not None or recipe.inpaint is None:
        return None
    reason = f"no {companions.word} belongs to it"
    if options.masks.no_mask is NoMask.ERROR:
        return Problem(candidate.relative, f"{reason}: make one, or use --no-mask copy or skip")
    if recipe.upscale is None and (options.masks.no_mask is NoMask.SKIP or recipe.output.format == PATCHES):
        return Skipped(candidate.relative, reason)
    return None


def _jobs(
    todo: Sequence[_Candidate],
    unpaired: str,
    recipe: Recipe,
    options: RunOptions,
    output_format: str,
    output_size: OutputSize,
    open_decoder: OpenDecoder,
) -> tuple[list[Job], list[Problem]]:
    """Jobs of what the headers allow, and why the others can't be done.

    `unpaired`: why sources without a companion are passed on as they are; empty where they aren't.
    """
    jobs, problems = [], []
    free = free_bytes("cpu")
    for candidate, header in zip(
        todo, probe_all([c.source for c in todo], open_decoder, decode=options.check_decode), strict=True
    ):
        if isinstance(header, ImageError):
            error = without_place(str(header), candidate.source, candidate.relative)
            problems.append(Problem(candidate.relative, error))
            continue
        job = _job(candidate, header, output_format, output_size)
        if job.companion is None:
            job = replace(job, unchanged=unpaired)
        if job.out_pixels > options.max_pixels:
            problems.append(Problem(candidate.relative, _too_large(job, options.max_pixels, recipe)))
            continue
        placed = job if job.unchanged else _placed(job, recipe, free)
        if isinstance(placed, Job):
            jobs.append(placed)
        else:
            problems.append(Problem(candidate.relative, placed))
    return jobs, problems


def _placed(job: Job, recipe: Recipe, free_bytes: int) -> Job | str:
    """The job, in bands of rows where it must be; or why it doesn't fit into memory, and the way out."""
    repaired = recipe.inpaint is not None
    growth = max(1, round(job.output_width_px / job.header.width))
    reason = too_much(job.header, bytes_inside(job, growth, repaired=repaired), free_bytes)
    if reason is None:
        return job
    if why := not_in_bands(job, recipe):
        return f"{reason}; {why}; or {WAYS_OUT}"
    job = replace(job, in_bands=True)
    reason = too_much(job.header, bytes_inside(job, growth, repaired=repaired), free_bytes)
    return job if reason is None else f"even in bands of rows, {reason}: {WAYS_OUT}"


def _candidate(base: Path, relative: Path, target: Path, content: bool, companions: Companions) -> _Candidate | Problem:
    source, companion = base / relative, None
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
    if relative in companions.of:
        name, _ = companions.of[relative]
        try:
            companion = companion_at(companions.root, name)
        except OSError as error:
            return Problem(relative, f"its {companions.word} {printable(name)} can't be read: {error.strerror}")
    return _Candidate(relative, source, target, state, companion)


def _is_done(candidate: _Candidate, journal: Journal, fingerprint: str) -> bool:
    """Same source, same companion, same recipe, and the result is there with the recorded size (`sources.is_same`)."""
    record = journal.find(candidate.target)
    if record is None or record.fingerprint != fingerprint or record.source != candidate.relative:
        return False
    result = journal.output.lstat(candidate.target)
    if result is None or not stat.S_ISREG(result.st_mode) or result.st_size != record.size:
        return False
    if record.unsure and journal.output.sha256(candidate.target) != record.sha256:
        return False
    if (now := candidate.companion) is not None:
        then = record.companion_state
        if now.relative != record.companion or then is None or not is_same(now.source, now.state, then):
            return False
    elif record.companion is not None:
        return False
    return is_same(candidate.source, candidate.state, record.source_state, unsure=record.unsure)


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
        companion=candidate.companion,
    )


def _too_large(job: Job, max_pixels: int, recipe: Recipe) -> str:
    if recipe.upscale is None:
        megapixels = f"{job.out_pixels / 1e6:.0f} megapixels"
        return f"it has {megapixels}, more than --max-pixels {max_pixels} allows: raise that, or cut it into parts"
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
