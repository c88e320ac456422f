"""Owns the pictures that training sees: folders packed once into a shard of crops, and random batches out of it.

A shard is NAME.npy, uint8 (n, crop_px, crop_px, 3) in sRGB, memory-mapped when it is used, and NAME.json: where each
crop came from, under which licences, and what was left out and why.  The same pictures give the same bytes, in whatever
folders and under whatever names they lie.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.color.srgb import stored_of
from restore.errors import ImageError, SetupError
from restore.formats import SUFFIXES, Decoder
from restore.image import Image, Transfer
from restore.train import squeezed
from restore.train.files import whole_file, write_whole

Crops = NDArray[np.uint8]
"""(N, H, W, 3) sRGB."""

_VERSION = 1
_HELD_OUT_SHARE = 0.05
_FLAT_DEVIATION = 4.0
"""Steps of 255: a crop that varies less shows sky or paper, and teaches nothing that push-pull can't do."""
_HALVINGS = 2
"""Large photographs are taken at full size, half and a quarter: at full size a crop of them shows mostly blur."""


@dataclass(frozen=True)
class Packed:
    """What `pack` made."""

    crops: int
    pictures: int
    held_out_pictures: int
    skipped: tuple[str, ...]
    """Why pictures were left out, one line each."""


@dataclass(frozen=True)
class Shard:
    """An open shard."""

    crops: Crops
    training: NDArray[np.intp]
    """Indices of crops to train with."""
    held_out: NDArray[np.intp]
    """Indices of crops from pictures that are never trained with."""
    licences: str
    sha256: str
    """Of its JSON file, which holds the sources' own."""


@dataclass(frozen=True)
class _Source:
    path: Path
    sha256: str
    crops: list[Crops]


def pack(
    folders: Iterable[Path],
    out: Path,
    *,
    crop_px: int = 160,
    most_per_picture: int = 64,
    licences: str = "",
    on_picture: Callable[[Path], None] = lambda _: None,
) -> Packed:
    """Cut the pictures below `folders` into crops, and write OUT (.npy) and its .json.

    Crops don't overlap and lie within opaque parts; even ones are left out.  A picture that occurs twice, or can't be
    read, or is too small, is skipped with its reason.  SetupError when nothing remains.
    """
    out = _shard_path(out)
    skipped: list[str] = []
    entries: list[dict[str, Any]] = []
    with whole_file(out) as file:
        _write_header(file, 0, crop_px)
        for source in _sources(folders, crop_px, most_per_picture, skipped, on_picture):
            first = sum(entry["count"] for entry in entries)
            entries.append(
                {"path": _text(source.path), "sha256": source.sha256, "first": first, "count": len(source.crops)}
            )
            for crop in source.crops:
                file.write(crop.tobytes())
        total = sum(entry["count"] for entry in entries)
        if not total:
            why = f": {skipped[0]}" if skipped else ": no picture is in there"
            raise SetupError(f"no crop of {crop_px} px could be made{why}; name other folders, or a smaller --crop-px")
        file.seek(0)
        _write_header(file, total, crop_px)
        out.with_suffix(".json").unlink(missing_ok=True)  # an older shard's never stands beside new crops
    held_out = _held_out([entry["sha256"] for entry in entries])
    for entry in entries:
        entry["held_out"] = entry["sha256"] in held_out
    facts = {"version": _VERSION, "crop_px": crop_px, "crops": total, "licences": licences}
    facts |= {"sources": entries, "skipped": skipped}
    write_whole(out.with_suffix(".json"), json.dumps(facts, indent=1).encode() + b"\n")
    return Packed(total, len(entries), len(held_out), tuple(skipped))


def open_shard(path: Path) -> Shard:
    """Map a shard into memory, or decode a squeezed one; SetupError when it is none, or its files don't fit."""
    path = _shard_path(path)
    remedy = "make one with: restore train crops FOLDERS --out SHARD"
    try:
        text = path.with_suffix(".json").read_bytes()
        facts = json.loads(text)
        packed = path.suffix == squeezed.SUFFIX
        crops = squeezed.unsqueeze(path, facts) if packed else np.load(path, mmap_mode="r", allow_pickle=False)
        expected = (facts["crops"], facts["crop_px"], facts["crop_px"], 3)
        sides: dict[bool, list[NDArray[np.intp]]] = {True: [], False: []}
        for source in facts["sources"]:
            sides[bool(source["held_out"])].append(np.arange(source["first"], source["first"] + source["count"]))
    except OSError as error:
        raise SetupError(f"{error.filename or path}: {error.strerror}; {remedy}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SetupError(f"{path}: no shard of crops ({error}); {remedy}") from error
    if facts.get("version") != _VERSION or crops.dtype != np.uint8 or crops.shape != expected:
        raise SetupError(f"{path}: holds {crops.dtype} {crops.shape}, its .json says {expected}; {remedy}")
    training, held_out = (np.concatenate([np.empty(0, np.intp), *sides[side]]) for side in (False, True))
    return Shard(crops, training, held_out, str(facts["licences"]), hashlib.sha256(text).hexdigest())


def sample(shard: Shard, rng: Generator, count: int, crop_px: int) -> Crops:
    """(count, crop_px, crop_px, 3): random windows of training crops, mirrored and turned at random."""
    room = shard.crops.shape[1] - crop_px + 1
    batch = np.empty((count, crop_px, crop_px, 3), np.uint8)
    for index, chosen in enumerate(rng.choice(shard.training, count)):
        y, x = rng.integers(room, size=2)
        window = shard.crops[chosen, y : y + crop_px, x : x + crop_px]
        batch[index] = np.rot90(window[:, ::-1] if rng.random() < 0.5 else window, int(rng.integers(4)))
    return batch


def _sources(
    folders: Iterable[Path],
    crop_px: int,
    most: int,
    skipped: list[str],
    on_picture: Callable[[Path], None],
) -> Iterator[_Source]:
    """Each picture once, in the order of their contents' hashes; reasons for others go into `skipped`."""
    known: dict[str, Path] = {}
    for path in sorted(_pictures(folders), key=os.fsencode):
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            skipped.append(f"{_text(path)}: {error.strerror}")
            continue
        if digest in known:
            skipped.append(f"{_text(path)}: the same file as {_text(known[digest])}")
        else:
            known[digest] = path
    with Decoder() as decoder:
        for digest, path in sorted(known.items()):
            on_picture(path)
            try:
                crops = _crops_of(decoder.read(path).first, crop_px)
            except ImageError as error:
                skipped.append(str(error))
                continue
            if not crops:
                skipped.append(f"{_text(path)}: smaller than {crop_px} px, or even, or transparent throughout")
                continue
            if len(crops) > most:
                chosen = np.random.default_rng(int(digest[:16], 16)).choice(len(crops), most, replace=False)
                crops = [crops[index] for index in np.sort(chosen)]
            yield _Source(path, digest, crops)


def _pictures(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if not folder.exists():
            raise SetupError(f"{folder}: there is no such file or folder")
        found = folder.rglob("*") if folder.is_dir() else [folder]
        yield from (path for path in found if path.suffix.lower() in SUFFIXES and path.is_file())


def _crops_of(image: Image, crop_px: int) -> list[Crops]:
    """All crops on a centred grid, at full size and its halves."""
    pixels, opaque = _shown(image)
    crops: list[Crops] = []
    for _ in range(_HALVINGS + 1):
        height, width = pixels.shape[:2]
        rows, columns = height // crop_px, width // crop_px
        top, left = (height - rows * crop_px) // 2, (width - columns * crop_px) // 2
        for y in range(top, top + rows * crop_px, crop_px):
            for x in range(left, left + columns * crop_px, crop_px):
                window = np.s_[y : y + crop_px, x : x + crop_px]
                if opaque[window].all() and pixels[window].mean(2).std() >= _FLAT_DEVIATION:
                    crops.append(np.ascontiguousarray(pixels[window]))
        half = (width // 2, height // 2)
        if min(half) < crop_px:
            break
        pixels = cv2.resize(pixels, half, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        opaque = cv2.resize(opaque.astype(np.float32), half, interpolation=cv2.INTER_AREA) == 1
    return crops


def _shown(image: Image) -> tuple[Crops, NDArray[np.bool_]]:
    """(H, W, 3) uint8 sRGB, and where it is opaque and finite."""
    channels = list(image.color_channels) or [0]
    color = image.pixels[..., channels if len(channels) == 3 else channels[:1] * 3]
    opaque = np.ones(color.shape[:2], bool)
    if image.alpha_channel is not None:
        top = 1.0 if image.stored.is_float else np.iinfo(image.pixels.dtype).max
        opaque &= image.pixels[..., image.alpha_channel] >= top
    if image.stored.is_float:
        opaque &= np.isfinite(color).all(2)
    if color.dtype != np.uint8:
        if color.dtype == np.uint16:
            color = color.astype(np.float32) / np.float32(65535)
        linear = image.stored.transfer is Transfer.LINEAR
        color = stored_of(color.astype(np.float32), np.dtype(np.uint8), encoded=linear)
    return color, opaque


def _held_out(digests: list[str]) -> set[str]:
    """About one picture in twenty, by its hash; at least one wherever there are two, and never all."""
    held_out = {digest for digest in digests if int(digest[:8], 16) < _HELD_OUT_SHARE * 2**32}
    if len(digests) > 1:
        held_out = (held_out or {min(digests)}) - {max(digests)}
    return held_out if len(digests) > 1 else set()


def _write_header(file: BinaryIO, count: int, crop_px: int) -> None:
    """Of one length for every count (NumPy leaves room for the first axis to grow)."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, crop_px, crop_px, 3)}
    np.lib.format.write_array_header_1_0(file, header)


def squeeze(shard: Path, out: Path, *, most_bytes: int) -> int:
    """Write a shard again as `squeezed.py` has it, in at most so many bytes; returns how many crops it holds.

    SetupError when `shard` is none.
    """
    path = _shard_path(shard)
    opened = open_shard(path)
    facts = json.loads(path.with_suffix(".json").read_bytes())
    target = out if out.suffix == squeezed.SUFFIX else out.with_name(out.name + squeezed.SUFFIX)
    return squeezed.squeeze(opened.crops, facts, target, most_bytes=most_bytes)


def _shard_path(path: Path) -> Path:
    if path.suffix in (".npy", squeezed.SUFFIX):
        return path
    plain, small = (path.with_name(path.name + suffix) for suffix in (".npy", squeezed.SUFFIX))
    return small if small.exists() and not plain.exists() else plain


def _text(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
