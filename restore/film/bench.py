"""Owns measuring detection on a person's own stock: damage planted on frames that are clean, looked for, and counted.

Nothing but the truth is known beforehand: the planted reel is judged and restored as any other one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError, SetupError
from restore.film.native import Holes, Working
from restore.film.netfill import image_of
from restore.film.plan import Plan
from restore.film.planted import Planted, Planting, Stamp, plant, stamps_of
from restore.film.reel import Fault, FilmFrame, Reel, Skimmed
from restore.film.render import Rendered, Tools, render
from restore.film.scan import judge_shot
from restore.film.settings import FilmSettings, InputColour
from restore.film.tones import Tones
from restore.film.working import as_float32, from_float, to_float
from restore.formats import SUFFIXES, Decoder
from restore.image import Document

_SEED_STEP = 1_000_003
_SHAPES = 24
_SHAPE_PX = 48
_HIT_SHARE = 0.25
"""Of a speck's pixels that must be repaired for it to count as found."""
_KINDS = {"dust": ("dust", "dots", "spots"), "dirt": ("dirt", "smut"), "short hair": ("hair-short",)}


@dataclass(frozen=True)
class Score:
    """What was found of what was planted."""

    frames: int
    specks: int
    specks_found: int
    pixel_recall: float
    """Of damaged pixels, soft rims included."""
    false_objects: float
    """A frame: repairs that touch nothing that was planted."""
    false_share: float
    """Of clean pixels that were changed."""
    scratches: int
    """Frames times scratches."""
    scratches_found: int
    psnr_damaged: float
    """In repaired pixels, before; decibels."""
    psnr_restored: float
    psnr_telea: float
    """Telea's fill of the same holes (OpenCV), from the same frame."""


class PlantedReel:
    """A reel whose frames are damaged as they are read; the same frame always in the same way."""

    def __init__(self, reel: Reel, tones: Tones, planting: Planting, stamps: Sequence[Stamp], seed: int) -> None:
        self._reel, self._tones = reel, tones
        self.planting, self._stamps, self._seed = planting, stamps, seed

    @property
    def label(self) -> str:
        return self._reel.label

    @property
    def numbers(self) -> Sequence[int]:
        return self._reel.numbers

    @property
    def size(self) -> tuple[int, int]:
        return self._reel.size

    @property
    def notes(self) -> tuple[str, ...]:
        return self._reel.notes

    def read(self, start: int, stop: int) -> Iterator[FilmFrame | Fault]:
        for item in self._reel.read(start, stop):
            if isinstance(item, Fault):
                yield item
                continue
            frame = from_float(self.truth(item.number, item.working).frame, np.empty(0, np.uint16))
            yield FilmFrame(item.number, frame, Document((image_of(frame),)), item.damage)

    def clean(self, start: int, stop: int) -> Iterator[FilmFrame | Fault]:
        """`read` before anything is planted."""
        return self._reel.read(start, stop)

    def skim(self, start: int, stop: int) -> Iterator[Skimmed]:
        return self._reel.skim(start, stop)

    def truth(self, number: int, working: Working) -> Planted:
        """What became of a frame."""
        shown = np.clip(to_float(self._tones.shown(working)), 0, 1)
        return next(plant([shown], self.planting, self._stamps, self._seed * _SEED_STEP + number))


def bench(
    reel: Reel, plan: Plan, settings: FilmSettings, planting: Planting, stamps: Sequence[Stamp], seed: int, tools: Tools
) -> Score:
    """Plants damage on the plan's frames, restores them, and counts.  SetupError when no frame can be read."""
    damaged = PlantedReel(reel, Tones(plan.colour), planting, stamps, seed)
    plain = shown_plan(plan)
    shots = []
    for shot in plain.shots:
        judged = shot
        if shot.settings.bar is None:
            judged = replace(shot, settings=replace(shot.settings, bar=judge_shot(damaged, plain, shot).bar))
        shots.append(judged)
    plain = replace(plain, shots=tuple(shots))
    origin = reel.numbers[0]
    counted = tally(damaged, plain, settings, plan.first - origin, plan.last + 1 - origin, tools)
    return score_of([counted], reel.label)


def shown_plan(plan: Plan) -> Plan:
    """The plan for the planted reel: its frames are as a display shows them."""
    return replace(plan, colour=InputColour.SRGB)


def tally(damaged: PlantedReel, plan: Plan, settings: FilmSettings, start: int, stop: int, tools: Tools) -> Tally:
    """What is found at positions `start` <= p < `stop` of a planted reel, by a plan whose shots are judged."""
    counted = Tally(len(damaged.planting.scratches))
    clean = damaged.clean(start, stop)
    for source, item in zip(clean, render(damaged, plan, settings, start, stop, tools), strict=True):
        if isinstance(source, FilmFrame) and isinstance(item, Rendered):
            counted.add(damaged.truth(source.number, source.working), item)
    return counted


def score_of(tallies: Sequence[Tally], label: str) -> Score:
    """What stretches of one reel come to, added up in their order.  SetupError when no frame could be read."""
    total = Tally(tallies[0].lines)
    for one in tallies:
        total.take(one)
    if not total.frames:
        raise SetupError(f"{label}: not one of its frames can be read")
    return total.score()


def drawn_stamps(seed: int = 1) -> list[Stamp]:
    """Specks and hairs of irregular shape, for whom no real ones are at hand."""
    rng = np.random.default_rng(seed)
    stamps = []
    y, x = np.mgrid[-_SHAPE_PX : _SHAPE_PX + 1, -_SHAPE_PX : _SHAPE_PX + 1] / _SHAPE_PX
    for _ in range(_SHAPES):
        angle, radius = np.arctan2(y, x), np.hypot(x, y * rng.uniform(0.7, 1.4))
        waves = sum(rng.normal(0, 0.22 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 6))
        blob = (radius < 0.6 * (1 + waves)).astype(np.float32)
        stamps += [Stamp(blob, kind) for kind in ("dust", "dirt")]
        stamps += [Stamp(_hair(rng), kind) for kind in ("short hair", "long hair")]
    return stamps


def overlay_stamps(folder: Path) -> list[Stamp]:
    """Specks and hairs from overlays below `folder`, by the names of its folders.  SetupError when there is none."""
    stamps: list[Stamp] = []
    with Decoder() as decoder:
        for kind, names in _KINDS.items():
            for path in sorted(path for name in names for path in folder.glob(f"{name}/*")):
                if path.suffix.lower() not in SUFFIXES:
                    continue
                try:
                    image = decoder.read(path).first
                except ImageError:
                    continue
                if image.alpha_channel is not None:
                    top = np.float32(np.iinfo(image.pixels.dtype).max if image.pixels.dtype.kind == "u" else 1)
                    stamps += stamps_of(as_float32(image.pixels[..., image.alpha_channel]) / top, kind)
    if not stamps:
        raise SetupError(f"{folder}: no overlay with alpha is in its folders {', '.join(sum(_KINDS.values(), ()))}")
    return stamps


def _hair(rng: np.random.Generator) -> NDArray[np.float32]:
    canvas = np.zeros((2 * _SHAPE_PX, 2 * _SHAPE_PX), np.float32)
    at, way = np.array([_SHAPE_PX, _SHAPE_PX], np.float64), rng.uniform(0, 2 * np.pi)
    points = [at.copy()]
    bend = rng.normal(0, 0.2)
    for _ in range(14):
        way += bend + rng.normal(0, 0.15)
        at = at + 3 * np.array([np.cos(way), np.sin(way)])
        points.append(at.copy())
    cv2.polylines(canvas, [np.rint(points).astype(np.int32)], isClosed=False, color=1.0, thickness=2)
    return canvas


@dataclass
class Tally:
    """Counts of some frames, plain numbers that add up."""

    lines: int
    """Scratches that each frame was given."""
    frames: int = 0
    specks: int = 0
    found: int = 0
    scratches_found: int = 0
    damaged_px: int = 0
    hit_px: int = 0
    false_px: int = 0
    clean_px: int = 0
    false_objects: int = 0
    errors: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Squared, in repaired pixels: damaged, restored, by Telea's fill."""
    error_px: int = 0

    def take(self, other: Tally) -> None:
        """Adds what was counted elsewhere."""
        for one in fields(self):
            if one.name == "errors":
                self.errors = [mine + theirs for mine, theirs in zip(self.errors, other.errors, strict=True)]
            elif one.name != "lines":
                setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def add(self, truth: Planted, item: Rendered) -> None:
        self.frames += 1
        damage = truth.specks | truth.scratched
        self.damaged_px += int(truth.specks.sum())
        self.hit_px += int((truth.specks & item.touched).sum())
        near = cv2.dilate(damage.astype(np.uint8), np.ones((9, 9), np.uint8)).view(np.bool_)
        self.false_px += int((item.touched & ~near).sum())
        self.clean_px += int((~damage).sum())
        sizes = np.bincount(truth.labels.ravel())[1:]
        hits = np.bincount(truth.labels[item.touched].ravel(), minlength=len(sizes) + 1)[1:]
        self.specks += int((sizes > 0).sum())
        self.found += int((hits >= np.maximum(1, _HIT_SHARE * sizes))[sizes > 0].sum())
        for repair, mine in item.repairs:
            box = repair.box
            self.false_objects += not (damage[box.y0 : box.y1, box.x0 : box.x1] & mine).any()
        found = truth.scratched & item.touched
        if self.lines and truth.scratched.any():
            self.scratches_found += round(self.lines * float(found.sum() / truth.scratched.sum() > 0.5))
        self._add_errors(truth, item)

    def _add_errors(self, truth: Planted, item: Rendered) -> None:
        holes: Holes = item.touched & truth.specks
        if not holes.any():
            return
        seen = np.rint(to_float(item.old) * 255).astype(np.uint8)
        telea = cv2.inpaint(seen.squeeze(), item.touched.astype(np.uint8), 3, cv2.INPAINT_TELEA)
        classical = as_float32(telea).reshape(item.old.shape) / np.float32(255)
        versions = (to_float(item.old), to_float(item.new), classical)
        for place, values in enumerate(versions):
            self.errors[place] += float((as_float32(values - truth.clean)[holes] ** 2).sum())
        self.error_px += int(holes.sum()) * item.old.shape[2]

    def score(self) -> Score:
        psnr = [
            float(10 * np.log10(self.error_px / max(error, 1e-9))) if self.error_px else float("nan")
            for error in self.errors
        ]
        return Score(
            self.frames,
            self.specks,
            self.found,
            self.hit_px / max(1, self.damaged_px),
            self.false_objects / self.frames,
            self.false_px / max(1, self.clean_px),
            self.lines * self.frames,
            self.scratches_found,
            *psnr,
        )
