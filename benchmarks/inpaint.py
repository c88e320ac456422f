"""Measures how near fills come to what was there: restore beside OpenCV, biharmonic, PatchMatch and push-pull.

    python benchmarks/inpaint.py --data FOLDER [--crop-px 256] [--most 24] [--keep FOLDER] [--dry-run]

FOLDER holds Set14, old photographs, DDS textures and scanned film damage (`inpaint_cases.SETS`); none was trained or
fitted with.  Each picture's middle gets holes of each kind from a seed of its name, and every method the same ones:

psnr_db        inside holes, all channels, in 8 bits
edge_psnr_db   inside holes, at most 3 px from a known pixel: where seams are seen
ssim           of grey (Wang et al. 2004, Gaussian window of 1.5 px), mean over holes

Each is a mean over pictures.  `gain_db` is psnr_db less Navier-Stokes' on the same holes, with its 95 % interval
(percentiles of 4,000 resamplings of pictures).  `--keep` writes what each method made, to look at.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from inpaint_cases import Case, Holes, Pixels, make_cases, read_pictures
from inpaint_methods import NS, OFF, ON, PEERS, Method, all_methods
from numpy.typing import NDArray
from record import store

from restore.models.inpainting import DEFAULT, load
from restore.recipe import Inpaint

ALL = "all"
BAND_PX = 3
RESAMPLINGS = 4000
BEST_DB = 80.0
"""Of a fill without any fault, which is infinitely good."""
TARGETS_DB = {"dust": (0.7, 1.2), "strokes": (0.9, 2.0), "wide": (0.8, 2.0)}
"""Over Navier-Stokes, with grain off: what is asked of the network, and what would be excellent."""


@dataclass(frozen=True)
class Score:
    """Of one method on one case."""

    psnr_db: float
    edge_psnr_db: float
    ssim: float


Scores = Mapping[str, Sequence[Score | None]]
"""By method, in the order of the same cases; None where it gave up."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--crop-px", type=int, default=256)
    parser.add_argument("--most", type=int, default=24, help="pictures a set")
    parser.add_argument("--context-px", type=int, default=Inpaint.context_px)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for what every method made")
    parser.add_argument("--dry-run", action="store_true", help="print, and store nothing")
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    cv2.setNumThreads(told.threads)
    model = load(told.model)
    methods, packages = all_methods(model, told.context_px)
    pictures, left_out = read_pictures(told.data, told.crop_px, told.most)
    found: dict[tuple[str, str], dict[str, list[Score | None]]] = {}
    for case in make_cases(pictures, told.data):
        for name, method in methods.items():
            filled = run(name, method, case)
            one = None if filled is None else score(filled, case.picture.pixels, case.holes)
            for group in (case.picture.group, ALL):
                found.setdefault((group, case.bucket), {}).setdefault(name, []).append(one)
            if told.keep and filled is not None:
                keep(told.keep, case, name, filled)
        print(case.picture.group, case.picture.name, case.bucket, flush=True)
    table: dict[str, dict[str, Any]] = {}
    for (group, bucket), scores in found.items():
        table.setdefault(group, {})[bucket] = summary(scores)
    show(table)
    verdict = judged(table)
    print(verdict)
    if told.dry_run:
        return
    figures = {
        "model": model.name,
        "model_sha256": model.sha256,
        "context_px": told.context_px,
        "crop_px": told.crop_px,
        "pictures": {group: sum(p.group == group for p in pictures) for group in {p.group: 0 for p in pictures}},
        "left_out": left_out,
        "peers": packages,
        "targets_db": TARGETS_DB,
        "verdict": verdict,
        "table": table,
    }
    print(store("inpaint", figures))


def run(name: str, method: Method, case: Case) -> Pixels | None:
    """What `method` makes of `case`; None where a peer gives up."""
    try:
        filled = method(case.damaged, case.holes)
    except ValueError as error:  # patchmatch-cython's, where a level of its pyramid has no known pixel left
        if name not in PEERS:
            raise
        print(f"{name} gave up on {case.picture.name}, {case.bucket}: {error}", flush=True)
        return None
    # Some blend their fills into what is around; here all are laid into the same picture.
    return np.where(case.holes[..., None], filled, case.picture.pixels)


def score(filled: Pixels, truth: Pixels, holes: Holes) -> Score:
    band = holes & (cv2.distanceTransform(holes.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= BAND_PX)
    grey = [pixels.astype(np.float64).mean(2) for pixels in (filled, truth)]
    return Score(psnr(filled, truth, holes), psnr(filled, truth, band), float(ssim(*grey)[holes].mean()))


def psnr(filled: Pixels, truth: Pixels, where: Holes) -> float:
    error = float(((filled[where].astype(np.float64) - truth[where]) ** 2).mean())
    return min(BEST_DB, 10 * float(np.log10(255**2 / error))) if error else BEST_DB


def ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W): Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004."""

    def blur(plane: NDArray[np.float64]) -> NDArray[np.float64]:
        return cv2.GaussianBlur(plane, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, both = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return ((2 * mean_a * mean_b + c1) * (2 * both + c2)) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))


def summary(scores: Scores) -> dict[str, dict[str, Any]]:
    """Of each method, over what it didn't give up on: means, and differences of PSNR to Navier-Stokes' and of restore's
    (grain off) to its own."""
    rows: dict[str, dict[str, Any]] = {}
    values = {name: np.array([np.nan if s is None else s.psnr_db for s in found]) for name, found in scores.items()}
    for name, every in scores.items():
        found = [one for one in every if one is not None]
        done = np.isfinite(values[name])
        rows[name] = {
            "pictures": len(found),
            "psnr_db": round(float(values[name][done].mean()), 2),
            "edge_psnr_db": round(float(np.mean([s.edge_psnr_db for s in found])), 2),
            "ssim": round(float(np.mean([s.ssim for s in found])), 4),
            "gain_db": round(float((values[name] - values[NS])[done].mean()), 2),
            "gain_95_db": interval((values[name] - values[NS])[done]),
            "better_than_ns": round(float((values[name] > values[NS])[done].mean()), 2),
            "restore_over_it_95_db": interval((values[OFF] - values[name])[done]),
        }
    return rows


def interval(differences: NDArray[np.float64]) -> list[float]:
    """95 %, of the mean."""
    rng = np.random.default_rng(0)
    picks = rng.integers(len(differences), size=(RESAMPLINGS, len(differences)))
    return [round(float(v), 2) for v in np.percentile(differences[picks].mean(1), (2.5, 97.5))]


def judged(table: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the table says: where restore is below others beyond the interval, and which targets are reached."""
    below: dict[str, list[str]] = {}
    for group, buckets in table.items():
        for bucket, rows in buckets.items():
            for name, row in rows.items():
                if name not in (OFF, ON) and row["restore_over_it_95_db"][1] < 0:
                    below.setdefault(name, []).append(f"{group} {bucket}")
    gains = {bucket: table[ALL][bucket][OFF]["gain_db"] for bucket in TARGETS_DB}
    return {
        "restore_below_beyond_the_interval": below,
        "never_below_navier_stokes": NS not in below,
        "gain_db": gains,
        "target_reached": {bucket: gains[bucket] >= TARGETS_DB[bucket][0] for bucket in gains},
        "stretch_reached": {bucket: gains[bucket] >= TARGETS_DB[bucket][1] for bucket in gains},
    }


def show(table: Mapping[str, Mapping[str, Any]]) -> None:
    for group, buckets in table.items():
        for bucket, rows in buckets.items():
            print(f"\n{group}, {bucket}")
            for name, row in rows.items():
                low, high = row["gain_95_db"]
                print(
                    f"  {name:32}{row['psnr_db']:6.2f} dB, edges {row['edge_psnr_db']:6.2f}, SSIM {row['ssim']:.3f}, "
                    f"{row['gain_db']:+5.2f} [{low:+.2f}, {high:+.2f}], better than NS on {row['better_than_ns']:.0%}"
                )


def keep(folder: Path, case: Case, name: str, filled: Pixels) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{case.picture.group}-{Path(case.picture.name).stem}-{case.bucket}".replace(" ", "_")
    for what, pixels in ((name, filled), ("truth", case.picture.pixels), ("damaged", case.damaged)):
        path = folder / f"{stem}-{''.join(c for c in what if c.isalnum() or c == '-')}.png"
        cv2.imwrite(str(path), pixels[..., ::-1])


if __name__ == "__main__":
    main()
