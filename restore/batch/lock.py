"""Owns the promise that one output has one run at a time.

The lock file says host, process id and the process's start time, for people and for filesystems whose locks can't be
trusted; on a local disk the kernel's own record lock decides, so that a killed run never leaves a lock that holds.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from restore.batch.job import printable
from restore.errors import DiskFullError, SetupError

_held: set[str] = set()
"""Locks of this process: record locks don't exclude their own process, and closing another descriptor frees them."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who wrote a lock file."""

    host: str
    pid: int
    started: str | None
    """In the system's own unit; only compared."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A held lock; `release` it."""

    path: Path
    fd: int
    made: tuple[Path, ...]
    """Folders that were made for it, outermost first."""

    def release(self) -> None:
        """Removes the file, and the folders made for it where they stayed empty."""
        _held.discard(_key(self.path))
        if sys.platform == "win32":
            os.close(self.fd)
        with suppress(OSError):
            self.path.unlink()
        if sys.platform != "win32":
            os.close(self.fd)
        for folder in (*reversed(self.made), self.path.parent):
            with suppress(OSError):  # not empty: it is in use
                folder.rmdir()


def acquire(path: Path, *, trust_kernel: bool) -> Lock:
    """Takes the lock, or a stale one over.  Raises SetupError if another run holds it, DiskFullError without room.

    `trust_kernel`: the filesystem is local, so the kernel knows every holder.
    """
    if _key(path) in _held:
        raise SetupError(_held_message(path, _myself()))
    if path.parent.is_symlink() or path.is_symlink():
        raise SetupError(f"{printable(path)}: is reached through a symbolic link, which is not followed: remove it")
    try:
        made = _make_folders(path.parent)
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
            try:
                supported = _take(fd, path)
                if not _still_there(fd, path):
                    os.close(fd)
                    continue
                holder = _read(fd)
                if holder is not None and not (supported and trust_kernel) and _may_live(holder):
                    raise SetupError(_held_message(path, holder))
                os.ftruncate(fd, 0)
                os.lseek(fd, 0, os.SEEK_SET)
                os.write(
                    fd, json.dumps({"host": (me := _myself()).host, "pid": me.pid, "started": me.started}).encode()
                )
                os.fsync(fd)
            except BaseException:
                os.close(fd)
                raise
            _held.add(_key(path))
            return Lock(path, fd, made)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"{printable(path)}: can't be written: {error.strerror}") from error
        raise SetupError(f"{printable(path)}: can't be written: {error.strerror}: name another output") from error


def check_free(path: Path, *, trust_kernel: bool) -> None:
    """Raises SetupError if a run holds the lock; writes nothing."""
    if _key(path) in _held:
        raise SetupError(_held_message(path, _myself()))
    try:
        fd = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return  # no lock, or one that this user can't take: then a run couldn't start either, and will say why
    try:
        supported = _take(fd, path)
        holder = _read(fd)
        if holder is not None and not (supported and trust_kernel) and _may_live(holder):
            raise SetupError(_held_message(path, holder))
    finally:
        os.close(fd)


def _held_message(path: Path, holder: Holder | None) -> str:
    who = f" (process {holder.pid} on {holder.host})" if holder else ""
    return f"another run{who} is working on this output: wait for it to end; if it surely has, remove {printable(path)}"


def _take(fd: int, path: Path) -> bool:
    """Takes the kernel's lock; False where the filesystem has none.  Raises SetupError if it is held."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(fd, 1 << 30, os.SEEK_SET)  # far behind the text: Windows locks forbid reading
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock: a forked child must not inherit it
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise SetupError(_held_message(path, _read(fd))) from error
        return False
    return True


def _still_there(fd: int, path: Path) -> bool:
    """Not unlinked by its former holder between opening and locking."""
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def _read(fd: int) -> Holder | None:
    os.lseek(fd, 0, os.SEEK_SET)
    try:
        facts = json.loads(os.read(fd, 4096))
        return Holder(str(facts["host"]), int(facts["pid"]), facts["started"])
    except (ValueError, KeyError, TypeError):
        return None  # empty or torn: its writer was killed while writing


def _may_live(holder: Holder) -> bool:
    me = _myself()
    if holder.host != me.host:
        return True  # can't be known from here
    if sys.platform == "win32":
        return False  # the kernel's lock has already spoken
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return holder.started is None or holder.started == _start_time(holder.pid)


def _myself() -> Holder:
    return Holder(socket.gethostname(), os.getpid(), _start_time(os.getpid()))


def _start_time(pid: int) -> str | None:
    """Clock ticks after boot, from /proc (field 22 of stat); None elsewhere."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return None


def _make_folders(folder: Path) -> tuple[Path, ...]:
    missing = []
    for one in (folder, *folder.parents):
        if one.exists():
            break
        missing.append(one)
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(reversed(missing))


def _key(path: Path) -> str:
    return os.path.realpath(path)
