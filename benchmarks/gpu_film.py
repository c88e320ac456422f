"""A film enlarged from end to end on a GPU: `restore film` beside the official script's way, same weights.

    python benchmarks/gpu_film.py [--frames 300] [--size 1920x1080] [--model x4plus] [--scale 2] [--device cuda]
                                  [--restore-seconds 150] [--official-seconds 30] [--out DIR]

The clip is made here: a slow pan over textures of examples/, with grain, H.264.  `restore film` repairs nothing: it is
enlarging alone that is compared.  The official way is one frame after the other: decode, one call of the network in
fp16, clamp, round on the device, cv2's Lanczos where the scale isn't the network's, encode (Real-ESRGAN,
inference_realesrgan_video.py, without tiles); it gets the same clip, as far as its seconds reach.  Both encode H.264.
`device_busy` is the mean of NVML's utilisation while `restore` worked, its start-up not counted.  Needs PyAV.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import gpu_machine as machine
import gpu_peers as peers
import numpy as np
import torch
from gpu_end_to_end import keep, restore
from gpu_folder import EXAMPLES
from numpy.typing import NDArray

FPS = 24
QUALITY = "18"
GRAINS, GRAIN_SIGMA = 5, 3.0


def main() -> int:
    sys.path.insert(0, str(machine.ROOT))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--size", default="1920x1080", metavar="WxH")
    parser.add_argument("--model", default="x4plus", help="an RRDB network that enlarges four times")
    parser.add_argument("--scale", type=int, default=2, help="of the film that is written")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--restore-seconds", type=float, default=150.0, help="stopped after")
    parser.add_argument("--official-seconds", type=float, default=30.0, help="stops after")
    parser.add_argument("--out", type=Path, help="folder of the result; default: $OUT, else benchmarks/results")
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    with tempfile.TemporaryDirectory() as temporary:
        clip = Path(temporary, "clip.mkv")
        make(clip, arguments.frames, width, height)
        ours = restored(clip, Path(temporary, "restored.mkv"), arguments)
        theirs = official(clip, Path(temporary, "official.mkv"), arguments)
    megapixels = width * height / 1e6
    for way in (ours, theirs):
        if "frames_a_second" in way:
            way["source_megapixels_a_second"] = round(way["frames_a_second"] * megapixels, 3)
    facts: dict[str, Any] = {"frames": arguments.frames, "size": [width, height], "model": arguments.model}
    facts |= {"scale": arguments.scale, "restore": ours, "official": theirs}
    if "frames_a_second" in ours and "frames_a_second" in theirs:
        facts["times"] = round(ours["frames_a_second"] / theirs["frames_a_second"], 2)
    record = keep("film", arguments.out, arguments.device, facts)
    print(json.dumps(record, indent=1))
    return 0 if ours["exit_code"] == 0 else 1


class Writer:
    """H.264 in 4:2:0, of one size."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("libx264", rate=FPS, options={"crf": QUALITY})
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.time_base = Fraction(1, FPS)
        self._frames = 0

    def add(self, rgb: NDArray[np.uint8]) -> None:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame.pts = self._frames
        self._frames += 1
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()


def make(path: Path, frames: int, width: int, height: int) -> None:
    """A pan of two pixels a frame, up and down by one; the same clip every time."""
    rng = np.random.default_rng(23)
    pictures = [cv2.imread(str(file), cv2.IMREAD_COLOR) for file in sorted(EXAMPLES.rglob("*.*"))]
    tiles = [cv2.resize(p, (480, 480), interpolation=cv2.INTER_AREA)[..., ::-1] for p in pictures if p is not None]
    rows, columns = -(-(height + 32) // 480), -(-(width + 2 * frames) // 480)
    picked = rng.integers(len(tiles), size=(rows, columns))
    scene = np.concatenate([np.concatenate([tiles[i] for i in row], 1) for row in picked]).astype(np.int16)
    grains = [rng.normal(0, GRAIN_SIGMA, (height, width, 1)).round().astype(np.int16) for _ in range(GRAINS)]
    writer = Writer(path, width, height)
    for number in range(frames):
        top = 16 + round(15 * np.sin(number / 9))
        view = scene[top : top + height, 2 * number : 2 * number + width]
        grain = np.roll(grains[number % GRAINS], 37 * number, (0, 1))
        writer.add(np.clip(view + grain, 0, 255).astype(np.uint8))
    writer.close()


def restored(clip: Path, target: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    ran = restore(
        [
            *("film", str(clip), str(target), "--no-dirt", "--no-scratches", "--inpaint", "off"),
            *("--upscale", arguments.model, "--scale", str(arguments.scale), "--codec", "x264", "--quality", QUALITY),
        ],
        arguments.device,
        "reel",
        arguments.restore_seconds,
    )
    facts = ran.facts()
    done = sum(e["frames"][1] - e["frames"][0] + 1 for e in ran.events if e["event"] == "segment" and not e["error"])
    facts["done"] = done
    if done:
        facts["frames_a_second"] = round(done / ran.seconds, 3)
    return facts


@torch.inference_mode()
def official(clip: Path, target: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    from safetensors.torch import load_file

    from restore.errors import ModelError
    from restore.models import resolve

    try:
        state = load_file(resolve(arguments.model).path)
    except ModelError as error:
        return {"reason": str(error)[:300]}
    blocks = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("body."))
    shape = peers.ops.RrdbShape(blocks, 64, 32, 2, 1, 3)
    device, dtype = arguments.device, torch.float32 if arguments.device == "cpu" else torch.float16
    net = peers.official_rrdb(shape, {name: t.float() for name, t in state.items()}).to(device, dtype)
    net(torch.rand(1, 3, 64, 64, device=device, dtype=dtype))
    writer, done, start = None, 0, time.perf_counter()
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            rgb = frame.to_ndarray(format="rgb24")
            x = torch.from_numpy(rgb).permute(2, 0, 1)[None].to(device, dtype) / 255
            y = net(x).float().clamp(0, 1)[0].permute(1, 2, 0)
            large = (y * 255).round().byte().cpu().numpy()
            height, width = (side * arguments.scale for side in rgb.shape[:2])
            if large.shape[:2] != (height, width):
                large = cv2.resize(large, (width, height), interpolation=cv2.INTER_LANCZOS4)
            writer = writer or Writer(target, width, height)
            writer.add(large)
            done += 1
            if time.perf_counter() - start > arguments.official_seconds:
                break
    if writer is not None:
        writer.close()
    took = time.perf_counter() - start
    return {"done": done, "seconds": round(took, 2), "frames_a_second": round(done / took, 3)}


if __name__ == "__main__":
    sys.exit(main())
