"""Owns anonymous files: memory that a descriptor names, so that processes and C libraries can share it.

On Linux a memfd, reached by name as /proc/self/fd/N; elsewhere an unlinked temporary file.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

BY_DESCRIPTOR = hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd")
"""Whether this platform has memfds and /proc; else everything goes through temporary files."""


def anonymous_file() -> BinaryIO:
    """An empty read-write binary file without a name; its memory goes when it is closed."""
    if BY_DESCRIPTOR:
        descriptor = os.memfd_create("restore", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        return cast("BinaryIO", os.fdopen(descriptor, "w+b"))
    return cast("BinaryIO", tempfile.TemporaryFile())


def descriptor_path(descriptor: int) -> str:
    """A name under which this process can open what the descriptor holds."""
    return f"/proc/self/fd/{descriptor}"


@contextmanager
def named_for_library(file: BinaryIO, suffix: str) -> Iterator[str]:
    """A path that a C library can create and write; afterwards what it wrote stands in `file`."""
    if BY_DESCRIPTOR:
        yield descriptor_path(file.fileno())
        return
    with tempfile.TemporaryDirectory(prefix="restore-") as folder:
        path = Path(folder) / f"out{suffix}"
        yield str(path)
        with path.open("rb") as written:
            while block := written.read(1 << 20):
                file.write(block)
        file.flush()


def splice(file: BinaryIO, start: int, end: int, replacement: bytes) -> None:
    """Replaces bytes [start, end) of the file in place: what follows moves, and no second copy is made."""
    size = os.fstat(file.fileno()).st_size
    if not 0 <= start <= end <= size:
        raise ValueError(f"[{start}, {end}) does not lie in a file of {size} bytes")
    shift = len(replacement) - (end - start)
    new_size = size + shift
    if shift > 0:
        os.ftruncate(file.fileno(), new_size)
    if shift and size > end:
        with mmap.mmap(file.fileno(), max(size, new_size)) as view:
            view.move(end + shift, end, size - end)
    if shift < 0:
        os.ftruncate(file.fileno(), new_size)
    file.seek(start)
    file.write(replacement)
    file.flush()
