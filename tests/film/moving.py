"""Owns the small moving scene that the tests of film repair share: a textured picture, panned over, with grain."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.planted import Stamp


def texture(seed: int, height: int, width: int) -> NDArray[np.float32]:
    """(H, W, 3), 0..1: structure of several sizes."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((6, 0.5), (24, 0.25), (80, 0.12)):
        coarse = rng.random((cells, cells * width // height, 3), np.float32)
        total += strength * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(total, 0, 1)


def pan(
    frames: int, step_px: tuple[float, float] = (1.6, 0.7), grain: float = 0.01, size: tuple[int, int] = (180, 240)
) -> list[NDArray[np.float32]]:
    """Frames (H, W, 3), 0..1, that move evenly over a texture."""
    height, width = size
    ground = texture(1, height + 120, width + 160)
    rng = np.random.default_rng(2)
    made = []
    for number in range(frames):
        shift = np.array([[1, 0, -10 - step_px[0] * number], [0, 1, -10 - step_px[1] * number]], np.float32)
        frame = cv2.warpAffine(ground, shift, (width, height), flags=cv2.INTER_CUBIC)
        made.append(np.clip(frame + grain * rng.standard_normal(frame.shape, np.float32), 0, 1).astype(np.float32))
    return made


def specks() -> list[Stamp]:
    """Round specks of dust and short, bent hairs."""
    y, x = np.mgrid[-8:9, -8:9]
    disc = (np.hypot(x, y) <= 6).astype(np.float32)
    arc = (np.abs(np.hypot(x, y) - 6) <= 1).astype(np.float32)
    arc[9:] = 0
    return [Stamp(disc, "dust"), Stamp(disc[:, 2:-2], "dirt"), Stamp(arc, "short hair")]
