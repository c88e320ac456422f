"""Pictures and rules that these tests share."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.image import Alpha, Image, Stored, Transfer
from restore.recipe import FindHoles, HolesFrom
from restore.traits import AlphaUse, Content, Traits

PLAIN = Traits(Content.COLOR, AlphaUse.NONE, (False, False), False, "said so by the test")
AUTO = FindHoles(HolesFrom.AUTO)


def image(pixels: NDArray[np.generic], transfer: Transfer = Transfer.SRGB) -> Image:
    """(H, W) or (H, W, 1..4); 2 and 4 channels end with alpha."""
    whole = pixels[..., None] if pixels.ndim == 2 else pixels
    channels = {1: "Y", 2: "YA", 3: "RGB", 4: "RGBA"}[whole.shape[2]]
    alpha = Alpha.STRAIGHT if "A" in channels else Alpha.NONE
    stored = Stored("png", 8 * whole.dtype.itemsize, whole.dtype.kind == "f", transfer, alpha, tuple(channels))
    return Image(whole, stored)


def calm(height: int = 300, width: int = 400, *, seed: int = 0, noise: float = 0.008) -> NDArray[np.float32]:
    """Soft clouds with grain, (H, W, 3) in 0..1: where a speck is plainly foreign."""
    rng = np.random.default_rng(seed)
    clouds = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), 40.0)
    base = 0.5 + 0.12 * clouds / clouds.std()
    grain = rng.normal(scale=noise, size=(height, width, 3)).astype(np.float32)
    return np.clip(base[..., None] + grain, 0.0, 1.0).astype(np.float32)


def as_type(picture: NDArray[np.float32], dtype: type) -> NDArray[np.generic]:
    if np.dtype(dtype).kind == "f":
        return picture.astype(dtype)
    return np.rint(picture * np.iinfo(dtype).max).astype(dtype)


def disc(height: int, width: int, y: float, x: float, radius: float) -> NDArray[np.float32]:
    """(H, W) coverage 0..1 of a disc with a soft rim of one pixel."""
    rows, columns = np.ogrid[:height, :width]
    return np.clip(radius + 0.5 - np.hypot(rows - y, columns - x), 0.0, 1.0).astype(np.float32)


def covered(picture: NDArray[np.float32], coverage: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """`picture` (H, W, 3) with dirt of that lightness where `coverage` (H, W) says."""
    return (picture * (1.0 - coverage[..., None]) + level * coverage[..., None]).astype(np.float32)
