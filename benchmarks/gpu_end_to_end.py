"""Owns what the benchmarks from end to end share: running `restore`, how busy the device was, the record."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gpu_machine as machine
import torch
from gpu_sheet import save

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Ran:
    """A run of `restore ... --json`."""

    exit_code: int
    events: list[dict[str, Any]]
    seconds: float
    """From the event that says that work begins to the end."""
    start_up_seconds: float
    device_busy: float | None
    """Mean of NVML's utilisation in those seconds, 0 to 1."""

    def event(self, name: str) -> dict[str, Any] | None:
        return next((event for event in self.events if event["event"] == name), None)

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"exit_code": self.exit_code, "seconds": round(self.seconds, 2)}
        facts |= {"start_up_seconds": round(self.start_up_seconds, 2), "device_busy": self.device_busy}
        if self.exit_code != 0:
            facts["reason"] = str(self.events[-3:])[:500]
        return facts


def restore(arguments: Sequence[str], device: str, begins: str, most_seconds: float) -> Ran:
    """`begins`: the event with which work begins.  Stopped after `most_seconds`, exit code -15 then."""
    command = [sys.executable, "-m", "restore", *arguments, "--json", "--device", device]
    start = began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=machine.ROOT)
    assert process.stdout is not None
    alarm = threading.Timer(most_seconds, process.terminate)
    alarm.start()
    busy = Busy(device)
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] == begins and busy.ident is None:
            began = time.perf_counter()
            busy.start()
    code = process.wait()
    alarm.cancel()
    end = time.perf_counter()
    busy.ended.set()
    return Ran(code, events, end - began, began - start, busy.mean())


class Busy(threading.Thread):
    """The device's utilisation as NVML tells it, ten times a second."""

    def __init__(self, device: str) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self._device = device
        self._samples: list[int] = []

    def run(self) -> None:
        if self._device == "cpu":
            return
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        while not self.ended.wait(0.1):
            self._samples.append(int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu))

    def mean(self) -> float | None:
        return round(statistics.mean(self._samples) / 100, 3) if self._samples else None


def device_name(device: str) -> str:
    return torch.cuda.get_device_name(0) if device != "cpu" else "cpu"


def keep(kind: str, folder: Path | None, device: str, facts: dict[str, Any]) -> dict[str, Any]:
    """gpu-KIND-DEVICE.json under `folder`, else in $OUT, else in benchmarks/results."""
    name = device_name(device)
    record = {"commit": machine.commit(), "device": name, "torch": torch.__version__, **facts}
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    place = folder or (Path(os.environ["OUT"]) if os.environ.get("OUT") else RESULTS)
    save(place / f"gpu-{kind}-{slug}.json", record)
    return record
