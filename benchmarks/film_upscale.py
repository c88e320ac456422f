"""Measures how steady an enlarged film is in time, beside bicubic enlarging and the network frame by frame.

    python benchmarks/film_upscale.py --clips FILE...

Warping error (Lai et al., "Learning Blind Video Temporal Consistency", 2018): the mean squared difference of a frame
and the one before it, laid over it by the optical flow of the source (enlarged with it), where that flow leads back to
where it came from.  Of each clip 6 frames, their middle, at half size where they are large; errors are roots, in steps
of 8 bits.

* warping_error: at the result's own size, where sharper edges cost more; at_source_size: of what the source could show,
  the result being brought back to its size (mean of 4 x 4 pixels).

* network alone: without colour fix and grain, as every frame-by-frame tool has it.
* restore: `restore film --upscale` as it is, and with `--grain remove`.
* colour_off: mean distance of a result, brought back to the source's size, from the source, in steps of 8 bits: a model
  that tints is seen here.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import record
from film_scenes import read_clip
from numpy.typing import NDArray

from restore.cli.resolve import Wishes, open_model, upscale_step
from restore.film.degrain import degrained
from restore.film.enlarge import Enlarger
from restore.film.flow import flow_between, warped
from restore.film.settings import FilmGrain, FilmSettings, InputColour
from restore.film.tones import Tones
from restore.film.working import grey_of
from restore.recipe import ColorFix, Precision, Upscale

MODELS = ("x4plus", "animevideov3-x4")
FRAMES, MOST_PX = 6, (144, 192)
BACK_PX = 0.5
Frames = Sequence[NDArray[np.uint16]]


def shown_part(path: Path) -> list[NDArray[np.uint16]]:
    """`FRAMES` frames from the middle of a clip, at most `MOST_PX` large, in 16 bits and R'G'B' order."""
    frames = read_clip(path)
    start = max(0, len(frames) // 2 - FRAMES // 2)
    part = []
    for whole in frames[start : start + FRAMES]:
        frame = whole
        if frame.shape[0] > 2 * MOST_PX[0]:
            frame = cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        y, x = (max(0, (side - most) // 2) for side, most in zip(frame.shape, MOST_PX, strict=False))
        part.append(frame[y : y + MOST_PX[0], x : x + MOST_PX[1], ::-1].astype(np.uint16) * np.uint16(257))
    return part


def warping_error(frames: Frames, source: Frames) -> float:
    """Root of the mean squared error, in steps of 8 bits."""
    scale = frames[0].shape[0] // source[0].shape[0]
    squared, count = 0.0, 0
    for number in range(1, len(frames)):
        here, before = (grey_of(source[at]) for at in (number, number - 1))
        flow, back = flow_between(here, before), flow_between(before, here)
        returns = np.hypot(*np.moveaxis(flow + warped(back, flow), 2, 0)) < BACK_PX
        size = (frames[0].shape[1], frames[0].shape[0])
        large = cv2.resize(flow, size, interpolation=cv2.INTER_LINEAR) * np.float32(scale)
        seen = cv2.resize(returns.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).view(np.bool_)
        laid = warped(frames[number - 1].astype(np.float32) / 257, large)
        off = (frames[number].astype(np.float32) / 257 - laid)[seen]
        squared, count = squared + float((off.astype(np.float64) ** 2).sum()), count + off.size
    return round(float(np.sqrt(squared / count)), 3)


def colour_off(frames: Frames, source: Frames) -> float:
    size = (source[0].shape[1], source[0].shape[0])
    back = [cv2.resize(frame.astype(np.float32), size, interpolation=cv2.INTER_AREA) for frame in frames]
    means = [np.abs((small - frame).mean(axis=(0, 1))).mean() for small, frame in zip(back, source, strict=True)]
    return round(float(np.mean(means)) / 257, 3)


def enlarged(frames: Frames, model: str, how: str) -> list[NDArray[np.uint16]]:
    grain = FilmGrain.REMOVE if how == "restore, grain removed" else FilmGrain.KEEP
    keep = Upscale.keep_grain if grain is FilmGrain.KEEP else 0.0
    step = upscale_step(open_model(model, "cpu", Precision.AUTO), Wishes(keep_grain=keep))
    if how == "network alone":
        step = replace(step, color_fix=ColorFix.OFF, keep_grain=0.0)
    enlarger = Enlarger(FilmSettings(upscale=step, upscale_model=model, grain=grain), Tones(InputColour.SRGB), "cpu")
    made = []
    for number, frame in enumerate(frames):
        shown = frame
        if grain is FilmGrain.REMOVE:
            near = [frames[at] for at in range(max(0, number - 2), min(len(frames), number + 3)) if at != number]
            shown = degrained(frame, near).frame
        made.append(enlarger.picture(shown, number))
    return made


def figures(frames: Frames, source: Frames) -> dict[str, float]:
    size = (source[0].shape[1], source[0].shape[0])
    back = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
    return {
        "warping_error": warping_error(frames, source),
        "at_source_size": warping_error(back, source),
        "colour_off": colour_off(frames, source),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    table: dict[str, Any] = {}
    for path in options.clips:
        source = shown_part(path)
        scaled = [cv2.resize(frame, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC) for frame in source]
        rows: dict[str, Any] = {
            "source": figures(source, source),
            "bicubic": figures(scaled, source),
        }
        for model in MODELS:
            for how in ("network alone", "restore", "restore, grain removed"):
                made = enlarged(source, model, how)
                rows[f"{model}: {how}"] = figures(made, source)
                print(path.name, model, how, rows[f"{model}: {how}"], flush=True)
        print(path.name, rows["source"], rows["bicubic"], flush=True)
        table[path.name] = rows
    print(record.store("film-upscale", {"frames": FRAMES, "clips": table}))


if __name__ == "__main__":
    main()
