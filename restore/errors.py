"""Owns what can go wrong, as far as a caller can act on it, and the exit codes that say so.

Every message names the file, the fact and the way out.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells its caller.  An unknown code means failure."""

    OK = 0
    COULD_NOT_START = 2
    SOME_FAILED = 3
    DISK_FULL = 4
    INTERRUPTED = 130
    TERMINATED = 143


class RestoreError(Exception):
    """Base of everything this package raises on purpose."""


class SetupError(RestoreError):
    """The run can't start: nothing was read, computed or written."""


class ModelError(SetupError):
    """A model is unknown, broken, hostile or not the one that was promised."""


class ImageError(RestoreError):
    """This one file failed; the run goes on."""


class DiskFullError(RestoreError):
    """No room is left (ENOSPC, EDQUOT): the run stops, and a later one resumes it."""
