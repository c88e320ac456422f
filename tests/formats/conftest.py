"""Owns the small files that the tests of formats read: made by Pillow and OpenImageIO, not by the code under test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest
from PIL import Image as PillowImage

from restore.formats import Decoder

WIDTH, HEIGHT = 7, 5

MakeRaster = Callable[..., Path]


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(timeout_s=60) as one:
        yield one


@pytest.fixture
def rgba() -> np.ndarray[Any, Any]:
    """(5, 7, 4) uint8, with a strong colour under alpha 0 in the first pixel."""
    pixels = np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    pixels[0, 0] = (200, 0, 0, 0)
    return pixels


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """save(pixels, "name.png", **options for Pillow) -> path."""

    def saved(pixels: np.ndarray[Any, Any], name: str, **options: Any) -> Path:
        path = tmp_path / name
        flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
        with PillowImage.fromarray(flat, "LA" if pixels.shape[2] == 2 else None) as picture:
            picture.save(path, **options)
        return path

    return saved


@pytest.fixture
def save_oiio(tmp_path: Path) -> MakeRaster:
    """save_oiio(pixels, "name.exr", names=(...), tile=(w, h), **attributes) -> path."""

    def saved(
        pixels: np.ndarray[Any, Any],
        name: str,
        names: tuple[str, ...] = (),
        tile: tuple[int, int] = (0, 0),
        **attributes: Any,
    ) -> Path:
        path = tmp_path / name
        kind = {"float16": "half", "float32": "float", "float64": "double"}.get(pixels.dtype.name, pixels.dtype.name)
        spec = OpenImageIO.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], kind)
        if names:
            spec.channelnames = names
            spec.alpha_channel = names.index("A") if "A" in names else -1
        spec.tile_width, spec.tile_height = tile
        spec.attribute("oiio:UnassociatedAlpha", 1)
        for key, value in attributes.items():
            spec.attribute(key.replace("__", ":"), value)
        writer = OpenImageIO.ImageOutput.create(str(path))
        assert writer.open(str(path), spec), writer.geterror()
        pixels = np.ascontiguousarray(pixels)
        done = (
            writer.write_tiles(0, pixels.shape[1], 0, pixels.shape[0], 0, 1, pixels)
            if tile[0]
            else writer.write_image(pixels)
        )
        assert done, writer.geterror()
        writer.close()
        return path

    return saved
