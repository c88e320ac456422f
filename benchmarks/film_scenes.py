"""Owns the moving scenes that film repair is measured on: pans over real stills with a moving object, and grain.

Everything about them is known: the same frame without damage, and where things move.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.planted import Stamp, stamps_of
from restore.train.overlays import is_held_out

LINES, COLUMNS = 1080, 1440


@dataclass(frozen=True)
class Motion:
    """How a scene moves, and how grainy it is."""

    name: str
    pan_px: float
    object_px: float
    zoom: float
    grain: float
    """Standard deviation, of 1.0."""


SLOW = Motion("slow", 2.3, 6.0, 0.0005, 0.012)
FAST = Motion("fast", 6.4, 14.0, 0.001, 0.025)

OVERLAY_KINDS = {
    "dots": "dust",
    "spots": "dust",
    "sprinkles": "dust",
    "dirt": "dirt",
    "lint": "dirt",
    "smut": "dirt",
    "hair-short": "short hair",
    "hair": "long hair",
}
"""Folder of overlays -> kind of damage.  Stains and scratches aren't single-frame dirt."""


def overlay_stamps(folder: Path, *, held_out: bool) -> list[Stamp]:
    """Real specks and hairs: from the overlays that nothing is trained or tuned on, or from the others."""
    found: list[Stamp] = []
    for name, kind in OVERLAY_KINDS.items():
        for path in sorted((folder / name).iterdir()):
            if is_held_out(path.name) == held_out:
                picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
                found += stamps_of(picture[..., 3].astype(np.float32) / 255, kind)
    return found


def read_clip(path: Path, most: int = 300) -> list[NDArray[np.uint8]]:
    """Its frames (H, W, 3), up to so many."""
    clip, frames = cv2.VideoCapture(str(path)), []
    while len(frames) < most:
        there, frame = clip.read()
        if not there:
            break
        frames.append(frame)
    if not frames:
        raise SystemExit(f"{path}: OpenCV finds no frame")
    return frames


def read_still(path: Path, lines: int = LINES) -> NDArray[np.float32]:
    """(H, W, 3), 0..1, large enough to pan over."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise SystemExit(f"{path}: OpenCV can't read it")
    scale = max(1.35 * lines / picture.shape[0], 1.35 * lines * COLUMNS / LINES / picture.shape[1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how).astype(np.float32) / 255


def scene(
    still: NDArray[np.float32], other: NDArray[np.float32], motion: Motion, seed: int, lines: int = LINES
) -> Iterator[NDArray[np.float32]]:
    """Endless frames (lines, lines * 4 / 3, 3): a pan and slow zoom over `still`, crossed by a piece of `other`."""
    rng = np.random.default_rng(seed)
    height, width = lines, lines * COLUMNS // LINES
    scale = lines / LINES
    angle = rng.uniform(0, 2 * np.pi)
    pan = motion.pan_px * scale * np.array([np.cos(angle), np.sin(angle)])
    heading = rng.uniform(0, 2 * np.pi)
    speed = motion.object_px * scale * np.array([np.cos(heading), np.sin(heading)])
    radii = scale * np.array([rng.uniform(120, 200), rng.uniform(120, 200)])
    corner = np.array([(still.shape[1] - width) / 2, (still.shape[0] - height) / 2])
    spot = np.array([rng.uniform(0.3, 0.7) * other.shape[1], rng.uniform(0.3, 0.7) * other.shape[0]])
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    number = 0
    while True:
        zoom = 1 + motion.zoom * number
        at = corner + pan * (number - 4)
        middle = (width / 2, height / 2)
        frame = cv2.remap(
            still,
            (x - middle[0]) / zoom + np.float32(middle[0] + at[0]),
            (y - middle[1]) / zoom + np.float32(middle[1] + at[1]),
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        centre = np.array(middle) + speed * (number - 4)
        u, v = x - np.float32(centre[0]), y - np.float32(centre[1])
        inside = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2)
        opacity = np.clip((1 - inside) * radii.min() + 0.5, 0, 1)[..., None]
        thing = cv2.remap(
            other, u + np.float32(spot[0]), v + np.float32(spot[1]), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        frame = frame * (1 - opacity) + thing * opacity
        yield np.clip(frame + grain(rng, frame, motion.grain), 0, 1).astype(np.float32)
        number += 1


def glinting(frames: Iterable[NDArray[np.float32]], seed: int) -> Iterator[NDArray[np.float32]]:
    """The frames (H, W, C) with glints, as of sparkling water, in a patch of each: there for a frame and nowhere near
    in the next one, just as dirt, but always in that patch."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.1, 0.4)
    at, aspect = rng.uniform(0.2, 0.8, 2), rng.uniform(0.4, 1.0)
    count_share = rng.uniform(0.5, 2.0)
    for frame in frames:
        height, width = frame.shape[:2]
        tall, wide = share**0.5 * height * aspect, share**0.5 * width / aspect
        light = np.zeros((height, width), np.float32)
        for _ in range(rng.poisson(1200 * count_share * share)):
            y, x = (
                int(p * side + rng.uniform(-0.5, 0.5) * size)
                for p, side, size in zip(at, (height, width), (tall, wide), strict=True)
            )
            axes = rng.uniform(0.0006, 0.003, 2) * height
            one = np.zeros((25, 25), np.float32)
            sixteenth = tuple(int(16 * a) + 4 for a in axes)
            cv2.ellipse(
                one,
                (12 * 16, 12 * 16),
                sixteenth,
                rng.uniform(-20, 20),
                0,
                360,
                float(rng.uniform(0.3, 1)),
                -1,
                shift=4,
            )
            one = cv2.GaussianBlur(one, (0, 0), rng.uniform(0.5, 1.0))
            if 12 <= y < height - 12 and 12 <= x < width - 12:
                light[y - 12 : y + 13, x - 12 : x + 13] = np.maximum(light[y - 12 : y + 13, x - 12 : x + 13], one)
        yield np.clip(frame + light[..., None] * (1 - frame), 0, 1).astype(np.float32)


def grain(rng: np.random.Generator, frame: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Grain of about a pixel and a half, partly shared by the channels, strongest in the middle tones."""
    shared = rng.standard_normal(frame.shape[:2], np.float32)[..., None]
    own = rng.standard_normal(frame.shape, np.float32)
    noise = cv2.GaussianBlur(0.8 * shared + 0.6 * own, (0, 0), 0.6)
    noise /= noise.std()
    strength = 0.6 + 0.8 * np.sqrt(np.clip(4 * frame * (1 - frame), 0, 1))
    return noise * strength * np.float32(sigma)
