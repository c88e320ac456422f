"""Owns the working processes of a run: how many, what each does now, and what becomes of a job whose process dies."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from restore.errors import DiskFullError, RestoreError, SetupError
from restore.formats import wire
from restore.reels.child import answered, load, why, work_digest
from restore.reels.segment import Maker
from restore.reels.state import State

_PACKAGE_PARENT = Path(__file__).resolve().parents[2]
_LINE_BYTES = 1 << 28


@dataclass(frozen=True)
class Job:
    """One shot to judge, or one segment to make."""

    kind: str
    """ "shot": judge it; "segment": restore it; "again": without what was taken back since; "count": what is found of
    planted damage."""
    number: int


@dataclass(frozen=True)
class Done:
    """What became of a job."""

    job: Job
    answer: dict[str, Any] | None
    error: str = ""


class Pool:
    """Processes that work for one state; `count` 0 works in this one."""

    def __init__(self, state: State, count: int) -> None:
        self._state = state
        self._count = count
        self._children: list[_Child] = []
        self._here: tuple[str, Maker] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.kill()
        if self._here is not None:
            self._here[1].close()

    def run(self, jobs: Iterable[Job]) -> Iterator[Done]:
        """Does jobs in any order; a job that fails is told, the others go on.

        Raises DiskFullError and SetupError: then no other job would do better.
        """
        digest = work_digest(self._state.work.read_bytes())
        waiting = list(jobs)
        if self._count == 0:
            yield from self._run_here(waiting, digest)
            return
        waiting.reverse()
        count = len(waiting)
        lock = threading.Lock()
        results: queue.SimpleQueue[tuple[Done, str]] = queue.SimpleQueue()

        def work_off(child: _Child) -> None:
            while True:
                with lock:
                    if not waiting:
                        return
                    job = waiting.pop()
                results.put(child.ask(job, digest))

        while len(self._children) < min(self._count, count):
            self._children.append(_Child(self._state))
        for child in self._children:
            threading.Thread(target=work_off, args=(child,), daemon=True).start()
        for _ in range(count):
            done, kind = results.get()
            try:
                _raise(done.error, kind)
            except BaseException:
                with lock:
                    waiting.clear()
                raise
            yield done

    def _run_here(self, jobs: list[Job], digest: str) -> Iterator[Done]:
        for job in jobs:
            try:
                if self._here is None or self._here[0] != digest:
                    if self._here is not None:
                        self._here[1].close()
                    self._here = digest, load(self._state)
                answer = answered(self._here[1], job.kind, job.number)
            except RestoreError as error:
                _raise(str(error), why(error))
                yield Done(job, None, str(error))
                continue
            yield Done(job, answer)


def _raise(error: str, kind: str) -> None:
    if kind == "disk":
        raise DiskFullError(error)
    if kind == "setup":
        raise SetupError(error)


class _Child:
    """One process, started anew when it died."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._ended = False
        self._process = self._start()

    def ask(self, job: Job, digest: str) -> tuple[Done, str]:
        """(what became of the job, what kind of error that was)."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(wire.pack({"work": digest, "kind": job.kind, "number": job.number}))
            process.stdin.flush()
            line = process.stdout.readline(_LINE_BYTES)
        except (BrokenPipeError, ValueError):
            line = b""
        if not line.endswith(b"\n"):
            how = _how_it_died(process.wait())
            self._process = self._start()
            return Done(
                job, None, f"the process that worked on it died ({how}): run again, or with fewer --workers"
            ), ""
        try:
            said = wire.unpack(line)
        except ValueError as error:
            return Done(job, None, f"the process working on it gave no sensible answer ({error})"), ""
        if "error" in said:
            return Done(job, None, str(said["error"])), str(said["why"])
        return Done(job, said["answer"]), ""

    def kill(self) -> None:
        self._ended = True
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue

    def _start(self) -> subprocess.Popen[bytes]:
        parents = [str(_PACKAGE_PARENT), *filter(None, [os.environ.get("PYTHONPATH")])]
        # One thread each: more processes serve the cores better, and sums don't depend on how many there are.
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        return subprocess.Popen(
            [sys.executable, "-m", "restore.reels.child", str(self._state.root.absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the driver's to handle
            env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(parents)},
        )


def _how_it_died(code: int) -> str:
    if code < 0:
        return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"exit status {code}"
