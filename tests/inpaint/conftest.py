"""Owns the small network and the pictures that the tests of inpainting share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from restore.image import Alpha, Image, Stored, Transfer
from restore.models.inpainting import InpaintModel, of_net
from restore.models.pconv import PconvUnet

NAMES = {1: ("Y",), 2: ("Y", "A"), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}


@pytest.fixture(scope="session")
def model() -> InpaintModel:
    """Four levels whose last layer isn't zero: what it answers is nothing sensible, but not push-pull either."""
    torch.manual_seed(0)
    net = PconvUnet((6, 8, 10, 12))
    torch.nn.init.normal_(net.last.weight, 0, 0.02)
    return of_net(net, max_width_px=24.0)


@pytest.fixture(scope="session")
def untrained() -> InpaintModel:
    """Equal to push-pull."""
    return of_net(PconvUnet((4, 6, 8)), max_width_px=24.0)


@pytest.fixture
def picture() -> Callable[..., Image]:
    """Smooth shapes with noise: `picture(height, width, channels, dtype)`."""

    def made(
        height: int, width: int, channels: int = 3, dtype: Any = np.uint8, *, seed: int = 0, names: Any = None
    ) -> Image:
        rng = np.random.default_rng(seed)
        coarse = rng.random((5, 6, channels)).astype(np.float32)
        smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)
        unit = np.clip(0.1 + 0.8 * smooth + rng.normal(0, 0.02, smooth.shape), 0, 1)
        kind = np.dtype(dtype)
        pixels = (np.rint(unit * np.iinfo(kind).max) if kind.kind == "u" else unit).astype(kind)
        return image_of(pixels, names)

    return made


def image_of(pixels: NDArray[Any], names: tuple[str, ...] | None = None, transfer: Transfer | None = None) -> Image:
    floats = pixels.dtype.kind == "f"
    channels = names or NAMES[pixels.shape[2]]
    alpha = Alpha.STRAIGHT if "A" in channels else Alpha.NONE
    kind = transfer or (Transfer.LINEAR if floats else Transfer.SRGB)
    return Image(pixels, Stored("exr" if floats else "png", 8 * pixels.itemsize, floats, kind, alpha, channels))


@pytest.fixture
def image() -> Callable[..., Image]:
    return image_of
