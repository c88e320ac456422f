"""Owns the journal's file: its SQLite schema, opening it, and saving what can be read of a damaged one."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from restore.batch.job import printable
from restore.batch.journal_record import FILES_COLUMNS
from restore.errors import DiskFullError, SetupError

APPLICATION_ID = 0x52535452
SCHEMA_VERSION = 2

_COMPANION = "companion BLOB, companion_size TEXT, companion_mtime_ns TEXT, companion_inode TEXT, companion_sha256 TEXT"
"""Of the mask, infrared or patch file that also decided the result; NULL where there was none."""
UPGRADES = {
    1: tuple(
        f"ALTER TABLE {table} ADD COLUMN {column.strip()}"
        for table in ("files", "intents")
        for column in _COMPANION.split(",")
    )
}
"""Statements that bring a journal of this version to the next one."""

SCHEMA = f"""
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    token TEXT NOT NULL,          -- names the run in its temporaries
    started REAL NOT NULL,        -- seconds since the epoch
    ended REAL,                   -- NULL: it was killed, and may have left temporaries
    exit_code INTEGER,
    fingerprint TEXT NOT NULL,
    recipe TEXT NOT NULL,         -- JSON, precision and tile size resolved
    versions TEXT NOT NULL        -- JSON
);
CREATE TABLE files (              -- results that are published
    target BLOB PRIMARY KEY,      -- bytes of the path, relative to the output root
    source BLOB NOT NULL,         -- bytes of the path, relative to the input
    source_size TEXT NOT NULL,    -- numbers of a file as text: some exceed 64 signed bits
    source_mtime_ns TEXT NOT NULL,
    source_inode TEXT NOT NULL,
    source_sha256 TEXT,
    fingerprint TEXT NOT NULL,    -- of the recipe; 'copy' for a file carried along
    format TEXT NOT NULL,
    target_size TEXT NOT NULL,
    target_mtime_ns TEXT NOT NULL,
    target_sha256 TEXT NOT NULL,
    unsure INTEGER NOT NULL,      -- 1: from a damaged journal; believed only if the target has target_sha256
    run INTEGER NOT NULL,
    facts TEXT NOT NULL,          -- JSON of job.Facts
    {_COMPANION}
) WITHOUT ROWID;
CREATE TABLE intents (            -- staged, and about to get their names
    target BLOB PRIMARY KEY,
    temporary BLOB NOT NULL,
    source BLOB NOT NULL,
    source_size TEXT NOT NULL,
    source_mtime_ns TEXT NOT NULL,
    source_inode TEXT NOT NULL,
    source_sha256 TEXT,
    fingerprint TEXT NOT NULL,
    format TEXT NOT NULL,
    target_size TEXT NOT NULL,
    target_sha256 TEXT NOT NULL,
    run INTEGER NOT NULL,
    facts TEXT NOT NULL,
    {_COMPANION}
) WITHOUT ROWID;
CREATE TABLE failures (
    source BLOB PRIMARY KEY,
    error TEXT NOT NULL,
    kind TEXT NOT NULL,
    run INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE deviations (         -- what an image had to settle for when memory ran out
    target BLOB PRIMARY KEY,
    source_size TEXT NOT NULL,
    source_mtime_ns TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    tile_px INTEGER NOT NULL,
    batch INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE seal (count INTEGER NOT NULL);
INSERT INTO seal VALUES (0);
"""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into DiskFullError (no room) or SetupError."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL" or name.startswith(("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")):
            raise DiskFullError(f"{printable(path)}: the journal can't be written: {error}") from error
        raise SetupError(f"{printable(path)}: the journal failed ({error}): run again, it is then rebuilt") from error


@contextmanager
def durable(connection: sqlite3.Connection) -> Iterator[None]:
    """What is committed inside, and everything before, survives a power cut."""
    connection.execute("PRAGMA synchronous=FULL")
    try:
        yield
    finally:
        connection.execute("PRAGMA synchronous=NORMAL")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of what is inside, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def create(path: Path) -> sqlite3.Connection:
    """A new, empty journal.  Raises DiskFullError, SetupError."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = _connect(path)
        connection.executescript(
            f"BEGIN; {SCHEMA} PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
        )
        return connection


def open_existing(path: Path) -> tuple[sqlite3.Connection | None, str | None]:
    """The journal at `path` and a note if it was damaged: then what can be read of it is saved into a new one, as
    unsure, and the damaged file is kept beside.  (None, None) if there is none.

    Raises SetupError for one of a newer version, DiskFullError.
    """
    if path.is_symlink():
        raise SetupError(f"{printable(path)}: is a symbolic link, which is not followed: remove it")
    if not path.exists():
        _move_away(path)  # a write-ahead log without its journal would be applied to the new one
        return None, None
    try:
        connection = _connect(path)
        try:
            _check(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection, None
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CANTOPEN")):
            raise DiskFullError(f"{printable(path)}: the journal can't be opened: {error}") from error
        if getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY":
            raise SetupError(f"{printable(path)}: another program has the journal open: close it") from error
    kept = _move_away(path)
    connection = create(path)
    saved = _save(kept, connection, path)
    note = (
        f"the journal was damaged: {saved} of its entries could be read, and are believed where the result is byte for "
        f"byte the recorded one; the damaged file is kept as {printable(Path(kept.name))}"
    )
    return connection, note


def copy_files(path: Path, folder: Path) -> Path:
    """Copies a journal and its write-ahead log, so that looking at it writes nothing beside it."""
    copied = folder / path.name
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            shutil.copyfile(path.with_name(path.name + suffix), folder / (path.name + suffix))
    return copied


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=2.0)
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # then no shared memory file, which a full disk would kill
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise SetupError(
            f"{printable(path)}: the journal was made by a newer version of restore: update restore, or name another "
            "output"
        )
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID or version < 1:
        raise sqlite3.DatabaseError("not a journal of restore")
    if (verdict := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(verdict)
    for old in range(version, SCHEMA_VERSION):
        steps = "; ".join(UPGRADES[old])
        connection.executescript(f"BEGIN; {steps}; PRAGMA user_version={old + 1}; COMMIT;")


def _move_away(path: Path) -> Path:
    """Renames a journal and its logs so that SQLite takes nothing of them; returns the new name."""
    kept = path.with_name(path.name + ".damaged")
    for suffix in ("-wal", "-shm", "-journal", ""):
        with suppress(FileNotFoundError):
            os.replace(path.with_name(path.name + suffix), kept.with_name(kept.name + suffix))
    return kept


def _save(damaged: Path, connection: sqlite3.Connection, path: Path) -> int:
    """Copies every row of files and runs that can still be read; the rows are marked unsure."""
    saved = 0
    try:
        with closing(sqlite3.connect(damaged, isolation_level=None)) as old, explained(path):
            connection.execute("BEGIN")
            saved += _save_rows(
                old, connection, "runs", "token, started, ended, exit_code, fingerprint, recipe, versions"
            )
            saved = _save_rows(old, connection, "files", _columns_of(old, "files"))
            connection.execute("UPDATE files SET unsure = 1")
            connection.execute("COMMIT")
    except sqlite3.DatabaseError:
        pass  # not even opened: nothing can be saved, and nothing is believed
    return saved


def _columns_of(old: sqlite3.Connection, table: str) -> str:
    """Those that the damaged journal has: one of an older version has fewer."""
    try:
        names = [row[1] for row in old.execute(f"PRAGMA table_info({table})")]
    except sqlite3.DatabaseError:
        return FILES_COLUMNS  # reading them will fail in the same way
    return ", ".join(name for name in FILES_COLUMNS.split(", ") if name in names)


def _save_rows(old: sqlite3.Connection, new: sqlite3.Connection, table: str, columns: str) -> int:
    marks = ", ".join("?" * len(columns.split(",")))
    saved = 0
    try:
        for row in old.execute(f"SELECT {columns} FROM {table}"):
            with suppress(sqlite3.IntegrityError, sqlite3.InterfaceError):
                new.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", row)
                saved += 1
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        pass  # what follows the damage can't be read; what came before is saved
    return saved
