"""Counters of the convolution kernels, read by Nsight Compute on a machine with an NVIDIA GPU.

    python benchmarks/gpu_profile.py [--size 720 1280] [--resident 0] [--out FILE.json]

Profiles the five convolutions of one dense block of a 23-block network, and writes for each what keeps it busy and
what it waits for.  Environment: RESTORE_OPS, as in gpu.py.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gpu_machine as machine

RESULTS = Path(__file__).parent / "results"
METRICS = {
    "gpu__time_duration.sum": "ns",
    "sm__inst_executed_pipe_tensor.sum": "tensor_instructions",
    "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active": "tensor_pipe_percent",
    "sm__pipe_tensor_op_hmma_cycles_active.avg.pct_of_peak_sustained_active": "hmma_percent",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "occupancy_percent",
    "smsp__issue_active.avg.pct_of_peak_sustained_active": "issue_percent",
    "smsp__inst_executed.sum": "instructions",
    "l1tex__data_pipe_lsu_wavefronts_mem_shared.avg.pct_of_peak_sustained_elapsed": "shared_memory_percent",
    "l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum": "bank_conflicts",
    "lts__t_sectors.avg.pct_of_peak_sustained_elapsed": "l2_percent",
    "lts__t_sector_hit_rate.pct": "l2_hit_percent",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed": "dram_percent",
    "dram__bytes_read.sum": "dram_bytes_read",
    "dram__bytes_write.sum": "dram_bytes_written",
    **{
        f"smsp__average_warps_issue_stalled_{why}_per_issue_active.ratio": f"stalled_{why}"
        for why in (
            *("barrier", "long_scoreboard", "short_scoreboard", "math_pipe_throttle", "mio_throttle", "lg_throttle"),
            *("wait", "not_selected", "no_instruction", "dispatch_stall", "membar"),
        )
    },
}
SKIPPED, PROFILED = 3, 5
"""Fold and conv_first twice; then a dense block."""


def main() -> int:
    sys.path.insert(0, str(machine.ROOT))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(720, 1280), metavar=("H", "W"))
    parser.add_argument("--resident", type=int, default=0, help="blocks that stay on a multiprocessor")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu-profile.json")
    parser.add_argument("--case", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        return case(*arguments.size, arguments.resident)
    ncu = machine.tool("ncu")
    if ncu is None:
        print("ncu was not found")
        return 2
    size = [str(side) for side in arguments.size]
    command = [
        *(ncu, "--clock-control", "none", "--kernel-name", "regex:start", "--csv", "--page", "raw"),
        *("--launch-skip", str(SKIPPED), "--launch-count", str(PROFILED), "--metrics", ",".join(METRICS)),
        *(sys.executable, __file__, "--case", "--size", *size, "--resident", str(arguments.resident)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    rows = read(done.stdout)
    if not rows:
        print(f"ncu gave no figures, exit status {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
        return 1
    record = {"commit": machine.commit(), "size": arguments.size, "resident": arguments.resident, "kernels": rows}
    record["device"] = device_name()
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    for row in rows:
        print(json.dumps(row))
    return 0


def read(said: str) -> list[dict[str, Any]]:
    """One entry a kernel, from ncu's raw CSV."""
    lines = said.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), None)
    if start is None:
        return []
    table = csv.DictReader(io.StringIO("\n".join(lines[start:])))
    units = next(table)
    rows = []
    for entry in table:
        row: dict[str, Any] = {"kernel": entry["Kernel Name"][:120]}
        for metric, name in METRICS.items():
            if entry.get(metric):
                row[name] = f"{entry[metric]} {units.get(metric, '')}".strip()
        rows.append(row)
    return rows


def device_name() -> str:
    import torch

    return torch.cuda.get_device_name(0)


def case(height: int, width: int, resident: int) -> int:
    import gpu_peers as peers
    import torch
    from gpu_tables import X4PLUS

    from restore import ops

    torch.cuda.init()
    state = peers.random_state(X4PLUS, torch.Generator().manual_seed(1))
    packed = ops.pack_rrdb(state, X4PLUS, "cuda", torch.float16)
    image = torch.rand(1, 3, height, width, device="cuda")
    ops.rrdb_forward(image, packed, resident=resident)
    torch.cuda.synchronize()
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(machine.ROOT))
    sys.exit(main())
