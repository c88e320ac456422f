"""Owns where a run reads, writes and remembers, and refuses places that can't work, before anything is written."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from restore.batch.job import printable
from restore.errors import SetupError
from restore.formats import SUFFIXES
from restore.recipe import RunOptions

STATE_NAME = ".restore"
JOURNAL_NAME = "journal.sqlite"
LOCK_NAME = "lock"
LEDGER_NAME = "repairs"
NETWORK_FILESYSTEMS = frozenset(
    (
        *(
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "smbfs",
            "9p",
            "afs",
            "ncpfs",
            "ceph",
            "glusterfs",
            "lustre",
            "beegfs",
            "gpfs",
        ),
        *("orangefs", "ocfs2", "gfs2", "vboxsf", "prl_fs", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph"),
        *("fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.davfs", "fuse.vmhgfs-fuse"),
    )
)
"""Where SQLite's journal isn't safe: locks and shared memory don't reach across hosts."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where one run's things lie."""

    source: Path
    """A directory, or the one file."""
    root: Path
    """The output root."""
    target_name: str | None
    """The result's name below `root` where the user named the output file; else None."""
    state: Path
    """Directory of the journal."""
    lock: Path
    """Held while a run works on this output."""
    network: bool
    """The output lies on a network filesystem."""
    notes: tuple[str, ...] = ()

    @property
    def ledger(self) -> Path:
        """Directory of the repairs that were made, a file for each result."""
        return self.state / LEDGER_NAME


def find_places(options: RunOptions) -> Places:
    """Decides where everything lies and checks it; writes nothing.  Raises SetupError.

    With one file as IN, OUT is a directory if it exists as one or if its suffix is no image's; else it is the name of
    the result, and its suffix says the format.
    """
    source, target = options.source, options.target
    if not source.exists():
        raise SetupError(f"{printable(source)}: no such file or folder: give an image or a folder of images")
    if not os.access(source, os.R_OK | (os.X_OK if source.is_dir() else 0)):
        raise SetupError(f"{printable(source)}: can't be read: check its permissions")
    if source.is_dir():
        _check_nesting(source, target)
        root, target_name = target, None
    else:
        named = not target.is_dir() and target.suffix.lower() in SUFFIXES
        root, target_name = (target.parent, target.name) if named else (target, None)
        if (root / (target_name or source.name)).resolve() == source.resolve():
            raise SetupError(f"{printable(target)}: the result would replace its own source: name another output")
    _check_writable(root)
    _check_masks(options, source, root)
    return _with_state(options, source, root, target_name)


def find_output(target: Path, state: Path | None) -> tuple[Places, str | None]:
    """Where a finished run's things lie, from its OUT (a folder, or one result's file), and that file's name if it was
    one.  Raises SetupError where no journal is."""
    root, name = (target, None) if target.is_dir() else (target.parent, target.name)
    key = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    local = platformdirs.user_state_path("restore") / "outputs" / key
    tried = [state / key] if state is not None else [root / STATE_NAME, local]
    for place in tried:
        if (place / JOURNAL_NAME).is_file():
            lock = (root / STATE_NAME if (root / STATE_NAME).is_dir() else place) / LOCK_NAME
            return Places(root, root, None, place, lock, filesystem_type(root) in NETWORK_FILESYSTEMS), name
    raise SetupError(
        f"{printable(target)}: no journal of restore belongs to it (looked in "
        f"{' and '.join(printable(place) for place in tried)}): give the OUT of a run, or its --state"
    )


def filesystem_type(path: Path) -> str | None:
    """Of the mount that holds `path` (or its nearest existing parent); None where the system doesn't tell."""
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return None
    device = os.stat(nearest_existing(path)).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}".encode()
    for line in lines:
        before, _, after = line.partition(b" - ")
        if before.split(b" ")[2] == wanted:
            return os.fsdecode(after.split(b" ")[0])
    return _filesystem_by_mount_point(os.fsencode(nearest_existing(path).resolve()), lines)


def _filesystem_by_mount_point(path: bytes, lines: list[bytes]) -> str | None:
    """For filesystems whose files have other device numbers than their mount (btrfs, some network ones)."""
    best = (-1, "")
    for line in lines:
        before, _, after = line.partition(b" - ")
        point = before.split(b" ")[4].decode("unicode_escape").encode("latin-1").rstrip(b"/")
        if (path + b"/").startswith(point + b"/") and len(point) >= best[0]:
            best = (len(point), os.fsdecode(after.split(b" ")[0]))
    return best[1] or None


def nearest_existing(path: Path) -> Path:
    """`path`, or the first of its parents that exists."""
    for one in (path, *path.absolute().parents):
        if one.exists():
            return one
    return Path(path.absolute().anchor)


def _with_state(options: RunOptions, source: Path, root: Path, target_name: str | None) -> Places:
    network = filesystem_type(root) in NETWORK_FILESYSTEMS
    key = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    local = platformdirs.user_state_path("restore") / "outputs" / key
    notes: tuple[str, ...] = ()
    if options.state is not None:
        _check_writable(options.state, "--state")
        state = options.state / key
    elif target_name is not None or not source.is_dir():
        state = local  # one picture: no state folder is left beside it
    elif network:
        state = local
        note = (
            f"{printable(root)} is on a network filesystem ({filesystem_type(root)}), where the journal isn't safe: "
            f"it is kept in {printable(state)} on this machine, so resume from here, or give --state"
        )
        notes = (note,)
    else:
        state = root / STATE_NAME
    if state != root / STATE_NAME and (kind := filesystem_type(state)) in NETWORK_FILESYSTEMS:
        raise SetupError(
            f"{printable(state)}: is on a network filesystem ({kind}), where the journal isn't safe: give --state with "
            "a folder on a local disk"
        )
    lock = (root / STATE_NAME if source.is_dir() else state) / LOCK_NAME
    return Places(source, root, target_name, state, lock, network, notes)


def _check_nesting(source: Path, target: Path) -> None:
    inside, outside = source.resolve(), target.resolve()
    if inside == outside:
        raise SetupError(f"{printable(target)}: input and output are the same folder: name another output")
    if outside.is_relative_to(inside):
        raise SetupError(
            f"{printable(target)}: the output lies inside the input {printable(source)}, and would be read again "
            "by the next run: name another output"
        )
    if inside.is_relative_to(outside):
        raise SetupError(
            f"{printable(source)}: the input lies inside the output {printable(target)}, where results could replace "
            "sources: name another output"
        )


def _check_masks(options: RunOptions, source: Path, root: Path) -> None:
    """What is read as a mask is never written to, and no mask is written where pictures are."""
    masks = options.masks
    read = None if masks.place is None else (masks.place if masks.place.is_dir() else masks.place.parent).resolve()
    if read is not None and masks.place is not None and masks.place.is_dir() and read == root.resolve():
        raise SetupError(f"{printable(root)}: masks and output are the same folder: name another output")
    if masks.save is None:
        return
    saved, named = masks.save.resolve(), printable(masks.save)
    if saved == read:
        raise SetupError(
            f"{named}: masks are read from there, and --save-masks could replace them: name another folder"
        )
    if saved == root.resolve():
        raise SetupError(f"{named}: results go there, and have the same names as saved masks: name another folder")
    if source.is_dir():
        sources = source.resolve()
        meets = saved.is_relative_to(sources) or sources.is_relative_to(saved)
    else:
        meets = saved == source.resolve().parent
    if meets:
        raise SetupError(
            f"{named}: pictures of IN ({printable(source)}) could be replaced by saved masks there, or masks be read "
            "as pictures: name another folder"
        )
    _check_writable(masks.save, "place for saved masks")


def _check_writable(root: Path, what: str = "output") -> None:
    if root.exists() and not root.is_dir():
        raise SetupError(f"{printable(root)}: is a file, and the {what} must be a folder: name another {what}")
    if root.is_symlink() and not root.exists():
        raise SetupError(f"{printable(root)}: is a symbolic link to nothing: make its folder or name another {what}")
    existing = nearest_existing(root)
    if not existing.is_dir():
        raise SetupError(f"{printable(existing)}: is a file where the {what} needs a folder: name another {what}")
    read_only = False
    if hasattr(os, "statvfs"):
        read_only = bool(os.statvfs(existing).f_flag & os.ST_RDONLY)
    if read_only or not os.access(existing, os.W_OK | os.X_OK):
        why = "its filesystem is read-only" if read_only else "no permission"
        raise SetupError(f"{printable(existing)}: can't be written ({why}): name another {what}")
