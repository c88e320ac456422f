"""Owns what a check of `gpu.py` is: random numbers, true answer, bounds, and how it is run and written down.

A group is a list of cases, each with random numbers of its own that follow from the seed and the case's name, so
that one case can be run again alone.  A case finds named figures, each with the bound that it must not exceed; where
bytes must be equal the figure is how many differ, and the bound 0.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gpu_peers as peers
import torch
import torch.nn.functional as F
from gpu_sheet import Sheet, in_words
from torch import Tensor

HALVES = (torch.float16, torch.bfloat16)
BOUNDS = {torch.float16: 1.5e-3, torch.bfloat16: 1e-2, torch.float32: 2e-4, torch.float64: 1e-10}
"""Of one convolution: largest difference in units of (the true number + the root mean square of all)."""
NETWORK_BOUNDS = {torch.float16: 3e-3, torch.bfloat16: 2.5e-2, torch.float32: 1e-4}
"""Of a network: root mean square of the differences over that of the true numbers."""

Found = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Case:
    what: str
    run: Callable[[Draw], Found]


@dataclass(frozen=True)
class Draw:
    """Random numbers, made on the CPU and put on the device under test."""

    generator: torch.Generator
    device: str

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> Tensor:
        """In float32 rounded to `dtype`, as float64 on the CPU."""
        return (torch.randn(shape, generator=self.generator) * scale).to(dtype).double()

    def unit(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator)

    def holes(self, n: int, height: int, width: int) -> Tensor:
        """Boxes and single pixels are missing, and one corner wholly."""
        valid = peers.holes(n, height, width, self.generator)
        valid &= self.unit(n, 1, height, width) > 0.2
        valid[:, :, : height // 4, : width // 4] = False
        return valid

    def one_of(self, *options: Any) -> Any:
        return options[int(torch.randint(len(options), (), generator=self.generator))]

    def put(self, t: Tensor, dtype: torch.dtype | None = None, *, last: bool = True) -> Tensor:
        t = t.to(self.device, dtype or t.dtype)
        return t.contiguous(memory_format=torch.channels_last) if last and t.dim() == 4 else t.contiguous()


@dataclass(frozen=True)
class Layer:
    """A random layer in float64 and its true answer."""

    x: Tensor
    valid: Tensor
    weight: Tensor
    bias: Tensor | None
    skip: Tensor | None
    skip_valid: Tensor | None
    doubled: bool
    options: dict[str, Any]

    @staticmethod
    def drawn(
        draw: Draw, dtype: torch.dtype, *, channels: int, filters: int, kernel: int = 3, stride: int = 1,
        skip: int = 0, doubled: bool = False, size: tuple[int, int] = (45, 71), n: int = 2,
    ) -> Layer:  # fmt: skip
        x, valid = draw.normal(n, channels, *size, dtype=dtype), draw.holes(n, *size)
        full = tuple(s * 2 if doubled else s for s in size)
        scale = (kernel * kernel * (channels + skip)) ** -0.5
        weight = draw.normal(filters, channels + skip, kernel, kernel, dtype=dtype, scale=scale)
        bias = draw.normal(filters, dtype=dtype) if draw.one_of(True, True, False) else None
        options = {"stride": stride, "padding": kernel // 2, "slope": draw.one_of(1.0, 0.2, 0.0)}
        return Layer(
            *(x, valid, weight, bias),
            draw.normal(n, skip, *full, dtype=dtype) if skip else None,
            draw.holes(n, *full) if skip else None,
            doubled,
            options,
        )

    def answer(self, *, plain: bool = False) -> tuple[Tensor, Tensor]:
        """From the formula, with a mask for each channel; `plain`: everything is known, and borders are zeros."""
        values, masks = [], []
        for part, known, enlarged in ((self.x, self.valid, self.doubled), (self.skip, self.skip_valid, False)):
            if part is None or known is None:
                continue
            pair = (part, torch.ones_like(part)) if plain else (torch.where(known, part, 0), known.expand_as(part))
            for whole, t in zip((values, masks), pair, strict=True):
                whole.append(F.interpolate(t.double(), scale_factor=2, mode="nearest") if enlarged else t.double())
        x, mask = torch.cat(values, 1), torch.cat(masks, 1)
        bias = torch.zeros(len(self.weight), dtype=x.dtype) if self.bias is None else self.bias
        window = {"stride": self.options["stride"], "padding": self.options["padding"]}
        if plain:
            y, seen = F.conv2d(x, self.weight, bias, **window), None
        else:
            y, seen = peers.partial_conv(x, mask, self.weight, bias, torch.ones_like(self.weight[:1]), **window)
        y = F.leaky_relu(y, self.options["slope"])
        return y, torch.ones_like(y[:, :1], dtype=torch.bool) if seen is None else seen > 0

    def arguments(self, draw: Draw, dtype: torch.dtype) -> tuple[tuple[Tensor | None, ...], dict[str, Any]]:
        """On the device, with NaN under the holes."""
        last = draw.one_of(True, True, False)
        x = draw.put(self.x.masked_fill(~self.valid, float("nan")), dtype, last=last)
        bias = None if self.bias is None else draw.put(self.bias, dtype)
        options = {**self.options, "doubled": self.doubled}
        if self.skip is not None and self.skip_valid is not None:
            dirty = self.skip.masked_fill(~self.skip_valid, float("nan"))
            options |= {"skip": draw.put(dirty, dtype, last=last), "skip_valid": draw.put(self.skip_valid)}
        return (x, draw.put(self.valid), draw.put(self.weight, dtype, last=False), bias), options


def distance(y: Tensor, true: Tensor) -> float:
    """Largest difference, as `BOUNDS` counts."""
    scale = true.abs() + true.square().mean().sqrt().clamp_min(1e-30)
    return float(((y.cpu().double() - true) / scale).abs().max())


def relative(y: Tensor, true: Tensor) -> float:
    """Root mean square, as `NETWORK_BOUNDS` counts."""
    true = true.double().cpu()
    return float((y.cpu().double() - true).norm() / true.norm())


def differing(a: Tensor, b: Tensor) -> tuple[float, float]:
    """How many numbers differ in any bit; more than 0 is wrong."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf"), 0.0
    width = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    return float((a.contiguous().view(width).cpu() != b.contiguous().view(width).cpu()).sum()), 0.0


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def run_cases(sheet: Sheet, group: str, cases: Iterator[Case], *, seed: int, device: str) -> None:
    """Each case leaves a line in the list `group` of the sheet; `complete` says that none was left out."""
    wrong, done, left_out = 0, 0, []
    for case in cases:
        if sheet.left() < 0:
            left_out.append(case.what)
            continue
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {case.what}".encode()))
        row: dict[str, Any] = {"group": group, "what": case.what}
        try:
            with torch.inference_mode():
                found = case.run(Draw(generator, device))
            row["ok"] = all(value <= bound for value, bound in found.values())  # NaN is not
            row["found"] = {name: {"value": value, "bound": bound} for name, (value, bound) in found.items()}
        except Exception as error:  # noqa: BLE001 - a case that raises is a failed one
            row |= {"ok": False, "error": in_words(error)}
        done += 1
        if not row["ok"]:
            wrong += 1
            print(f"FAILED  {case.what}: {row.get('error', row.get('found'))}", flush=True)
        sheet.add("checks", row)
    summary = {"checked": done, "wrong": wrong, "complete": not left_out}
    if left_out:
        summary["left_out"] = f"{len(left_out)} for want of time, from: {left_out[0]}"
    sheet.put(groups={**sheet.facts.get("groups", {}), group: summary})
    print(f"{group:12} {done} checked, {wrong} wrong{'' if not left_out else ', ' + summary['left_out']}", flush=True)
