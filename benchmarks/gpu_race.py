"""Owns the times of `gpu.py`: contestants take turns in one loop, so that drifting clocks meet all of them alike.

A time is the median of the rounds; each is taken with CUDA events around as many runs as fill some milliseconds.
Memory is what a contestant took beyond its weights and input.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from gpu_sheet import Options, in_words

_ROUND_MS = 5.0
_LEAST_ROUNDS, _MOST_ROUNDS = 3, 40


@dataclass(frozen=True)
class Contestant:
    name: str
    run: Callable[[], object]
    graph: bool = False
    """Captured in a CUDA graph, and replayed."""
    ours: bool = False


def race(contestants: Sequence[Contestant], *, seconds: float, withhold: str, device: str) -> list[dict[str, Any]]:
    """A row for each, in their order: its figures, or the reason why it has none."""
    rows: dict[str, dict[str, Any]] = {c.name: {"contestant": c.name} for c in contestants}
    ready: dict[str, tuple[Callable[[], object], int]] = {}
    end = time.monotonic() + seconds
    # Graphs may share memory: they run one at a time, and nothing is kept from one run to the next.
    pool = None if device == "cpu" else torch.cuda.graph_pool_handle()
    for c in sorted(contestants, key=lambda c: not c.ours):  # should time run out, a peer is left out
        if c.ours and withhold:
            rows[c.name]["reason"] = withhold
        elif time.monotonic() > end:
            rows[c.name]["reason"] = "no time left"
        else:
            try:
                ready[c.name], rows[c.name]["memory_mib"] = _prepare(c, device, pool)
            except torch.cuda.OutOfMemoryError:
                rows[c.name]["reason"] = "out of memory"
                torch.cuda.empty_cache()
            except Exception as error:  # noqa: BLE001 - written down; the others race on
                rows[c.name]["reason"] = in_words(error)
    times: dict[str, list[float]] = {name: [] for name in ready}
    for done in range(_MOST_ROUNDS):
        if done >= _LEAST_ROUNDS and time.monotonic() > end:
            break
        for name in ready if done % 2 == 0 else reversed(ready):
            times[name].append(_milliseconds(*ready[name], device))
    for name, measured in times.items():
        rows[name] |= {
            "ms": round(statistics.median(measured), 4),
            "ms_range": [round(min(measured), 4), round(max(measured), 4)],
            "rounds": len(measured),
        }
    return list(rows.values())


def _prepare(c: Contestant, device: str, pool: Any) -> tuple[tuple[Callable[[], object], int], float | None]:
    """What to run, how often in a round; and its memory in MiB."""
    c.run()  # loads kernels and lets cuDNN choose: neither may happen in a capture
    if device == "cpu":
        return (c.run, 1), None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run = c.run
    if c.graph:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            c.run()
        run = graph.replay
    run()
    torch.cuda.synchronize()
    memory = (torch.cuda.max_memory_allocated() - before) / 2**20
    once = _milliseconds(run, 1, device)
    return (run, max(1, min(100, round(_ROUND_MS / max(once, 1e-3))))), round(memory, 1)


def _milliseconds(run: Callable[[], object], times: int, device: str) -> float:
    if device == "cpu":
        start = time.perf_counter()
        for _ in range(times):
            run()
        return (time.perf_counter() - start) * 1e3 / times
    first, last = torch.cuda.Event(True), torch.cuda.Event(True)
    first.record()
    for _ in range(times):
        run()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / times


def with_rates(row: dict[str, Any], flop: float, options: Options) -> dict[str, Any]:
    if "ms" not in row:
        return row
    rate = flop / row["ms"] / 1e9
    share = None if options.peak_tflops is None else round(rate / options.peak_tflops, 4)
    return {**row, "tflops": round(rate, 2), "share_of_matmul": share, "per_second": round(1e3 / row["ms"], 3)}
