"""Owns frame sequences: which names of a folder are one shot's frames, in which order, and what is missing.

Names are bytes and stay what they are: padding may be fixed (0999, 1000), missing (999, 1000) or nonsense, and nothing
is ever renumbered.  Names only: no file is opened.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from restore.errors import ImageError, SetupError
from restore.formats.catalogue import SUFFIXES

FRAME_SUFFIXES = frozenset({*SUFFIXES, ".dpx", ".cin"})
"""Lower case, with their dots: what a frame may be."""

_DIGITS = re.compile(rb"\d+")
_RANGE = re.compile(r"(\d+)(?:(-)(\d+)?)?")


@dataclass(frozen=True)
class Sequence:
    """Frames of one folder whose names differ in their number only."""

    folder: Path
    before: bytes
    """Of every name, what stands before the number."""
    after: bytes
    """And after it, suffix included."""
    names: Mapping[int, bytes]
    """Number -> name as the folder has it, in order of the numbers."""
    clashes: tuple[tuple[bytes, ...], ...] = ()
    """Names that say the same number with another padding, the one in `names` first."""

    @property
    def first(self) -> int:
        return next(iter(self.names))

    @property
    def last(self) -> int:
        return next(reversed(list(self.names)))

    @property
    def gaps(self) -> tuple[range, ...]:
        """Runs of numbers between the first and the last that no name has."""
        numbers = list(self.names)
        return tuple(range(a + 1, b) for a, b in pairwise(numbers) if b > a + 1)

    @property
    def label(self) -> str:
        """For people: "reel.[1001-1100].dpx"."""
        span = f"[{self.first}-{self.last}]" if len(self.names) > 1 else f"[{self.first}]"
        return f"{_shown(self.before)}{span}{_shown(self.after)}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before the run: gaps and clashes, with their numbers and names."""
        notes = []
        if self.gaps:
            missing = sum(map(len, self.gaps))
            notes.append(f"{self.label}: {missing} missing: {', '.join(map(_run, self.gaps))}; no number is changed")
        for same in self.clashes:
            names = " and ".join(map(_shown, same))
            notes.append(f"{self.label}: {names} are the same frame number: only {_shown(same[0])} is taken")
        return tuple(notes)

    def path(self, number: int) -> Path:
        """Where frame `number` lies.  ImageError when no file has that number."""
        name = self.names.get(number)
        if name is None:
            raise ImageError(f"{self.label}: frame {number} is missing: no file in {self.folder} has that number")
        return Path(os.fsdecode(os.path.join(os.fsencode(self.folder), name)))

    def selected(self, ranges: Iterable[range]) -> tuple[int, ...]:
        """Numbers of this sequence inside any of `ranges`, ascending."""
        wanted = tuple(ranges)
        return tuple(number for number in self.names if any(number in one for one in wanted))


def find(folder: Path, suffixes: frozenset[str] = FRAME_SUFFIXES) -> tuple[Sequence, ...]:
    """Every sequence in `folder` (not below it), in order of their names; a lone numbered file is one of one frame.

    Names without a number and files of other suffixes are left out.  ImageError when the folder can't be listed.
    """
    try:
        with os.scandir(os.fsencode(folder)) as entries:
            names = sorted(entry.name for entry in entries if entry.is_file())
    except OSError as error:
        raise ImageError(f"{folder}: {error.strerror}: give a folder of frames") from error
    return group(folder, (name for name in names if os.fsdecode(os.path.splitext(name)[1]).lower() in suffixes))


def group(folder: Path, names: Iterable[bytes]) -> tuple[Sequence, ...]:
    """`find` over names that are at hand already.

    Of several numbers in a name, the frame's is the last one that differs between names: in reel_1001_v02.dpx,
    reel_1002_v02.dpx it is the first.
    """
    templates: defaultdict[tuple[bytes, ...], list[bytes]] = defaultdict(list)
    for name in names:
        stem, suffix = os.path.splitext(name)
        between = _DIGITS.split(stem)
        if len(between) > 1:
            templates[(*between, suffix)].append(name)
    sequences = [one for same in templates.values() for one in _sequences(folder, same)]
    return tuple(sorted(sequences, key=lambda one: (one.before, one.after, one.first)))


def parse_ranges(text: str) -> tuple[range, ...]:
    """Frames that a person asks for: "1001-1100", "7", "1001-" (to the end), several with commas.  Ends are included.

    SetupError when it is none of these.
    """
    ranges = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise SetupError(f"--frames {text}: {part!r} is no range: write 1001-1100, 1001 or 1001-")
        start = int(match[1])
        stop = int(match[3]) if match[3] else (1 << 62 if match[2] else start)
        if stop < start:
            raise SetupError(f"--frames {text}: {part.strip()} ends before it starts")
        ranges.append(range(start, stop + 1))
    return tuple(ranges)


def _sequences(folder: Path, names: list[bytes]) -> list[Sequence]:
    """Of names that differ in their digits only."""
    runs = [tuple(match.span() for match in _DIGITS.finditer(os.path.splitext(name)[0])) for name in names]
    values = [[int(name[a:b]) for a, b in spans] for name, spans in zip(names, runs, strict=True)]
    differing = [i for i in range(len(runs[0])) if len({one[i] for one in values}) > 1]
    number = differing[-1] if differing else len(runs[0]) - 1
    found: defaultdict[tuple[bytes, bytes], defaultdict[int, list[bytes]]]
    found = defaultdict(lambda: defaultdict(list))
    for name, spans, value in zip(names, runs, values, strict=True):
        start, end = spans[number]
        found[name[:start], name[end:]][value[number]].append(name)
    return [
        Sequence(
            folder,
            before,
            after,
            {value: same[value][0] for value in sorted(same)},
            tuple(tuple(same[value]) for value in sorted(same) if len(same[value]) > 1),
        )
        for (before, after), same in found.items()
    ]


def _run(gap: range) -> str:
    return str(gap.start) if len(gap) == 1 else f"{gap.start}-{gap.stop - 1}"


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
