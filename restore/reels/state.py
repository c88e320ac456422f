"""Owns the state of one reel's restoration: a folder beside the result, with receipts for what is finished.

A receipt is a small file, written whole and renamed: after a kill it is there or it isn't.  Everything in the folder
can be made again from the source; deleting it costs time, and what was undone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restore.batch.fsops import explained
from restore.batch.lock import acquire
from restore.batch.places import NETWORK_FILESYSTEMS, STATE_NAME, filesystem_type
from restore.batch.temporary import new_token
from restore.errors import SetupError
from restore.film.blobs import ALL
from restore.film.segments import Segment
from restore.reels.source import Source
from restore.trust.patches import SUFFIX

FILM = "film"
MASKS = "masks"
WORK = "work.json"
_UNDONE = "undone.json"
_TOKEN = "token"

Undone = dict[int, list[int] | str]
"""Frame -> blobs whose repairs were taken back, or ALL."""


@dataclass(frozen=True)
class State:
    """Where one reel's restoration keeps what it needs to go on."""

    root: Path
    lock: Path
    target: Path
    """The result that it belongs to, wherever that lies now."""

    @property
    def segments(self) -> Path:
        return self.root / "segments"

    @property
    def repairs(self) -> Path:
        """The ledger: a patch file (`trust.patches`) for each segment, in which page 0 is its first frame."""
        return self.root / "repairs"

    def segment(self, segment: Segment) -> Path:
        """A video's segment, encoded."""
        return self.segments / f"{segment_stem(segment)}.segment"

    def ledger(self, segment: Segment) -> Path:
        """A segment's part of the ledger."""
        return self.repairs / f"{segment_stem(segment)}{SUFFIX}"

    @property
    def work(self) -> Path:
        return self.root / WORK

    @contextmanager
    def held(self) -> Iterator[None]:
        """No other run works on this result.  Raises SetupError if one does, DiskFullError."""
        network = filesystem_type(self.lock.parent) in NETWORK_FILESYSTEMS
        lock = acquire(self.lock, trust_kernel=not network)
        try:
            for folder in (self.segments, self.repairs):
                with explained(folder):
                    folder.mkdir(parents=True, exist_ok=True)
            yield
        finally:
            lock.release()

    def token(self) -> str:
        """8 hex digits that all temporaries of this result carry; durable before the first of them."""
        path = self.root / _TOKEN
        if not path.is_file():
            self.put(_TOKEN, {"token": new_token()})
        known = self.get(_TOKEN) or {}
        return str(known.get("token", "00000000"))

    def get(self, name: str) -> dict[str, Any] | None:
        """A receipt; None where there is none that is whole."""
        try:
            found = json.loads((self.root / name).read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def put(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a receipt: whole, and on disk when this returns.  Raises DiskFullError, ImageError."""
        write_whole(self.root / name, json.dumps(content, sort_keys=True).encode())

    def undone(self) -> Undone:
        return undone_from_plain(self.get(_UNDONE) or {})

    def set_undone(self, undone: Undone) -> None:
        self.put(_UNDONE, undone_to_plain(undone))


def undone_to_plain(undone: Undone) -> dict[str, list[int] | str]:
    """For receipts."""
    return {str(number): blobs for number, blobs in undone.items()}


def undone_from_plain(plain: Mapping[str, Any]) -> Undone:
    """What `undone_to_plain` gave."""
    return {int(number): ALL if blobs == ALL else [int(blob) for blob in blobs] for number, blobs in plain.items()}


def segment_stem(segment: Segment) -> str:
    """Of its files: by positions, so that another division of the reel has other names."""
    return f"{segment.start:07d}-{segment.stop:07d}"


def write_whole(path: Path, content: bytes) -> None:
    """A file that is there whole, or not at all.  Raises DiskFullError, ImageError."""
    temporary = path.with_name(f".{path.name}.part")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)  # a full disk shows here
            raise
        os.replace(temporary, path)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every system lets folders be synced
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def state_of(source: Source, target: Path, wanted: Path | None, *, is_video: bool) -> State:
    """Where the state of `target` lies: beside a video, inside a folder of frames, or in the folder `wanted`."""
    return _state(target, source.key, wanted, is_video=is_video)


def state_of_masks(source: Source, folder: Path, wanted: Path | None) -> State:
    """Where `restore detect` keeps what it needs to go on: inside the folder of masks, or in the folder `wanted`."""
    key = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    base = folder / STATE_NAME / MASKS if wanted is None else wanted / f"{MASKS}-{key}"
    return State(base / source.key, base / "lock", folder)


def states_at(target: Path, wanted: Path | None) -> tuple[State, ...]:
    """Of every reel that was restored into `target`; empty where none was."""
    if target.is_dir():
        roots = sorted((_base(target, wanted, is_video=False)).glob(f"*/{WORK}"))
        return tuple(_state(target, root.parent.name, wanted, is_video=False) for root in roots)
    state = _state(target, "video", wanted, is_video=True)
    return (state,) if state.work.is_file() else ()


def known_states(target: Path, wanted: Path | None) -> tuple[State, ...]:
    """`states_at`.  SetupError where there is none."""
    found = states_at(target, wanted)
    if not found:
        raise SetupError(f"{target}: no state of restore film belongs to it: give the OUT of a run, or its --state")
    return found


def _state(target: Path, key: str, wanted: Path | None, *, is_video: bool) -> State:
    base = _base(target, wanted, is_video=is_video)
    if is_video:
        return State(base, base / "lock", target)
    return State(base / key, (base if wanted else target / STATE_NAME) / "lock", target)


def _base(target: Path, wanted: Path | None, *, is_video: bool) -> Path:
    if wanted is not None:
        key = hashlib.sha256(os.fsencode(target.resolve())).hexdigest()[:16]
        return wanted / f"{FILM}-{key}"
    return target.with_name(f".{target.name}.restore") if is_video else target / STATE_NAME / FILM
