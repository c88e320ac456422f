"""Owns planted damage: dirt, scratches, flicker and weave put on clean frames, with the truth about each.

What a detector finds on one's own stock can only be counted where the truth is known.  Sizes and counts are those of
ten annotated 35 mm scans (FilmDamageSimulator: Ivanova et al., "Simulating analogue film damage to analyse and improve
artefact restoration on high-resolution scans", 2023); shapes are handed in: real overlays, or drawn ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.film.working import Frame, Holes, as_float32, to_float


@dataclass(frozen=True)
class SizeLaw:
    """Diameter of a disc of equal area, in per cent of the frame's height, log-normal; and how many a 4:3 frame has."""

    median: float
    high: float
    """99th percentile."""
    count: float


SIZES: Mapping[str, SizeLaw] = {
    "dust": SizeLaw(0.25, 0.46, 763),
    "dirt": SizeLaw(0.36, 0.87, 270),
    "short hair": SizeLaw(0.55, 1.1, 134),
    "long hair": SizeLaw(1.0, 2.0, 44),
}
_TRUTH_FROM = 0.1
"""Opacity from which a pixel is damaged: soft rims are damage too."""
_FRAME_WIDTH = 4 / 3


@dataclass(frozen=True)
class Stamp:
    """One speck or hair."""

    alpha: NDArray[np.float32]
    """(h, w), opacity 0..1."""
    kind: str
    """A key of `SIZES`."""

    @property
    def diameter_px(self) -> float:
        return float(np.sqrt(4 / np.pi * np.count_nonzero(self.alpha >= _TRUTH_FROM)))


def stamps_of(alpha: NDArray[np.float32], kind: str, least_px: float = 3.0) -> list[Stamp]:
    """Each connected piece of damage in an overlay (H, W; opacity 0..1), unless it is tiny or cut off by the border."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((alpha >= _TRUTH_FROM).astype(np.uint8))
    found = []
    for label in range(1, count):
        x, y, width, height, area = (int(v) for v in stats[label])
        cut_off = x == 0 or y == 0 or x + width == alpha.shape[1] or y + height == alpha.shape[0]
        if cut_off or area < least_px**2 * np.pi / 4:
            continue
        box = np.s_[y : y + height, x : x + width]
        found.append(Stamp(np.where(labels[box] == label, alpha[box], 0).astype(np.float32), kind))
    return found


@dataclass(frozen=True)
class Scratch:
    """One upright line that stays: what a speck of grit in the gate or the projector draws."""

    x: float
    """Share of the width."""
    depth: float
    """Added at its middle, in 0..1; negative is dark."""
    width_px: float = 2.0
    slope: float = 0.0
    """Pixels to the right a pixel down."""
    wander_px: float = 0.3
    """Standard deviation of its place from frame to frame."""


@dataclass(frozen=True)
class Planting:
    """What is planted."""

    lines: int | None = None
    """Height of the frame that specks are sized for; None: the frame's own.  Small clips need it: dust on them would be
    smaller than a pixel."""
    density: float = 1.0
    """Of specks; 1 is as many as the annotated scans have."""
    light_share: float = 0.5
    """Share of light specks (dirt on a negative); the others are dark."""
    dye_share: float = 0.0
    """Share of specks that harm one or two channels of three only, as where a dye layer is damaged."""
    opacity: tuple[float, float] = (0.6, 1.0)
    soft_px: tuple[float, float] = (0.3, 0.9)
    """Deviation of the blur of each speck's rim."""
    flicker: float = 0.0
    """Standard deviation of each frame's gain; its offset has a quarter of it."""
    weave_px: float = 0.0
    """Standard deviation of each frame's shift, in each direction."""
    scratches: tuple[Scratch, ...] = ()


@dataclass(frozen=True)
class Planted:
    """One frame with its damage, and the truth."""

    frame: NDArray[np.float32]
    """(H, W, C), damaged."""
    clean: NDArray[np.float32]
    """The same with flicker and weave, but without specks and scratches."""
    specks: Holes
    """Pixels of dust, dirt and hairs, soft rims included."""
    labels: NDArray[np.int32]
    """(H, W), each speck's own number from 1; 0 = none."""
    scratched: Holes
    gain: float
    offset: float
    shift_px: tuple[float, float]
    """To the right and down."""


def plant(frames: Iterable[Frame], planting: Planting, stamps: Sequence[Stamp], seed: int) -> Iterator[Planted]:
    """Each frame damaged; the same seed gives the same damage.  Without `stamps` there are no specks."""
    for number, frame in enumerate(frames):
        rng = np.random.default_rng([seed, number])
        yield _plant_one(to_float(frame), planting, stamps, rng)


def _plant_one(frame: NDArray[np.float32], planting: Planting, stamps: Sequence[Stamp], rng: Generator) -> Planted:
    height, width = frame.shape[:2]
    gain, offset = 1 + rng.normal(0, 1) * planting.flicker, rng.normal(0, 1) * planting.flicker / 4
    dx, dy = (float(v) for v in rng.normal(0, 1, 2) * planting.weave_px)
    clean = frame
    if planting.weave_px:
        move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        shifted = cv2.warpAffine(frame, move, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        clean = as_float32(shifted).reshape(frame.shape)
    if planting.flicker:
        clean = np.clip(clean * np.float32(gain) + np.float32(offset), 0, 1)
    alpha, level, labels, layers = _specks(height, width, planting, stamps, rng)
    each = alpha[..., None] * (layers if frame.shape[2] == 3 else 1)
    damaged = clean * (1 - each) + level[..., None] * each
    lines, scratched = _scratches(height, width, planting.scratches, rng)
    if planting.scratches:
        damaged = damaged + lines[..., None]
    damaged = np.clip(damaged, 0, 1).astype(np.float32)
    return Planted(damaged, clean, alpha >= _TRUTH_FROM, labels, scratched, float(gain), float(offset), (dx, dy))


def _specks(
    height: int, width: int, planting: Planting, stamps: Sequence[Stamp], rng: Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """Opacity, level and number (H, W each) of a frame's specks, and the channels they harm (H, W, 3; 0 or 1)."""
    alpha = np.zeros((height, width), np.float32)
    level = np.zeros((height, width), np.float32)
    labels = np.zeros((height, width), np.int32)
    layers = np.ones((height, width, 3), np.float32)
    lines = planting.lines or height
    share = planting.density * width * height / (lines**2 * _FRAME_WIDTH)
    number = 0
    for kind, law in SIZES.items():
        shapes = [stamp for stamp in stamps if stamp.kind == kind]
        if not shapes:
            continue
        for _ in range(rng.poisson(law.count * share)):
            number += 1
            shape = shapes[int(rng.integers(len(shapes)))]
            diameter = law.median / 100 * lines * exp(rng.normal(0, log(law.high / law.median) / 2.326))
            drawn = _turned(shape, diameter, rng.uniform(*planting.soft_px), rng) * np.float32(
                rng.uniform(*planting.opacity)
            )
            value = rng.uniform(0.85, 1.0) if rng.random() < planting.light_share else rng.uniform(0.0, 0.12)
            top = int(rng.integers(-(drawn.shape[0] // 2), height - drawn.shape[0] // 2))
            left = int(rng.integers(-(drawn.shape[1] // 2), width - drawn.shape[1] // 2))
            y, x = max(0, top), max(0, left)
            part = drawn[y - top : y - top + height - y, x - left : x - left + width - x]
            there = np.s_[y : y + part.shape[0], x : x + part.shape[1]]
            over = part > alpha[there]
            alpha[there][over] = part[over]
            level[there][over] = value
            labels[there][over & (part >= _TRUTH_FROM)] = number
            if planting.dye_share:
                harmed = rng.permutation(np.array([1, rng.integers(2), 0], np.float32))
                layers[there][over] = harmed if rng.random() < planting.dye_share else 1
    return alpha, level, labels, layers


def _turned(stamp: Stamp, diameter_px: float, soft_px: float, rng: Generator) -> NDArray[np.float32]:
    """The stamp at another angle with a soft rim (h, w), so large that its rim included it has that diameter."""
    angle, mirrored = rng.uniform(0, 2 * np.pi), 1 if rng.random() < 0.5 else -1
    scale = diameter_px / stamp.diameter_px
    drawn = _drawn(stamp.alpha, scale, angle, mirrored, soft_px)
    for _ in range(2):  # the rim makes small specks larger: by how much depends on their shape
        now_px = float(np.sqrt(4 / np.pi * np.count_nonzero(drawn >= _TRUTH_FROM)))
        scale *= float(np.clip(diameter_px / max(now_px, 1.0), 0.4, 1.5))
        drawn = _drawn(stamp.alpha, scale, angle, mirrored, soft_px)
    return drawn


def _drawn(
    alpha: NDArray[np.float32], scale: float, angle: float, mirrored: int, soft_px: float
) -> NDArray[np.float32]:
    # Shrinking by a bilinear warp would alias: blur first, as much as the new pixel is wide.
    sharp = cv2.copyMakeBorder(alpha, 8, 8, 8, 8, cv2.BORDER_CONSTANT, value=0)
    if scale < 1:
        sharp = cv2.GaussianBlur(sharp, (0, 0), 0.45 / scale)
    side = int(np.ceil(np.hypot(*alpha.shape) * scale)) + 7
    c, s = np.cos(angle) * scale, np.sin(angle) * scale
    turn = np.array([[c, -s * mirrored, 0], [s, c * mirrored, 0]])
    turn[:, 2] = (side - 1) / 2 - turn[:, :2] @ np.array([(sharp.shape[1] - 1) / 2, (sharp.shape[0] - 1) / 2])
    drawn = cv2.GaussianBlur(cv2.warpAffine(sharp, turn, (side, side), flags=cv2.INTER_LINEAR), (0, 0), soft_px)
    peak = float(drawn.max())
    return as_float32(drawn / peak if peak > 0 else drawn)


def _scratches(
    height: int, width: int, scratches: Sequence[Scratch], rng: Generator
) -> tuple[NDArray[np.float32], Holes]:
    """What the lines add (H, W), and where they add at least a quarter of their depth."""
    added = np.zeros((height, width), np.float32)
    marked = np.zeros((height, width), np.bool_)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    for line in scratches:
        middle = line.x * width + rng.normal(0, line.wander_px) + line.slope * (y - height / 2)
        profile = np.exp(-0.5 * ((x - middle) / (line.width_px / 2.355)) ** 2)
        added += np.float32(line.depth) * profile
        marked |= profile >= 0.25
    return added, marked
