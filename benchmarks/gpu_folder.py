"""A folder of textures from end to end on a GPU: `restore upscale` beside the official script's way, same weights.

    python benchmarks/gpu_folder.py [--count 2000] [--device cuda] [--restore-seconds 150] [--official-seconds 30]

Textures are made here from those in examples/: 64 to 512 px a side, PNG.  The official way is one picture after the
other: read, one call of the network in fp16, clamp, round, write (Real-ESRGAN, inference_realesrgan.py, without tiles
and with its 10 px of mirrored border); it gets the same folder, as far as its seconds reach.  `device_busy` is the mean
of NVML's utilisation while `restore` ran, its start-up not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
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
from gpu_end_to_end import keep, restore
from gpu_tables import X4PLUS

SIDES = (64, 128, 256, 512)
BORDER_PX = 10
EXAMPLES = Path(__file__).parent.parent / "examples" / "textures"


def main() -> int:
    sys.path.insert(0, str(machine.ROOT))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--restore-seconds", type=float, default=150.0, help="stopped after")
    parser.add_argument("--official-seconds", type=float, default=30.0, help="stops after")
    parser.add_argument("--out", type=Path, help="folder of the result; default: $OUT, else benchmarks/results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary, "in")
        pixels = make(source, arguments.count)
        ours = restored(source, Path(temporary, "out"), arguments.device, arguments.restore_seconds)
        theirs = official(source, Path(temporary, "official"), arguments.device, arguments.official_seconds)
    facts: dict[str, Any] = {"textures": arguments.count, "source_megapixels": round(pixels / 1e6, 2)}
    facts |= {"restore": ours, "official": theirs}
    if "source_pixels_a_second" in ours and "source_pixels_a_second" in theirs:
        facts["times"] = round(ours["source_pixels_a_second"] / theirs["source_pixels_a_second"], 2)
    record = keep("folder", arguments.out, arguments.device, facts)
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


def restored(source: Path, target: Path, device: str, most_seconds: float) -> dict[str, Any]:
    ran = restore(["upscale", str(source), str(target)], device, "started", most_seconds)
    facts = ran.facts()
    if (end := ran.event("end")) is not None and "pixels_in" in end:
        facts |= {"done": end["done"], "failed": end["failed"], "seconds": round(end["seconds"], 2)}
        facts["source_pixels_a_second"] = round(end["pixels_in"] / end["seconds"])
    return facts


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
