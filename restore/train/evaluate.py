"""Owns how good a network that fills holes is: PSNR inside holes of held-out crops, by kind of damage, beside the
classical fills that it must beat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restore.errors import SetupError
from restore.models.pconv import PconvUnet
from restore.models.push_pull import push_pull
from restore.navier_stokes import navier_stokes_8bit
from restore.train.crops import Crops, Shard
from restore.train.damage import BUCKETS, Holes, draw, lay_overlay, narrowed, radius_limit_px

METHODS = ("net", "push_pull", "ns")
REAL = "real"
"""The bucket of scanned damage, where overlays are given."""
_SEED = 7
_AT_ONCE = 8
_BEST_PSNR_DB = 80.0
"""Of a fill without any fault, which is infinitely good."""

Fill = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Probe:
    """Held-out crops and holes, and what the classical fills make of them."""

    buckets: Mapping[str, tuple[tuple[Crops, Holes], ...]]
    baselines: Mapping[str, float]
    """ "dust_ns", ...: PSNR in dB."""

    def scores(self, net: PconvUnet, device: str) -> dict[str, float]:
        """PSNR in dB of `net` and of the classical fills: "dust_net", "dust_push_pull", "dust_ns", ..."""
        net.eval()
        found: dict[str, float] = {}
        for name, pairs in self.buckets.items():
            found[f"{name}_net"] = _score(pairs, lambda x, valid: net(x, valid).image, device)
            found |= {f"{name}_{method}": self.baselines[f"{name}_{method}"] for method in METHODS[1:]}
        return found


def make_probe(shard: Shard, overlays: Sequence[Holes] = (), *, each: int = 16) -> Probe:
    """`each` crops a bucket, the same ones in every run; `overlays` are held-out ones."""
    if not len(shard.held_out):
        raise SetupError("the shard has no held-out picture, so nothing can be measured; pack two pictures or more")
    rng = np.random.default_rng(_SEED)
    chosen = rng.choice(shard.held_out, each, replace=len(shard.held_out) < each)
    side = shard.crops.shape[1]
    buckets: dict[str, tuple[tuple[Crops, Holes], ...]] = {}
    for name, damage in BUCKETS.items():
        small = narrowed(damage, side)
        buckets[name] = tuple((np.array(shard.crops[i]), draw(small, side, side, rng)) for i in chosen)
    if overlays:
        limit_px = radius_limit_px(narrowed(BUCKETS["irregular"], side))
        drawn = [lay_overlay(overlays[k % len(overlays)], side, side, limit_px, rng) for k in range(4 * each)]
        usable = [holes.view(np.bool_) for holes in drawn if holes.any()][:each]
        buckets[REAL] = tuple((np.array(shard.crops[i]), holes) for i, holes in zip(chosen, usable, strict=False))
    baselines: dict[str, float] = {}
    for name, pairs in buckets.items():
        baselines[f"{name}_push_pull"] = _score(pairs, push_pull, "cpu")
        baselines[f"{name}_ns"] = float(np.mean([_psnr(crop, navier_stokes_8bit(crop, h), h) for crop, h in pairs]))
    return Probe(buckets, baselines)


def as_tensors(crops: NDArray[np.uint8], holes: NDArray[np.bool_], device: str) -> tuple[Tensor, Tensor]:
    """(N, H, W, 3) and (N, H, W) as x (N, 3, H, W) float32 in [0, 1] and valid (N, 1, H, W)."""
    x = torch.from_numpy(crops).to(device).permute(0, 3, 1, 2).float() / 255
    return x, ~torch.from_numpy(holes).to(device).unsqueeze(1)


@torch.inference_mode()
def _score(pairs: Sequence[tuple[Crops, Holes]], fill: Fill, device: str) -> float:
    """Mean over crops of the PSNR inside holes, of results rounded to 8 bits."""
    psnrs: list[float] = []
    for start in range(0, len(pairs), _AT_ONCE):
        part = pairs[start : start + _AT_ONCE]
        x, valid = as_tensors(np.stack([crop for crop, _ in part]), np.stack([holes for _, holes in part]), device)
        filled = (fill(x, valid).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        psnrs += [_psnr(crop, result, holes) for (crop, holes), result in zip(part, filled, strict=True)]
    return float(np.mean(psnrs))


def _psnr(crop: Crops, filled: Crops, holes: Holes) -> float:
    error = float(((crop[holes].astype(np.float64) - filled[holes]) ** 2).mean()) if holes.any() else 0.0
    return _BEST_PSNR_DB if error == 0 else min(_BEST_PSNR_DB, 10 * np.log10(255**2 / error))
