"""Owns the words that plan, workers, driver and reporter exchange: what is to do, what came of it.

Plain data and two protocols; nothing here touches a disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from restore.batch.facts import NO_FACTS, Deviation, Facts, Uncertain
from restore.errors import ExitCode

if TYPE_CHECKING:
    from restore.formats import Header


@dataclass(frozen=True, slots=True)
class SourceState:
    """What tells one version of a source file from another."""

    size: int
    """Bytes."""
    mtime_ns: int
    inode: int
    sha256: str | None = None
    """Known when somebody read the whole file."""


@dataclass(frozen=True, slots=True)
class Companion:
    """A second file that decides what becomes of a source: its mask, its infrared picture, its patches."""

    relative: Path
    """Relative to where such files are looked for; what the journal remembers."""
    source: Path
    """Openable."""
    state: SourceState


@dataclass(frozen=True, slots=True)
class Job:
    """One source file that is to become one target file."""

    relative: Path
    """The source, relative to IN; names are bytes-exact (`os.fsencode` gives back the bytes on disk)."""
    source: Path
    """The source, openable."""
    target: Path
    """The result, relative to the output root."""
    header: Header
    source_state: SourceState
    format: str
    """A key of `formats.FORMATS`: what the target is written as."""
    output_width_px: int
    output_height_px: int
    """Of one page (of one face for a cube strip), as planned from the header."""
    deviation: Deviation | None = None
    """What an earlier, interrupted attempt at the same work had to settle for; the worker starts with it."""
    companion: Companion | None = None
    unchanged: str = ""
    """Why the source's bytes are passed on as they are, where planning decided that."""
    in_bands: bool = False
    """Whether it is worked on in bands of rows, because it doesn't fit into memory."""

    @property
    def is_copy(self) -> bool:
        """Whether the source's own bytes become the result."""
        return bool(self.unchanged) and self.format == self.header.format

    @property
    def changes_in_place(self) -> bool:
        """Whether the result is a copy of the source's bytes in which only what is repaired is written anew."""
        return self.format == self.header.format == "dds"

    @property
    def in_pixels(self) -> int:
        """Over all pages."""
        return self.header.width * self.header.height * max(1, self.header.pages)

    @property
    def out_pixels(self) -> int:
        """Over all pages."""
        return self.output_width_px * self.output_height_px * max(1, self.header.pages)


@dataclass(frozen=True, slots=True)
class Other:
    """A file that is no image and is carried along as it is."""

    relative: Path
    """Relative to IN, and to the output root."""
    source: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that fails without being tried: it counts as failed when the run ends."""

    relative: Path
    error: str

    def __str__(self) -> str:
        return f"{printable(self.relative)}: {self.error}"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is left out on purpose: nothing is written for it."""

    relative: Path
    reason: str
    job: Job | None = None
    """None where planning left it out."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Which companion a source was given, and why (or why none)."""

    relative: Path
    companion: Path | None
    because: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is known before anything is written."""

    jobs: tuple[Job, ...]
    done: int
    """Images that an earlier run finished and that need nothing."""
    others: tuple[Other, ...]
    """Files to copy along, now; empty without `copy_others`."""
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    """What a person should know before the run, a line each."""
    fingerprint: str
    """Of the recipe."""
    free_bytes: int | None = None
    """On the disk of the output; None where the system doesn't tell."""
    estimated_bytes: int = 0
    """Typical size of everything that will be written."""
    others_done: int = 0
    skipped: tuple[Skipped, ...] = ()
    pairs: tuple[Pair, ...] = ()
    """Of all sources that are looked at, done ones too; empty where sources need no companions."""

    @property
    def in_pixels(self) -> int:
        return sum(job.in_pixels for job in self.jobs)

    @property
    def out_pixels(self) -> int:
        return sum(job.out_pixels for job in self.jobs)


@dataclass(frozen=True, slots=True)
class Staged:
    """A checked, fsynced result under a temporary name, ready for the driver to publish."""

    job: Job
    temporary: Path
    """Relative to the output root, in the target's own directory."""
    size: int
    """Bytes of the file."""
    sha256: str
    """Of the file."""
    facts: Facts


class FailureKind(StrEnum):
    """Why one file failed, as far as somebody acts on it."""

    IMAGE = "image"  # the file can't be read, or its result can't be made or written
    CHANGED = "changed"  # the source is not the one that was planned: run again
    CHECK = "check"  # the result did not pass its check
    MEMORY = "memory"  # even the smallest tile did not fit
    DISK_FULL = "disk full"  # stops the run; it can be resumed


@dataclass(frozen=True, slots=True)
class Failed:
    """This file gave no result."""

    job: Job
    error: str
    """Names the fact and the way out; the file is in `job`."""
    kind: FailureKind = FailureKind.IMAGE
    facts: Facts = NO_FACTS


@dataclass(frozen=True, slots=True)
class Deviated:
    """Said by a worker at once when memory ran out and an image restarts; its result follows later."""

    job: Job
    deviation: Deviation


Result = Staged | Failed | Skipped | Deviated
"""What a worker says of a job."""


class Status(StrEnum):
    DONE = "done"
    FAILED = "failed"
    COPIED = "copied"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one file, after it was published (or given up)."""

    relative: Path
    status: Status
    job: Job | None = None
    """None for a copied file and for one whose header could not be read."""
    error: str | None = None
    """Why it failed, or was skipped."""
    kind: FailureKind | None = None
    output_bytes: int = 0
    facts: Facts = NO_FACTS


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a run."""

    exit_code: ExitCode
    done: int
    """Images finished now."""
    already_done: int
    failed: int
    copied: int
    remaining: int
    """Images not reached, or dropped: a resume takes them up."""
    in_pixels: int
    out_pixels: int
    output_bytes: int
    seconds: float
    """Wall time of the run, planning not counted."""
    unchanged: int = 0
    """Images among `done` that were passed on as they are."""
    skipped: int = 0
    holes: int = 0
    """Filled in this run."""
    changed_px: int = 0
    uncertain: tuple[tuple[Path, Uncertain], ...] = ()
    """The least certain repairs of the run, the least first."""
    reason: str | None = None
    """Why it ended early, and how to resume; None when it didn't."""

    @property
    def megapixels_per_second(self) -> float:
        """Of the output."""
        return self.out_pixels / 1e6 / self.seconds if self.seconds > 0 else 0.0


class Worker(Protocol):
    """Turns jobs into staged results."""

    def process(self, jobs: Iterable[Job], stopping: Callable[[], bool]) -> Iterator[Result]:
        """A STREAM: pulls jobs lazily (from any one thread at a time), a few ahead, so that reading, computing and
        staging overlap; gives exactly one Staged, Failed or Skipped a job, in any order.

        Once `stopping()` says so (an interruption; `jobs` ends then too) it finishes what it has begun to compute and
        drops what it has only read ahead, without a result.  When the generator is closed it drops everything at once.
        May raise DiskFullError: that stops the run.
        """
        ...


class Reporter(Protocol):
    """Shows a run to a person or a machine.  Calls never overlap; `on_started` may come from another thread."""

    def on_plan(self, plan: Plan) -> None: ...

    def on_started(self, job: Job) -> None: ...

    def on_outcome(self, outcome: Outcome) -> None: ...

    def on_note(self, note: str) -> None: ...

    def on_end(self, summary: Summary) -> None: ...


def without_place(message: str, source: Path, relative: Path) -> str:
    """A message about a source without this machine's folders, and without a leading name: callers show that."""
    for whole in (str(source), printable(source), str(source.absolute())):
        message = message.replace(whole, printable(relative))
    return message.removeprefix(f"{printable(relative)}: ")


def printable(path: Path) -> str:
    """The path as text that any terminal, log or JSON takes: undecodable bytes as `\\xNN`, control characters too."""
    return "".join(c if c.isprintable() else _escaped(c) for c in str(path))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how `os.fsdecode` gives a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
