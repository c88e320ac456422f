"""Owns the small pictures and shards that the tests of training share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage

from restore.train.crops import pack


def picture(seed: int, height: int = 96, width: int = 96) -> NDArray[np.uint8]:
    """(H, W, 3): smooth shapes and some noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    smooth = PillowImage.fromarray(coarse).resize((width, height), PillowImage.Resampling.BICUBIC)
    noisy: NDArray[np.uint8] = np.clip(np.asarray(smooth) + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(
        np.uint8
    )
    return noisy


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(6):
        PillowImage.fromarray(picture(seed)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="session")
def shard(pictures: Path) -> Path:
    """A shard of crops of 48 px."""
    out = pictures.parent / f"{pictures.name}-shard"
    pack([pictures], out, crop_px=48, licences="CC0, made by a test")
    return out


@pytest.fixture
def save(tmp_path: Path) -> Callable[[NDArray[np.uint8], str], Path]:
    def saved(pixels: NDArray[np.uint8], name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(pixels).save(path)
        return path

    return saved
