"""Measures how quickly `restore --help` answers, and the peak memory of one 4096 x 4096 picture.

    python benchmarks/footprint.py [--side 4096] [--model animevideov3-x4]

The picture is a mosaic of the example textures, in a folder of its own that is removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from corpus import PeakMemory
from record import Quiet, store

TEXTURES = Path(__file__).parent.parent / "examples" / "textures"
STARTS = 11


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--model", default="animevideov3-x4")
    arguments = parser.parse_args()
    with Quiet() as quiet:
        seconds = [start_seconds() for _ in range(STARTS)]
        figures = {
            "help_seconds": {"median": round(statistics.median(seconds), 3), "largest": round(max(seconds), 3)},
            "one_picture": one_picture(arguments.side, arguments.model),
        }
    print(json.dumps(figures, indent=1))
    print(store("footprint", figures, quiet))


def start_seconds() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "restore", "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def one_picture(side: int, model: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "mosaic.png"
        cv2.imwrite(str(source), mosaic(side))
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "restore", "upscale", str(source), str(Path(folder) / "out.png"), "--model", model],
            stdout=subprocess.DEVNULL,
        )
        peak = PeakMemory(process.pid)
        peak.start()
        code = process.wait()
        return {
            "side_px": side,
            "model": model,
            "exit_code": code,
            "peak_memory_mib": peak.bytes >> 20,
            "seconds": round(time.perf_counter() - begin, 1),
        }


def mosaic(side: int) -> np.ndarray:
    """(side, side, 3): the colour textures over and over, each brighter or darker than before."""
    parts = [cv2.imread(str(path)) for path in sorted(TEXTURES.rglob("*.png"))]
    parts = [cv2.resize(part, (256, 256)) for part in parts]
    rng = np.random.default_rng(0)
    rows = [
        np.hstack([parts[rng.integers(len(parts))] * rng.uniform(0.6, 1.0) for _ in range(-(-side // 256))])
        for _ in range(-(-side // 256))
    ]
    return np.vstack(rows)[:side, :side].astype(np.uint8)


if __name__ == "__main__":
    main()
