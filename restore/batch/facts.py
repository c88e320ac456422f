"""Owns what is known of one result beside its pixels: how it was made, what was repaired.  The journal keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Deviation:
    """What a worker had to change because memory ran out; a resume repeats it, so that pixels stay the same."""

    tile_px: int
    batch: int


@dataclass(frozen=True, slots=True)
class Uncertain:
    """A repair that a person should look at."""

    confidence: float
    """0..1."""
    page: int
    blob: int
    x: int
    """Corner of its box, in pixels of the page."""
    y: int
    fill: str


@dataclass(frozen=True, slots=True)
class RepairFacts:
    """What was repaired in one file; the repairs themselves are in its ledger."""

    holes: int
    changed_px: int
    """Pixels that were missing, growth included."""
    fills: Mapping[str, int]
    """How many holes were filled by what."""
    uncertain: tuple[Uncertain, ...]
    """The least certain ones, the least first."""
    touched_sha256: str
    """Of which pixels were touched (`trust.untouched`)."""
    untouched_sha256: str | None
    """Of all others; None where the file can't prove them: a lossy format, or enlarged afterwards."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a worker found out and did while it made one result; all of it goes to the journal."""

    traits_because: str = ""
    """`Traits.because`: what the texture was taken for, and why."""
    tile_px: int | None = None
    halo_px: int | None = None
    drift: float | None = None
    """Colour drift against the area-averaged source (unit: see `color.drift`)."""
    seconds: float = 0.0
    """Spent on this file."""
    in_pixels: int = 0
    out_pixels: int = 0
    deviation: Deviation | None = None
    notes: tuple[str, ...] = ()
    repair: RepairFacts | None = None
    unchanged: str = ""
    """Why the source's bytes were passed on as they are."""


NO_FACTS = Facts()


def facts_from(text: str) -> Facts:
    """Facts as the journal keeps them, in JSON.  Keys of newer versions are left alone; raises ValueError."""
    plain = json.loads(text)
    known = {field.name for field in fields(Facts)}
    found = {key: value for key, value in plain.items() if key in known}
    try:
        if found.get("deviation") is not None:
            found["deviation"] = Deviation(**found["deviation"])
        if (repair := found.get("repair")) is not None:
            uncertain = tuple(Uncertain(**one) for one in repair["uncertain"])
            found["repair"] = RepairFacts(**{**repair, "uncertain": uncertain})
        return Facts(**{**found, "notes": tuple(found.get("notes", ()))})
    except (TypeError, KeyError) as error:
        raise ValueError(f"these are no facts of a result: {error}") from error
