"""Owns a picture on its way through a worker: what was read of it, and what the steps have made of it so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from restore.batch.job import Job
from restore.batch.large import Large
from restore.errors import ImageError
from restore.holes.found import Found
from restore.image import Document
from restore.traits import Traits
from restore.trust.ledger import Repair
from restore.trust.patches import Patch, Patches
from restore.trust.untouched import Touched
from restore.upscale import Enlarged


@dataclass(frozen=True)
class Read:
    """A source, read and examined."""

    job: Job
    document: Document
    traits: tuple[Traits, ...]
    """One a page."""
    cost: float
    """Share of the room for pictures in memory that it takes."""
    seconds: float
    """That reading took."""
    found: tuple[Found | None, ...] = ()
    """One a page, None where nothing is to be repaired; empty where nothing is looked for."""
    patches: Patches | None = None
    """To be put on."""
    source_sha256: str = ""
    """Known where repairs are remembered."""
    notes: tuple[str, ...] = ()
    """What a person should know of its holes."""
    large: Large | None = None
    """Where it is worked on in bands of rows; then its document has pages without rows."""

    @property
    def damaged(self) -> bool:
        if self.large is not None and self.large.damaged:
            return True
        return self.patches is not None or any(
            found is not None and (found.blobs or found.divided_blobs) for found in self.found
        )


@dataclass(frozen=True)
class Work:
    """A picture between two steps."""

    read: Read
    document: Document
    """At the source's size, as repaired so far."""
    repairs: tuple[tuple[Repair, Touched], ...] = ()
    """Each with the plane of its box that says which pixels are its own."""
    patched: tuple[Patch, ...] = ()
    """The same with their pixels, where it is worked on in bands of rows."""
    enlarged: Enlarged | None = None
    seconds: float = 0.0
    """That the steps took."""

    def result(self) -> Document:
        """At the size that was asked for; may take a while, once."""
        return self.document if self.enlarged is None else self.enlarged.document()

    def after(self, seconds: float) -> Work:
        return replace(self, seconds=self.seconds + seconds)


Leave = Callable[[Work, ImageError], None]
"""Called with a picture that goes no further, and why."""


class Step(Protocol):
    """One step of a recipe: pictures flow through, several at once where that pays."""

    def stream(self, works: Iterable[Work | None], leave: Leave) -> Iterator[Work | None]:
        """Every picture comes out once, or leaves.  None among them means that none is ready now: what waits for
        company goes without it, and None comes out too, so that the next step hears of it."""
        ...


@dataclass
class Line:
    """Steps one after the other."""

    steps: tuple[Step, ...] = field(default_factory=tuple)

    def stream(self, works: Iterable[Work | None], leave: Leave) -> Iterator[Work]:
        flowing: Iterable[Work | None] = works
        for step in self.steps:
            flowing = step.stream(flowing, leave)
        return (work for work in flowing if work is not None)
