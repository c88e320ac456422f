"""Owns opening an output: its places found, its lock taken, its journal read, and what a killed run left settled."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from restore.batch import journal_file
from restore.batch.journal import Journal
from restore.batch.lock import acquire, check_free
from restore.batch.places import JOURNAL_NAME, Places, find_places
from restore.recipe import RunOptions


@contextmanager
def open_journal(options: RunOptions, *, read_only: bool = False) -> Iterator[Journal]:
    """Finds the places of a run, takes the output's lock, opens its journal and settles what a killed run left.

    `read_only` (for a plan only): takes no lock and writes nothing.  Raises SetupError, DiskFullError.
    """
    with open_places(find_places(options), read_only=read_only) as journal:
        yield journal


@contextmanager
def open_places(places: Places, *, read_only: bool = False) -> Iterator[Journal]:
    """`open_journal` of places that are known."""
    path = places.state / JOURNAL_NAME
    with ExitStack() as stack:
        if read_only:
            check_free(places.lock, trust_kernel=not places.network)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="restore-")))
            path = journal_file.copy_files(path, folder)
        else:
            lock = acquire(places.lock, trust_kernel=not places.network)
            stack.callback(lock.release)
        connection, note = journal_file.open_existing(path)
        notes = (*places.notes, *([note] if note else []))
        journal = Journal(places, path, connection, read_only, notes)
        stack.callback(journal.close)
        journal.settle()
        yield journal
