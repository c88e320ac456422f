"""Owns what is already done: which source, with which settings, became which file, and what happened on the way.

One writer, in the driver's thread.  Paths are relative and kept as bytes; nothing in it names this machine.
A result goes staged -> intent -> rename -> published, so that a kill between any two steps is understood later:
an intent whose target has the recorded bytes was renamed; one whose temporary is whole is renamed now.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from restore.batch import journal_file
from restore.batch.facts import Deviation
from restore.batch.fsops import OutputRoot
from restore.batch.job import Companion, FailureKind, Job, Other, SourceState, Staged
from restore.batch.journal_record import (
    COMPANION_COLUMNS,
    FILES_COLUMNS,
    Record,
    companion_columns,
    record_of,
    state_columns,
)
from restore.batch.ledger import Ledger
from restore.batch.places import Places
from restore.batch.temporary import new_token
from restore.errors import ExitCode, ImageError
from restore.recipe import Recipe

COPY = "copy"
"""Stands for a recipe's fingerprint where a file was carried along."""


class Journal:
    """See the module.  Made by `opening`; not thread-safe."""

    def __init__(
        self, places: Places, path: Path, connection: sqlite3.Connection | None, read_only: bool, notes: Sequence[str]
    ) -> None:
        self.places = places
        self.notes: list[str] = list(notes)
        """What a person should know; `plan` passes them on."""
        self.output = OutputRoot(places.root, new_token())
        """Where this run writes; workers stage through it."""
        self.ledger = Ledger(OutputRoot(places.ledger, self.output.token))
        """Where this run keeps what it repaired."""
        self.read_only = read_only
        self._path = path
        self._connection = connection
        self._run: int | None = None
        self._fingerprint = ""

    # --- reading

    def find(self, target: Path) -> Record | None:
        """What was published under this name."""
        row = self._one(f"SELECT {FILES_COLUMNS} FROM files WHERE target = ?", (os.fsencode(target),))
        return None if row is None else record_of(row)

    def find_deviation(self, target: Path, state: SourceState, fingerprint: str) -> Deviation | None:
        """What an earlier attempt at exactly this work had to settle for."""
        row = self._one(
            "SELECT tile_px, batch FROM deviations"
            " WHERE target = ? AND source_size = ? AND source_mtime_ns = ? AND fingerprint = ?",
            (os.fsencode(target), str(state.size), str(state.mtime_ns), fingerprint),
        )
        return None if row is None else Deviation(int(str(row[0])), int(str(row[1])))

    def files(self) -> Iterator[Record]:
        """Everything that was published, in the order of names."""
        if self._connection is None:
            return
        with self._explained():
            rows = self._connection.execute(f"SELECT {FILES_COLUMNS} FROM files ORDER BY target").fetchall()
        yield from (record for row in rows if (record := record_of(row)) is not None)

    def failures(self) -> list[tuple[Path, str]]:
        """Sources that failed when last tried, and why."""
        if self._connection is None:
            return []
        rows = self._connection.execute("SELECT source, error FROM failures ORDER BY source")
        return [(Path(os.fsdecode(source)), error) for source, error in rows]

    # --- a run's life

    def settle(self) -> None:
        """Finishes what a stopped run had staged, and removes its other temporaries."""
        if self._connection is None:
            return
        names = "target, temporary, source, source_size, source_mtime_ns, source_inode, source_sha256, fingerprint"
        with self._explained():
            intents = self._connection.execute(
                f"SELECT {names}, format, target_size, target_sha256, run, facts, {COMPANION_COLUMNS} FROM intents"
                " ORDER BY target"
            ).fetchall()
            tokens = {row[0] for row in self._connection.execute("SELECT token FROM runs WHERE ended IS NULL")}
        temporaries = {Path(os.fsdecode(row[1])) for row in intents}
        if tokens and not self.read_only:
            self.output.remove_leftovers(tokens, keep=temporaries)
            self.ledger.root.remove_leftovers(tokens, keep=set())
        directories: set[Path] = set()
        with self._explained():
            for row in intents:
                target = Path(os.fsdecode(row[0]))
                if stat := self._renamed(target, Path(os.fsdecode(row[1])), row[9], row[10]):
                    self._insert_file((row[0], *row[2:10], str(stat.st_mtime_ns), row[10], 0, *row[11:]))
                    directories.add(target.parent)
        if self.read_only:
            return
        self.output.sync(directories)
        for temporary in temporaries:
            self.output.remove(temporary)
        with self._explained():
            if intents:
                self._connection.execute("DELETE FROM intents")
            if tokens:
                self._connection.execute("UPDATE runs SET ended = started WHERE ended IS NULL")

    def begin(self, recipe: Recipe, versions: Mapping[str, str]) -> None:
        """Writes down that a run starts; durable before the first temporary can exist."""
        self._begin(recipe.fingerprint(), recipe.to_json(), versions)

    def begin_undo(self, record: Record, versions: Mapping[str, str]) -> None:
        """The same for taking repairs off one result, which stays one of its recipe's."""
        self._begin(record.fingerprint, json.dumps({"undo": str(record.target)}), versions)

    def _begin(self, fingerprint: str, recipe: str, versions: Mapping[str, str]) -> None:
        if self.read_only:
            raise ValueError("this journal was opened for a plan only")
        if self._connection is None:
            self._connection = journal_file.create(self._path)
        self._fingerprint = fingerprint
        with self._explained(), journal_file.durable(self._connection):
            cursor = self._connection.execute(
                "INSERT INTO runs (token, started, fingerprint, recipe, versions) VALUES (?, ?, ?, ?, ?)",
                (
                    self.output.token,
                    time.time(),
                    self._fingerprint,
                    recipe,
                    json.dumps(dict(versions), sort_keys=True),
                ),
            )
        self._run = cursor.lastrowid

    def end(self, exit_code: ExitCode) -> None:
        """Writes down that the run ended in good order: it left no temporaries."""
        with self._explained(), journal_file.durable(self._db):
            self._db.execute(
                "UPDATE runs SET ended = ?, exit_code = ? WHERE id = ?", (time.time(), int(exit_code), self._run)
            )

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    # --- one result's life

    def intend(self, staged: Staged, state: SourceState, companion: Companion | None) -> None:
        """Remembers a staged result: survives a kill at once, and a power cut after `seal`.

        `state` and `companion` are what the result was made of, with their sha256.
        """
        job = staged.job
        with self._explained():
            self._db.execute(
                f"INSERT OR REPLACE INTO intents VALUES ({', '.join('?' * 18)})",
                (
                    os.fsencode(job.target),
                    os.fsencode(staged.temporary),
                    os.fsencode(job.relative),
                    *state_columns(state),
                    self._fingerprint,
                    job.format,
                    str(staged.size),
                    staged.sha256,
                    self._run,
                    json.dumps(asdict(staged.facts), sort_keys=True),
                    *companion_columns(companion),
                ),
            )

    def seal(self) -> None:
        """Makes every intent so far durable; renames may follow."""
        with self._explained(), journal_file.durable(self._db):
            self._db.execute("UPDATE seal SET count = count + 1")

    def published(self, targets: Sequence[tuple[Path, os.stat_result]]) -> None:
        """Turns the intents of these targets, which now have their names, into records."""
        with self._explained(), journal_file.transaction(self._db):
            for target, stat in targets:
                key = os.fsencode(target)
                self._db.execute(
                    f"INSERT OR REPLACE INTO files ({FILES_COLUMNS})"
                    " SELECT target, source, source_size, source_mtime_ns, source_inode, source_sha256, fingerprint,"
                    f" format, target_size, ?, target_sha256, 0, run, facts, {COMPANION_COLUMNS} FROM intents"
                    " WHERE target = ?",
                    (str(stat.st_mtime_ns), key),
                )
                self._db.execute(
                    "DELETE FROM failures WHERE source = (SELECT source FROM files WHERE target = ?)", (key,)
                )
                self._db.execute("DELETE FROM deviations WHERE target = ?", (key,))
                self._db.execute("DELETE FROM intents WHERE target = ?", (key,))

    def forget(self, target: Path) -> None:
        """Drops an intent that can't be carried out."""
        with self._explained():
            self._db.execute("DELETE FROM intents WHERE target = ?", (os.fsencode(target),))

    def copied(self, other: Other, stat: os.stat_result, sha256: str) -> None:
        """Remembers a file that was carried along."""
        key = os.fsencode(other.relative)
        state = SourceState(other.size, other.mtime_ns, 0, sha256)
        result = (str(stat.st_size), str(stat.st_mtime_ns), sha256)
        with self._explained():
            self._insert_file(
                (key, key, *state_columns(state), COPY, COPY, *result, 0, self._run, "{}", *companion_columns(None))
            )

    def failed(self, source: Path, error: str, kind: FailureKind) -> None:
        """Remembers why a source failed; an earlier result of it stays known."""
        text = error.encode("utf-8", "backslashreplace").decode()
        with self._explained():
            self._db.execute(
                "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)",
                (os.fsencode(source), text, kind.value, self._run),
            )

    def deviated(self, job: Job, deviation: Deviation) -> None:
        """Remembers that an image had to restart with smaller tiles, before its result exists."""
        state = job.source_state
        row = (os.fsencode(job.target), str(state.size), str(state.mtime_ns), self._fingerprint)
        with self._explained():
            self._db.execute(
                "INSERT OR REPLACE INTO deviations VALUES (?, ?, ?, ?, ?, ?)",
                (*row, deviation.tile_px, deviation.batch),
            )

    # --- inside

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None or self._run is None:
            raise ValueError("no run has begun")
        return self._connection

    def _one(self, query: str, values: tuple[object, ...]) -> tuple[object, ...] | None:
        if self._connection is None:
            return None
        with self._explained():
            row: tuple[object, ...] | None = self._connection.execute(query, values).fetchone()
        return row

    def _renamed(self, target: Path, temporary: Path, size: str, sha256: str) -> os.stat_result | None:
        """The lstat of an intent's result under its name, which it gets now if only that was missing; else None."""
        there = self.output.lstat(target)
        if there is not None and str(there.st_size) == size and self.output.sha256(target) == sha256:
            return there
        if self.read_only or not self.may_replace(target) or self.output.sha256(temporary) != sha256:
            return None
        try:
            return self.output.rename(temporary, target)
        except ImageError:
            return None  # it is then done again, and says why

    def may_replace(self, target: Path) -> bool:
        """Whether nothing would be lost: there is nothing, or only what this tool wrote."""
        there = self.output.lstat(target)
        if there is None:
            return True
        known = self.find(target)
        return known is not None and self.is_ours(known, there)

    def is_ours(self, record: Record, stat: os.stat_result) -> bool:
        """Whether the target still is what this tool wrote: same size and time, or same bytes."""
        if stat.st_size != record.size:
            return False
        if stat.st_mtime_ns == record.mtime_ns and not record.unsure:
            return True
        return self.output.sha256(record.target) == record.sha256

    def _insert_file(self, row: tuple[object, ...]) -> None:
        assert self._connection is not None
        marks = ", ".join("?" * len(row))
        self._connection.execute(f"INSERT OR REPLACE INTO files ({FILES_COLUMNS}) VALUES ({marks})", row)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with journal_file.explained(self._path):
            yield
