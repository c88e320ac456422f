"""Owns doubts about masks before any work: sizes from headers, and with `--strict` what their pixels say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from restore.batch.companions import Companions
from restore.batch.job import Companion, Job, Problem, printable
from restore.batch.large import banded
from restore.batch.probe import OpenDecoder, probe_all
from restore.errors import ImageError
from restore.formats import Decoder, Header
from restore.holes.banded import read_mask
from restore.holes.lint import Doubt, DoubtKind, size_doubt
from restore.holes.lint import doubts as doubts_of
from restore.image import Arrangement
from restore.recipe import HolesFrom, Recipe


def check_companions(
    jobs: Sequence[Job], companions: Companions, recipe: Recipe, open_decoder: OpenDecoder, *, strict: bool
) -> tuple[list[Job], list[Problem], list[str]]:
    """(jobs whose mask can be used, why the others' can't, everything that is doubtful, in words)."""
    doubts = list(companions.doubts)
    if recipe.inpaint is None or recipe.inpaint.holes.source is not HolesFrom.MASKS:
        return list(jobs), [], doubts
    masks = list(dict.fromkeys(job.companion for job in jobs if job.companion is not None))
    answers = dict(zip(masks, probe_all([mask.source for mask in masks], open_decoder, decode=False), strict=True))
    kept, problems = [], []
    for job in jobs:
        mask = job.companion
        error = _unusable(job, mask, answers[mask]) if mask is not None else None
        if error is None:
            kept.append(job)
        else:
            problems.append(Problem(job.relative, error))
            doubts.append(str(problems[-1]))
    if strict:
        doubts += _pixel_doubts(kept, open_decoder, invert=recipe.inpaint.holes.invert)
    return kept, problems, doubts if strict else list(companions.doubts)


def mask_size(header: Header) -> tuple[int, int]:
    """(width, height) that a mask of a picture must have: of a cube map it shows all faces, one under the other."""
    faces = 6 if header.arrangement is Arrangement.CUBE_STRIP else 1
    return header.width, header.height * faces


def _unusable(job: Job, mask: Companion, header: Header | ImageError) -> str | None:
    name = printable(mask.relative)
    if isinstance(header, ImageError):
        return f"its mask {name} can't be read: {_without(str(header), mask.source)}"
    size = (header.width, header.height * (6 if header.arrangement is Arrangement.CUBE_STRIP else 1))
    doubt = size_doubt(*size, *mask_size(job.header))
    return None if doubt is None else f"its mask {name}: {doubt.words}"


def _pixel_doubts(jobs: Sequence[Job], open_decoder: OpenDecoder, *, invert: bool) -> list[str]:
    """Reads every mask once."""
    wanted = {job.companion: job for job in jobs if job.companion is not None}
    found = []
    with open_decoder() as decoder:
        for mask, job in wanted.items():
            try:
                said = _said(mask, job, decoder, invert=invert)
            except ImageError as error:
                found.append(f"{printable(mask.relative)}: {_without(str(error), mask.source)}")
                continue
            found += [f"{printable(mask.relative)}: {d.words}" for d in said if d.kind is not DoubtKind.EMPTY]
    return found


def _said(mask: Companion, job: Job, decoder: Decoder, *, invert: bool) -> tuple[Doubt, ...]:
    """What is doubtful about the first page of a job's mask.  Raises ImageError."""
    width, height = mask_size(job.header)
    if job.in_bands:
        return read_mask(banded(mask.source, 0, height, width, decoder), None, invert=invert)
    return doubts_of(decoder.read(mask.source).first, width_px=width, height_px=height, invert=invert)


def _without(message: str, path: Path) -> str:
    return message.removeprefix(f"{path}: ").removeprefix(f"{printable(path)}: ")
