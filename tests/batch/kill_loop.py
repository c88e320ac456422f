"""Kills runs and looks at what they leave; started by test_kill.py in a process of its own, prints JSON.

Each run is a fork of this process, so that dozens of kills take seconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from batch_fakes import RECIPE, FakeWorker, Sandbox, upscaled

from restore.batch.fsops import OutputRoot
from restore.batch.job import Failed, Job, Staged
from restore.batch.journal import Journal


class SteadyWorker(FakeWorker):
    """Takes a moment for each file, as an engine does."""

    def work(self, job: Job) -> Iterator[Staged | Failed]:
        time.sleep(0.002)
        yield from super().work(job)  # type: ignore[misc]


def fork(sandbox: Sandbox, prepare: Callable[[], None] = lambda: None) -> int:
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            prepare()
            code = int(sandbox.run(copy_others=True).exit_code)
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int | None:
    """Exit code; None if it was killed."""
    status = os.waitpid(pid, 0)[1]
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None


def fill(sandbox: Sandbox, files: int) -> None:
    rng = random.Random(1)
    for i in range(files):
        sandbox.add(f"d{i % 5}/f{i}.tga", b"P6 16 16 255\n" + rng.randbytes(rng.randint(2_000, 20_000)))
    for i in range(3):
        sandbox.add(f"d{i}/readme{i}.txt", rng.randbytes(50_000))


def expected(sandbox: Sandbox) -> dict[Path, bytes]:
    found = {}
    for path in sandbox.source.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found[path.relative_to(sandbox.source)] = data if path.suffix == ".txt" else upscaled(data, RECIPE)
    return found


def torn(sandbox: Sandbox, wanted: dict[Path, bytes]) -> int:
    """Files under a final name that aren't whole."""
    return sum(wanted.get(path) != data for path, data in sandbox.results().items())


def verdict(sandbox: Sandbox, wanted: dict[Path, bytes], code: int | None) -> dict[str, Any]:
    starts = Counter(sandbox.started())
    before = sandbox.mtimes(), sum(starts.values())
    again = ended(fork(sandbox))
    return {
        "code": code,
        "same_tree": sandbox.results() == wanted,
        "left_temporaries": len(sandbox.temporaries()),
        "starts": before[1],
        "second_run_starts": len(sandbox.started()) - before[1],
        "second_run_code": again,
        "second_run_touched": sandbox.mtimes() != before[0],
    }


def at_random(base: Path, kills_wanted: int, files: int) -> Iterator[dict[str, Any]]:
    rng = random.Random(2)
    kills = trial = 0
    while kills < kills_wanted:
        folder = base / f"trial{trial}"
        folder.mkdir()
        trial += 1
        sandbox = Sandbox(folder)
        sandbox.worker = SteadyWorker
        fill(sandbox, files)
        wanted = expected(sandbox)
        mine = torn_files = 0
        while True:
            pid = fork(sandbox)
            time.sleep(rng.uniform(0.0, 0.12))
            finished, status = os.waitpid(pid, os.WNOHANG)
            if finished:
                code: int | None = os.waitstatus_to_exitcode(status)
                break
            os.kill(pid, signal.SIGKILL)
            code = ended(pid)
            torn_files += torn(sandbox, wanted)
            if code is not None:
                break
            mine += 1
        kills += mine
        yield {"kills": mine, "files": files, "torn": torn_files, **verdict(sandbox, wanted, code)}


STEPS = (
    (OutputRoot, "write"),
    (OutputRoot, "rename"),
    (OutputRoot, "sync"),
    (Journal, "begin"),
    (Journal, "intend"),
    (Journal, "seal"),
    (Journal, "published"),
    (Journal, "copied"),
    (Journal, "end"),
)


def kill_at(step: int) -> Callable[[], None]:
    """Ends the process right before or right after the step-th call of something that writes."""
    seen = 0

    def count() -> None:
        nonlocal seen
        seen += 1
        if seen == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def counted(*values: Any, **named: Any) -> Any:
            count()
            result = call(*values, **named)
            count()
            return result

        return counted

    def prepare() -> None:
        for owner, name in STEPS:
            setattr(owner, name, wrapped(getattr(owner, name)))

    return prepare


def at_every_step(base: Path) -> Iterator[dict[str, Any]]:
    step = 0
    while True:
        step += 1
        folder = base / f"step{step}"
        folder.mkdir()
        sandbox = Sandbox(folder)
        fill(sandbox, 4)
        wanted = expected(sandbox)
        code = ended(fork(sandbox, kill_at(step)))
        if code is not None:
            return
        torn_files = torn(sandbox, wanted)
        code = ended(fork(sandbox))
        yield {"kills": 1, "files": 4, "torn": torn_files, **verdict(sandbox, wanted, code)}


if __name__ == "__main__":
    where = Path(sys.argv[2])
    trials = at_every_step(where) if sys.argv[1] == "steps" else at_random(where, int(sys.argv[3]), 40)
    json.dump(list(trials), sys.stdout)
