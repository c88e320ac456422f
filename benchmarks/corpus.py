"""Runs `restore upscale` over a real folder and stores what came of it: counts, failures, times, peak memory.

    python benchmarks/corpus.py NAME IN OUT [options of `restore upscale`]

The run is a process of its own.  `peak_memory_mib` is the largest sum over it and its decoder children, pages that they
share counted once (PSS, sampled twice a second; needs psutil, extra `bench`).  Times depend on what else the machine
does; the record says how much that was.
"""

from __future__ import annotations

import collections
import json
import statistics
import subprocess
import sys
import threading
import time
from typing import Any

import psutil
from record import Quiet, store


def main() -> None:
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    name, source, target, *options = sys.argv[1:]
    command = [sys.executable, "-m", "restore", "upscale", source, target, "--json", *options]
    start = time.perf_counter()
    with Quiet() as quiet:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="surrogateescape")
        assert process.stdout is not None
        peak = PeakMemory(process.pid)
        peak.start()
        events = [json.loads(line) for line in process.stdout]
        code = process.wait()
    figures = summary(events)
    figures["exit_code"] = code
    figures["wall_seconds"] = round(time.perf_counter() - start, 1)
    figures["peak_memory_mib"] = peak.bytes >> 20
    figures["foreign_cores"] = None if quiet.foreign_cores is None else round(quiet.foreign_cores, 2)

    print(json.dumps(figures, indent=1))
    print(store(f"corpus-{name}", {"figures": figures}))


class PeakMemory(threading.Thread):
    """The largest memory that a process and its descendants took together."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self.bytes = 0

    def run(self) -> None:
        while self._root.is_running():
            total = 0
            try:
                for process in [self._root, *self._root.children(recursive=True)]:
                    total += process.memory_full_info().pss
            except psutil.Error:  # one ended meanwhile
                time.sleep(0.05)
                continue
            self.bytes = max(self.bytes, total)
            time.sleep(0.5)


def summary(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures that `--json` told."""
    of = collections.defaultdict(list)
    for event in events:
        of[event["event"]].append(event)
    if of["error"]:
        return {"error": of["error"][0]["message"]}
    run, plan, end = of["run"][0], of["plan"][0], of["end"][0]
    outcomes = of["outcome"]
    drifts = sorted(o["drift"] for o in outcomes if o.get("drift") is not None)
    reasons = [str(o.get("traits") or "") for o in outcomes]
    return {
        "run": {key: run[key] for key in ("model", "precision", "device_name", "tile_px", "halo_px")},
        "sources": plan["sources"],
        "pixels_in": plan["pixels_in"],
        "pixels_out": plan["pixels_out"],
        "done": end["done"],
        "already_done": end["already_done"],
        "failed": end["failed"],
        "output_bytes": end["output_bytes"],
        "run_seconds": round(end["seconds"], 1),
        "input_pixels_a_second": round(end["pixels_in"] / end["seconds"]) if end["seconds"] else None,
        "failures": [{"path": o["path"], "error": o["error"]} for o in outcomes if o["status"] == "failed"],
        "formats": dict(collections.Counter(str(o["path"]).rpartition(".")[2].lower() for o in outcomes)),
        "repeats_along_some_axis": sum("repeats along" in reason for reason in reasons),
        "normal_maps": sum(reason.startswith("normal map") for reason in reasons),
        "colour_drift": {
            "median": round(statistics.median(drifts), 3),
            "p95": round(drifts[int(0.95 * (len(drifts) - 1))], 3),
            "largest": round(drifts[-1], 3),
        }
        if drifts
        else None,
    }


if __name__ == "__main__":
    main()
