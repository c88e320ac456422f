"""Owns how training writes its files: whole, or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from restore.errors import DiskFullError, SetupError


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """A file that becomes `target` when the block ends well, and is gone when it doesn't.

    Raises SetupError when it can't be written, DiskFullError when no room is left.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"{target}: no room is left; free some, or choose another --out") from error
        raise SetupError(f"{target}: can't be written ({error.strerror}); choose another --out") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(target: Path, data: bytes) -> None:
    with whole_file(target) as file:
        file.write(data)
