"""Owns real damage that was scanned: overlays in a folder, each a picture whose alpha, or ink, is the damage."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError, SetupError
from restore.formats import SUFFIXES, Decoder
from restore.image import Image

_FROM = 0.1
"""Share of the full range from which damage is taken for a hole: soft rims are damage too."""
_HELD_OUT_EVERY = 5


@dataclass(frozen=True)
class Overlays:
    """Holes (H, W) of each overlay, True = damage."""

    training: tuple[NDArray[np.bool_], ...]
    held_out: tuple[NDArray[np.bool_], ...]
    skipped: tuple[str, ...]
    """Why files were left out."""


def read_overlays(folder: Path) -> Overlays:
    """All overlays below `folder`, every fifth held out, by a hash of its name.

    SetupError when there is none to train with.
    """
    training: list[NDArray[np.bool_]] = []
    held_out: list[NDArray[np.bool_]] = []
    skipped: list[str] = []
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    with Decoder() as decoder:
        for path in sorted(paths, key=os.fsencode):
            try:
                holes = holes_of(decoder.read(path).first)
            except ImageError as error:
                skipped.append(str(error))
                continue
            if not holes.any() or holes.all():
                skipped.append(f"{path}: shows no damage, or nothing else")
                continue
            (held_out if is_held_out(path.name) else training).append(holes)
    if not training:
        why = f": {skipped[0]}" if skipped else ""
        raise SetupError(f"{folder}: no overlay to train with{why}; give a folder of pictures whose alpha is damage")
    return Overlays(tuple(training), tuple(held_out), tuple(skipped))


def is_held_out(name: str) -> bool:
    """By the name's hash, so that adding files moves none from one side to the other."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big") % _HELD_OUT_EVERY == 0


def holes_of(image: Image) -> NDArray[np.bool_]:
    """Alpha where the overlay has some; else whatever differs from the picture's commonest level, ink on paper."""
    top = 1.0 if image.stored.is_float else float(np.iinfo(image.pixels.dtype).max)
    alpha = image.alpha_channel
    if alpha is not None and (image.pixels[..., alpha] < top).any():
        damaged: NDArray[np.bool_] = image.pixels[..., alpha] >= _FROM * top
        return damaged
    grey = image.pixels[..., list(image.color_channels) or [0]].astype(np.float32).mean(2)
    inked: NDArray[np.bool_] = np.abs(grey - np.median(grey)) >= _FROM * top
    return inked
