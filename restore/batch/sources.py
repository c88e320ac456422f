"""Owns what a file was and is: whether a source, or its companion, is still the one that was worked on."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from restore.batch.fsops import digest_of
from restore.batch.job import SourceState
from restore.errors import ImageError


def source_state(source: Path, *, content: bool) -> SourceState:
    """What the file is now.  Raises OSError, or ImageError if it is no regular file or changes while it is read."""
    with open(source, "rb", opener=lambda path, flags: os.open(path, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise ImageError("is no regular file")
        digest = digest_of(file) if content else None
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ImageError("changes while it is read: run again when it is finished")
    return SourceState(before.st_size, before.st_mtime_ns, before.st_ino, digest)


def is_same(path: Path, now: SourceState, then: SourceState, *, unsure: bool = False) -> bool:
    """Whether the file at `path` still holds what it held.

    It does if size, time and inode are the same (where `now` has no sha256).  Where only time or inode differ (a copied
    or touched tree), or the memory of it is `unsure`, its bytes decide, so that nothing is done twice.
    """
    if now.size != then.size:
        return False
    if now.sha256 is None:
        if (now.mtime_ns, now.inode) == (then.mtime_ns, then.inode) and not unsure:
            return True
        try:
            now = source_state(path, content=True)
        except (OSError, ImageError):
            return False  # the worker will say why
    return now.sha256 == then.sha256
