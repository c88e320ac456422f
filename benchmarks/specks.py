"""Times the speck atlas on a scan: 4970 x 3390 px with dust, hairs and scratches on 0.1 to 20 % of it.

    python benchmarks/specks.py [--overlays FOLDER] [--model FILE.safetensors] [--context-px N]

The scan is examples/textures/ground/seafloor.png, repeated, with noise; its damage has the sizes and numbers that were
measured on ten scans (`restore.train.damage.draw_scan`), or is cut from scanned overlays.  Each row runs in a process
of its own, so that its peak memory is its own.  Beside it stands what the same network costs over the whole frame, in
tiles of 512 px without halos: pixels, multiply-adds, and seconds, which are those of eight tiles times the rest.
`seconds` has the classical fills, the choice among them and grain as well; `network_seconds` has what the network took.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from record import Quiet, store

from restore import ops
from restore.holes.found import one_kind
from restore.image import Alpha, Image, Stored, Transfer
from restore.inpaint import Damaged, Inpainter
from restore.models import inpainting, pconv
from restore.models.inpainting import InpaintModel
from restore.recipe import FindHoles, HolesFrom, Inpaint
from restore.train.damage import Holes, draw_scan
from restore.train.overlays import read_overlays
from restore.traits import AlphaUse, Content, Traits

SHARES = (0.001, 0.01, 0.05, 0.2)
TEXTURE = Path(__file__).parent.parent / "examples" / "textures" / "ground" / "seafloor.png"
TILE_PX, TILES = 512, 8


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=inpainting.DEFAULT)
    parser.add_argument("--overlays", type=Path)
    parser.add_argument("--context-px", type=int, default=Inpaint.context_px)
    parser.add_argument("--width", type=int, default=4970)
    parser.add_argument("--height", type=int, default=3390)
    parser.add_argument("--dry-run", action="store_true", help="print, and store nothing")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.row is not None:
        print(json.dumps(row(told, told.row)))
        return
    names = [str(share) for share in SHARES] + (["overlays"] if told.overlays else [])
    rows: dict[str, dict[str, Any]] = {}
    with Quiet() as quiet:
        for name in [*names, "whole frame"]:
            command = [sys.executable, __file__, *sys.argv[1:], "--row", name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows[name] = json.loads(done.stdout)
            print(name, rows[name], flush=True)
    whole = rows["whole frame"]
    for name in names:
        for figure in ("network_px", "multiply_adds", "network_seconds", "seconds"):
            rows[name][f"{figure}_against_whole_frame"] = round(rows[name][figure] / whole[figure], 3)
        print(name, {k: v for k, v in rows[name].items() if k.endswith("whole_frame")}, flush=True)
    figures = {
        "size_px": [told.width, told.height],
        "context_px": told.context_px,
        "threads": torch.get_num_threads(),
        "model_sha256": inpainting.load(told.model).sha256,
        "by_share_of_damaged_pixels": rows,
    }
    if not told.dry_run:
        print(store("specks", figures, quiet))


def row(told: argparse.Namespace, name: str) -> dict[str, Any]:
    """One measurement, in this process."""
    model = inpainting.load(told.model)
    image = scan(told.height, told.width)
    count = Counter()
    pconv.ops.masked_conv2d = count  # type: ignore[assignment]
    if name == "whole frame":
        return whole_frame(model, image, count)
    rng = np.random.default_rng(5)
    holes = overlaid(told, rng) if name == "overlays" else specks(told, float(name), rng)
    found = one_kind(holes, image, "dust")
    traits = Traits(Content.COLOR, AlphaUse.NONE, (False, False), False, "")
    step = Inpaint(model.name, model.sha256, model.precision, FindHoles(HolesFrom.MASKS), told.context_px)
    clock = Clock(model.net)
    inpainter = Inpainter(replace(model, net=clock), step, batch_px=1)
    inpainter(Damaged(*warm_up(), traits, 0))
    count.multiply_adds, clock.seconds = 0, 0.0
    before = peak_mib()
    start = time.perf_counter()
    done = inpainter(Damaged(image, found, traits, 0))
    seconds = time.perf_counter() - start
    changed = (done.page.pixels != image.pixels).any(2)
    assert not changed[~holes].any()
    return {
        "holes": len(found.blobs),
        "damaged_share": round(float(holes.mean()), 5),
        "network_px": done.network_px,
        "multiply_adds": count.multiply_adds,
        "network_seconds": round(clock.seconds, 3),
        "seconds": round(seconds, 3),
        "peak_mib": peak_mib(),
        "peak_mib_before": before,
    }


class Counter:
    """Stands in for `ops.masked_conv2d` and counts its multiply-adds."""

    def __init__(self) -> None:
        self.multiply_adds = 0
        self._turn = Lock()  # crops run side by side
        self._convolve = ops.masked_conv2d

    def __call__(self, x: torch.Tensor, valid: torch.Tensor, weight: torch.Tensor, *rest: Any, **more: Any) -> Any:
        y, seen = self._convolve(x, valid, weight, *rest, **more)
        with self._turn:
            self.multiply_adds += y.shape[0] * y.shape[2] * y.shape[3] * weight.numel()
        return y, seen


class Clock:
    """Stands in for a network and counts its seconds."""

    def __init__(self, net: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.seconds = 0.0
        self._net = net

    def __call__(self, planes: torch.Tensor) -> torch.Tensor:
        start = time.perf_counter()
        answer = self._net(planes)
        self.seconds += time.perf_counter() - start
        return answer


def whole_frame(model: InpaintModel, image: Image, count: Counter) -> dict[str, Any]:
    """The same network over all of the frame: eight tiles, and the rest as long in proportion."""
    values = torch.from_numpy(image.pixels[:TILE_PX, :TILE_PX].astype(np.float32) / 255).permute(2, 0, 1)
    planes = torch.ones(1, inpainting.INPUTS, *values.shape[1:])
    planes[0, :3] = values
    planes[0, 3, 40:60, 40:60] = 0
    with torch.inference_mode():
        model.net(planes)
        count.multiply_adds = 0
        start = time.perf_counter()
        for _ in range(TILES):
            model.net(planes)
        seconds = time.perf_counter() - start
    times = image.height * image.width / (TILES * values.shape[1] * values.shape[2])
    return {
        "network_px": image.height * image.width,
        "multiply_adds": round(count.multiply_adds * times),
        "network_seconds": round(seconds * times, 3),
        "seconds": round(seconds * times, 3),
        "measured_tiles": TILES,
    }


def scan(height: int, width: int) -> Image:
    texture = cv2.cvtColor(cv2.imread(str(TEXTURE)), cv2.COLOR_BGR2RGB)
    pixels = np.tile(texture, (-(-height // texture.shape[0]), -(-width // texture.shape[1]), 1))[:height, :width]
    rng = np.random.default_rng(3)
    for start in range(0, height, 256):
        band = pixels[start : start + 256]
        band[:] = np.clip(np.rint(band + rng.normal(0, 3, band.shape)), 0, 255)
    return Image(np.ascontiguousarray(pixels), Stored("png", 8, False, Transfer.SRGB, Alpha.NONE, ("R", "G", "B")))


def warm_up() -> tuple[Image, Any]:
    image = scan(256, 256)
    holes = np.zeros((256, 256), np.bool_)
    holes[100:110, 100:120] = True
    return image, one_kind(holes, image, "dust")


def specks(told: argparse.Namespace, share: float, rng: np.random.Generator) -> Holes:
    """About `share` of the frame, by drawing more or fewer specks of the same sizes."""
    once = draw_scan(told.height, told.width, 1.0, np.random.default_rng(4)).mean()
    return draw_scan(told.height, told.width, share / float(once), rng)


def overlaid(told: argparse.Namespace, rng: np.random.Generator) -> Holes:
    """Scanned overlays, laid down at random until 1 % is damaged."""
    overlays = read_overlays(told.overlays)
    every = [*overlays.training, *overlays.held_out]
    holes: NDArray[np.bool_] = np.zeros((told.height, told.width), np.bool_)
    while holes.mean() < 0.01:
        one = every[int(rng.integers(len(every)))]
        height, width = min(one.shape[0], told.height), min(one.shape[1], told.width)
        top, left = int(rng.integers(told.height - height + 1)), int(rng.integers(told.width - width + 1))
        holes[top : top + height, left : left + width] |= one[:height, :width]
    return holes


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    main()
