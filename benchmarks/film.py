"""Measures film repair: what is found, what is wrongly found, and how near fills come, beside what everybody has.

    python benchmarks/film.py --stills FILE... --clips FILE... --overlays ../shared/data/film-damage

Scenes: pans with a slow zoom over real stills at 1080 lines, crossed by a piece of another still; "slow" moves 2.3 px a
frame (the object 6), "fast" 6.4 (14) with twice the grain; 2 % flicker.  Damage: real specks and hairs from overlays
that nothing was tuned on, in the sizes and numbers of annotated 35 mm scans; soft rims count as damage.

* found: share of damaged pixels found where 0.1 % of clean ones are wrongly marked; and at the tool's own settings,
  calibrated on the damaged frames, in pixels and in objects.
* fill: PSNR inside true holes grown by a pixel, all scenes' squared errors together, with and without added grain.
* "SpotLess": temporal median of the frame and its two neighbours, motion-compensated by the same optical flow.
* "at_the_ends": the first frame of each scene, whose neighbours both come after it.
* "dye layers": specks that harm one or two channels only.  "glints": as of sparkling water, in a patch of each frame,
  which is scene; the scenes are others than the judge was fitted on, the kind of glint is the same.
* "very_dirty_clip": 16 frames of the first clip as a shot of their own, three tenths as dirty as a dirty 35 mm scan.
* Clips: frames of real clips as they are; whatever is marked is false.  They took part in fitting the judge; figures
  without that are in film-judge.json.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import record
from film_scenes import FAST, SLOW, Motion, glinting, overlay_stamps, read_clip, read_still, scene
from film_splices import scored, splice, stretches
from numpy.typing import NDArray

from restore.film.clean import CleanLaw, Found, Window, calibrate, find, look_at, sampled
from restore.film.dirt import DirtLaw, grown_from
from restore.film.evidence import Evidence
from restore.film.fill import Hole, fill, navier_stokes
from restore.film.flicker import FlickerLaw, even_shot
from restore.film.judge import DEFAULT_BAR
from restore.film.planted import Planted, Planting, Scratch, Stamp, plant
from restore.film.scratches import ScratchLaw, lines_of, scratches_in
from restore.film.shots import borders
from restore.film.steady import SteadyLaw, steady_shot, weave_of
from restore.film.temporal import versions_of
from restore.film.unscratch import without_scratches
from restore.film.working import Frame, grey_of
from restore.trust.ledger import Fill

FALSE_SHARE = 0.001
AT = (2,)
SEEDS_SIGMAS = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0)
CUTS_OF = {"Megamind.avi": [98, 154, 200], "bikes.mp4": [30, 76, 137, 187, 242]}
"""The cuts that clips have themselves, by looking."""


@dataclass
class Errors:
    """Squared errors in holes, summed over scenes."""

    total: dict[str, float] = field(default_factory=dict)
    pixels: int = 0

    def add(self, truth: NDArray[np.float32], holes: NDArray[np.bool_], fills: dict[str, Frame]) -> None:
        for name, values in fills.items():
            squared = float(((values[holes].astype(np.float64) - truth[holes]) ** 2).mean(axis=1).sum())
            self.total[name] = self.total.get(name, 0.0) + squared
        self.pixels += int(holes.sum())

    def psnr(self) -> dict[str, float]:
        return {name: round(float(-10 * np.log10(total / self.pixels)), 2) for name, total in self.total.items()}


def scenes(stills: list[NDArray[np.float32]], motion: Motion) -> list[list[Frame]]:
    """Seven frames of each still's scene."""
    return [
        list(islice(scene(still, stills[(i + 1) % len(stills)], motion, 100 + i), 1, 8))
        for i, still in enumerate(stills)
    ]


def window_at(frames: list[Frame], at: int) -> Window:
    return Window({n: frames[n] for n in range(max(0, at - 2), min(len(frames), at + 3))}, at, len(frames))


def dirt_figures(shots: list[list[Frame]], stamps: list[Stamp]) -> dict[str, Any]:
    """Found, wrongly found and filled over the scenes of one motion."""
    marked: dict[str, list[tuple[float, float]]] = {}
    errors, own, at_end, clean_false = Errors(), [], [], []
    for number, frames in enumerate(shots):
        damaged = list(plant(frames, Planting(flicker=0.02), stamps, 50 + number))
        dirty = [one.frame for one in damaged]
        flickering = [one.clean for one in damaged]
        law, _ = calibrate([window_at(dirty, 3)], CleanLaw())
        clean_law, _ = calibrate([window_at(flickering, 3)], CleanLaw())
        at_end.append(_own(find(window_at(dirty, 0), law), damaged[0]))
        for at in AT:
            window, truth = window_at(dirty, at), damaged[at]
            found = find(window, law)
            _rates(marked, evidence_in(window), window, truth)
            own.append(_own(found, truth))
            clean_false.append(int(find(window_at(flickering, at), clean_law).kept.sum()))
            _fills(errors, window, found, truth)
    return {
        "pixels_found_at_0.1_percent_false": {
            **_at_false_share(marked),
            "restore, seeds and growth": _on_curve(marked),
        },
        "seeds_and_growth": {
            name.removeprefix(_SEEDS): _point(rates) for name, rates in marked.items() if name.startswith(_SEEDS)
        },
        "at_the_tools_settings": _means(own),
        "at_the_ends": _means(at_end),
        "false_objects_a_clean_frame": {"mean": round(float(np.mean(clean_false)), 2), "most": max(clean_false)},
        "psnr_in_holes": errors.psnr(),
    }


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([one[key] for one in rows])), 4) for key in rows[0]}


def dye_figures(stills: list[NDArray[np.float32]], stamps: list[Stamp], motion: Motion) -> dict[str, Any]:
    """Specks in single dye layers: found with the colours looked at, and in grey alone."""
    rows: list[dict[str, float]] = []
    for number, frames in enumerate(scenes(stills, motion)):
        damaged = list(plant(frames[:5], Planting(flicker=0.02, dye_share=1.0), stamps, 80 + number))
        colour = [one.frame for one in damaged]
        row: dict[str, float] = {}
        for name, some in (("", colour), (" in grey", [grey_of(frame)[..., None] for frame in colour])):
            law, _ = calibrate([window_at(some, 3)], CleanLaw())
            own = _own(find(window_at(some, 2), law), damaged[2])
            row |= {f"{key}{name}": own[key] for key in ("objects_found", "pixels_found", "false_objects")}
        rows.append(row)
    return _means(rows)


def glint_figures(stills: list[NDArray[np.float32]], stamps: list[Stamp], motion: Motion) -> dict[str, Any]:
    """Scenes with glints: what of them is taken for dirt in a clean shot and in a dirty one, and the dirt found."""
    rows: list[dict[str, float]] = []
    for number, frames in enumerate(scenes(stills, motion)):
        glinting_frames = list(glinting(frames[:5], 500 + number))
        clean_law, _ = calibrate([window_at(glinting_frames, 3)], CleanLaw())
        damaged = list(plant(glinting_frames, Planting(flicker=0.02, density=0.3), stamps, 90 + number))
        dirty = [one.frame for one in damaged]
        law, _ = calibrate([window_at(dirty, 3)], CleanLaw())
        own = _own(find(window_at(dirty, 2), law), damaged[2])
        clean = find(window_at(glinting_frames, 2), clean_law)
        rows.append(
            {
                "candidates_clean": float(len(clean.kept)),
                "false_objects_clean": float(clean.kept.sum()),
                "false_objects_dirty": own["false_objects"],
                "objects_found": own["objects_found"],
            }
        )
    return _means(rows)


def very_dirty_clip(path: Path, stamps: list[Stamp]) -> dict[str, Any]:
    """Found and false with the budget as it is by default, shot ends included."""
    frames = read_clip(path, 36)[20:]
    damaged = list(plant(frames, Planting(density=0.3), stamps, 1))
    dirty = [np.rint(one.frame * 255).astype(np.uint8) for one in damaged]
    law, verdicts = calibrate([window_at(dirty, at) for at in sampled(len(dirty))], CleanLaw())
    rows = [_own(find(window_at(dirty, at), law), truth) for at, truth in enumerate(damaged)]
    ends = [rows[0], rows[-1]]
    return {
        **_means(rows),
        "false_objects_at_the_ends": _means(ends)["false_objects"],
        "objects_found_at_the_ends": _means(ends)["objects_found"],
        "false_objects_expected": round(verdicts.expected_false, 2),
    }


def evidence_in(window: Window) -> Evidence:
    look = look_at(window)
    assert look is not None
    return look.evidence


def _rates(marked: dict[str, list[tuple[float, float]]], evidence: Evidence, window: Window, truth: Planted) -> None:
    """Adds (found, false) pairs: for scores at many thresholds, for the tool's blobs at many seeds."""
    current = grey_of(window.frames[window.at])
    own = evidence.opinions[0]
    static = [grey_of(window.frames[window.at + way]) for way in (-1, 1)]
    median = np.median(np.stack([current, own.first, own.second]), axis=0)
    scores = {
        "SDIa without motion": np.minimum(*(np.abs(current - side) for side in static)),
        "SDIa with flow": np.minimum(np.abs(current - own.first), np.abs(current - own.second)),
        "SpotLess (median of three with flow)": np.abs(current - median),
        "score before growth": evidence.score,
    }
    for name, score in scores.items():
        clean = np.sort(score[~truth.specks])[::-1]
        limit = clean[int(FALSE_SHARE * len(clean))]
        marked.setdefault(name, []).append((float((score[truth.specks] > limit).mean()), FALSE_SHARE))
    for seed in SEEDS_SIGMAS:
        blobs = grown_from(evidence, DirtLaw(seed_sigmas=seed)) > 0
        pair = float(blobs[truth.specks].mean()), float(blobs[~truth.specks].mean())
        marked.setdefault(f"{_SEEDS}{seed}", []).append(pair)


_SEEDS = "seeds at sigmas of "


def _point(rates: list[tuple[float, float]]) -> dict[str, float]:
    found, false = np.mean(rates, axis=0)
    return {"found": round(float(found), 3), "false_percent": round(float(100 * false), 4)}


def _at_false_share(marked: dict[str, list[tuple[float, float]]]) -> dict[str, float]:
    return {name: _point(rates)["found"] for name, rates in marked.items() if not name.startswith(_SEEDS)}


def _on_curve(marked: dict[str, list[tuple[float, float]]]) -> float:
    """Found at that share of false ones, each scene on its own curve of seeds."""
    curves = np.array([rates for name, rates in marked.items() if name.startswith(_SEEDS)])
    at = [np.interp(np.log(FALSE_SHARE), np.log(c[::-1, 1] + 1e-9), c[::-1, 0]) for c in curves.transpose(1, 0, 2)]
    return round(float(np.mean(at)), 3)


def _own(found: Found, truth: Planted) -> dict[str, float]:
    """At the calibrated bar: pixels and objects."""
    blobs = found.candidates.holes(found.kept)
    there = np.unique(truth.labels)[1:]
    hit = np.setdiff1d(np.unique(truth.labels[blobs]), [0])
    true_blobs = np.setdiff1d(np.unique(found.candidates.labels[truth.specks & blobs]), [0])
    return {
        "objects_found": len(hit) / len(there),
        "false_objects": float(found.kept.sum() - len(true_blobs)),
        "pixels_found": float(blobs[truth.specks].mean()),
        "pixels_found_with_the_rim": float(found.holes[truth.specks].mean()),
        "false_pixels_percent": 100 * float(blobs[~truth.specks].mean()),
    }


def _fills(errors: Errors, window: Window, found: Found, truth: Planted) -> None:
    frame = window.frames[window.at]
    holes = cv2.dilate(truth.specks.astype(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_)
    count, labels = cv2.connectedComponents(holes.astype(np.uint8))
    blobs = [Hole("dust")] * (count - 1)
    sides = [(window.frames[number], found.rough[number]) for number in found.sides]
    versions = versions_of(frame, sides, found.opinions)
    eight, mask = np.rint(frame * 255).astype(np.uint8), holes.astype(np.uint8)
    labels = np.asarray(labels, np.int32)
    made = {
        grain: fill(frame, labels, blobs, versions, navier_stokes, Fill.NAVIER_STOKES, window.at, grain=grain).frame
        for grain in (False, True)
    }
    own = [version.values for version in versions[:2]]
    fills = {
        "Telea (OpenCV, radius 3)": cv2.inpaint(eight, mask, 3, cv2.INPAINT_TELEA).astype(np.float32) / 255,
        "Navier-Stokes (OpenCV, radius 3)": cv2.inpaint(eight, mask, 3, cv2.INPAINT_NS).astype(np.float32) / 255,
        "SpotLess (median of three with flow)": np.median(np.stack([frame, *own]), axis=0),
        "restore, before grain": made[False],
        "restore, grain put back": made[True],
    }
    errors.add(truth.clean, holes, fills)


def clip_figures(paths: list[Path]) -> dict[str, Any]:
    """False objects a frame in clips that are clean, with the bar calibrated on the clip."""
    table = {}
    for path in paths:
        frames = read_clip(path, 120)
        cuts = [0, *[cut for cut in CUTS_OF.get(path.name, []) if cut < len(frames)], len(frames)]
        shot = max((frames[a:b] for a, b in pairwise(cuts)), key=len)
        places = np.linspace(2, len(shot) - 3, 8).astype(int)
        law, verdicts = calibrate([window_at(shot, int(at)) for at in places[::2]], CleanLaw())
        odds = [find(window_at(shot, int(at)), law).odds for at in places[1::2]]
        counts = {
            "calibrated": [int((one > law.bar).sum()) for one in odds],
            "default_bar": [int((one > DEFAULT_BAR).sum()) for one in odds],
        }
        lines = [
            len(scratches_in([lines_of(f) for f in shot[int(at) - 2 : int(at) + 3]], 2, ScratchLaw()))
            for at in places[1::2]
        ]
        table[path.name] = {
            "lines": shot[0].shape[0],
            **{f"false_objects_{name}": {"mean": float(np.mean(c)), "most": max(c)} for name, c in counts.items()},
            "bar": round(verdicts.bar, 2),
            "scratches": {"mean": float(np.mean(lines)), "most": max(lines)},
        }
        print(path.name, table[path.name], flush=True)
    return table


def shot_figures(paths: list[Path]) -> dict[str, Any]:
    shots = [part for path in paths for part in stretches(read_clip(path), CUTS_OF.get(path.name, []))]
    rng = np.random.default_rng(9)
    table: dict[str, Any] = {}
    for name, kinds in (
        ("cuts, fades and flashes", ["cut"] * 70 + ["fade"] * 40),
        ("with dissolves", ["cut"] * 60 + ["fade"] * 30 + ["dissolve"] * 30),
    ):
        rng.shuffle(kinds)
        frames, truth, flashes = splice(shots, kinds, seed=21)
        result = scored([border.frame for border in borders(frames)], truth)
        table[name] = {"flashes": flashes, **{k: round(v, 4) for k, v in result.items()}}
        print(name, table[name], flush=True)
    return table


def scratch_figures(stills: list[NDArray[np.float32]], motion: Motion) -> dict[str, Any]:
    """Faint scratches of four depths in each scene: found, and what is left of them after subtraction."""
    depths = (0.04, -0.04, 0.08, -0.15)
    planted_lines = tuple(Scratch(0.15 + 0.22 * i, depth, 2.5, 0.008 * (i - 1)) for i, depth in enumerate(depths))
    found_each, false, before, after, texture = [0, 0, 0, 0], 0, 0.0, 0.0, []
    for frames in scenes(stills, motion):
        damaged = list(plant(frames[:5], Planting(scratches=planted_lines), [], 3))
        looks = [lines_of(one.frame) for one in damaged]
        lines = scratches_in(looks, 2, ScratchLaw())
        width = frames[0].shape[1]
        for i, planted_line in enumerate(planted_lines):
            found_each[i] += any(abs(line.x - planted_line.x * width) < 4 for line in lines)
        false += sum(all(abs(line.x - p.x * width) >= 4 for p in planted_lines) for line in lines)
        truth = damaged[2]
        result = without_scratches(looks, 2, lines, ScratchLaw()).frame
        here = truth.scratched
        before += float(((truth.frame - truth.clean)[here] ** 2).sum())
        after += float(((result - truth.clean)[here] ** 2).sum())
        fine = [f - cv2.GaussianBlur(f, (1, 15), sigmaX=0.1, sigmaY=4) for f in (result, truth.clean)]
        texture.append(float(fine[0][here].std() / fine[1][here].std()))
        false += len(scratches_in([lines_of(frame) for frame in frames[:5]], 2, ScratchLaw()))
    return {
        "found": {f"{100 * d:.0f} % deep": f"{n} of {len(stills)}" for d, n in zip(depths, found_each, strict=True)},
        "false_lines": false,
        "error_left_percent": round(100 * (after / before) ** 0.5, 1),
        "texture_along_the_line_kept": round(float(np.mean(texture)), 3),
    }


def flicker_figures(stills: list[NDArray[np.float32]]) -> dict[str, float]:
    clean = list(islice(scene(stills[0], stills[1], SLOW, 5, 360), 60))
    damaged = [one.frame for one in plant(clean, Planting(flicker=0.05), [], 6)]
    result = list(even_shot(((frame, None) for frame in damaged), FlickerLaw()))
    off = [
        np.array([float(a.mean() - b.mean()) for a, b in zip(some, clean, strict=True)]) for some in (damaged, result)
    ]
    return {
        "variance_of_frame_means_down_percent": round(100 * (1 - float(off[1].var() / off[0].var())), 2),
        "variance_of_steps_down_percent": round(100 * (1 - float(np.diff(off[1]).var() / np.diff(off[0]).var())), 2),
        "drift_between_halves": round(float(off[1][30:].mean() - off[1][:30].mean()), 5),
        "drift_of_the_flicker_itself": round(float(off[0][30:].mean() - off[0][:30].mean()), 5),
    }


def steady_figures(stills: list[NDArray[np.float32]]) -> dict[str, float]:
    frames = islice(scene(stills[1], stills[0], SLOW, 5, 540), 50)
    damaged = list(plant(frames, Planting(weave_px=1.0, flicker=0.02), [], 7))
    told = np.array([weave[:2] for _, weave in steady_shot((one.frame for one in damaged), SteadyLaw())])
    true = np.array([one.shift_px for one in damaged])
    flat = np.concatenate([true, np.zeros((len(true), 1))], axis=1)
    wanted = np.array([weave_of(flat, at, SteadyLaw())[:2] for at in range(len(true))])
    return {
        "planted_px": round(float(np.sqrt((true**2).mean())), 3),
        "left_px": round(float(np.sqrt(((true - told) ** 2).mean())), 3),
        "left_beside_slow_sway_px": round(float(np.sqrt(((wanted - told) ** 2).mean())), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stills", type=Path, nargs="+", required=True)
    parser.add_argument("--clips", type=Path, nargs="+", required=True)
    parser.add_argument("--overlays", type=Path, required=True)
    options = parser.parse_args()
    stills = [read_still(path) for path in options.stills]
    stamps = overlay_stamps(options.overlays, held_out=True)
    result: dict[str, Any] = {
        "stills": [path.name for path in options.stills],
        "shots": shot_figures(options.clips),
        "flicker": flicker_figures(stills),
        "steady": steady_figures(stills),
    }
    print(result["flicker"], result["steady"], flush=True)
    for motion in (SLOW, FAST):
        result[motion.name] = dirt_figures(scenes(stills, motion), stamps)
        print(motion.name, result[motion.name], flush=True)
        result[motion.name]["scratches"] = scratch_figures(stills, motion)
        print(result[motion.name]["scratches"], flush=True)
        result[motion.name]["dye_layers"] = dye_figures(stills, stamps, motion)
        result[motion.name]["glints"] = glint_figures(stills, stamps, motion)
        print(result[motion.name]["dye_layers"], result[motion.name]["glints"], flush=True)
    result["very_dirty_clip"] = very_dirty_clip(options.clips[0], stamps)
    print(result["very_dirty_clip"], flush=True)
    result["clean_clips"] = clip_figures(options.clips)
    print(record.store("film", result))


if __name__ == "__main__":
    main()
