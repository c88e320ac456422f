"""Measures RRDB x4 on this CPU: this project against the official path, PyTorch's channels_last and OpenVINO.

    python benchmarks/upscale.py [--side 128] [--rounds 5] [--threads N]

Official: the RRDBNet module in NCHW fp32, as Real-ESRGAN runs it on a CPU (basicsr's where it is installed, else
spandrel's, which is the same network).  All contestants get the same weights, picture and threads, and take turns in
every round; a round's ratio is official seconds over theirs, and the median of the ratios counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from record import Quiet, store
from torch import Tensor

from restore.errors import SetupError
from restore.models import load, resolve
from restore.recipe import Precision
from restore.train.basicsr_shim import import_basicsr

MFLOP_PER_PX = 35.85
"""RRDB x4 with 23 blocks, 64 features, growth 32: 17,926,848 multiply-adds an input pixel."""
Contestant = Callable[[Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    picture = real_picture(arguments.side)
    contestants = all_contestants(picture, arguments.threads)
    with Quiet() as quiet:
        seconds = race(contestants, picture, arguments.rounds)
    answers = {name: run(picture) for name, run in contestants.items()}
    official = answers["official fp32"]
    table = {
        name: {
            "seconds_median": round(statistics.median(times), 4),
            "gflops": round(MFLOP_PER_PX * arguments.side**2 / 1e3 / statistics.median(times), 1),
            "times_official_median": round(statistics.median(pairs(seconds["official fp32"], times)), 3),
            "times_official_range": [round(f(pairs(seconds["official fp32"], times)), 3) for f in (min, max)],
            "psnr_db_to_official": psnr(official, answers[name]),
            "max_difference_255": round(float((official - answers[name]).abs().max()) * 255, 4),
        }
        for name, times in seconds.items()
    }
    for name, row in table.items():
        print(
            f"{name:28} {row['seconds_median']:8.3f} s {row['gflops']:7.1f} GFLOP/s {row['times_official_median']:.2f}x"
            f" official, {row['psnr_db_to_official']} dB, largest difference {row['max_difference_255']}/255"
        )
    path = store(
        "upscale-cpu",
        {
            "model": "x4plus",
            "side_px": arguments.side,
            "rounds": arguments.rounds,
            "threads": arguments.threads,
            "table": table,
        },
        quiet,
    )
    print(path)


def real_picture(side: int) -> Tensor:
    """(1, 3, side, side) in [0, 1]: the middle of an example texture, mirrored to size."""
    path = Path(__file__).parent.parent / "examples" / "textures" / "characters" / "Tiny_skin.png"
    pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    pixels = np.pad(pixels, [(0, max(0, side - n)) for n in pixels.shape[:2]] + [(0, 0)], mode="symmetric")
    return torch.from_numpy(np.ascontiguousarray(pixels[:side, :side])).permute(2, 0, 1)[None].float() / 255


def all_contestants(picture: Tensor, threads: int) -> dict[str, Contestant]:
    ref = resolve("x4plus")
    official = official_module(ref.path)
    channels_last = official_module(ref.path).to(memory_format=torch.channels_last)
    bf16 = official_module(ref.path).to(torch.bfloat16).to(memory_format=torch.channels_last)

    def plain(module: torch.nn.Module, dtype: torch.dtype, layout: torch.memory_format) -> Contestant:
        return lambda x: module(x.to(dtype).contiguous(memory_format=layout)).float()

    contestants = {
        "official fp32": plain(official, torch.float32, torch.contiguous_format),
        "torch channels_last fp32": plain(channels_last, torch.float32, torch.channels_last),
        "torch channels_last bf16": plain(bf16, torch.bfloat16, torch.channels_last),
        "restore fp32": load(ref, "cpu", Precision.FP32).net,
        "restore bf16": load(ref, "cpu", Precision.BF16).net,
    }
    for name, hint in (("OpenVINO fp32", "f32"), ("OpenVINO bf16", "bf16")):
        openvino = on_openvino(official, picture, threads, hint)
        contestants |= {} if openvino is None else {name: openvino}
    return contestants


def official_module(path: Path) -> torch.nn.Module:
    """The official network with the weights under `path` (canonical names are BasicSR's own)."""
    from safetensors.torch import load_file

    state = {name: tensor.float() for name, tensor in load_file(path).items()}
    try:
        import_basicsr()
        from basicsr.archs.rrdbnet_arch import RRDBNet

        network = RRDBNet(num_in_ch=3, num_out_ch=3, num_feat=64, num_block=23, num_grow_ch=32)
        network.load_state_dict(state)
    except SetupError:
        import spandrel

        network = spandrel.ModelLoader().load_from_state_dict(state).model
    return network.eval()


def on_openvino(module: torch.nn.Module, picture: Tensor, threads: int, hint: str) -> Contestant | None:
    try:
        import openvino
    except ImportError:
        return None
    core = openvino.Core()
    converted = openvino.convert_model(module, example_input=picture, input=[tuple(picture.shape)])
    options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
    compiled = core.compile_model(converted, "CPU", options)
    return lambda x: torch.from_numpy(compiled(x.numpy())[0].copy())


@torch.inference_mode()
def race(contestants: dict[str, Contestant], picture: Tensor, rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run(picture)  # warm-up
    for _ in range(rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            run(picture)
            seconds[name].append(time.perf_counter() - start)
    return seconds


def pairs(official: list[float], other: list[float]) -> list[float]:
    return [a / b for a, b in zip(official, other, strict=True)]


def psnr(a: Tensor, b: Tensor) -> float | None:
    """dB between two outputs clamped to [0, 1]; None when they are equal."""
    error = float((a.clamp(0, 1) - b.clamp(0, 1)).square().mean())
    return round(-10 * float(np.log10(error)), 2) if error > 0 else None


if __name__ == "__main__":
    with torch.inference_mode():
        main()
