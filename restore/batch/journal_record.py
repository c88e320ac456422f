"""Owns what the journal knows of one result: a record, and the columns that it is stored in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from restore.batch.job import Companion, SourceState

COMPANION_COLUMNS = "companion, companion_size, companion_mtime_ns, companion_inode, companion_sha256"
FILES_COLUMNS = (
    "target, source, source_size, source_mtime_ns, source_inode, source_sha256, fingerprint, format, target_size, "
    f"target_mtime_ns, target_sha256, unsure, run, facts, {COMPANION_COLUMNS}"
)


@dataclass(frozen=True, slots=True)
class Record:
    """A published result."""

    target: Path
    source: Path
    source_state: SourceState
    fingerprint: str
    format: str
    size: int
    mtime_ns: int
    sha256: str
    unsure: bool
    """Read from a damaged journal: true only if the target has `sha256`."""
    facts: str
    """JSON of `job.Facts`."""
    companion: Path | None = None
    companion_state: SourceState | None = None


def record_of(row: tuple[object, ...]) -> Record | None:
    """From FILES_COLUMNS; None if damage made nonsense of it."""
    target, source, *known, fingerprint, form, out_size, out_mtime_ns, out_sha256, unsure = row[:12]
    facts, companion, *companion_known = row[13:]
    if not isinstance(target, bytes) or not isinstance(source, bytes):
        return None
    try:
        state = _state_of(known)
        companion_state = _state_of(companion_known) if isinstance(companion, bytes) else None
        result_size, result_mtime_ns = int(str(out_size)), int(str(out_mtime_ns))
    except ValueError:
        return None
    return Record(
        target=Path(os.fsdecode(target)),
        source=Path(os.fsdecode(source)),
        source_state=state,
        fingerprint=str(fingerprint),
        format=str(form),
        size=result_size,
        mtime_ns=result_mtime_ns,
        sha256=str(out_sha256),
        unsure=bool(unsure),
        facts=str(facts),
        companion=Path(os.fsdecode(companion)) if isinstance(companion, bytes) else None,
        companion_state=companion_state,
    )


def _state_of(columns: Sequence[object]) -> SourceState:
    """Raises ValueError."""
    size, mtime_ns, inode = (int(str(value)) for value in columns[:3])
    return SourceState(size, mtime_ns, inode, None if columns[3] is None else str(columns[3]))


def state_columns(state: SourceState) -> tuple[str, str, str, str | None]:
    """As FILES_COLUMNS has them."""
    return str(state.size), str(state.mtime_ns), str(state.inode), state.sha256


def companion_columns(companion: Companion | None) -> tuple[object, ...]:
    """As FILES_COLUMNS ends."""
    if companion is None:
        return (None,) * 5
    return (os.fsencode(companion.relative), *state_columns(companion.state))
