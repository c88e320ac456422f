"""Fits how surely fills of film are right (restore/film/confidence.py), and says how often what was said came true.

    python benchmarks/film_fill.py --fit STILL... --stills STILL... --overlays ../shared/data/film-damage

Scenes of `film_scenes.py` at 720 lines with planted specks and hairs.  `--fit`: stills that it is fitted on, with the
overlays that aren't held out, moving slowly, fast, and faster than flow can follow; `--stills`: others, with held-out
overlays, slowly and fast.  A fill is right when it lies within `confidence.WITHIN` of the same scene without grain.
Prints the weights that restore/film/confidence.py holds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import record
from film_scenes import FAST, SLOW, Motion, overlay_stamps, read_still, scene
from numpy.typing import NDArray

from restore.film import confidence
from restore.film.clean import CleanLaw, Window, laid_over, look_at
from restore.film.confidence import Seen
from restore.film.fill import Hole, fill, navier_stokes, verdicts_of
from restore.film.planted import Planting, Stamp, plant
from restore.film.temporal import temporal_fill
from restore.trust.ledger import Fill

LINES = 720
WILD = Motion("wild", 25.0, 60.0, 0.004, 0.02)
LAW = CleanLaw(grain=False)
SPOTLESS = "SpotLess (median of three with flow)"


@dataclass(frozen=True)
class Case:
    """One blob: what was seen of it, and how far its fill lies off."""

    seen: Seen
    off: float
    """Root mean square, before grain, against the scene without grain."""


@dataclass(frozen=True)
class Filled:
    """One frame, filled in several ways: squared errors in holes, against the scene without grain."""

    errors: dict[str, float]
    pixels: int
    cases: list[Case]


def filled_scenes(
    stills: list[NDArray[np.float32]], motions: list[Motion], stamps: list[Stamp], seed: int, window: int = 5
) -> Iterator[tuple[str, Filled]]:
    """The middle frame of each still's scene; `window`: how many frames there are."""
    for number, still in enumerate(stills):
        for motion in motions:
            rng = np.random.default_rng([seed, number])
            grainy = replace(motion, grain=motion.grain * float(rng.uniform(0.3, 1.2))) if seed else motion
            yield motion.name, _filled(still, stills[(number + 1) % len(stills)], grainy, stamps, seed + number, window)


def _filled(
    still: NDArray[np.float32],
    other: NDArray[np.float32],
    motion: Motion,
    stamps: list[Stamp],
    seed: int,
    count: int,
) -> Filled:
    at = count // 2
    frames = list(islice(scene(still, other, motion, 100 + seed, LINES), 1, 1 + count))
    free = next(islice(scene(still, other, replace(motion, grain=0.0), 100 + seed, LINES), 1 + at, None))
    damaged = list(plant(frames, Planting(flicker=0.02), stamps, 50 + seed))
    truth = np.clip(free * np.float32(damaged[at].gain) + np.float32(damaged[at].offset), 0, 1)
    window = Window({number: one.frame for number, one in enumerate(damaged)}, at, count)
    frame = damaged[at].frame
    holes = cv2.dilate(damaged[at].specks.astype(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_)
    amount, found = cv2.connectedComponents(holes.astype(np.uint8))
    labels, blobs = np.asarray(found, np.int32), [Hole("dust")] * (amount - 1)
    look = look_at(window)
    versions = [] if look is None else laid_over(window, holes, look.sides, look.rough, look.evidence.opinions, {})
    temporal = temporal_fill(frame, holes, versions)
    made = fill(frame, labels, blobs, versions, navier_stokes, Fill.NAVIER_STOKES, at, grain=False).frame
    fills = {"restore, before grain": made}
    if versions:
        fills["restore, without frames two away"] = fill(
            frame, labels, blobs, versions[:4], navier_stokes, Fill.NAVIER_STOKES, at, grain=False
        ).frame
        fills[SPOTLESS] = np.median(np.stack([frame, versions[0].values, versions[1].values]), axis=0)
    squared = {name: ((values - truth) ** 2).mean(axis=2) for name, values in fills.items()}
    each = np.bincount(labels.ravel(), squared["restore, before grain"].ravel()) / np.bincount(labels.ravel())
    verdicts = verdicts_of(frame, labels, len(blobs), temporal)
    cases = [Case(one.seen, float(each[index]) ** 0.5) for index, one in enumerate(verdicts, 1)]
    return Filled({name: float(one[holes].sum()) for name, one in squared.items()}, int(holes.sum()), cases)


def fitted(cases: list[Case], *, spatial: bool) -> NDArray[np.float64]:
    """Weights of a logistic regression with a little ridge, of one kind of fill."""
    mine = [one for one in cases if one.seen.spatial == spatial]
    x = np.array([one.seen.terms() for one in mine])
    right = np.array([one.off <= confidence.WITHIN for one in mine], float)
    if spatial:  # neighbours say nothing, or nothing true
        x[:, 1:3] = 0
    middle, spread = x[:, 1:].mean(0), x[:, 1:].std(0) + 1e-9
    z = np.concatenate([np.ones((len(x), 1)), (x[:, 1:] - middle) / spread], 1)
    b = np.zeros(z.shape[1])
    ridge = 1e-3 * len(x) * np.diag([0.0] + [1.0] * (len(b) - 1))
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(z @ b, -30, 30)))
        hessian = (z * (p * (1 - p))[:, None]).T @ z + ridge + 1e-6 * np.eye(len(b))
        b -= np.linalg.solve(hessian, z.T @ (p - right) + ridge @ b)
    weights = b[1:] / spread
    if spatial:
        weights[:2] = 0
    return np.concatenate([[b[0] - middle @ weights], weights])


def promise(cases: list[Case]) -> list[list[float]]:
    """Confidence in five steps: what was said, how often it was right, and of how many blobs."""
    said = np.array([one.seen.confidence() for one in cases])
    right = np.array([one.off <= confidence.WITHIN for one in cases])
    rows = []
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        these = (said >= low) & ((said < low + 0.2) | (low == 0.8))
        if these.any():
            rows.append([round(float(said[these].mean()), 3), round(float(right[these].mean()), 3), int(these.sum())])
    return rows


def order(cases: list[Case], least: int = 50) -> dict[str, float]:
    """What the list of the least certain repairs is worth: how many of them are wrong, and of all."""
    ranked = sorted(cases, key=lambda one: one.seen.confidence())
    wrong = [one.off > confidence.WITHIN for one in ranked]
    return {
        "wrong_of_all_percent": round(100 * float(np.mean(wrong)), 1),
        f"wrong_of_the_{least}_least_certain_percent": round(100 * float(np.mean(wrong[:least])), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", type=Path, nargs="*", default=[])
    parser.add_argument("--stills", type=Path, nargs="+", required=True)
    parser.add_argument("--overlays", type=Path, required=True)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.fit:
        others = [read_still(path, LINES) for path in options.fit]
        stamps = overlay_stamps(options.overlays, held_out=False)
        learnt = [case for _, one in filled_scenes(others, [SLOW, FAST, WILD], stamps, 1000) for case in one.cases]
        learnt += [case for _, one in filled_scenes(others, [FAST], stamps, 2000, window=1) for case in one.cases]
        for name in ("temporal", "spatial"):
            weights = fitted(learnt, spatial=name == "spatial").round(4)
            confidence.WEIGHTS[name] = tuple(weights.tolist())
        print(json.dumps(confidence.WEIGHTS, indent=1), promise(learnt), flush=True)
    stills = [read_still(path, LINES) for path in options.stills]
    stamps = overlay_stamps(options.overlays, held_out=True)
    result: dict[str, Any] = {"stills": [path.name for path in options.stills], "weights": confidence.WEIGHTS}
    every: list[Case] = []
    for motion in (SLOW, FAST):
        errors: dict[str, float] = {}
        pixels = 0
        cases: list[Case] = []
        for _, one in filled_scenes(stills, [motion], stamps, 0):
            for name, value in one.errors.items():
                errors[name] = errors.get(name, 0.0) + value
            pixels += one.pixels
            cases += one.cases
        every += cases
        psnr = {name: round(float(-10 * np.log10(value / pixels)), 2) for name, value in errors.items()}
        result[motion.name] = {"psnr_in_holes_against_the_scene_without_grain": psnr, **order(cases)}
        print(motion.name, result[motion.name], flush=True)
    alone = [case for _, one in filled_scenes(stills, [FAST], stamps, 0, window=1) for case in one.cases]
    result["said_within"] = confidence.WITHIN
    result["said_against_true"] = promise(every)
    result["said_against_true_without_neighbours"] = promise(alone)
    print(result["said_against_true"], result["said_against_true_without_neighbours"])
    print(record.store("film-fill", result))


if __name__ == "__main__":
    main()
