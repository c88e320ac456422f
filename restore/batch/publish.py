"""Owns giving results their final names: in the driver only, in groups, each step understood after a kill.

staged file checked -> intent -> (group) intents durable -> renames -> folders durable -> records.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from restore.batch.job import (
    Companion,
    Failed,
    FailureKind,
    Outcome,
    Skipped,
    SourceState,
    Staged,
    Status,
    printable,
    without_place,
)
from restore.batch.journal import Journal
from restore.batch.sources import source_state
from restore.errors import ImageError

MOST_WAITING = 32
LONGEST_WAIT_S = 1.0
"""A result waits for company only if the last group went out less than this ago."""


class Publisher:
    """Takes staged results; tells `on_outcome` about each one when it has its name, or why it hasn't."""

    def __init__(self, journal: Journal, on_outcome: Callable[[Outcome], None], *, overwrite: bool) -> None:
        self._journal = journal
        self._overwrite = overwrite
        self._on_outcome = on_outcome
        self._waiting: list[Staged] = []
        self._flushed_s = 0.0
        self._companions: dict[tuple[Path, SourceState], SourceState] = {}

    def add(self, staged: Staged) -> None:
        """Raises DiskFullError; a result that isn't what its worker said becomes a failed outcome."""
        try:
            state, companion = self._check(staged)
        except ImageError as error:
            self._journal.output.remove(staged.temporary)
            self.fail(Failed(staged.job, str(error), FailureKind.CHANGED, staged.facts))
            return
        self._journal.intend(staged, state, companion)
        self._waiting.append(staged)
        if len(self._waiting) >= MOST_WAITING or time.monotonic() - self._flushed_s >= LONGEST_WAIT_S:
            self.flush()

    def skip(self, skipped: Skipped) -> None:
        """Nothing is written, and nothing remembered: the next run looks again."""
        self._on_outcome(Outcome(skipped.relative, Status.SKIPPED, skipped.job, skipped.reason))

    def fail(self, failed: Failed) -> None:
        job = failed.job
        error = without_place(failed.error, job.source, job.relative)
        self._journal.failed(job.relative, error, failed.kind)
        self._on_outcome(Outcome(job.relative, Status.FAILED, job, error, failed.kind, facts=failed.facts))

    def flush(self) -> None:
        """Publishes what waits.  Raises DiskFullError; what was renamed by then is recorded, or understood later."""
        if not self._waiting:
            return
        group, self._waiting = self._waiting, []
        self._journal.seal()
        renamed, names = [], []
        for staged in group:
            target = staged.job.target
            try:
                if not self._overwrite and not self._journal.may_replace(target):
                    raise ImageError(
                        "meanwhile its result's name is taken by another file: move that away, and run again"
                    )
                names.append((target, self._journal.output.rename(staged.temporary, target)))
                renamed.append(staged)
            except ImageError as error:
                self._journal.forget(target)
                self._journal.output.remove(staged.temporary)
                self.fail(Failed(staged.job, str(error), FailureKind.IMAGE, staged.facts))
        self._journal.output.sync({target.parent for target, _ in names})
        self._journal.published(names)
        for staged in renamed:
            self._journal.ledger.prune(staged.job.target, staged.sha256)
        self._flushed_s = time.monotonic()
        for staged in renamed:
            self._on_outcome(
                Outcome(staged.job.relative, Status.DONE, staged.job, output_bytes=staged.size, facts=staged.facts)
            )

    def _check(self, staged: Staged) -> tuple[SourceState, Companion | None]:
        """The staged file is what its worker wrote, and the source still is what was planned, as is its companion;
        both with their sha256."""
        if self._journal.output.sha256(staged.temporary) != staged.sha256:
            raise ImageError("the staged result is not what its worker wrote: check the output's disk, and run again")
        job = staged.job
        state = _still(job.source, job.source_state, "the source")
        if job.companion is None:
            return state, None
        key = job.companion.source, job.companion.state
        if key not in self._companions:  # one mask may serve thousands of pictures
            self._companions[key] = _still(*key, printable(job.companion.relative))
        return state, replace(job.companion, state=self._companions[key])


def _still(path: Path, planned: SourceState, named: str) -> SourceState:
    """What the file is now, with its sha256; ImageError if that isn't what was planned."""
    try:
        now = source_state(path, content=True)
    except OSError as error:
        raise ImageError(f"{named} vanished during the run: {error.strerror}") from error
    if (now.size, now.mtime_ns, now.inode) != (planned.size, planned.mtime_ns, planned.inode) or (
        planned.sha256 not in (None, now.sha256)
    ):
        raise ImageError(f"{named} changed during the run: run again")
    return now
