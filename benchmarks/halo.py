"""Measures what a halo of N px costs in exactness, on real weights: the table of `restore/halo.py`.

    python benchmarks/halo.py FOLDER [--models x4plus,x4plus-anime]

The middle 48 px of a crop are enlarged once with the whole crop around them and once with only N px around them, cut
off hard.  The largest and the mean difference, in steps of 1/255 of fp32 output, are the worst a seam could show.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from record import store

from restore.models import load, resolve
from restore.recipe import Precision

HALOS_PX = (8, 16, 24, 32, 48, 64, 96)
KEEP_PX = 48
CROP_PX = 384


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="pictures of at least 384 px a side")
    parser.add_argument("--models", default="x4plus,x4plus-anime")
    parser.add_argument("--pictures", type=int, default=3)
    arguments = parser.parse_args()
    crops = dict(large_crops(arguments.folder, arguments.pictures))
    table: dict[str, dict[str, dict[int, list[float]]]] = {}
    for name in arguments.models.split(","):
        model = load(resolve(name), "cpu", Precision.FP32)
        table[name] = {}
        for picture, crop in crops.items():
            table[name][picture] = differences(model.net, model.scale, crop)
            print(name, picture, table[name][picture], flush=True)
    print(store("halo", {"crop_px": CROP_PX, "keep_px": KEEP_PX, "largest_and_mean_difference_255": table}))


def large_crops(folder: Path, count: int) -> list[tuple[str, torch.Tensor]]:
    found = []
    for path in sorted(folder.rglob("*")):
        pixels = cv2.imread(str(path)) if path.suffix.lower() in (".png", ".jpg") else None
        if pixels is None or min(pixels.shape[:2]) < CROP_PX:
            continue
        crop = np.ascontiguousarray(pixels[:CROP_PX, :CROP_PX, ::-1])
        found.append((path.name, torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255))
        if len(found) == count:
            break
    return found


def differences(net, scale: int, crop: torch.Tensor) -> dict[int, list[float]]:  # type: ignore[no-untyped-def]
    start = (CROP_PX - KEEP_PX) // 2
    whole = middle(net(crop), start, scale)
    result = {}
    for halo in HALOS_PX:
        outer = slice(start - halo, start + KEEP_PX + halo)
        error = (middle(net(crop[..., outer, outer]), halo, scale) - whole).abs() * 255
        result[halo] = [round(float(error.max()), 3), round(float(error.mean()), 4)]
    return result


def middle(output: torch.Tensor, start: int, scale: int) -> torch.Tensor:
    inner = slice(start * scale, (start + KEEP_PX) * scale)
    return output[..., inner, inner]


if __name__ == "__main__":
    main()
