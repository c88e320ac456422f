"""Owns every write into the output tree: directories, temporaries, renames, removals; nothing else touches it.

Writes never leave the output root: each directory below it is opened one name at a time and symbolic links are not
followed (the root itself may be one).  A result gets its final name only by a rename of a whole, fsynced file.  Where
the system has no directory descriptors (Windows) paths are used, with the same checks, but without their atomicity.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from restore.batch.job import printable
from restore.batch.temporary import TOKEN_DIGITS, is_temporary, is_token, temporary_name, temporary_token
from restore.errors import DiskFullError, ImageError

CHUNK_BYTES = 1 << 20

_DIR_FDS = os.open in os.supports_dir_fd and os.rename in os.supports_dir_fd
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True, slots=True)
class Written:
    """A whole, fsynced file under a temporary name."""

    path: Path
    """Relative to the output root."""
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Directory:
    """An open directory: by descriptor where the system can, else by path."""

    fd: int | None
    path: Path

    def name(self, name: str) -> str:
        return name if self.fd is not None else str(self.path / name)

    def stat(self, name: str) -> os.stat_result:
        return os.stat(self.name(name), dir_fd=self.fd, follow_symlinks=False)

    def sync(self) -> None:
        if self.fd is not None:
            os.fsync(self.fd)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns an OSError met while writing `path` into DiskFullError or ImageError."""
    try:
        yield
    except OSError as error:
        what = error.strerror or str(error)
        if error.errno in _FULL:
            raise DiskFullError(f"can't write beside {printable(path)}: {what}") from error
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise ImageError(
                f"{printable(path)}: a symbolic link or a file lies in the way inside the output folder; "
                "it is not followed: move it away"
            ) from error
        raise ImageError(f"{printable(path)}: can't be written: {what}") from error


class OutputRoot:
    """The folder that results go into.  Thread-safe; all paths given to it are relative to it.

    `token`: TOKEN_DIGITS hex digits that name this run in its temporaries, known to the journal before the first one.
    The folder is made with the first file.
    """

    def __init__(self, root: Path, token: str) -> None:
        if not is_token(token):
            raise ValueError(f"{token = } must be {TOKEN_DIGITS} hex digits")
        self.root = root
        self.token = token

    def write(self, target: Path, data: BinaryIO, mtime_ns: int | None = None) -> Written:
        """Copies `data`, from where it stands, into a new temporary in the target's directory and fsyncs it.

        The directory is made where missing.  Raises DiskFullError or ImageError, and then leaves nothing behind.
        """
        with explained(target), self._directory(target.parent, create=True) as directory:
            name = temporary_name(self.token)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY
            fd = os.open(directory.name(name), flags, 0o666, dir_fd=directory.fd)
            try:
                try:
                    size, sha256 = _copy(data, fd)
                    if mtime_ns is not None and os.utime in os.supports_fd:
                        os.utime(fd, ns=(mtime_ns, mtime_ns))
                    os.fsync(fd)
                finally:
                    os.close(fd)  # may raise too: a full disk can show only here
                if mtime_ns is not None and os.utime not in os.supports_fd:
                    os.utime(directory.name(name), ns=(mtime_ns, mtime_ns))
            except BaseException:
                with suppress(OSError):
                    os.unlink(directory.name(name), dir_fd=directory.fd)
                raise
            return Written(target.parent / name, size, sha256)

    def copy(self, source: Path, target: Path) -> Written:
        """`write` of another file's bytes, with its modification time; fails if it changes meanwhile."""
        try:
            fd = os.open(source, os.O_RDONLY | _BINARY)
        except OSError as error:
            raise ImageError(f"{printable(source)}: can't be read: {error.strerror}") from error
        with os.fdopen(fd, "rb") as file:
            before = os.fstat(file.fileno())
            written = self.write(target, file, before.st_mtime_ns)
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or written.size != after.st_size:
            self.remove(written.path)
            raise ImageError(f"{printable(source)}: changed while it was copied; run again")
        return written

    def rewrite(self, source: Path, target: Path, change: Callable[[BinaryIO], None]) -> Written:
        """`copy` of another file, of which `change` then alters bytes; it gets it open for reading and writing.

        Raises as `write`, and what `change` raises, and then leaves nothing behind.
        """
        copied = self.copy(source, target)
        try:
            with explained(target), self._directory(target.parent) as directory:
                flags = os.O_RDWR | _NOFOLLOW | _BINARY
                fd = os.open(directory.name(copied.path.name), flags, dir_fd=directory.fd)
                with os.fdopen(fd, "r+b") as file:
                    change(file)
                    file.flush()
                    os.fsync(file.fileno())
                    file.seek(0)
                    sha256, size = digest_of(file), file.tell()
        except BaseException:
            self.remove(copied.path)
            raise
        return Written(copied.path, size, sha256)

    def rename(self, temporary: Path, target: Path) -> os.stat_result:
        """Gives a temporary its final name, replacing what had it; not durable before `sync`.  Returns its lstat."""
        if temporary.parent != target.parent:
            raise ValueError(f"{temporary} and {target} must lie in one directory")
        with explained(target), self._directory(target.parent) as directory:
            names = directory.name(temporary.name), directory.name(target.name)
            os.replace(*names, src_dir_fd=directory.fd, dst_dir_fd=directory.fd)
            return directory.stat(target.name)

    def sync(self, directories: set[Path]) -> None:
        """Makes the names in these directories durable, and their own names up to the root."""
        every = {parent for one in directories for parent in (one, *one.parents)}
        for path in sorted(every, key=lambda p: len(p.parts), reverse=True):
            with explained(path), self._directory(path) as directory:
                directory.sync()

    def lstat(self, path: Path) -> os.stat_result | None:
        """None if there is nothing, or if it isn't inside (a symbolic link or a file on the way)."""
        try:
            with self._directory(path.parent) as directory:
                return directory.stat(path.name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
                return None
            raise

    def is_blocked(self, path: Path) -> bool:
        """Whether a symbolic link or a file lies where a directory on the way to `path` must be."""
        try:
            with self._directory(path.parent):
                return False
        except FileNotFoundError:
            return False
        except OSError as error:
            return error.errno in (errno.ELOOP, errno.ENOTDIR)

    @contextmanager
    def open(self, path: Path) -> Iterator[BinaryIO]:
        """Opens a regular file inside for reading; raises OSError."""
        with self._directory(path.parent) as directory:
            flags = os.O_RDONLY | _NOFOLLOW | _BINARY | getattr(os, "O_NONBLOCK", 0)
            fd = os.open(directory.name(path.name), flags, dir_fd=directory.fd)
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            yield file

    def sha256(self, path: Path) -> str | None:
        """Of a regular file inside; None if there is none."""
        try:
            with self.open(path) as file:
                return digest_of(file)
        except OSError:
            return None

    def remove(self, temporary: Path) -> None:
        """Removes a temporary if it is there; refuses any other name."""
        if not is_temporary(temporary.name):
            raise ValueError(f"{temporary} is no temporary of this tool")
        with suppress(FileNotFoundError, NotADirectoryError), self._directory(temporary.parent) as directory:
            if stat.S_ISREG(directory.stat(temporary.name).st_mode):
                os.unlink(directory.name(temporary.name), dir_fd=directory.fd)

    def drop_others(self, folder: Path, keep: str, suffix: str) -> None:
        """Removes the regular files with this suffix directly in `folder`, but for `keep`: for folders that only this
        tool fills.  Nothing happens where there is no such folder."""
        with suppress(OSError), self._directory(folder) as directory:
            for name in os.listdir(directory.fd if directory.fd is not None else directory.path):
                if name.endswith(suffix) and name != keep and stat.S_ISREG(directory.stat(name).st_mode):
                    os.unlink(directory.name(name), dir_fd=directory.fd)

    def remove_leftovers(self, tokens: set[str], keep: set[Path]) -> int:
        """Removes the temporaries of the runs named by `tokens`, at any depth, but for `keep`.  Returns how many.

        Others' files stay, even those that look like ours: a name must carry the token of a run that the journal knows.
        """
        removed = 0
        for parent, _, names in os.walk(self.root):  # follows no links
            for name in names:
                if is_temporary(name) and temporary_token(name) in tokens:
                    path = Path(parent).relative_to(self.root) / name
                    if path not in keep:
                        with suppress(OSError):  # tidying up is no reason to fail a run
                            self.remove(path)
                            removed += 1
        return removed

    @contextmanager
    def _directory(self, relative: Path, create: bool = False) -> Iterator[_Directory]:
        """Opens a directory inside, one name at a time, following no link.  Raises OSError."""
        if relative.is_absolute() or ".." in relative.parts:
            raise ValueError(f"{relative} leads out of the output folder")
        if create:
            self.root.mkdir(parents=True, exist_ok=True)
        if not _DIR_FDS:
            yield self._directory_by_path(relative, create)
            return
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in relative.parts:
                inner = _open_below(fd, name, create)
                os.close(fd)
                fd = inner
            yield _Directory(fd, self.root / relative)
        finally:
            os.close(fd)

    def _directory_by_path(self, relative: Path, create: bool) -> _Directory:
        path = self.root
        for name in relative.parts:
            path = path / name
            if create:
                with suppress(FileExistsError):
                    path.mkdir()
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "not a directory", str(path))
        return _Directory(None, path)


def digest_of(file: BinaryIO) -> str:
    """sha256 of what is left to read."""
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _open_below(fd: int, name: str, create: bool) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW
    try:
        return os.open(name, flags, dir_fd=fd)
    except FileNotFoundError:
        if not create:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=fd)
    return os.open(name, flags, dir_fd=fd)


def _copy(data: BinaryIO, fd: int) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    while chunk := data.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(fd, rest) :]
    return size, digest.hexdigest()
