"""One command for a fresh machine with an NVIDIA GPU: build the kernels, check every number, then time them.

    python benchmarks/gpu.py [--quick] [--out DIR] [--seed N] [--model PATH] [--parts PART ...] [--compile-size 512]
                            [--total-seconds 520]

Needs torch (CUDA build), numpy, OpenCV, nvcc and a C++ compiler; no network; at most nine minutes.  Each part is a
child process with a time limit of its own, so that one that crashes or hangs takes nothing else along.  What was found
is in gpu-DEVICE.json after every step: under --out, else in $OUT, else in benchmarks/results.  A part that can't run is
there with its reason; nothing is estimated.  Where any number is wrong, no time is reported as this project's.

Environment: RESTORE_OPS=FILE takes that library instead of building one; RESTORE_COMMIT names the commit in copies
without git.  Exit status: 0 all well, 1 something failed, 2 no CUDA here.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gpu_machine as machine
from gpu_sheet import Options, Sheet, in_words, save, text_table

RESULTS = Path(__file__).parent / "results"
TOTAL_SECONDS = 520.0
SECONDS = {"environment": 25, "build": 150, "correctness": 75, "sanitizer": 120, "rrdb": 100, "unet": 35, "blocks": 25}
"""At most; torch.compile, the last, gets what is left of the total: half of it if RESTORE_OPS names one."""
CHOICE = ("sanitizer", "rrdb", "unet", "blocks", "compile")
SANITIZERS = ("memcheck", "racecheck")
RELIES_ON = {"rrdb": ("rrdb", "graph"), "unet": ("masked", "unet", "graph"), "blocks": ("into", "tiles", "graph")}
"""Groups of checks that must be complete before this project's times are reported."""
_RATES = ("contestant", "size", "ms", "tflops", "share_of_matmul", "per_second", "memory_mib")
COLUMNS = {
    "rrdb": {"table": _RATES},
    "unet": {"table": _RATES},
    "compile": {"table": _RATES},
    "blocks": {
        "active": ("contestant", "size", "ms", "times_of_no_list"),
        "tiles": ("contestant", "size", "ms", "gb_per_s"),
    },
}


def main() -> int:
    sys.path.insert(0, str(machine.ROOT))  # the working tree, not an installed copy
    arguments = parsed()
    seed = int.from_bytes(os.urandom(4)) if arguments.seed is None else arguments.seed
    why_not = without_cuda()
    if why_not:
        print(f"benchmarks/gpu.py can't run here: {why_not}")
        return 2
    if arguments.sanitize_case:
        return sanitize_case(seed)
    if arguments.part:
        return one_part(arguments, seed)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that children are stopped too
    return Conductor.starting(arguments, seed).conduct()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes only, no sanitizer, no torch.compile")
    parser.add_argument("--out", type=Path, help="folder of the result")
    parser.add_argument("--seed", type=int, help="of all random numbers; default: a fresh one, printed")
    parser.add_argument("--model", help="x4plus: ncnn .bin, .safetensors or .pth; default: the weights package's")
    parser.add_argument("--parts", nargs="+", choices=(*CHOICE, "correctness"), help="these alone, after the checks")
    parser.add_argument("--total-seconds", type=float, default=TOTAL_SECONDS, help="of all parts")
    parser.add_argument("--compile-size", type=int, default=512, help="side of the picture for torch.compile")
    parser.add_argument("--part", help=argparse.SUPPRESS)  # the rest is for the command's own children
    parser.add_argument("--sheet", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=60.0, help=argparse.SUPPRESS)
    parser.add_argument("--peak", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--withhold", default="", help=argparse.SUPPRESS)
    parser.add_argument("--sanitize-case", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def without_cuda() -> str:
    """Why there is nothing to run on; empty if there is."""
    try:
        import torch
    except ImportError as error:
        return str(error)
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    return "" if torch.cuda.is_available() else "torch finds no CUDA device"


def one_part(arguments: argparse.Namespace, seed: int) -> int:
    """In the child: facts go to the sheet as they are found."""
    import torch

    sheet = Sheet(arguments.sheet, time.monotonic() + arguments.seconds)
    options = Options(
        *(seed, arguments.quick, arguments.model, arguments.compile_size, arguments.peak, arguments.withhold)
    )
    try:
        with torch.inference_mode():
            if arguments.part == "environment":
                machine.environment(sheet, options)
            elif arguments.part == "correctness":
                torch.backends.cudnn.allow_tf32 = False  # of the references
                correctness(sheet, options)
            else:
                import gpu_tables as tables

                torch.backends.cudnn.benchmark = True  # the peers shall have cuDNN's best
                {"rrdb": tables.rrdb, "unet": tables.unet, "blocks": tables.blocks, "compile": tables.compiled}[
                    arguments.part
                ](sheet, options)
    except Exception as error:  # noqa: BLE001 - the parent reads it in the sheet
        sheet.put(error=in_words(error))
        print(f"FAILED  {arguments.part}: {in_words(error)}", flush=True)
        return 1
    return 1 if "errors" in sheet.facts else 0


def correctness(sheet: Sheet, options: Options) -> None:
    import gpu_checks as checks
    import gpu_checks_net as nets
    import torch
    from gpu_case import HALVES, run_cases

    passes = (torch.float32, torch.float64)
    path = nets.real_weights(options.model)
    sheet.put(seed=options.seed, x4plus="not checked: no weights here, and no --model" if path is None else path.name)
    for group, cases in (
        ("kernels", nets.serving_cases()),
        ("masked", checks.masked_cases(HALVES, passes)),
        ("into", checks.into_cases(HALVES)),
        ("rrdb", nets.rrdb_cases(HALVES, path)),
        ("graph", nets.graph_cases()),
        ("unet", checks.unet_cases(HALVES)),
        ("tiles", nets.tile_cases()),
    ):
        run_cases(sheet, group, cases, seed=options.seed, device="cuda")


def sanitize_case(seed: int) -> int:
    """Run under compute-sanitizer."""
    import gpu_checks_net as nets
    from gpu_case import run_cases

    sheet = Sheet(machine.BUILD / "sanitize-case.json", time.monotonic() + 1e6)
    run_cases(sheet, "sanitizer", nets.sanitize_cases(), seed=seed, device="cuda")
    wrong = sheet.facts["groups"]["sanitizer"]["wrong"]
    print(f"sanitize case: {'right' if not wrong else 'wrong'}", flush=True)
    return 1 if wrong else 0


@dataclass(frozen=True)
class Conductor:
    """Runs the parts one after the other and keeps the result file whole."""

    arguments: argparse.Namespace
    seed: int
    end: float
    out: Path
    record: dict[str, Any]

    @staticmethod
    def starting(arguments: argparse.Namespace, seed: int) -> Conductor:
        import torch

        folder = arguments.out or (Path(os.environ["OUT"]) if os.environ.get("OUT") else RESULTS)
        slug = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name(0).lower()).strip("-")
        record: dict[str, Any] = {
            "made": datetime.now(UTC).strftime("%Y-%m-%d"),
            "commit": machine.commit(),
            "command": "python benchmarks/gpu.py" + (" --quick" if arguments.quick else ""),
            "parts": list(arguments.parts or CHOICE),
            "seed": seed,
            "complete": False,
        }
        end = time.monotonic() + arguments.total_seconds
        return Conductor(arguments, seed, end, Path(folder).resolve() / f"gpu-{slug}.json", record)

    def conduct(self) -> int:
        import torch

        print(f"seed {self.seed}; result: {self.out.name}", flush=True)
        self.child("environment")
        library, facts = machine.build(torch.cuda.get_device_capability(0), min(SECONDS["build"], self.left()))
        self.keep("build", facts)
        print(f"build: {facts.get('reason') or facts['how']}", flush=True)
        if library is not None:
            os.environ["RESTORE_OPS"] = str(library)
            self.child("correctness")
        else:
            self.keep("correctness", {"reason": "there is no library to check"})
        chosen = self.arguments.parts or [
            part for part in CHOICE if not (self.arguments.quick and part in ("sanitizer", "compile"))
        ]
        for part in CHOICE:
            if part not in chosen:
                self.keep(part, {"reason": "not asked for"})
            elif part == "sanitizer":
                self.sanitize()
            else:
                self.child(part)
        failed = self.failures()
        self.record.update(complete=True, failures=failed)
        save(self.out, self.record)
        for part, tables in COLUMNS.items():
            for name, columns in tables.items():
                if rows := self.record[part].get(name):
                    print(f"\n{part}: {name}\n{text_table(rows, columns)}")
        print("\n" + ("\n".join(f"FAILED  {line}" for line in failed) or "all checks passed"))
        return 1 if failed else 0

    def left(self) -> float:
        return max(0.0, self.end - time.monotonic())

    def keep(self, part: str, facts: dict[str, Any]) -> None:
        self.record[part] = facts
        save(self.out, self.record)

    def child(self, part: str) -> None:
        """Run a part in a process of its own, and take over what it writes, while it does."""
        seconds = min(SECONDS.get(part, TOTAL_SECONDS), self.left())
        if seconds < 15:
            return self.keep(part, {"reason": "no time left"})
        path = machine.BUILD / f"part-{part}.json"
        path.unlink(missing_ok=True)
        peak = self.record.get("environment", {}).get("matmul", {}).get("tflops_best")
        given = {
            "--part": part, "--sheet": path, "--seed": self.seed, "--seconds": seconds - 8, "--peak": peak,
            "--model": self.arguments.model and Path(self.arguments.model).resolve(),
            "--compile-size": self.arguments.compile_size,
            "--withhold": self.withheld(part) if part in RELIES_ON else None,
        }  # fmt: skip
        command = [sys.executable, __file__, *(["--quick"] if self.arguments.quick else [])]
        for name, value in given.items():
            command += [] if value in (None, "") else [name, str(value)]
        print(f"\n{part}, at most {seconds:.0f} s", flush=True)
        start = time.monotonic()
        # Found again by the next call on the same machine: compiling the 23 blocks may take longer than one call has.
        cache = {"TORCHINDUCTOR_CACHE_DIR": str(machine.BUILD / "inductor")}
        status, _ = machine.run(command, seconds, env=cache, tick=lambda: self.keep(part, read(path)))
        ended = "stopped: its time was over" if status is None else f"exit status {status}"
        return self.keep(part, {**read(path), "ended": ended, "seconds": round(time.monotonic() - start, 1)})

    def withheld(self, part: str) -> str:
        """Why times of `part` may not be reported as this project's; empty: they may."""
        checked = self.record.get("correctness", {})
        groups = checked.get("groups", {})
        wrong = sum(group["wrong"] for group in groups.values())
        if wrong:
            return f"withheld: {wrong} checks failed"
        if not groups or checked.get("ended") != "exit status 0":
            return f"withheld: {checked.get('reason') or checked.get('error') or checked.get('ended') or 'unchecked'}"
        missing = [name for name in ("kernels", *RELIES_ON[part]) if not groups.get(name, {}).get("complete")]
        return f"withheld: checks incomplete: {', '.join(missing)}" if missing else ""

    def sanitize(self) -> None:
        end = time.monotonic() + min(SECONDS["sanitizer"], self.left())
        found: dict[str, Any] = {}
        for i, name in enumerate(SANITIZERS):
            case = [sys.executable, __file__, "--sanitize-case", "--seed", str(self.seed)]
            seconds = (end - time.monotonic()) / (len(SANITIZERS) - i)
            try:
                found[name] = machine.sanitized(name, case, seconds) if self.has_library() else {"reason": "no library"}
            except OSError as error:  # the other parts go on
                found[name] = {"reason": in_words(error)}
            print(f"{name}: {found[name].get('reason') or found[name]['summary']}", flush=True)
            self.keep("sanitizer", found)

    def has_library(self) -> bool:
        return "library" in self.record["build"]

    def failures(self) -> list[str]:
        """What makes the exit status 1."""
        lines = []
        checked = self.record["correctness"]
        lines += [check["what"] for check in checked.get("checks", ()) if not check["ok"]]
        if not checked.get("groups"):
            lines.append(f"nothing was checked: {checked.get('reason') or checked.get('ended')}")
        lines += [
            f"{name}: {group['left_out']}" for name, group in checked.get("groups", {}).items() if "left_out" in group
        ]
        for name, verdict in self.record["sanitizer"].items():
            if isinstance(verdict, dict) and not verdict.get("clean", True):
                lines.append(f"{name}: {verdict['summary']}")
        for part, facts in self.record.items():
            if not isinstance(facts, dict) or (part == "compile" and "error" not in facts):  # that may take too long
                continue
            said = [f"{part}: {error['what']}: {error['error']}" for error in facts.get("errors", ())]
            said += [f"{part}: {facts['error']}"] if "error" in facts else []
            ended = facts.get("ended", "exit status 0")
            lines += said or ([] if ended == "exit status 0" else [f"{part}: {ended}"])
        return lines


def read(path: Path) -> dict[str, Any]:
    import json

    return json.loads(path.read_text()) if path.is_file() else {}


if __name__ == "__main__":
    sys.exit(main())
