"""Owns synthetic damage: holes like those that dust, dirt, hairs, scratches, tears and people leave in pictures.

Sizes of film damage are those measured on ten annotated 35 mm scans (FilmDamageSimulator: Ivanova et al., "Simulating
analogue film damage to analyse and improve artefact restoration on high-resolution scans", 2023): diameters as shares
of the frame's height, log-normal from their median and 99th percentile.  A crop is taken for a part of a frame of some
height, so the same law gives specks of 2 px on video and of 15 px on a scan.  Strokes are as in LaMa's masks.

All is drawn from a seeded Generator: the same seed gives the same holes on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import cos, exp, log, pi, radians, sin, tan

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from restore.film.planted import SIZES

Holes = NDArray[np.bool_]
"""(H, W), True = missing."""
Canvas = NDArray[np.uint8]

FRAME_LINES = (1080, 3400)
"""Heights of the frames that crops are taken for: HD video to the scans that the law was measured on."""
_LAW = {kind: (law.median, law.high) for kind, law in SIZES.items()}
"""Diameter of a disc of equal area, in per cent of the frame's height: median and 99th percentile."""
_ON_A_SCAN = {kind: round(law.count) for kind, law in SIZES.items()} | {"scratch": 8}
"""How many of each a scan had, on average of the ten."""
_MOST_SHAPES = 400


@dataclass(frozen=True)
class Damage:
    """What is drawn: kinds with their weights, coverage, widths."""

    kinds: tuple[tuple[str, float], ...]
    coverage: tuple[float, float]
    """Smallest and largest share of pixels; each picture's is drawn log-uniformly between them."""
    width_px: tuple[float, float]
    """Log-uniform for strokes, tears and blocks; nothing that is drawn is wider than the second."""


_FILM = (("dust", 0.25), ("dirt", 0.1), ("short hair", 0.06), ("long hair", 0.04))
_DRAWN = (("scratch", 0.1), ("stroke", 0.3), ("tear", 0.1), ("block", 0.05))

BUCKETS: dict[str, Damage] = {
    "dust": Damage(_FILM, (0.01, 0.03), (1, 12)),
    "strokes": Damage((("stroke", 0.7), ("scratch", 0.3)), (0.05, 0.2), (1, 16)),
    "wide": Damage((("stroke", 0.6), ("block", 0.3), ("tear", 0.1)), (0.1, 0.25), (16, 40)),
    "irregular": Damage((*_FILM, *_DRAWN), (0.1, 0.3), (1, 40)),
}
"""What is evaluated, apart from each other."""


def training_damage(max_width_px: float) -> Damage:
    """Everything, with widths log-uniform up to the widest hole that the network is to be given at run time."""
    return Damage((*_FILM, *_DRAWN), (0.005, 0.25), (1, max_width_px))


def radius_limit_px(damage: Damage) -> float:
    """No pixel of a hole lies further than this from a known one."""
    return damage.width_px[1] / 2 + 1


def largest_radius_px(holes: Holes) -> float:
    """The largest distance from a pixel in a hole to a known one; 0 without holes, infinite without known pixels."""
    if holes.all():
        return float("inf")
    return float(cv2.distanceTransform(holes.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max())


def draw(damage: Damage, height_px: int, width_px: int, rng: Generator, overlays: Sequence[Holes] = ()) -> Holes:
    """Holes (height_px, width_px) of the kind that `damage` says.

    Coverage is within the range, or below it where so small a picture has no room for holes that narrow.  With
    `overlays`, one picture in three gets real damage from them first.
    """
    lowest, highest = damage.coverage
    goal = exp(rng.uniform(log(lowest), log(highest)))
    limit_px = radius_limit_px(damage)
    holes = np.zeros((height_px, width_px), np.uint8)
    covered, room_px = 0, int(highest * holes.size)
    frame_lines = exp(rng.uniform(log(FRAME_LINES[0]), log(FRAME_LINES[1])))
    names = [name for name, _ in damage.kinds]
    weights = np.array([weight for _, weight in damage.kinds])
    if overlays and rng.random() < 1 / 3:
        real = overlays[int(rng.integers(len(overlays)))]
        covered += _add(holes, lay_overlay(real, height_px, width_px, limit_px, rng), room_px, limit_px)
    for _ in range(_MOST_SHAPES):
        if covered >= goal * holes.size:
            break
        name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        shape = np.zeros_like(holes)
        _KINDS[name](shape, damage, frame_lines, rng)
        covered += _add(holes, shape, room_px - covered, limit_px)
    return holes.view(np.bool_)


def draw_scan(height_px: int, width_px: int, times: float, rng: Generator) -> Holes:
    """Holes of a whole frame of film: `times` as many of each kind as the ten scans had on average, evenly spread."""
    damage = Damage(_FILM, (0, 1), (1, float(height_px)))
    holes = np.zeros((height_px, width_px), np.uint8)
    for name, count in _ON_A_SCAN.items():
        for _ in range(round(times * count)):
            side = min(height_px, width_px) if name == "scratch" else max(16, height_px // 5)
            shape = np.zeros((side, side), np.uint8)
            _KINDS[name](shape, damage, float(height_px), rng)
            x, y, width, height = cv2.boundingRect(shape)
            top, left = int(rng.integers(height_px - height + 1)), int(rng.integers(width_px - width + 1))
            holes[top : top + height, left : left + width] |= shape[y : y + height, x : x + width]
    return holes.view(np.bool_)


def _add(holes: Canvas, shape: Canvas, room_px: int, limit_px: float) -> int:
    """`shape` into `holes`, unless it covers more than that or joins holes into one too wide; pixels newly covered."""
    x, y, width, height = cv2.boundingRect(shape)
    reach = int(limit_px) + 2
    near = np.s_[max(0, y - reach) : y + height + reach, max(0, x - reach) : x + width + reach]
    together = holes[near] | shape[near]
    more = cv2.countNonZero(together) - cv2.countNonZero(holes[near]) if width else 0
    if not 0 < more <= room_px or largest_radius_px(together.view(np.bool_)) > limit_px:
        return 0
    holes[near] = together
    return more


def lay_overlay(overlay: Holes, height: int, width: int, limit_px: float, rng: Generator) -> Canvas:
    """A turned, scaled part (height, width) of an overlay, 1 = missing, without its blots that are too wide."""
    turned = np.rot90(overlay[:, ::-1] if rng.random() < 0.5 else overlay, int(rng.integers(4)))
    scale = exp(rng.uniform(log(0.5), log(1.5)))
    scale = max(scale, height / turned.shape[0], width / turned.shape[1])
    large = cv2.resize(turned.astype(np.float32), None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    padded = np.zeros((max(height, large.shape[0]), max(width, large.shape[1])), np.uint8)
    padded[: large.shape[0], : large.shape[1]] = large >= 0.5
    top, left = (int(rng.integers(spare + 1)) for spare in (padded.shape[0] - height, padded.shape[1] - width))
    part = np.ascontiguousarray(padded[top : top + height, left : left + width])
    if part.all():
        return np.zeros_like(part)
    distance_px = cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    count, labels = cv2.connectedComponents(part)
    wide = np.zeros(count, bool)
    wide[labels[distance_px > limit_px]] = True
    kept: Canvas = (part.view(np.bool_) & ~wide[labels]).astype(np.uint8)
    return kept


def _place(canvas: Canvas, rng: Generator) -> tuple[float, float]:
    return rng.uniform(0, canvas.shape[1]), rng.uniform(0, canvas.shape[0])


def _width_px(damage: Damage, rng: Generator) -> float:
    return exp(rng.uniform(log(damage.width_px[0]), log(damage.width_px[1])))


def _film_diameter_px(name: str, frame_lines: float, rng: Generator) -> float:
    median, high = _LAW[name]
    return median / 100 * frame_lines * exp(rng.normal(0.0, log(high / median) / 2.326))


def _polygon(canvas: Canvas, points: NDArray[np.float64]) -> None:
    """Filled, to a sixteenth of a pixel."""
    cv2.fillPoly(canvas, [np.rint(points * 16).astype(np.int32)], 1, shift=4)


def _walk(canvas: Canvas, steps_px: Sequence[float], bend: float, width: int, rng: Generator) -> None:
    """A bent line of constant width from anywhere; `bend` is the deviation of each turn, in radians."""
    x, y = _place(canvas, rng)
    angle, points = rng.uniform(0, 2 * pi), [(x, y)]
    for step in steps_px:
        angle += rng.normal(0, bend)
        x, y = x + step * cos(angle), y + step * sin(angle)
        points.append((x, y))
    cv2.polylines(canvas, [np.rint(np.array(points)).astype(np.int32)], False, 1, width)


def _speck(name: str) -> Callable[[Canvas, Damage, float, Generator], None]:
    def draw_speck(canvas: Canvas, damage: Damage, frame_lines: float, rng: Generator) -> None:
        long = exp(rng.uniform(0, log(2.0)))
        diameter = min(_film_diameter_px(name, frame_lines, rng), damage.width_px[1])
        corners = int(rng.integers(6, 13))
        angles = np.arange(corners) * (2 * pi / corners)
        radii = diameter / 2 * np.clip(rng.normal(1.0, 0.2, corners), 0.5, 1.5)
        along, across = radii * np.cos(angles) * long**0.5, radii * np.sin(angles) / long**0.5
        turn = rng.uniform(0, pi)
        x = along * cos(turn) - across * sin(turn)
        y = along * sin(turn) + across * cos(turn)
        _polygon(canvas, np.stack([x, y], 1) + np.array(_place(canvas, rng)))

    return draw_speck


def _hair(name: str) -> Callable[[Canvas, Damage, float, Generator], None]:
    def draw_hair(canvas: Canvas, damage: Damage, frame_lines: float, rng: Generator) -> None:
        width = int(np.clip(round(rng.uniform(1, 4) * frame_lines / FRAME_LINES[1]), 1, damage.width_px[1]))
        length = pi / 4 * _film_diameter_px(name, frame_lines, rng) ** 2 / width
        count = int(np.clip(length / 4, 4, 60))
        _walk(canvas, [length / count] * count, rng.uniform(0.05, 0.4), width, rng)

    return draw_hair


def _scratch(canvas: Canvas, damage: Damage, frame_lines: float, rng: Generator) -> None:
    """Nearly upright, from one end of the crop towards the other, broken."""
    del frame_lines
    height, width = canvas.shape
    thick = min(int(rng.integers(1, 5)), int(damage.width_px[1]))
    slope, x, y = tan(radians(rng.uniform(-2, 2))), rng.uniform(0, width), rng.uniform(-height, height)
    end = y + height * rng.uniform(0.3, 2.0)
    while y < end:
        part = rng.uniform(0.1, 0.8) * height
        start, stop = (round(x), round(y)), (round(x + slope * part), round(min(y + part, end)))
        cv2.line(canvas, start, stop, 1, thick)
        gap = rng.uniform(0.0, 0.1) * height
        x, y = x + slope * (part + gap) + rng.normal(0, 0.3), y + part + gap


def _stroke(canvas: Canvas, damage: Damage, frame_lines: float, rng: Generator) -> None:
    del frame_lines
    width = max(1, round(_width_px(damage, rng)))
    steps = [rng.uniform(0.03, 0.35) * max(canvas.shape) for _ in range(int(rng.integers(1, 8)))]
    _walk(canvas, steps, 0.6, width, rng)


def _tear(canvas: Canvas, damage: Damage, frame_lines: float, rng: Generator) -> None:
    """A jagged wedge from an edge inwards, widest at the edge."""
    del frame_lines
    turns = int(rng.integers(4))
    height, width = canvas.shape if turns % 2 == 0 else canvas.T.shape
    turned = np.zeros((height, width), np.uint8)
    wide, length, count = _width_px(damage, rng), rng.uniform(0.2, 0.9) * height, 8
    along = np.linspace(-2.0, length, count)
    middle = np.cumsum(rng.normal(0, length / count * 0.3, count)) + rng.uniform(0, width)
    half = wide / 2 * np.linspace(1, 0.1, count) * rng.uniform(0.7, 1.0, count)
    points = np.concatenate([np.stack([middle - half, along], 1), np.stack([middle + half, along], 1)[::-1]])
    _polygon(turned, points)
    canvas[:] = np.rot90(turned, turns)


def _block(canvas: Canvas, damage: Damage, frame_lines: float, rng: Generator) -> None:
    del frame_lines
    short = max(1, round(_width_px(damage, rng)))
    long = round(short * exp(rng.uniform(0, log(4.0))))
    height, width = (short, long) if rng.random() < 0.5 else (long, short)
    x, y = _place(canvas, rng)
    left, top = round(x - width / 2), round(y - height / 2)
    canvas[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)] = 1


_KINDS: dict[str, Callable[[Canvas, Damage, float, Generator], None]] = {
    "dust": _speck("dust"),
    "dirt": _speck("dirt"),
    "short hair": _hair("short hair"),
    "long hair": _hair("long hair"),
    "scratch": _scratch,
    "stroke": _stroke,
    "tear": _tear,
    "block": _block,
}


def narrowed(damage: Damage, side_px: int) -> Damage:
    """`damage` for crops so small that its widest holes would be all of them: at most a quarter of the side wide."""
    widest = max(1.0, min(damage.width_px[1], side_px / 4))
    return replace(damage, width_px=(min(damage.width_px[0], widest), widest))
