"""Owns taking repairs off a result again: under them the source's own pixels come back, everything else stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from restore.batch.facts import NO_FACTS, facts_from
from restore.batch.job import Companion, Job, SourceState, Staged, printable
from restore.batch.journal import Journal
from restore.batch.journal_record import Record
from restore.batch.large import open_large
from restore.batch.large_files import before, stage_large
from restore.batch.memory import decoder_for, in_bands, pixels_of
from restore.batch.repairs import facts_of
from restore.batch.stage import stage
from restore.errors import ExitCode, SetupError
from restore.formats import Decoder
from restore.recipe import PATCHES
from restore.trust.patches import Patches
from restore.trust.untouched import untouched_digest


@dataclass(frozen=True)
class Undone:
    """What was taken off, and what is left on."""

    blobs: int
    pixels: int
    left: int


def undo(
    journal: Journal,
    target: Path,
    decoder: Decoder,
    blobs: Sequence[int] | None,
    page: int | None,
    versions: Mapping[str, str],
) -> Undone:
    """Takes the repairs `blobs` of page `page` (from 1) off the result `target`.

    `blobs` None: all of that page; `page` None: of all pages, or with `blobs` the first.

    The file is replaced only once its successor is whole, checked and on disk.  Raises SetupError where the file isn't
    one that repairs can be taken off, ImageError, DiskFullError.
    """
    record, patches = _known(journal, target)
    chosen = _chosen(patches, blobs, page, target)
    gone = replace(patches, patches=tuple(p for p in patches.patches if (p.repair.page, p.repair.blob) in chosen))
    kept = replace(patches, patches=tuple(p for p in patches.patches if (p.repair.page, p.repair.blob) not in chosen))
    if in_bands(record.format, patches.pages):
        staged = _staged_in_bands(journal, record, gone, kept, versions)
    else:
        staged = _staged(journal, record, gone, kept, decoder, versions)
    try:
        journal.ledger.keep(kept, target, staged.sha256)
    except BaseException:
        journal.output.remove(staged.temporary)
        raise
    companion = None
    if record.companion is not None and record.companion_state is not None:
        companion = Companion(record.companion, record.companion, record.companion_state)
    facts = replace(facts_from(record.facts), repair=staged.facts.repair)
    _publish(replace(staged, facts=facts), record, companion, journal)
    journal.end(ExitCode.OK)
    return Undone(len(gone.patches), sum(int(patch.touched.sum()) for patch in gone.patches), len(kept.patches))


def _staged(
    journal: Journal, record: Record, gone: Patches, kept: Patches, decoder: Decoder, versions: Mapping[str, str]
) -> Staged:
    """The result without `gone`, whole and checked, under a temporary name."""
    path = journal.output.root / record.target
    found = decoder.read(path)
    after = gone.undone(found)
    remaining = kept.touched()
    repair = facts_of([patch.repair for patch in kept.patches], remaining, untouched_digest(after, remaining))
    journal.begin_undo(record, versions)
    job = _job(path, record, decoder)
    facts = replace(NO_FACTS, repair=repair)
    return stage(found, after, job, facts, journal.output, decoder, gone.touched())


def _staged_in_bands(
    journal: Journal, record: Record, gone: Patches, kept: Patches, versions: Mapping[str, str]
) -> Staged:
    """The same of a picture that doesn't fit into memory."""
    path = journal.output.root / record.target
    with decoder_for(pixels_of(gone.pages)) as decoder:
        large = open_large(path, decoder)
        journal.begin_undo(record, versions)
        job = _job(path, record, decoder)
        return stage_large(large, gone, job, NO_FACTS, journal.output, decoder, side=before, remaining=kept)


def _job(path: Path, record: Record, decoder: Decoder) -> Job:
    """The result as its own source."""
    header, stat = decoder.probe(path), path.stat()
    state = SourceState(stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return Job(record.source, path, record.target, header, state, record.format, header.width, header.height)


def _publish(staged: Staged, record: Record, companion: Companion | None, journal: Journal) -> None:
    """As every result is: intent, rename, record; the result stays that of its source and its mask."""
    target = staged.job.target
    journal.intend(staged, record.source_state, companion)
    journal.seal()
    named = journal.output.rename(staged.temporary, target)
    journal.output.sync({target.parent})
    journal.published([(target, named)])
    journal.ledger.prune(target, staged.sha256)


def _known(journal: Journal, target: Path) -> tuple[Record, Patches]:
    """The result's record and repairs.  Raises SetupError, ImageError."""
    record = journal.find(target)
    named = printable(target)
    if record is None:
        raise SetupError(f"{named}: the journal knows no such result: name it as it is called inside OUT")
    found = journal.output.sha256(target)
    if found is None:
        raise SetupError(f"{named}: the file is missing, or no regular file any more: the run's command makes it again")
    if found != record.sha256:
        raise SetupError(
            f"{named}: was changed since it was made, so its repairs can't be told any more: make it again"
        )
    repair = facts_from(record.facts).repair
    if repair is None:
        raise SetupError(f"{named}: nothing was repaired in it")
    if record.format == "dds":
        raise SetupError(f"{named}: its touched blocks were encoded anew: take the file from IN, or correct its mask")
    if record.format == PATCHES:
        raise SetupError(f"{named}: holds patches only: nothing needs undoing before `restore apply`")
    if repair.untouched_sha256 is None:
        raise SetupError(
            f"{named}: was written in a lossy format, enlarged after its repair or joined from faces, where originals "
            "can't come back bit for bit: make it again from the source with a corrected mask"
        )
    patches = journal.ledger.read(target, record.sha256)
    if patches is None:
        raise SetupError(f"{named}: its originals are missing from {printable(journal.places.ledger)}: make it again")
    return record, patches


def _chosen(
    patches: Patches, blobs: Sequence[int] | None, page: int | None, target: Path
) -> frozenset[tuple[int, int]]:
    there = [(patch.repair.page, patch.repair.blob) for patch in patches.patches]
    if not there:
        raise SetupError(f"{printable(target)}: all its repairs are undone already")
    if blobs is None and page is None:
        return frozenset(there)
    number = (page or 1) - 1
    here = [blob for at, blob in there if at == number]
    if blobs is None:
        if not here:
            raise SetupError(f"{printable(target)}: page {page} has no repairs")
        return frozenset((number, blob) for blob in here)
    chosen = frozenset((number, blob) for blob in blobs)
    missing = [blob for _, blob in sorted(chosen.difference(there))]
    if missing:
        few = ", ".join(map(str, here[:10])) + (", ..." if len(here) > 10 else "")
        raise SetupError(f"{printable(target)}: page {number + 1} has no blob {missing[0]}; it has {few or 'none'}")
    return chosen
