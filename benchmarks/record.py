"""Owns what every stored result says beside its figures: machine, versions, commit, and how quiet it was.

    with Quiet() as quiet:
        ...measure...
    store("upscale-cpu", figures, quiet)

A result under foreign load isn't stored: more than `FOREIGN_LIMIT` of one core busy with anything but this process and
its children while it measured.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Self

RESULTS = Path(__file__).parent / "results"
FOREIGN_LIMIT = 0.15
PACKAGES = ("torch", "numpy", "opencv-python", "OpenImageIO", "spandrel", "openvino", "basicsr")


class Quiet:
    """Measures the share of one core that others took between entry and exit (Linux; elsewhere None)."""

    foreign_cores: float | None = None

    def __enter__(self) -> Self:
        self._start = (time.perf_counter(), _busy_seconds(), _own_seconds())
        return self

    def __exit__(self, *_: object) -> None:
        wall, busy, own = (b - a for a, b in zip(self._start, self._now(), strict=True))
        if busy > 0:
            self.foreign_cores = max(0.0, (busy - own) / wall)

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), _busy_seconds(), _own_seconds()


def _busy_seconds() -> float:
    """CPU seconds that all processes of this machine have taken."""
    try:
        fields = [int(f) for f in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except OSError:
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq = fields[:7]
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def machine() -> dict[str, Any]:
    """What a reader needs to judge a figure."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "cpu_features": sorted(
            _cpu_flags() & {"avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_tile"}
        ),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def store(name: str, figures: dict[str, Any], quiet: Quiet | None = None) -> Path:
    """Write `results/NAME.json`.  With `quiet` given, exits instead when the machine wasn't."""
    if quiet is not None and quiet.foreign_cores is not None and quiet.foreign_cores > FOREIGN_LIMIT:
        sys.exit(
            f"not stored: other processes took {quiet.foreign_cores:.2f} cores meanwhile; run again on a quiet machine"
        )
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    record = {
        "made": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *map(_impersonal, sys.argv[1:])]),
        "machine": machine(),
        "foreign_cores": None if quiet is None or quiet.foreign_cores is None else round(quiet.foreign_cores, 3),
        **figures,
    }
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def _impersonal(argument: str) -> str:
    """Where somebody keeps a folder is nobody's business."""
    return "PATH" if os.sep in argument and Path(argument).exists() else argument


def commit() -> str:
    """The checkout's commit; with + where tracked files differ from it."""
    here = Path(__file__).parent
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=False
    )
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no", "--", "restore", "cuda_ops"],
        cwd=here.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _cpu_info(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _cpu_name() -> str:
    family = f"family {_cpu_info('cpu family')} model {_cpu_info('model	')}"
    return f"{_cpu_info('model name') or platform.processor()} ({family})"


def _cpu_flags() -> set[str]:
    return set(_cpu_info("flags").split())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
