"""Owns a run: feeds a worker, publishes what it stages, remembers, and always ends with a verdict on every file."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from restore.batch.job import (
    Deviated,
    Failed,
    FailureKind,
    Job,
    Outcome,
    Plan,
    Reporter,
    Result,
    Skipped,
    Staged,
    Status,
    Summary,
    Worker,
    without_place,
)
from restore.batch.journal import Journal
from restore.batch.publish import MOST_WAITING, Publisher
from restore.batch.signals import DroppedError, Stopper
from restore.batch.tally import Tally
from restore.errors import DiskFullError, ExitCode, ImageError, SetupError
from restore.recipe import Recipe, RunOptions


def run(
    plan: Plan,
    recipe: Recipe,
    options: RunOptions,
    worker: Worker,
    journal: Journal,
    reporter: Reporter,
    told: Mapping[str, str] | None = None,
) -> Summary:
    """Works a plan off.  One bad file never stops it and never passes silently; a full disk and signals do stop it, in
    good order: the same command then goes on where it was.

    Exit codes in the summary: 0, 3 (some files failed), 4 (disk full), 130, 143.  `told`: versions for the journal, in
    place of the installed ones.
    """
    return _Run(plan, recipe, options, worker, journal, reporter, told or versions()).run()


class _Feed:
    """Hands jobs to the worker, from any thread, until it is stopped; knows which ones are out."""

    def __init__(self, jobs: tuple[Job, ...], reporter: Reporter, stopper: Stopper) -> None:
        self._rest = iter(jobs)
        self._reporter = reporter
        self._stopper = stopper
        self._lock = threading.Lock()
        self.out: dict[object, Job] = {}

    def __iter__(self) -> Iterator[Job]:
        return self

    def __next__(self) -> Job:
        with self._lock:
            if self._stopper.asked:
                raise StopIteration
            job = next(self._rest)
            self.out[job.target] = job
        self._reporter.on_started(job)
        return job


class _OneAtATime:
    """A reporter whose calls never overlap."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._lock = threading.RLock()

    def on_plan(self, plan: Plan) -> None:
        with self._lock:
            self._reporter.on_plan(plan)

    def on_started(self, job: Job) -> None:
        with self._lock:
            self._reporter.on_started(job)

    def on_outcome(self, outcome: Outcome) -> None:
        with self._lock:
            self._reporter.on_outcome(outcome)

    def on_note(self, note: str) -> None:
        with self._lock:
            self._reporter.on_note(note)

    def on_end(self, summary: Summary) -> None:
        with self._lock:
            self._reporter.on_end(summary)


class _Run:
    def __init__(
        self,
        plan: Plan,
        recipe: Recipe,
        options: RunOptions,
        worker: Worker,
        journal: Journal,
        reporter: Reporter,
        versions: Mapping[str, str],
    ) -> None:
        self._plan, self._recipe, self._worker, self._journal = plan, recipe, worker, journal
        self._versions = versions
        self._reporter = _OneAtATime(reporter)
        self._stopper = Stopper(self._say_stopping)
        self._feed = _Feed(plan.jobs, self._reporter, self._stopper)
        self._publisher = Publisher(journal, self._on_outcome, overwrite=options.overwrite)
        self._tally = Tally()
        self._disk_full: str | None = None

    def run(self) -> Summary:
        started_s = time.monotonic()
        plan = self._plan
        self._reporter.on_plan(plan)
        if plan.jobs or plan.others or plan.problems or plan.skipped:
            with self._stopper.listening():
                try:
                    self._work()
                except DiskFullError as error:
                    self._disk_full = str(error)
                self._finish()
        summary = self._summary(time.monotonic() - started_s)
        self._reporter.on_end(summary)
        return summary

    def _work(self) -> None:
        self._journal.begin(self._recipe, self._versions)
        for problem in self._plan.problems:
            self._journal.failed(problem.relative, problem.error, FailureKind.IMAGE)
            self._on_outcome(Outcome(problem.relative, Status.FAILED, error=problem.error, kind=FailureKind.IMAGE))
        for skipped in self._plan.skipped:
            self._publisher.skip(skipped)
        if self._plan.jobs:
            self._drive()
        self._copy_others()

    def _drive(self) -> None:
        stream = self._worker.process(self._feed, lambda: self._stopper.asked)
        try:
            while (item := self._next(stream)) is not None:
                self._take(item)
            self._publisher.flush()
        except DroppedError:
            self._publisher.flush()
        except SetupError:
            if not self._stopper.asked:
                raise
            self._publisher.flush()  # Ctrl-C in a terminal also hits a decoder that is just starting
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()
        if not self._stopper.asked:
            for job in list(self._feed.out.values()):
                self._publisher.fail(Failed(job, "the worker gave no result: this is a bug, please report it"))

    def _next(self, stream: Iterator[Result]) -> Result | None:
        with self._stopper.waiting():
            return next(stream, None)

    def _take(self, item: Result) -> None:
        if isinstance(item, Deviated):
            self._journal.deviated(item.job, item.deviation)
            return
        if item.job is None or self._feed.out.pop(item.job.target, None) is None:
            raise RuntimeError(f"the worker answered twice, or unasked: {item}")
        if isinstance(item, Staged):
            self._publisher.add(item)
        elif isinstance(item, Skipped):
            self._publisher.skip(item)
        elif item.kind is FailureKind.DISK_FULL:
            raise DiskFullError(item.error)
        else:
            self._publisher.fail(item)

    def _copy_others(self) -> None:
        unsynced = set()
        for i, other in enumerate(self._plan.others, 1):
            if self._stopper.asked:
                break
            try:
                written = self._journal.output.copy(other.source, other.relative)
                stat = self._journal.output.rename(written.path, other.relative)
            except ImageError as error:
                text = without_place(str(error), other.source, other.relative)
                self._journal.failed(other.relative, text, FailureKind.IMAGE)
                self._on_outcome(Outcome(other.relative, Status.FAILED, error=text, kind=FailureKind.IMAGE))
                continue
            unsynced.add(other.relative.parent)
            if i % MOST_WAITING == 0:
                self._journal.output.sync(unsynced)
                unsynced.clear()
            self._journal.copied(other, stat, written.sha256)
            self._on_outcome(Outcome(other.relative, Status.COPIED, output_bytes=written.size))
        self._journal.output.sync(unsynced)

    def _finish(self) -> None:
        """Leaves no temporaries of a run that stopped early, and writes down how it ended."""
        try:
            if self._disk_full is not None:
                with suppress(DiskFullError):
                    self._publisher.flush()
            if self._disk_full is not None or self._stopper.asked or self._tally.failed_jobs:
                self._journal.settle()
            self._journal.end(self._exit_code())
        except DiskFullError as error:
            self._disk_full = self._disk_full or str(error)  # the next run settles what this one couldn't

    def _on_outcome(self, outcome: Outcome) -> None:
        self._tally.add(outcome)
        self._reporter.on_outcome(outcome)

    def _say_stopping(self) -> None:
        self._reporter.on_note("stopping: images in work are finished or dropped; once more ends at once, safely")

    def _exit_code(self) -> ExitCode:
        if self._stopper.exit_code is not None:
            return self._stopper.exit_code
        if self._disk_full is not None:
            return ExitCode.DISK_FULL
        return ExitCode.SOME_FAILED if self._tally.failed else ExitCode.OK

    def _summary(self, seconds: float) -> Summary:
        tally = self._tally
        reason = None
        if self._disk_full is not None:
            reason = f"{self._disk_full}: make room, then run the same command again: it goes on where it stopped"
        elif self._stopper.asked:
            reason = "interrupted: run the same command again, it goes on where it stopped"
        return Summary(
            exit_code=self._exit_code(),
            done=tally.done,
            already_done=self._plan.done,
            failed=tally.failed,
            copied=tally.copied,
            remaining=len(self._plan.jobs) - tally.done - tally.failed_jobs - tally.skipped_jobs,
            in_pixels=tally.in_pixels,
            out_pixels=tally.out_pixels,
            output_bytes=tally.output_bytes,
            seconds=seconds,
            unchanged=tally.unchanged,
            skipped=tally.skipped,
            holes=tally.holes,
            changed_px=tally.changed_px,
            uncertain=tuple(tally.uncertain),
            reason=reason,
        )


def versions() -> dict[str, str]:
    """Of what decides pixels here, for the journal."""
    found = {"python": platform.python_version()}
    for name in ("restore-sr", "torch", "OpenImageIO"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
