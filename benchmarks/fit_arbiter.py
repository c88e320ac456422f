"""Fits the choice among fills (restore/inpaint/arbiter.json) for one network, and measures what it is worth.

    python benchmarks/fit_arbiter.py --crops SHARD [--overlays FOLDER] [--model FILE.safetensors] [--dry-run]

Crops are a shard's held-out pictures, which the network wasn't trained with; none is in an evaluation set.  Half
of the pictures fit the coefficients, the other half says what they are worth, in PSNR inside holes by kind of damage,
and how often confidence keeps its promise.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from record import store

from restore.holes.found import one_kind
from restore.image import Alpha, Image, Stored, Transfer
from restore.inpaint import Damaged, Inpainter, arbiter
from restore.inpaint.arbiter import FEATURES, FILLS, WITHIN, Arbiter, Evidence, Vector
from restore.models.inpainting import DEFAULT, InpaintModel, load
from restore.navier_stokes import navier_stokes_8bit
from restore.recipe import FindHoles, Grain, HolesFrom, Inpaint
from restore.train.crops import open_shard
from restore.train.damage import BUCKETS, Damage, Holes, draw, lay_overlay, narrowed, radius_limit_px
from restore.train.overlays import read_overlays
from restore.traits import AlphaUse, Content, Traits

TRAITS = Traits(Content.COLOR, AlphaUse.NONE, (False, False), False, "")
STORED = Stored("png", 8, False, Transfer.SRGB, Alpha.NONE, ("R", "G", "B"))
BEYOND = Damage((("stroke", 0.5), ("block", 0.5)), (0.1, 0.25), (40, 100))
"""Wider than the network was trained for."""
LEAST = (0.5 / 255) ** 2
"""Added to squared errors: below half a step of 8 bits all are alike."""


@dataclass(frozen=True)
class Case:
    """One crop with holes."""

    bucket: str
    pixels: NDArray[np.uint8]
    holes: Holes
    fits: bool
    """It fits; else it measures."""


@dataclass(frozen=True)
class Hole:
    """What one hole of a case taught."""

    case: int
    features: Vector
    errors: Vector
    """(len(FILLS), len(FILLS)): sums over pixels and channels of products of two fills' errors."""
    values: int


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--crops", type=Path, required=True)
    parser.add_argument("--overlays", type=Path)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--each", type=int, default=80, help="crops a bucket")
    parser.add_argument("--context-px", type=int, default=Inpaint.context_px)
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    told = parser.parse_args()
    model = load(told.model, told.device)
    cases = make_cases(told.crops, told.overlays, told.each)
    holes = observe(model, cases, told.context_px)
    fitted = fit_weights(holes, cases)
    results, psnrs = run(model, cases, told.context_px, fitted)
    fitted = fit_confidence(fitted, results, cases)
    table = measure(holes, cases, psnrs)
    promise = reliability(fitted, results, cases)
    for name, row in table.items():
        print(f"{name:10}", "  ".join(f"{key} {value:6.2f}" for key, value in row.items()), flush=True)
    print("confidence, how often it was right, holes:", promise, flush=True)
    if told.dry_run:
        return
    target = Path(arbiter.__file__).with_name("arbiter.json")
    target.write_text(json.dumps(arbiter.as_table(fitted, model.sha256), indent=1) + "\n")
    figures = {
        "model": model.name,
        "model_sha256": model.sha256,
        "context_px": told.context_px,
        "crops": {"fitted": sum(c.fits for c in cases), "measured": sum(not c.fits for c in cases)},
        "psnr_in_holes_db": table,
        "confidence_within": WITHIN,
        "confidence_against_share_within": promise,
    }
    print(store("inpaint-arbiter", figures))


def make_cases(crops: Path, overlays: Path | None, each: int) -> list[Case]:
    """Every second picture fits."""
    shard = open_shard(crops)
    rng = np.random.default_rng(11)
    real = read_overlays(overlays).held_out[::2] if overlays else ()  # the others are for `inpaint.py`
    pictures = held_out_pictures(crops)
    halves = pictures[::2], pictures[1::2]
    cases: list[Case] = []
    for name, damage in {**BUCKETS, "beyond": BEYOND, **({"real": BUCKETS["irregular"]} if real else {})}.items():
        for fits, half in zip((True, False), halves, strict=True):
            for _ in range(each // 2):  # any picture first: a few have most of the crops
                picture = half[int(rng.integers(len(half)))]
                pixels = np.array(shard.crops[int(rng.choice(picture))])
                side = pixels.shape[0]
                if name == "real":
                    overlay = real[int(rng.integers(len(real)))]
                    limit_px = radius_limit_px(narrowed(damage, side))
                    holes = lay_overlay(overlay, side, side, limit_px, rng).view(np.bool_)
                else:
                    holes = draw(damage if name == "beyond" else narrowed(damage, side), side, side, rng)
                if holes.any() and not holes.all():
                    cases.append(Case(name, pixels, holes, fits))
    return cases


def held_out_pictures(crops: Path) -> list[range]:
    """Each picture's crops in the shard."""
    facts = json.loads(crops.with_suffix(".json").read_text())
    return [range(s["first"], s["first"] + s["count"]) for s in facts["sources"] if s["held_out"] and s["count"]]


def damaged(case: Case) -> Damaged:
    image = Image(np.where(case.holes[..., None], np.uint8(0), case.pixels), STORED)
    return Damaged(image, one_kind(case.holes, image, "mask"), TRAITS, 0)


def step_of(model: InpaintModel, context_px: int) -> Inpaint:
    holes = FindHoles(HolesFrom.MASKS)
    return Inpaint(model.name, model.sha256, model.precision, holes, context_px, Grain.OFF)


def observe(model: InpaintModel, cases: Sequence[Case], context_px: int) -> list[Hole]:
    """What each hole's fills got wrong."""
    seen: list[Hole] = []
    unfitted = arbiter.arbiter_for("no network")  # what is there may be for other features
    for number, case in enumerate(cases):
        truth = case.pixels.astype(np.float32) / 255
        sums: dict[int, tuple[Evidence, Vector, int]] = {}

        def witness(found: Evidence, at: Any, fills: Any, truth: Any = truth, sums: Any = sums) -> None:
            errors = (fills - truth[at]).reshape(len(FILLS), -1).astype(np.float64)
            _, before, count = sums.get(id(found), (found, np.zeros((len(FILLS), len(FILLS))), 0))
            sums[id(found)] = (found, before + errors @ errors.T, count + errors.shape[1])

        Inpainter(model, step_of(model, context_px), batch_px=1, arbiter=unfitted, witness=witness)(damaged(case))
        seen += [Hole(number, found.features(), errors, count) for found, errors, count in sums.values()]
    return seen


def fit_weights(holes: Sequence[Hole], cases: Sequence[Case]) -> Arbiter:
    """Weights that make the mean over crops of log(squared error in holes) least."""
    fit = [hole for hole in holes if cases[hole.case].fits]
    features = np.stack([hole.features for hole in fit])
    mean, scale = features.mean(0), features.std(0).clip(1e-3)
    mean[0], scale[0] = 0.0, 1.0
    x = torch.from_numpy((features - mean) / scale)
    errors = torch.from_numpy(np.stack([hole.errors for hole in fit]))
    numbers = {case: i for i, case in enumerate(sorted({hole.case for hole in fit}))}
    owner = torch.tensor([numbers[hole.case] for hole in fit])
    values = torch.zeros(len(numbers), dtype=torch.float64).index_add(
        0, owner, torch.tensor([hole.values for hole in fit], dtype=torch.float64)
    )
    weights = torch.zeros(len(FILLS), len(FEATURES), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=400, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        shares = (x @ weights.T).softmax(1)
        wrong = torch.einsum("ni,nij,nj->n", shares, errors, shares)
        squared = torch.zeros(len(numbers), dtype=torch.float64).index_add(0, owner, wrong) / values
        total = (squared + LEAST).log().mean() + 1e-3 * (weights**2).sum()
        total.backward()
        return total

    optimizer.step(loss)
    return Arbiter(mean, scale, weights.detach().numpy(), np.zeros(len(FEATURES)))


@dataclass(frozen=True)
class Result:
    """What a hole became."""

    case: int
    features: Vector
    error: float
    """Root mean square, in shares of the range."""


def run(
    model: InpaintModel, cases: Sequence[Case], context_px: int, fitted: Arbiter
) -> tuple[list[Result], list[float]]:
    """What every hole became, and the PSNR in dB inside the holes of every case."""
    results: list[Result] = []
    psnrs: list[float] = []
    for number, case in enumerate(cases):
        one = damaged(case)
        labels = one.found.labels
        found: dict[int, Evidence] = {}

        def witness(seen: Evidence, at: Any, _: Any, labels: Any = labels, found: Any = found) -> None:
            found[int(labels[at[0][0], at[1][0]])] = seen

        step = step_of(model, context_px)
        page = Inpainter(model, step, batch_px=1, arbiter=fitted, witness=witness)(one).page.pixels
        psnrs.append(psnr(page, case))
        difference = ((page.astype(np.float64) - case.pixels) / 255) ** 2
        for label, seen in found.items():
            own = labels == label
            if own.any():
                results.append(Result(number, seen.features(), float(np.sqrt(difference[own].mean()))))
    return results, psnrs


def fit_confidence(fitted: Arbiter, results: Sequence[Result], cases: Sequence[Case]) -> Arbiter:
    """Logistic regression of "the error is within WITHIN"."""
    fit = [result for result in results if cases[result.case].fits]
    x = torch.from_numpy(np.stack([(result.features - fitted.mean) / fitted.scale for result in fit]))
    right = torch.tensor([result.error <= WITHIN for result in fit], dtype=torch.float64)
    coefficients = torch.zeros(len(FEATURES), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([coefficients], max_iter=400, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        total = torch.nn.functional.binary_cross_entropy_with_logits(x @ coefficients, right)
        total = total + 1e-4 * (coefficients**2).sum()
        total.backward()
        return total

    optimizer.step(loss)
    return Arbiter(fitted.mean, fitted.scale, fitted.weights, coefficients.detach().numpy())


def reliability(fitted: Arbiter, results: Sequence[Result], cases: Sequence[Case]) -> list[tuple[float, float, int]]:
    """(mean confidence, share of holes within WITHIN, holes) by fifths of confidence, of what didn't fit."""
    rest = [result for result in results if not cases[result.case].fits]
    x = np.stack([(result.features - fitted.mean) / fitted.scale for result in rest])
    sure = 1 / (1 + np.exp(-x @ fitted.confidence))
    right = np.array([result.error <= WITHIN for result in rest])
    rows = []
    for low in np.arange(0, 1, 0.2):
        inside = (sure >= low) & (sure < low + 0.2 + (low > 0.7))
        if inside.any():
            rows.append(
                (round(float(sure[inside].mean()), 3), round(float(right[inside].mean()), 3), int(inside.sum()))
            )
    return rows


def measure(holes: Sequence[Hole], cases: Sequence[Case], psnrs: Sequence[float]) -> dict[str, dict[str, float]]:
    """PSNR in dB inside holes, mean over crops that didn't fit: OpenCV's Navier-Stokes in 8 bits, what the arbiter did,
    and each fill alone where no hole was too wide for one."""
    shares = {fill.value: np.eye(len(FILLS))[i] for i, fill in enumerate(FILLS)} | {
        "mean": np.full(len(FILLS), 1 / len(FILLS))
    }
    errors = [np.zeros((len(FILLS), len(FILLS))) for _ in cases]
    values = [0] * len(cases)
    for hole in holes:
        errors[hole.case] += hole.errors
        values[hole.case] += hole.values
    table: dict[str, dict[str, list[float]]] = {}
    for case, wrong, count, made in zip(cases, errors, values, psnrs, strict=True):
        if case.fits:
            continue
        row = table.setdefault(case.bucket, {})
        classical = navier_stokes_8bit(np.where(case.holes[..., None], np.uint8(0), case.pixels), case.holes)
        row.setdefault("opencv ns", []).append(psnr(classical, case))
        row.setdefault("arbiter", []).append(made)
        if count == 3 * case.holes.sum():
            for name, share in shares.items():
                row.setdefault(name, []).append(decibels(float(share @ wrong @ share) / count))
    summary = {}
    for bucket, row in table.items():
        gain = np.array(row["arbiter"]) - np.array(row["opencv ns"])
        every = {name: found for name, found in row.items() if len(found) == len(gain)}
        summary[bucket] = {name: round(float(np.mean(found)), 3) for name, found in every.items()}
        summary[bucket]["gain"] = round(float(gain.mean()), 3)
        summary[bucket]["gain_95"] = round(float(1.96 * gain.std() / np.sqrt(len(gain))), 3)
    return summary


def psnr(pixels: NDArray[Any], case: Case) -> float:
    return decibels(float(((pixels[case.holes].astype(np.float64) - case.pixels[case.holes]) ** 2).mean()) / 255**2)


def decibels(squared: float) -> float:
    return min(80.0, float(-10 * np.log10(max(squared, 1e-12))))


if __name__ == "__main__":
    main()
