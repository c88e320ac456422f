"""Fits the judge of film dirt, and says how well it does on clips that it wasn't fitted on.

    python benchmarks/film_judge.py --clips FILE... --stills FILE... --overlays ../shared/data/film-damage

Prints the weights that restore/film/judge.py holds.  Each clip and still is seen clean and with planted damage from the
overlays that aren't held out; the table leaves out each clip in turn.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import record
from film_scenes import FAST, SLOW, overlay_stamps, read_clip, read_still, scene
from numpy.typing import NDArray

from restore.film import judge
from restore.film.clean import CleanLaw, Window, find
from restore.film.dirt import Candidates, DirtLaw
from restore.film.planted import Planting, Stamp, plant
from restore.film.working import Frame, to_float

LAW = CleanLaw(DirtLaw(seed_sigmas=3.0))


@dataclass(frozen=True)
class Seen:
    """One frame's candidates: facts, and which are dirt."""

    clip: str
    clean: bool
    facts: NDArray[np.float64]
    dirt: NDArray[np.bool_]


def candidates_in(frames: list[Frame], number: int) -> Candidates:
    """Candidates in one frame of five or more that has two neighbours on each side."""
    around = {i - number + 2: frames[i] for i in range(number - 2, number + 3)}
    return find(Window(around, 2, 5), LAW).candidates


def _see(job: tuple[str, list[Frame], float, int], stamps: list[Stamp]) -> list[Seen]:
    name, frames, noise, seed = job
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    frames = [to_float(frame) for frame in frames]
    if noise:
        frames = [np.clip(f + rng.normal(0, noise, f.shape[:2]).astype(np.float32)[..., None], 0, 1) for f in frames]
    seen = []
    middle = len(frames) // 2
    facts = candidates_in(frames, middle).facts
    seen.append(Seen(name, True, facts, np.zeros(len(facts), bool)))
    planting = Planting(lines=max(720, frames[0].shape[0]), flicker=0.02, density=float(rng.uniform(0.3, 1.0)))
    damaged = list(plant(frames, planting, stamps, seed))
    found = candidates_in([one.frame for one in damaged], middle)
    dirt = np.zeros(len(found.boxes) + 1, bool)
    dirt[np.unique(found.labels[damaged[middle].specks])] = True
    seen.append(Seen(name, False, found.facts, dirt[1:]))
    return seen


def fitted(seen: list[Seen]) -> tuple[NDArray[np.float64], float]:
    """Weights and constant; true and false ones count alike, and so do clips among the false ones."""
    terms = np.concatenate([judge.terms_of(one.facts) for one in seen])
    dirt = np.concatenate([one.dirt for one in seen])
    clips = np.concatenate([np.full(len(one.dirt), hash(one.clip)) for one in seen])
    weight = np.zeros(len(dirt))
    for clip in np.unique(clips):
        for kind in (False, True):
            these = (clips == clip) & (dirt == kind)
            if these.any():
                weight[these] = min(1.0, these.sum() / 20) / these.sum()
    for kind in (False, True):
        weight[dirt == kind] /= weight[dirt == kind].sum()
    middle, spread = terms.mean(0), terms.std(0) + 1e-9
    x = np.concatenate([(terms - middle) / spread, np.ones((len(terms), 1))], 1)
    b = np.zeros(x.shape[1])
    ridge = 2e-3 * np.diag([1.0] * (x.shape[1] - 1) + [0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ b, -50, 50)))
        b -= np.linalg.solve(
            (x * (weight * p * (1 - p))[:, None]).T @ x + ridge + 1e-9 * np.eye(len(b)),
            x.T @ (weight * (p - dirt)) + ridge @ b,
        )
    weights = b[:-1] / spread
    return weights, float(b[-1] - middle @ weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, nargs="+", required=True)
    parser.add_argument("--stills", type=Path, nargs="+", required=True)
    parser.add_argument("--overlays", type=Path, required=True)
    options = parser.parse_args()
    stamps = overlay_stamps(options.overlays, held_out=False)
    jobs: list[tuple[str, list[Frame], float, int]] = []
    for path in options.clips:
        frames = read_clip(path)
        for at in np.linspace(3, len(frames) - 4, 5).astype(int):
            for noise in (0.0, 0.01):
                jobs.append((path.name, frames[at - 2 : at + 3], noise, len(jobs)))
    for index, path in enumerate(options.stills):
        still = read_still(path, 720)
        for motion in (SLOW, FAST):
            other = read_still(options.stills[(index + 1) % len(options.stills)], 720)
            some = replace(motion, grain=float(np.random.default_rng(len(jobs)).uniform(0.004, 0.03)))
            moving = list(islice(scene(still, other, some, len(jobs), 720), 3, 8))
            jobs.append((f"pan {index}", moving, 0.0, len(jobs)))
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        seen = [one for some in pool.map(partial(_see, stamps=stamps), jobs) for one in some]
    weights, constant = fitted(seen)
    print(json.dumps(dict(zip(judge.TERMS, weights.round(4).tolist(), strict=True)), indent=1), round(constant, 4))
    table: dict[str, Any] = {}
    for clip in sorted({one.clip for one in seen}):
        w, c = fitted([one for one in seen if one.clip != clip])
        odds = [(judge.terms_of(one.facts) @ w + c, one) for one in seen if one.clip == clip]
        table[clip] = {
            str(bar): {
                "false_a_frame_clean": round(float(np.mean([(o > bar).sum() for o, one in odds if one.clean])), 2),
                "most_false_in_a_clean_frame": int(max((o > bar).sum() for o, one in odds if one.clean)),
                "dirt_kept_of_candidates": round(
                    float(np.concatenate([(o > bar)[one.dirt] for o, one in odds if not one.clean]).mean()), 3
                ),
            }
            for bar in (0.0, 1.0, 2.0, 3.0)
        }
        print(clip, *(list(row.values()) for row in table[clip].values()))
    print(
        record.store(
            "film-judge",
            {
                "weights": dict(zip(judge.TERMS, weights.round(4).tolist(), strict=True)),
                "constant": round(constant, 4),
                "leaving_out_each_clip_in_turn": table,
            },
        )
    )


if __name__ == "__main__":
    main()
