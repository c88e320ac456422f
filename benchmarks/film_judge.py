"""Fits the judge of film dirt, and says how well it does on clips that it wasn't fitted on.

    python benchmarks/film_judge.py --clips FILE... --stills FILE... --overlays ../shared/data/film-damage

Prints the weights that restore/film/judge.py holds, one table for frames between two neighbours and one for the first
and last of a shot.  Each clip and still is seen clean and with planted damage from the overlays that aren't held out, a
sixth of it in single dye layers; the figures leave out each clip in turn.
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
from film_scenes import FAST, SLOW, glinting, overlay_stamps, read_clip, read_still, scene
from numpy.typing import NDArray

from restore.film import judge
from restore.film.clean import CleanLaw, Window, find
from restore.film.dirt import Candidates, DirtLaw
from restore.film.planted import Planting, Stamp, plant
from restore.film.working import Frame, to_float

LAW = CleanLaw(DirtLaw(seed_sigmas=3.0))
DYE_SHARE = 1 / 6
GLINTS_COUNT = 1 / 3
"""As much as a clip: there are many of them, all of a kind."""


@dataclass(frozen=True)
class Seen:
    """One frame's candidates: facts, and which are dirt."""

    clip: str
    clean: bool
    one_sided: bool
    facts: NDArray[np.float64]
    dirt: NDArray[np.bool_]


def candidates_in(frames: list[Frame], number: int, *, first: bool) -> list[tuple[bool, Candidates]]:
    """Candidates in one frame of five or more that has two neighbours on each side: as it is, and as if it were the
    first of a shot, or the last; each with whether its neighbours are on one side."""
    end = (
        Window({i: frames[number + i] for i in range(3)}, 0, 5)
        if first
        else Window({4 - i: frames[number - i] for i in range(3)}, 4, 5)
    )
    windows = Window({i: frames[number - 2 + i] for i in range(5)}, 2, 5), end
    return [(index > 0, find(window, LAW).candidates) for index, window in enumerate(windows)]


def _see(job: tuple[str, list[Frame], float, int], stamps: list[Stamp]) -> list[Seen]:
    name, frames, noise, seed = job
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    frames = [to_float(frame) for frame in frames]
    if noise:
        frames = [np.clip(f + rng.normal(0, noise, f.shape[:2]).astype(np.float32)[..., None], 0, 1) for f in frames]
    middle, first = len(frames) // 2, bool(rng.integers(2))
    seen = [
        Seen(name, True, one_sided, found.facts, np.zeros(len(found.facts), bool))
        for one_sided, found in candidates_in(frames, middle, first=first)
    ]
    planting = Planting(
        lines=max(720, frames[0].shape[0]), flicker=0.02, density=float(rng.uniform(0.3, 1.0)), dye_share=DYE_SHARE
    )
    damaged = list(plant(frames, planting, stamps, seed))
    for one_sided, found in candidates_in([one.frame for one in damaged], middle, first=first):
        dirt = np.zeros(len(found.boxes) + 1, bool)
        dirt[np.unique(found.labels[damaged[middle].specks])] = True
        seen.append(Seen(name, False, one_sided, found.facts, dirt[1:]))
    return seen


def fitted(seen: list[Seen]) -> tuple[NDArray[np.float64], float]:
    """Weights and constant; true and false ones count alike, and so do clips among the false ones."""
    terms = np.concatenate([judge.terms_of(one.facts) for one in seen])
    dirt = np.concatenate([one.dirt for one in seen])
    clips = np.concatenate([np.full(len(one.dirt), hash(one.clip)) for one in seen])
    weight = np.zeros(len(dirt))
    counts = {hash(one.clip): GLINTS_COUNT for one in seen if one.clip.startswith("glints")}
    for clip in np.unique(clips):
        for kind in (False, True):
            these = (clips == clip) & (dirt == kind)
            if these.any():
                weight[these] = counts.get(clip, 1.0) * min(1.0, these.sum() / 20) / these.sum()
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


def more_false_at_the_ends(seen: list[Seen]) -> float:
    """Log of how many more false candidates a frame at a shot's end has: the fit, which takes as many true as false
    ones, doesn't know.  Glints are as many anywhere."""
    logs = []
    for clip in sorted({one.clip for one in seen if not one.clip.startswith("glints")}):
        counts = [
            np.mean([np.count_nonzero(~one.dirt) for one in seen if one.clip == clip and one.one_sided == end])
            for end in (False, True)
        ]
        logs.append(float(np.log((counts[1] + 1) / (counts[0] + 1))))
    return float(np.mean(logs))


def left_out(seen: list[Seen]) -> dict[str, Any]:
    """Each clip by a judge fitted on the others."""
    table: dict[str, Any] = {}
    for clip in sorted({one.clip for one in seen}):
        w, c = fitted([one for one in seen if one.clip != clip])
        odds = [(judge.terms_of(one.facts) @ w + c, one) for one in seen if one.clip == clip]
        table[clip] = {
            str(bar): {
                "false_a_frame_clean": round(float(np.mean([(o > bar).sum() for o, one in odds if one.clean])), 2),
                "most_false_in_a_clean_frame": int(max((o > bar).sum() for o, one in odds if one.clean)),
                "false_a_frame_dirty": round(
                    float(np.mean([(o > bar)[~one.dirt].sum() for o, one in odds if not one.clean])), 2
                ),
                "dirt_kept_of_candidates": round(
                    float(np.concatenate([(o > bar)[one.dirt] for o, one in odds if not one.clean]).mean()), 3
                ),
            }
            for bar in (0.0, 1.0, 2.0, 3.0)
        }
        print(clip, *(list(row.values()) for row in table[clip].values()))
    return table


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
        for at in np.linspace(3, len(frames) - 4, 6).astype(int):
            noise = 0.01 * (len(jobs) % 2)
            jobs.append((path.name, frames[at - 2 : at + 3], noise, len(jobs)))
    for index, path in enumerate(options.stills):
        still = read_still(path, 720)
        for motion in (SLOW, FAST):
            other = read_still(options.stills[(index + 1) % len(options.stills)], 720)
            some = replace(motion, grain=float(np.random.default_rng(len(jobs)).uniform(0.004, 0.03)))
            moving = list(islice(scene(still, other, some, len(jobs), 720), 3, 8))
            jobs.append((f"pan {index}", moving, 0.0, len(jobs)))
            jobs.append((f"glints {index}", list(glinting(moving, len(jobs))), 0.0, len(jobs)))
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        seen = [one for some in pool.map(partial(_see, stamps=stamps), jobs) for one in some]
    result: dict[str, Any] = {}
    for name, some in (
        ("between_neighbours", [one for one in seen if not one.one_sided]),
        ("at_the_ends", [one for one in seen if one.one_sided]),
    ):
        weights, constant = fitted(some)
        if name == "at_the_ends":
            constant -= more_false_at_the_ends(seen)
        result[name] = {
            "weights": dict(zip(judge.TERMS, weights.round(4).tolist(), strict=True)),
            "constant": round(constant, 4),
            "leaving_out_each_clip_in_turn": left_out(some),
        }
        print(name, json.dumps(result[name]["weights"], indent=1), round(constant, 4))
    print(record.store("film-judge", result))


if __name__ == "__main__":
    main()
