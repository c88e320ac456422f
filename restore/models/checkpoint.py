"""Owns letting a stranger's checkpoint in: it is read in a limited child process and comes back as canonical weights.

The child (`quarantine.py`) unpickles with torch's weights-only reader, which knows tensors and plain containers and
calls nothing else.  Limits on address space and time stop files that unpack to more than they are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import restore
from restore.errors import ModelError
from restore.models import store

TIMEOUT_S = 300
READABLE_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")


@dataclass(frozen=True)
class Converted:
    """Canonical safetensors bytes, and what they are."""

    data: bytes
    architecture: str
    scale: int
    channels: int


def convert(path: Path, *, described_as: str, suffix: str | None = None) -> Converted:
    """Read `path` (a .safetensors, or a .pth, .pt or .ckpt written by `torch.save`) without running anything in it.

    Raises one ModelError that names `described_as` and why it can't be used.
    """
    suffix = (suffix or path.suffix).lower()
    if suffix not in READABLE_SUFFIXES:
        raise ModelError(f"{described_as}: no checkpoint: its name doesn't end in {', '.join(READABLE_SUFFIXES)}")
    _check_outside(path, suffix, described_as)
    with tempfile.TemporaryDirectory(prefix="restore-model-") as folder:
        target = Path(folder) / "canonical.safetensors"
        _run_child(path, suffix, target, described_as)
        header = store.read_header(target)
        facts = header["__metadata__"]
        return Converted(target.read_bytes(), facts["architecture"], int(facts["scale"]), int(facts["channels"]))


def _check_outside(path: Path, suffix: str, described_as: str) -> None:
    """What can be said of a file without unpacking anything."""
    size = path.stat().st_size
    if size > store.FILE_LIMIT_BYTES:
        raise ModelError(f"{described_as}: {size} bytes are more than the limit of {store.FILE_LIMIT_BYTES}")
    if suffix == ".safetensors":
        store.read_header(path)
    elif zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise ModelError(f"{described_as}: a broken zip archive: {error}") from error
        if len(members) > store.TENSOR_LIMIT:
            raise ModelError(f"{described_as}: {len(members)} archive members are more than {store.TENSOR_LIMIT}")
        if sum(member.file_size for member in members) > size:
            # torch.save never compresses, so a real checkpoint holds less than its own size.
            raise ModelError(f"{described_as}: its archive unpacks to more than the file's {size} bytes")


def _run_child(path: Path, suffix: str, target: Path, described_as: str) -> None:
    package_home = str(Path(restore.__file__).resolve().parent.parent)
    search = os.pathsep.join(filter(None, [package_home, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-P", "-m", "restore.models.quarantine", str(path.absolute()), suffix, str(target)]
    with tempfile.TemporaryFile() as errors:
        try:
            child = subprocess.run(
                command,
                env={**os.environ, "PYTHONPATH": search},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"{described_as}: not read after {TIMEOUT_S} s, given up") from error
        errors.seek(max(0, errors.tell() - 4096))
        noise = errors.read().decode(errors="replace").strip().splitlines()
    if child.returncode == 0:
        return
    try:
        reason = str(json.loads(child.stdout)["reason"])
    except (ValueError, KeyError, TypeError):
        died = f"its reader died with signal {-child.returncode}" if child.returncode < 0 else "it can't be read"
        reason = f"{died} ({noise[-1][:300]})" if noise else died
    raise ModelError(f"{described_as}: no usable checkpoint: {reason}")
