"""Owns the fakes for tests of planning, journal and publishing: a pretended engine and decoder, quick and steady.

Everything between them (walk, plan, journal, file system, publishing, run) is real.  Sources are PPM files under any
image suffix; a "result" is bytes that depend on every byte of the source and on the recipe.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

from restore.batch.facts import Facts
from restore.batch.fsops import OutputRoot
from restore.batch.job import Deviated, Failed, Job, Outcome, Plan, Staged, Summary
from restore.batch.journal import Journal
from restore.batch.opening import open_journal
from restore.batch.places import STATE_NAME
from restore.batch.plan import make_plan
from restore.batch.run import run
from restore.batch.temporary import is_temporary
from restore.errors import ImageError
from restore.formats import SUFFIXES, Header
from restore.image import Arrangement
from restore.recipe import Output, Precision, Recipe, RunOptions, Upscale

RECIPE = Recipe(Upscale("fake", "0" * 64, Precision.FP32, tile_px=256, halo_px=18))


def with_format(name: str) -> Recipe:
    return replace(RECIPE, output=Output(name))


def with_grain(share: float) -> Recipe:
    return replace(RECIPE, upscale=replace(RECIPE.upscale, keep_grain=share))


def output_size(height: int, width: int) -> tuple[int, int]:
    return 4 * height, 4 * width


def ppm(seed: int, width: int = 16, height: int = 16) -> bytes:
    body = hashlib.shake_256(str(seed).encode()).digest(3 * width * height)
    return b"P6 %d %d 255\n" % (width, height) + body


def upscaled(source: bytes, recipe: Recipe) -> bytes:
    """The pretended result."""
    return hashlib.shake_256(source + recipe.fingerprint().encode()).digest(4 * len(source))


class FakeDecoder:
    """Reads PPM headers; a file that doesn't start like one is unreadable."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def probe(self, path: Path) -> Header:
        words = path.read_bytes()[:64].split(None, 4)
        if words[:1] != [b"P6"]:
            raise ImageError(f"{path}: no header that any reader knows")
        channels = ("R", "G", "B", "A") if b"alpha" in path.name.encode("utf-8", "surrogateescape") else ("R", "G", "B")
        width, height = int(words[1]), int(words[2])
        return Header(SUFFIXES[path.suffix.lower()], width, height, channels, 8, False, 1, Arrangement.PAGES, ())

    def read(self, path: Path) -> None:
        if b"rotten" in path.read_bytes():
            raise ImageError(f"{path}: damaged behind its header")


class _Slow(io.BytesIO):
    """Gives a little at a time, so that a kill can land inside a write."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(4096 if size is None or size < 0 else min(size, 4096))


class FakeWorker:
    """Stages pretended results one after the other; logs each start."""

    def __init__(self, recipe: Recipe, output: OutputRoot, log: Path) -> None:
        self._recipe = recipe
        self._output = output
        self._log = log

    def process(
        self, jobs: Iterable[Job], stopping: Callable[[], bool] = lambda: False
    ) -> Iterator[Staged | Failed | Deviated]:
        for job in jobs:
            if stopping():
                return
            self.note(f"start {os.fsencode(job.relative).hex()}")
            yield from self.work(job)

    def work(self, job: Job) -> Iterator[Staged | Failed | Deviated]:
        data = job.source.read_bytes()
        if b"hopeless" in data:
            yield Failed(job, f"{job.source}: can't be decoded")
            return
        try:
            written = self._output.write(job.target, _Slow(upscaled(data, self._recipe)))
        except ImageError as error:
            yield Failed(job, str(error))
            return
        yield Staged(job, written.path, written.size, written.sha256, Facts("fake", tile_px=256))

    def note(self, line: str) -> None:
        with self._log.open("ab") as file:
            os.write(file.fileno(), line.encode() + b"\n")


class Recorder:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.notes: list[str] = []
        self.started: list[Job] = []

    def on_plan(self, plan: Plan) -> None: ...

    def on_started(self, job: Job) -> None:
        self.started.append(job)

    def on_outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def on_note(self, note: str) -> None:
        self.notes.append(note)

    def on_end(self, summary: Summary) -> None: ...


class Sandbox:
    """IN, OUT and a log below one folder."""

    def __init__(self, base: Path, target: Path | None = None) -> None:
        self.source = base / "in"
        self.target = target or base / "out"
        self.log = base / "log"
        self.source.mkdir(exist_ok=True)
        self.worker: type[FakeWorker] = FakeWorker

    def add(self, name: str | bytes, data: bytes | None = None) -> Path:
        """A source file; without `data`, a small PPM that differs from the others."""
        path = self.source / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:4], "big")
        path.write_bytes(ppm(seed) if data is None else data)
        return path

    def options(self, **changes: object) -> RunOptions:
        return replace(RunOptions(self.source, self.target), **changes)  # type: ignore[arg-type]

    def plan(self, recipe: Recipe = RECIPE, **changes: object) -> Plan:
        """A dry run."""
        options = self.options(**changes)
        with open_journal(options, read_only=True) as journal:
            return self.plan_with(journal, recipe, options)

    def plan_with(self, journal: Journal, recipe: Recipe, options: RunOptions) -> Plan:
        return make_plan(recipe, options, journal, output_size, FakeDecoder)  # type: ignore[arg-type]

    def run(self, recipe: Recipe = RECIPE, recorder: Recorder | None = None, **changes: object) -> Summary:
        options = self.options(**changes)
        with open_journal(options) as journal:
            plan = self.plan_with(journal, recipe, options)
            worker = self.worker(recipe, journal.output, self.log)
            return run(plan, recipe, options, worker, journal, recorder or Recorder())

    def started(self) -> list[Path]:
        """Every start so far, over all runs."""
        lines = self.log.read_text().split("\n") if self.log.exists() else []
        return [Path(os.fsdecode(bytes.fromhex(line[6:]))) for line in lines if line.startswith("start ")]

    def results(self) -> dict[Path, bytes]:
        """Everything in OUT under a final name."""
        return {path: (self.target / path).read_bytes() for path in self._files() if not is_temporary(path.name)}

    def temporaries(self) -> list[Path]:
        return [path for path in self._files() if is_temporary(path.name)]

    def expected(self, recipe: Recipe = RECIPE) -> dict[Path, bytes]:
        """What an uninterrupted run makes, names kept."""
        files = [path for path in self.source.rglob("*") if path.is_file()]
        return {path.relative_to(self.source): upscaled(path.read_bytes(), recipe) for path in files}

    def mtimes(self) -> dict[Path, int]:
        return {path: (self.target / path).stat().st_mtime_ns for path in self._files()}

    def _files(self) -> Iterator[Path]:
        for parent, folders, names in os.walk(self.target):
            if STATE_NAME in folders:
                folders.remove(STATE_NAME)
            for name in names:
                yield (Path(parent) / name).relative_to(self.target)
