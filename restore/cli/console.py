"""Owns everything that is printed: the only file of the package that writes to standard output or error.

Results, progress and summaries go to standard output; only what stops a command goes to standard error.  A run is
shown in one of three ways: a progress bar on a terminal, plain lines elsewhere, JSON for machines (see `events`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, Self

from restore.report.visible import visible

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from restore.batch.job import Job, Outcome, Plan, Summary
    from restore.cli.events import Event, Used


def say(lines: str | Iterable[str]) -> None:
    """Lines of a result.  Names in them must have gone through `visible` already."""
    for line in [lines] if isinstance(lines, str) else lines:
        _write(line)


def say_json(event: Event) -> None:
    """One event, complete at once, so that whoever reads a pipe never waits for a buffer."""
    _write(json.dumps(event))


def complain(message: str) -> None:
    """One line on standard error: why a command stopped."""
    print(f"restore: {visible(message)}", file=sys.stderr, flush=True)


def _write(line: str) -> None:
    try:
        print(line, flush=True)
    except UnicodeEncodeError:  # a terminal of another encoding (LANG=C, a Windows code page)
        encoding = sys.stdout.encoding or "ascii"
        print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)


class Report(Protocol):
    """A `batch.job.Reporter` that also opens, closes, and says what a run works with."""

    def on_used(self, used: Used) -> None: ...
    def on_dry_run(self, plan: Plan) -> None: ...
    def on_plan(self, plan: Plan) -> None: ...
    def on_started(self, job: Job) -> None: ...
    def on_outcome(self, outcome: Outcome) -> None: ...
    def on_note(self, note: str) -> None: ...
    def on_end(self, summary: Summary) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None: ...


def report(*, as_json: bool) -> Report:
    """The way of showing a run that suits who is looking."""
    if as_json:
        return JsonReport()
    return BarReport() if sys.stdout.isatty() else PlainReport()


class JsonReport:
    """One JSON object a line."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from restore.cli.events import error_event
        from restore.cli.failures import exit_code
        from restore.errors import RestoreError

        if isinstance(error, RestoreError):
            say_json(error_event(str(error), exit_code(error)))

    def on_used(self, used: Used) -> None:
        from restore.cli.events import run_event

        say_json(run_event(used))

    def on_dry_run(self, plan: Plan) -> None:
        from restore.cli.events import plan_event

        say_json(plan_event(plan, with_jobs=True))

    def on_plan(self, plan: Plan) -> None:
        from restore.cli.events import plan_event

        say_json(plan_event(plan, with_jobs=False))

    def on_started(self, job: Job) -> None:
        from restore.cli.events import started_event

        say_json(started_event(job))

    def on_outcome(self, outcome: Outcome) -> None:
        from restore.cli.events import outcome_event

        say_json(outcome_event(outcome))

    def on_note(self, note: str) -> None:
        from restore.cli.events import note_event

        say_json(note_event(note))

    def on_end(self, summary: Summary) -> None:
        from restore.cli.events import end_event

        say_json(end_event(summary))


class PlainReport:
    """A line for each file: for logs, pipes and dumb terminals."""

    def __init__(self) -> None:
        self._failures: list[Outcome] = []
        self._used: Used | None = None
        self._files = self._finished = 0
        self._pixels = self._pixels_done = self._pixels_made = 0
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def on_used(self, used: Used) -> None:
        from restore.cli.wording import used_line

        self._used = used
        self._say(used_line(used))

    def on_dry_run(self, plan: Plan) -> None:
        from restore.cli.wording import dry_run_lines

        say(dry_run_lines(plan))

    def on_plan(self, plan: Plan) -> None:
        from restore.cli.wording import plan_lines

        say(plan_lines(plan))
        self._files = len(plan.jobs) + len(plan.others) + len(plan.problems) + len(plan.skipped)
        self._pixels = plan.in_pixels
        self._began = time.monotonic()

    def on_started(self, job: Job) -> None:
        pass

    def on_outcome(self, outcome: Outcome) -> None:
        from restore.batch.job import Status
        from restore.cli.wording import outcome_line

        self._finished += 1
        self._pixels_done += outcome.job.in_pixels if outcome.job else 0
        self._pixels_made += outcome.facts.out_pixels
        failed = outcome.status is Status.FAILED
        if failed:
            self._failures.append(outcome)
        self._show(outcome_line(outcome), failed=failed)

    def _show(self, line: str, *, failed: bool) -> None:  # noqa: ARG002  a bar shows only failures as lines
        width = len(str(self._files))
        self._say(f"[{self._finished:{width}}/{self._files}] {line}{self._left()}")

    def _left(self) -> str:
        """Time left, once there is something to judge it by."""
        from restore.cli.wording import clock

        elapsed = time.monotonic() - self._began
        if elapsed < 10 or not self._pixels_done or self._pixels_done >= self._pixels:
            return ""
        return f"  {clock(elapsed * (self._pixels - self._pixels_done) / self._pixels_done)} left"

    def on_note(self, note: str) -> None:
        self._say(f"note: {visible(note)}")

    def on_end(self, summary: Summary) -> None:
        from restore.cli.wording import summary_lines

        say(summary_lines(summary, self._failures, self._used))

    def _say(self, line: str) -> None:
        say(line)


class BarReport(PlainReport):
    """A bar with files, megapixels a second, time left, device and precision; failures scroll by above it."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __exit__(self, *_: object) -> None:
        self._stop()

    def on_plan(self, plan: Plan) -> None:
        super().on_plan(plan)
        if not self._files:
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        where = f"{self._used.device} {self._used.precision}" if self._used else ""
        self._bar = Progress(
            BarColumn(),
            TextColumn("{task.fields[files]} files", markup=False),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(compact=True),
            TextColumn("left", markup=False),
            TextColumn("{task.fields[where]}", style="dim", markup=False),
            speed_estimate_period=120,
        )
        self._task = self._bar.add_task(
            "", total=max(1, self._pixels), files=f"0/{self._files}", rate="", where=visible(where)
        )
        self._bar.start()

    def _show(self, line: str, *, failed: bool) -> None:
        if self._bar is None or self._task is None:
            return
        if failed:
            self._say(line)
        elapsed = max(time.monotonic() - self._began, 1e-3)
        self._bar.update(
            self._task,
            completed=self._pixels_done if self._pixels else self._finished,
            files=f"{self._finished}/{self._files}",
            rate=f"{self._pixels_made / 1e6 / elapsed:.2f} MP/s",
        )

    def on_end(self, summary: Summary) -> None:
        self._stop()
        super().on_end(summary)

    def _say(self, line: str) -> None:
        if self._bar is None:
            say(line)
        else:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
