"""Owns where the repairs of results are kept: for each result its patch file, in the state folder beside the journal.

A file's name says which bytes it belongs to, and it is there before they get theirs, so that a kill loses nothing and
nothing has to be told twice: .restore/repairs/walls/brick.png/1a2b...patches for walls/brick.png.
"""

from __future__ import annotations

from pathlib import Path

from restore.batch.fsops import OutputRoot
from restore.batch.job import printable
from restore.batch.stage import write_patches
from restore.errors import ImageError
from restore.trust import patches as patch_files
from restore.trust.patches import Patches


class Ledger:
    """The repairs of one output folder."""

    def __init__(self, root: OutputRoot) -> None:
        self.root = root

    def keep(self, patches: Patches, target: Path, sha256: str) -> None:
        """Remembers the repairs of the result `target` with these bytes.  Raises ImageError, DiskFullError."""
        name = _name(target, sha256)
        written = write_patches(patches, name, self.root)
        self.root.rename(written.path, name)
        self.root.sync({name.parent})

    def read(self, target: Path, sha256: str) -> Patches | None:
        """None where nothing was repaired, or nothing is known any more.  Raises ImageError for a damaged file."""
        name = _name(target, sha256)
        try:
            with self.root.open(name) as file:
                return patch_files.read(file)
        except OSError:
            return None
        except ImageError as error:
            raise ImageError(f"{printable(self.root.root / name)}: {error}") from error

    def prune(self, target: Path, sha256: str) -> None:
        """Drops what is remembered of earlier bytes of this result."""
        self.root.drop_others(target, _name(target, sha256).name, patch_files.SUFFIX)


def _name(target: Path, sha256: str) -> Path:
    return target / f"{sha256[:32]}{patch_files.SUFFIX}"
