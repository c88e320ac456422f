"""A folder of textures from end to end on a GPU: `restore upscale` beside the official script's way, same weights.

    python benchmarks/gpu_folder.py [--count 2000] [--device cuda] [--official-seconds 30] [--out DIR]

Textures are made here from those in examples/: 64 to 512 px a side, PNG.  The official way is one picture after the
other: read, one call of the network in fp16, clamp, round, write (Real-ESRGAN, inference_realesrgan.py, without tiles
and with its 10 px of mirrored border); it gets the same folder, as far as its seconds reach.  `device_busy` is the mean
of NVML's utilisation while `restore` ran, its start-up not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import gpu_machine as machine
import gpu_peers as peers
import numpy as np
import torch
import torch.nn.functional as F
from gpu_checks_net import read_state, real_weights
from gpu_sheet import save
from gpu_tables import X4PLUS

SIDES = (64, 128, 256, 512)
BORDER_PX = 10
EXAMPLES = Path(__file__).parent.parent / "examples" / "textures"
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    sys.path.insert(0, str(machine.ROOT))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--official-seconds", type=float, default=30.0)
    parser.add_argument("--out", type=Path, help="folder of the result; default: $OUT, else benchmarks/results")
    arguments = parser.parse_args()
    name = torch.cuda.get_device_name(0) if arguments.device != "cpu" else "cpu"
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    folder = arguments.out or (Path(os.environ["OUT"]) if os.environ.get("OUT") else RESULTS)
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary, "in")
        pixels = make(source, arguments.count)
        ours = restored(source, Path(temporary, "out"), arguments.device)
        theirs = official(source, Path(temporary, "official"), arguments.device, arguments.official_seconds)
    record = {
        "commit": machine.commit(),
        "device": name,
        "torch": torch.__version__,
        "textures": arguments.count,
        "source_megapixels": round(pixels / 1e6, 2),
        "restore": ours,
        "official": theirs,
    }
    if "source_pixels_a_second" in ours and "source_pixels_a_second" in theirs:
        record["times"] = round(ours["source_pixels_a_second"] / theirs["source_pixels_a_second"], 2)
    save(folder / f"gpu-folder-{slug}.json", record)
    print(json.dumps(record, indent=1))
    return 0 if ours.get("exit_code") == 0 else 1


def make(folder: Path, count: int) -> int:
    """`count` textures, the same ones every time; their pixels in all."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(17)
    pictures = [cv2.imread(str(path), cv2.IMREAD_COLOR) for path in sorted(EXAMPLES.rglob("*.*"))]
    pictures = [picture for picture in pictures if picture is not None and min(picture.shape[:2]) >= 128]
    total = 0
    for number in range(count):
        height, width = (int(rng.choice(SIDES)) for _ in range(2))
        picture = pictures[int(rng.integers(len(pictures)))]
        turned = np.rot90(picture, int(rng.integers(4)))
        texture = cv2.resize(turned, (width, height), interpolation=cv2.INTER_AREA).astype(np.int16)
        texture += rng.normal(0, 3, texture.shape).astype(np.int16)
        cv2.imwrite(str(folder / f"{number:05}.png"), np.clip(texture, 0, 255).astype(np.uint8))
        total += height * width
    return total


def restored(source: Path, target: Path, device: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "restore", "upscale", str(source), str(target), "--json", "--device", device]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=machine.ROOT)
    assert process.stdout is not None
    busy = Busy(device)
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] == "started" and busy.ident is None:
            busy.start()
    code = process.wait()
    busy.ended.set()
    end = next((event for event in events if event["event"] == "end"), None)
    if end is None:
        return {"exit_code": code, "reason": str(events[-1:])[:500]}
    return {
        "exit_code": code,
        "done": end["done"],
        "failed": end["failed"],
        "seconds": round(end["seconds"], 2),
        "source_pixels_a_second": round(end["pixels_in"] / end["seconds"]),
        "device_busy": busy.mean(),
    }


class Busy(threading.Thread):
    """The device's utilisation as NVML tells it, ten times a second."""

    def __init__(self, device: str) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self._device = device
        self._samples: list[int] = []

    def run(self) -> None:
        if self._device == "cpu":
            return
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        while not self.ended.wait(0.1):
            self._samples.append(int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu))

    def mean(self) -> float | None:
        return round(statistics.mean(self._samples) / 100, 3) if self._samples else None


@torch.inference_mode()
def official(source: Path, target: Path, device: str, seconds: float) -> dict[str, Any]:
    weights = real_weights(None)
    if weights is None:
        return {"reason": "the weights package isn't installed"}
    dtype = torch.float32 if device == "cpu" else torch.float16
    net = peers.official_rrdb(X4PLUS, read_state(weights)).to(device, dtype)
    net(torch.rand(1, 3, 64, 64, device=device, dtype=dtype))
    target.mkdir()
    pixels, done, start = 0, 0, time.perf_counter()
    for path in sorted(source.iterdir()):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        x = torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)[None].to(device, dtype) / 255
        edge = 4 * BORDER_PX
        y = net(F.pad(x, (0, BORDER_PX, 0, BORDER_PX), "reflect"))[..., :-edge, :-edge]
        result = (y.float().clamp(0, 1)[0].permute(1, 2, 0) * 255).round().byte().cpu().numpy()
        cv2.imwrite(str(target / path.name), result[..., ::-1])
        pixels, done = pixels + picture.shape[0] * picture.shape[1], done + 1
        if time.perf_counter() - start > seconds:
            break
    took = time.perf_counter() - start
    return {"done": done, "seconds": round(took, 2), "source_pixels_a_second": round(pixels / took)}


if __name__ == "__main__":
    sys.exit(main())
