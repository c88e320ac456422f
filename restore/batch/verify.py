"""Owns proving later, from the journal alone or against the sources, that results still are what was made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from restore.batch.facts import RepairFacts, facts_from
from restore.batch.fsops import digest_of
from restore.batch.job import printable
from restore.batch.journal import Journal
from restore.batch.journal_record import Record
from restore.batch.large_files import difference_in_bands, digests_of, pages_of
from restore.batch.memory import decoder_for, in_bands, pixels_of
from restore.batch.repairs import in_blocks
from restore.errors import ImageError, SetupError
from restore.formats import Decoder
from restore.recipe import PATCHES
from restore.trust.patches import Patches
from restore.trust.untouched import Touched, first_difference, touched_digest, untouched_digest

_CHANGED = "pixels outside its repairs are not the source's any more"
_OTHER_LEDGER = "its ledger is not the one that was written with it: restore the state folder from a copy"


class Proof(StrEnum):
    """How much is proved of a result that has no problems."""

    UNTOUCHED = "untouched"  # every pixel outside its repairs is the source's
    SOURCE = "source"  # it is the source, byte for byte
    BYTES = "bytes"  # it is what was made


@dataclass(frozen=True)
class Verdict:
    """What is true of one result."""

    target: Path
    proof: Proof
    problems: tuple[str, ...]
    """What differs from what was made, in words; empty: nothing."""


def verify(
    journal: Journal, decoder: Decoder, *, only: Path | None = None, source: Path | None = None
) -> Iterator[Verdict]:
    """One verdict a result.  `only`: this one, relative to the output; `source`: IN, to compare with.

    Raises SetupError where there is nothing to verify.
    """
    records = [record for record in journal.files() if only is None or record.target == only]
    if not records:
        what = "no result" if only is None else f"no result called {printable(only)}"
        raise SetupError(f"{printable(journal.places.root)}: its journal knows {what}: check OUT")
    for record in records:
        yield _verdict(record, journal, decoder, source)


def _verdict(record: Record, journal: Journal, decoder: Decoder, source: Path | None) -> Verdict:
    repair = facts_from(record.facts).repair
    if repair is not None and repair.untouched_sha256 is not None and record.format != PATCHES:
        proof = Proof.UNTOUCHED
    else:
        proof = Proof.SOURCE if record.sha256 == record.source_state.sha256 else Proof.BYTES
    found = journal.output.sha256(record.target)
    if found is None:
        return Verdict(record.target, proof, ("the file is missing, or no regular file any more",))
    problems = []
    if found != record.sha256:
        problems.append(f"its bytes were changed: sha256 is {found}, made was {record.sha256}")
    problems += _source_problems(record, source) if source is not None else []
    if repair is not None and proof is Proof.UNTOUCHED:
        compare = source if source is not None and not problems else None
        problems += _pixel_problems(record, repair, journal, decoder, compare)
    return Verdict(record.target, proof, tuple(problems))


def _source_problems(record: Record, source: Path) -> list[str]:
    path = _source_of(record, source)
    try:
        with path.open("rb") as file:
            found = digest_of(file)
    except OSError as error:
        return [f"its source {printable(record.source)} can't be read: {error.strerror}"]
    if found == record.source_state.sha256:
        return []
    return [f"its source {printable(record.source)} isn't the one it was made from: sha256 is {found}"]


def _source_of(record: Record, source: Path) -> Path:
    return source / record.source if source.is_dir() else source


def _pixel_problems(
    record: Record, repair: RepairFacts, journal: Journal, decoder: Decoder, source: Path | None
) -> list[str]:
    try:
        patches = _patches(record, journal)
        if in_bands(record.format, patches.pages):
            return _problems_in_bands(record, repair, patches, journal, source)
        touched = _touched(record, repair, patches, journal)
        result = decoder.read(journal.output.root / record.target)
        if untouched_digest(result, touched) != repair.untouched_sha256:
            return [_CHANGED]
        if source is None:
            return []
        difference = first_difference(decoder.read(_source_of(record, source)), result, touched)
    except (ImageError, ValueError) as error:
        return [str(error)]
    return [] if difference is None else [f"pixels outside its repairs differ from the source: {difference}"]


def _problems_in_bands(
    record: Record, repair: RepairFacts, patches: Patches, journal: Journal, source: Path | None
) -> list[str]:
    """The same of a picture that doesn't fit into memory.  Raises ImageError."""
    with decoder_for(pixels_of(patches.pages)) as decoder:
        result = pages_of(journal.output.root / record.target, patches.pages, decoder)
        digests = digests_of(result, patches.pages, patches)
        if digests.touched_sha256 != repair.touched_sha256:
            raise ImageError(_OTHER_LEDGER)
        if digests.untouched_sha256 != repair.untouched_sha256:
            return [_CHANGED]
        if source is None:
            return []
        pages = pages_of(_source_of(record, source), patches.pages, decoder)
        difference = difference_in_bands(pages, result, patches.pages, patches)
    return [] if difference is None else [f"pixels outside its repairs differ from the source: {difference}"]


def _patches(record: Record, journal: Journal) -> Patches:
    """The repairs as the ledger has them.  Raises ImageError."""
    patches = journal.ledger.read(record.target, record.sha256)
    if patches is None:
        raise ImageError(
            f"which pixels were repaired isn't known: its file in {printable(journal.places.ledger)} is missing"
        )
    return patches


def _touched(record: Record, repair: RepairFacts, patches: Patches, journal: Journal) -> Sequence[Touched]:
    """Which pixels were repaired, as the journal's digest confirms.  Raises ImageError."""
    touched = patches.touched()
    if record.format == "dds":
        touched = in_blocks(touched, journal.output.root / record.target)
    if touched_digest(touched) != repair.touched_sha256:
        raise ImageError(_OTHER_LEDGER)
    return touched


def unknown_files(journal: Journal, known: Sequence[Path]) -> int:
    """Files in the output that no run made."""
    names = {os.fsencode(path) for path in known}
    root = journal.output.root
    count = 0
    for parent, folders, files in os.walk(root):
        folders[:] = [name for name in folders if Path(parent) / name != journal.places.state]
        count += sum(os.fsencode((Path(parent) / name).relative_to(root)) not in names for name in files)
    return count
