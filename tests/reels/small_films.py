"""Owns small damaged films that the tests of reels share: one shot with dirt, and another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from moving import pan, specks

from restore.film.planted import Planting, plant
from tests.formats.film_files import dpx_file

FRAMES = 24
SIZE = (96, 128)


def pictures() -> list[np.ndarray]:
    """(H, W, 3) uint8: one shot of 16 frames with dirt, and one of 8."""
    clean = [*pan(16, size=SIZE), *(1 - frame[::-1, ::-1] for frame in pan(8, size=SIZE))]
    damaged = plant(clean, Planting(lines=900, density=0.5), specks(), seed=3)
    return [np.rint(one.frame * 255).astype(np.uint8) for one in damaged]


def write_dpx(folder: Path, first: int = 993) -> None:
    folder.mkdir(exist_ok=True)
    for number, picture in enumerate(pictures(), first):
        codes = (picture.astype(np.float32) / 255 * 1023).round().astype(np.uint16)
        data = dpx_file(codes, 10, 1, big=True, user=b"scanner".ljust(32, b"\0") + b"log")
        (folder / f"reel.{number}.dpx").write_bytes(data)
