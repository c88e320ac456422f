"""Owns starting the command line in processes of its own, quickly, and looking at the trees that it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST_S = 120.0
"""For anything waited for; what takes longer hangs."""


@dataclass
class Started:
    """A command on its way."""

    pid: int
    says: Path

    def events(self) -> list[dict[str, Any]]:
        """What it has said so far, whole lines only."""
        whole = self.says.read_text(errors="surrogateescape").split("\n")[:-1] if self.says.exists() else []
        return [json.loads(line) for line in whole if line.startswith("{")]

    def wait_for(self, event: str) -> None:
        deadline = time.monotonic() + LONGEST_S
        while not any(said["event"] == event for said in self.events()):
            assert time.monotonic() < deadline, f"never came to {event}: {self.says.read_text()}"
            time.sleep(0.005)

    def children(self) -> set[int]:
        """Linux only: elsewhere none are seen."""
        lists = Path(f"/proc/{self.pid}/task").glob("*/children")
        return {int(pid) for one in lists for pid in one.read_text().split()}


@dataclass(frozen=True)
class Ended:
    code: int
    events: list[dict[str, Any]]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [said for said in self.events if said["event"] == event]

    @property
    def started(self) -> list[str]:
        return [said["path"] for said in self.of("started")]

    @property
    def summary(self) -> dict[str, Any]:
        (end,) = self.of("end")
        return end


class Shell:
    """Starts commands: forks of one process that has imported torch, each as real as one from a shell."""

    def __init__(self, folder: Path, command: str, *settings: str) -> None:
        """`settings`: options that every start gets."""
        self.folder = folder
        self._command, self._settings = command, settings
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder)}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("warm_start.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, "OMP_NUM_THREADS": "1"},
        )
        self._count = 0

    def start(self, source: Path, target: Path, *options: str) -> Started:
        self._count += 1
        says = self.folder / f"says{self._count}"
        arguments = [self._command, str(source), str(target), *self._settings, *options]
        return Started(self._ask(start=arguments, says=str(says))["pid"], says)

    def end(self, started: Started) -> Ended:
        code = self._ask(wait=started.pid)["code"]
        return Ended(code, started.events())

    def run(self, source: Path, target: Path, *options: str) -> Ended:
        return self.end(self.start(source, target, *options))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(LONGEST_S)

    def _ask(self, **question: object) -> dict[str, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, int] = json.loads(self._process.stdout.readline())
        return answer


def tree(folder: Path) -> dict[bytes, bytes]:
    """Every file under a final name: names as bytes -> contents."""
    return {
        os.fsencode(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".restore" not in path.parts and not path.name.startswith(".restore-")
    }


def temporaries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".restore-*") if path.is_file()]


def assert_gone(pids: set[int]) -> None:
    deadline = time.monotonic() + LONGEST_S
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, f"decoding processes outlived their run: {left}"
        time.sleep(0.01)
