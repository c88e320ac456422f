"""Owns a worker's first step: a source becomes pixels, what it is, and which of them are missing."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from restore.batch.finding import find_in, read_patches
from restore.batch.job import FailureKind, Job, SourceState, printable
from restore.batch.large import search
from restore.batch.sources import source_state
from restore.batch.work import Read
from restore.errors import ImageError
from restore.formats import Decoder
from restore.image import Arrangement
from restore.recipe import Recipe, TraitRules, Wrap
from restore.traits import classify


class ChangedError(ImageError):
    """The source, or its companion, isn't the one that was planned."""


def read(job: Job, decoder: Decoder, recipe: Recipe, cost: float) -> Read:
    """Raises ImageError."""
    started = time.perf_counter()
    refuse_changed(job)
    if job.in_bands:
        return _read_in_bands(job, decoder, recipe, cost, started)
    document = decoder.read(job.source)
    rules = recipe.rules
    if document.arrangement is Arrangement.CUBE_STRIP:
        rules = TraitRules(wrap=Wrap.NONE)  # a face goes on at its neighbours, not at its own other edge
    traits = tuple(classify(page, job.relative.name, rules) for page in document.pages)
    read = Read(job, document, traits, cost, 0.0)
    if recipe.inpaint is not None:
        found, notes = find_in(document, traits, job, decoder, recipe.inpaint.holes)
        read = replace(read, found=found, notes=notes, source_sha256=_sha256(job))
    elif recipe.upscale is None:
        read = _with_patches(read)
    return replace(read, seconds=time.perf_counter() - started)


def _read_in_bands(job: Job, decoder: Decoder, recipe: Recipe, cost: float, started: float) -> Read:
    searched = search(job, decoder, recipe)
    read = Read(job, searched.large.document, searched.traits, cost, 0.0, notes=searched.notes, large=searched.large)
    read = _with_patches(read) if recipe.inpaint is None else replace(read, source_sha256=_sha256(job))
    return replace(read, seconds=time.perf_counter() - started)


def _with_patches(read: Read) -> Read:
    """The patches that lie ready for it; ImageError if they were made from another file."""
    patches = read_patches(read.job)
    sha256 = _sha256(read.job)
    if patches.source_sha256 != sha256:
        raise ImageError(
            f"it isn't the file that {read.job.relative.name}'s patches were made from (its sha256 is {sha256}, "
            f"theirs {patches.source_sha256}): give the folder of the originals as IN"
        )
    return replace(read, patches=patches, source_sha256=sha256)


def _sha256(job: Job) -> str:
    try:
        state = source_state(job.source, content=True)
    except OSError as error:
        raise ChangedError(f"the source can't be read any more ({error.strerror}); run again") from error
    assert state.sha256 is not None
    return state.sha256


def refuse_changed(job: Job) -> None:
    """Raises ChangedError where a file isn't what it was when the plan was made."""
    _refuse(job.source, job.source_state, "the source")
    if job.companion is not None:
        _refuse(job.companion.source, job.companion.state, printable(job.companion.relative))


def _refuse(path: Path, planned: SourceState, named: str) -> None:
    try:
        now = os.stat(path)
    except OSError as error:
        raise ChangedError(f"{named} can't be found any more ({error.strerror}); run again") from error
    if (now.st_size, now.st_mtime_ns, now.st_ino) != (planned.size, planned.mtime_ns, planned.inode):
        raise ChangedError(f"{named} was changed after planning; run again")


def kind_of(error: ImageError) -> FailureKind:
    """Why a file failed, as far as somebody acts on it."""
    if isinstance(error, ChangedError):
        return FailureKind.CHANGED
    return FailureKind.MEMORY if "out of memory" in str(error) else FailureKind.IMAGE
