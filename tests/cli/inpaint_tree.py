"""Owns the damaged tree that tests of repairing share: small pictures of many kinds, masks, and a tiny network."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage
from typer.testing import CliRunner, Result

from restore.cli import app
from restore.formats import Decoder
from restore.image import Document


def tiny_net(path: Path) -> Path:
    """A network as `restore train inpainter` writes them, untrained: it answers with its plain fill."""
    import torch

    from restore.models import pconv

    torch.manual_seed(0)
    net = pconv.PconvUnet((4, 6, 8))
    path.write_bytes(pconv.canonical(net.state_dict(), {"max_width_px": "16", "licence": "none"}))
    return path


def painted(seed: int, height: int, width: int, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    """Smooth, unlike for every seed."""
    noise = np.random.default_rng(seed).random((height // 8 + 2, width // 8 + 2, channels), np.float32)
    smooth = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)
    return (smooth.clip(0, 1) * np.iinfo(dtype).max).round().astype(dtype)


def specks(seed: int, height: int, width: int, number: int = 4) -> np.ndarray:
    """(H, W) uint8, white where something is missing."""
    rng, mask = np.random.default_rng(seed), np.zeros((height, width), np.uint8)
    for _ in range(number):
        centre = int(rng.integers(3, width - 3)), int(rng.integers(3, height - 3))
        cv2.circle(mask, centre, int(rng.integers(1, 4)), 255, -1)
    return mask


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".tga":
        PillowImage.fromarray(pixels).save(path)
    else:
        done, data = cv2.imencode(path.suffix.lower(), pixels)
        assert done
        path.write_bytes(data.tobytes())
    return path


SIZES = {
    "wall.png": (48, 64, 3, np.uint8),
    "deep/er/height.png": (40, 33, 1, np.uint16),
    "deep/scan 1.tiff": (37, 50, 3, np.uint16),
    "déjà vu/cutout.TGA": (32, 32, 4, np.uint8),
    "déjà vu/стена.bmp": (30, 31, 3, np.uint8),
}
"""Pictures with a mask."""


def make_tree(base: Path) -> tuple[Path, Path]:
    """(IN, masks): the pictures of SIZES, and one that nobody made a mask for."""
    source, masks = base / "in", base / "masks"
    for seed, (name, (height, width, channels, dtype)) in enumerate(SIZES.items()):
        save(source / name, painted(seed, height, width, channels, dtype))
        save((masks / name).with_suffix(".png"), specks(seed, height, width))
    save(source / "whole.png", painted(99, 20, 20))
    return source, masks


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def events(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def of(result: Result, event: str) -> list[dict[str, object]]:
    return [said for said in events(result) if said["event"] == event]


def read(path: Path) -> Document:
    with Decoder() as decoder:
        return decoder.read(path)
