"""Times the inpainting network on this CPU: its own layers against NVIDIA's layer formula, with the same weights.

    python benchmarks/inpaint_speed.py [--sides 64 160 256] [--rounds 7] [--threads N]

NVIDIA's partial convolution runs step by step in torch's operators, with a mask for each channel that is convolved, too
(`gpu_peers.partial_conv`; Liu et al., ECCV 2018); a U-Net's skips need those, as the sources of a concatenation have
different holes.  Here one plane a source is counted.  Everything around the layers (push-pull, local statistics) is the
same code.  Contestants take turns in every round; a round's ratio is NVIDIA's seconds over theirs, and the median of
the ratios counts.  Nothing is stored where the results differ.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from gpu_peers import holes, joined, partial_conv
from record import Quiet, store
from torch import Tensor, nn

from restore.models import inpainting, pconv
from restore.models.pconv import SLOPE, PconvUnet, Region

NVIDIA, NVIDIA_LAST, OURS = "NVIDIA's formula, eager", "NVIDIA's formula, eager, channels_last", "restore"
TARGET = 2.0
TOLERANCE = 1e-3
"""Share of the range: sums of a thousand products in another order differ by less."""


class EagerUnet(PconvUnet):
    """The same network with NVIDIA's layers."""

    def to_layout(self, layout: torch.memory_format) -> EagerUnet:
        self.to(memory_format=layout)
        self._layout = layout
        self._ones = {id(layer): torch.ones_like(layer.weight) for layer in self.modules() if _is_layer(layer)}
        return self

    def _residual(
        self, normal: Tensor, valid: Tensor, dtype: torch.dtype, _wanted: Region | None
    ) -> tuple[Tensor, Tensor]:
        y = normal.to(dtype).contiguous(memory_format=self._layout)
        seen = valid.to(dtype).expand_as(y).contiguous(memory_format=self._layout)
        y, seen = self._layer(self.first, y, seen)
        levels = []
        for layer in self.down:
            levels.append((y, seen))
            y, seen = self._layer(layer, y, seen, stride=2)
        for layer in reversed(self.up):
            y, seen = self._layer(layer, *joined(y, seen, *levels.pop()))
        y, seen = self._layer(self.last, y, seen, slope=1.0)
        return y, seen[:, :1] > 0

    def _layer(
        self, layer: nn.Module, x: Tensor, mask: Tensor, stride: int = 1, slope: float = SLOPE
    ) -> tuple[Tensor, Tensor]:
        weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
        y, seen = partial_conv(
            x, mask, weight, bias, self._ones[id(layer)], stride=stride, padding=weight.shape[2] // 2
        )
        return (y if slope == 1.0 else F.leaky_relu(y, slope)), seen


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 160, 256], help="multiples of 32 px")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dry-run", action="store_true", help="print, and store nothing")
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    table: dict[str, dict[str, Any]] = {}
    with Quiet() as quiet:
        for side in told.sides:
            table[str(side)] = measure(contestants(side), told.rounds)
    for side, rows in table.items():
        for name, row in rows.items():
            print(f"{side:>5} px {name:40}", "  ".join(f"{key} {value}" for key, value in row.items()))
    if max(row["largest_difference"] for rows in table.values() for row in rows.values()) > TOLERANCE:
        sys.exit("not stored: the results differ, so these are not the same network")
    ratios = {side: rows[OURS]["times_nvidia_median"] for side, rows in table.items()}
    figures = {"threads": told.threads, "rounds": told.rounds, "target": TARGET, "by_side_px": table}
    figures["target_reached"] = all(ratio >= TARGET for ratio in ratios.values())
    print(ratios, "all at least", TARGET, figures["target_reached"])
    if not told.dry_run:
        print(store("inpaint-speed", figures, quiet))


def contestants(side: int) -> dict[str, Callable[[], Tensor]]:
    """Each fills the same picture (1, 3, side, side), `restore` as its engine calls it."""
    x, valid = case(side)
    model = inpainting.load()
    planes = torch.cat([x, valid.float(), torch.ones_like(x[:, :1])], 1)
    found: dict[str, Callable[[], Tensor]] = {OURS: lambda: model.net(planes)[:, :3]}
    ours = pconv.load(inpainting.SHIPPED)
    for name, layout in ((NVIDIA, torch.contiguous_format), (NVIDIA_LAST, torch.channels_last)):
        eager = EagerUnet(ours.widths)
        eager.load_state_dict(ours.state_dict())
        eager.to_layout(layout).eval().requires_grad_(False)
        found[name] = partial(filled, eager, x, valid)
    return found


def filled(net: PconvUnet, x: Tensor, valid: Tensor) -> Tensor:
    return net(x, valid).image


def case(side: int) -> tuple[Tensor, Tensor]:
    """x (1, 3, side, side) in [0, 1], and which of it is known."""
    generator = torch.Generator().manual_seed(4)
    coarse = torch.rand(1, 3, max(2, side // 8), max(2, side // 8), generator=generator)
    x = F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False).clamp(0, 1)
    return x, holes(1, side, side, generator, share=0.2)


def measure(runs: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, dict[str, Any]]:
    answers = {name: run() for name, run in runs.items()}  # and warm-up
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for done in range(rounds):
        for name in runs if done % 2 == 0 else reversed(runs):
            start = time.perf_counter()
            runs[name]()
            seconds[name].append(time.perf_counter() - start)
    rows: dict[str, dict[str, Any]] = {}
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(seconds[NVIDIA], times, strict=True)]
        fastest = [min(a, b) / c for a, b, c in zip(seconds[NVIDIA], seconds[NVIDIA_LAST], times, strict=True)]
        rows[name] = {
            "seconds_median": round(statistics.median(times), 4),
            "times_nvidia_median": round(statistics.median(ratios), 2),
            "times_nvidia_range": [round(min(ratios), 2), round(max(ratios), 2)],
            "times_the_faster_nvidia_median": round(statistics.median(fastest), 2),
            "largest_difference": round(float((answers[name] - answers[NVIDIA]).abs().max()), 6),
        }
    return rows


if __name__ == "__main__":
    with torch.inference_mode():
        main()
