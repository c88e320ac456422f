"""Owns the bytes of canonical weights: where the cache is, how a file in it is written, read and hashed.

Canonical weights are one safetensors file: tensors in the network's own order and in the type their source held,
facts about the model in `__metadata__`, no time stamps. The same source therefore always gives the same bytes,
and one sha256 stands for weights, architecture and scale together.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from restore.errors import DiskFullError, ModelError

HEADER_LIMIT_BYTES = 8 << 20
"""The largest known header (23 RRDB blocks) has 70 kB."""
FILE_LIMIT_BYTES = 4 << 30
"""The largest super-resolution checkpoint in public catalogues has about 1.2 GB."""
TENSOR_LIMIT = 20_000

_NAMES: dict[np.dtype[Any], str] = {
    np.dtype("<f2"): "F16", np.dtype("<f4"): "F32", np.dtype("<f8"): "F64",
    np.dtype("<i8"): "I64", np.dtype("<i4"): "I32", np.dtype("u1"): "U8", np.dtype("?"): "BOOL",
}  # fmt: skip


def cache_dir() -> Path:
    """The per-user directory of converted weights: $RESTORE_CACHE, else the platform's own place."""
    override = os.environ.get("RESTORE_CACHE")
    if override:
        return Path(override) / "models"
    import platformdirs

    return Path(platformdirs.user_cache_dir("restore", appauthor=False)) / "models"


def canonical_bytes(tensors: Mapping[str, NDArray[Any]], facts: Mapping[str, str]) -> bytes:
    """Safetensors bytes of `tensors` (floats, int64, int32, uint8 or bool), in their order, with `facts` as metadata.

    Raises ModelError for another type.  Format: https://github.com/huggingface/safetensors#format
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted(facts.items()))}
    parts: list[bytes] = []
    at = 0
    for name, array in tensors.items():
        kind = _NAMES.get(array.dtype.newbyteorder("<"))
        if kind is None:
            raise ModelError(f"tensor {name} has type {array.dtype}, which canonical weights don't use")
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *parts])


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, bounded in size; ModelError when it isn't one.

    Only sizes are checked here; whoever loads tensors uses the safetensors library, which checks offsets too.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            if len(start) < 8:
                raise ModelError(f"{path}: no safetensors file: only {size} bytes long")
            (length,) = struct.unpack("<Q", start)
            if length > min(HEADER_LIMIT_BYTES, size - 8):
                raise ModelError(f"{path}: no safetensors file: it claims a header of {length} bytes")
            text = file.read(length)
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror}") from error
    if size > FILE_LIMIT_BYTES:
        raise ModelError(f"{path}: {size} bytes are more than the limit of {FILE_LIMIT_BYTES}")
    try:
        header = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: its safetensors header is no JSON: {error}") from error
    if not isinstance(header, dict) or not all(isinstance(entry, dict) for entry in header.values()):
        raise ModelError(f"{path}: its safetensors header is no table of tensors")
    if len(header) > TENSOR_LIMIT:
        raise ModelError(f"{path}: {len(header)} tensors are more than the limit of {TENSOR_LIMIT}")
    return header


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table


def facts_of(path: Path) -> dict[str, str]:
    """What `canonical_bytes` was told about the model."""
    facts = read_header(path).get("__metadata__", {})
    return {str(key): str(value) for key, value in facts.items()}


def sha256_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror}") from error


@contextmanager
def temporary_beside(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file in the directory of `target`, gone afterwards unless it was renamed.

    Raises ModelError when the directory can't be written, DiskFullError when no room is left.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            yield file, temporary
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"{target.parent}: no room for weights; free some, or set RESTORE_CACHE") from error
        raise ModelError(
            f"{target.parent}: model weights can't be kept there ({error.strerror}); set RESTORE_CACHE to a directory "
            "that you may write"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def put(target: Path, data: bytes) -> None:
    """Write `target` so that it is there whole or not at all.  Two processes doing so at once are safe."""
    with temporary_beside(target) as (file, temporary):
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync_directory(target.parent)


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":
        return
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
