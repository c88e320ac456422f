"""Measures taking out a film's grain: how near each frame comes to the same one without grain, beside what others have.

    python benchmarks/film_grain.py --stills FILE... [--ffmpeg FILE]

Scenes of `film_scenes.py` at 540 lines, five frames each, of which the middle one is measured: "slow" with a grain of
0.012, "fast" with 0.025.  Peers see the same five frames: OpenCV's fastNlMeansDenoisingColoredMulti in 8 bits, FFmpeg's
filters (`--ffmpeg`: a build that has hqdn3d) in 10 bits, 4:4:4.  Each has several strengths, and its best one counts,
chosen by the truth; `restore` measures grain itself.

* psnr: of all scenes' squared errors together.
* moving: the same around the thing that crosses the scene, where ghosts would be.
* blotches: what is left of grain after a blur of 4 px in the evenest tenth of the frame that isn't nearly
  black or white, in steps of 8 bits.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import record
from film_scenes import FAST, SLOW, Motion, read_still, scene
from numpy.typing import NDArray

from restore.film.degrain import degrained

AT, COUNT, LINES = 2, 5, 540
CLIPPED = 0.1
Picture = NDArray[np.float32]
FILTERS = {
    "hqdn3d": ("hqdn3d", "hqdn3d=8", "hqdn3d=3:3:12:12"),
    "atadenoise": (
        "atadenoise=s=5",
        "atadenoise=0a=0.1:0b=0.1:1a=0.1:1b=0.1:2a=0.1:2b=0.1:s=5",
        "atadenoise=0a=0.3:0b=0.3:1a=0.3:1b=0.3:2a=0.3:2b=0.3:s=5",
    ),
    "nlmeans": ("nlmeans=s=2", "nlmeans=s=4"),
    "bm3d": ("bm3d=sigma=10", "bm3d=sigma=20"),
    "fftdnoiz (three frames)": ("fftdnoiz=sigma=3:prev=1:next=1", "fftdnoiz=sigma=8:prev=1:next=1"),
}
NLM = "fastNlMeansDenoisingColoredMulti"
NLM_STRENGTHS = (3.0, 6.0)


@dataclass
class Score:
    """Summed over scenes."""

    squared: float = 0.0
    moving: float = 0.0
    blotches: list[float] = field(default_factory=list)

    def add(self, shown: Picture, truth: Picture, moving: NDArray[np.bool_]) -> None:
        off = np.clip(shown, 0, 1).astype(np.float64) - truth
        self.squared += float((off**2).mean())
        self.moving += float((off[moving] ** 2).mean())
        grey = truth.mean(axis=2)
        busy = cv2.blur(np.abs(cv2.Laplacian(grey, cv2.CV_32F)), (31, 31))
        busy[(truth.min(axis=2) < CLIPPED) | (truth.max(axis=2) > 1 - CLIPPED)] = np.inf  # clipped grain has a mean
        even = busy <= np.quantile(busy, 0.1)
        self.blotches.append(float(cv2.GaussianBlur(off, (0, 0), 4)[even].std()) * 255)

    def figures(self) -> dict[str, float]:
        count = len(self.blotches)
        return {
            "psnr": round(float(-10 * np.log10(self.squared / count)), 2),
            "psnr_moving": round(float(-10 * np.log10(self.moving / count)), 2),
            "blotches": round(float(np.mean(self.blotches)), 3),
        }


def cases(stills: list[Picture], motion: Motion) -> Iterator[tuple[list[Picture], Picture, NDArray[np.bool_]]]:
    """Frames with grain, the middle one without, and where something moves on its own."""
    for number, still in enumerate(stills):
        other = stills[(number + 1) % len(stills)]
        frames = list(islice(scene(still, other, motion, 100 + number, LINES), 1, 1 + COUNT))
        free, alone = (
            next(islice(scene(still, thing, replace(motion, grain=0.0), 100 + number, LINES), 1 + AT, None))
            for thing in (other, np.full_like(other, -1.0))
        )
        thing = (np.abs(free - alone).max(axis=2) > 1e-3).astype(np.uint8)
        yield frames, free, cv2.dilate(thing, np.ones((41, 41), np.uint8)).view(np.bool_)


def by_ffmpeg(program: Path, frames: list[Picture], filtering: str) -> Picture:
    height, width = frames[0].shape[:2]
    raw = (np.rint(np.clip(np.stack(frames), 0, 1) * 65535).astype("<u2"))[..., ::-1].tobytes()
    form = ["-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", f"{width}x{height}"]
    chain = f"format=yuv444p10le,{filtering},format=rgb48le"
    done = subprocess.run(
        [program, "-v", "error", *form, "-i", "-", "-vf", chain, *form[:4], "-"],
        input=raw,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    made = np.frombuffer(done.stdout, "<u2").reshape(-1, height, width, 3)
    return made[AT, ..., ::-1].astype(np.float32) / 65535


def by_opencv(frames: list[Picture], strength: float) -> Picture:
    eight = [np.rint(np.clip(frame, 0, 1) * 255).astype(np.uint8) for frame in frames]
    made = cv2.fastNlMeansDenoisingColoredMulti(eight, AT, COUNT, None, strength, strength, 7, 21)
    return np.asarray(made, np.float32) / 255


def methods(ffmpeg: Path | None) -> dict[str, dict[str, Callable[[list[Picture]], Picture]]]:
    """Name -> strength -> how."""
    found: dict[str, dict[str, Callable[[list[Picture]], Picture]]] = {
        "as it is": {"": lambda frames: frames[AT]},
        "restore": {"": lambda f: degrained(f[AT], [one for n, one in enumerate(f) if n != AT]).frame},
        "restore, without neighbours": {"": lambda f: degrained(f[AT], []).frame},
        NLM: {f"h = {h}": lambda frames, h=h: by_opencv(frames, h) for h in NLM_STRENGTHS},
    }
    if ffmpeg is not None:
        for name, strengths in FILTERS.items():
            found[name] = {one: lambda frames, one=one: by_ffmpeg(ffmpeg, frames, one) for one in strengths}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stills", type=Path, nargs="+", required=True)
    parser.add_argument("--ffmpeg", type=Path)
    options = parser.parse_args()
    stills = [read_still(path, LINES) for path in options.stills]
    result: dict[str, Any] = {"stills": [path.name for path in options.stills]}
    for motion in (SLOW, FAST):
        scores: dict[str, dict[str, Score]] = {}
        for frames, truth, moving in cases(stills, motion):
            for name, strengths in methods(options.ffmpeg).items():
                for strength, how in strengths.items():
                    score = scores.setdefault(name, {}).setdefault(strength, Score())
                    score.add(how(frames), truth, moving)
        table = {}
        for name, tried in scores.items():
            strength, score = min(tried.items(), key=lambda one: one[1].squared)
            table[name] = {**({"strength": strength} if strength else {}), **score.figures()}
            print(motion.name, name, table[name], flush=True)
        result[motion.name] = table
    print(record.store("film-grain", result))


if __name__ == "__main__":
    main()
