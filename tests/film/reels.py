"""Owns reels of small films that the tests of film repair share: in memory, with gaps where a test wants them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from restore.film.fields import Fields, Method
from restore.film.netfill import image_of
from restore.film.plan import Plan, Shot
from restore.film.reel import Fault, FilmFrame, Skimmed
from restore.film.settings import InputColour, ShotSettings
from restore.image import Document


class MemoryReel:
    """Frames (H, W, C), uint16, numbered from `first`; None is a frame that nobody can have."""

    def __init__(self, frames: Sequence[NDArray[np.uint16] | None], first: int = 0) -> None:
        self.frames, self.first = frames, first
        self.reads: list[tuple[int, int]] = []

    label = "reel"
    notes = ()

    @property
    def numbers(self) -> Sequence[int]:
        return range(self.first, self.first + len(self.frames))

    @property
    def size(self) -> tuple[int, int]:
        shape = next(frame.shape for frame in self.frames if frame is not None)
        return shape[1], shape[0]

    def read(self, start: int, stop: int) -> Iterator[FilmFrame | Fault]:
        self.reads.append((start, stop))
        for position in range(start, stop):
            frame = self.frames[position]
            if frame is None:
                yield Fault(self.first + position, "it is missing")
            else:
                yield FilmFrame(self.first + position, frame, Document((image_of(frame),)))

    def skim(self, start: int, stop: int) -> Iterator[Skimmed]:
        for item in self.read(start, stop):
            lost = isinstance(item, Fault)
            yield Skimmed(item.number, None if lost else item.working, item.reason if lost else "")


def in_16_bits(frames: Sequence[NDArray[np.float32]]) -> list[NDArray[np.uint16]]:
    return [np.rint(np.clip(frame, 0, 1) * 65535).astype(np.uint16) for frame in frames]


def plan_of(reel: MemoryReel, shots: Mapping[int, ShotSettings] | None = None) -> Plan:
    """`shots`: first frame -> settings."""
    first, last = reel.numbers[0], reel.numbers[-1]
    starts = shots or {first: ShotSettings(bar=0.0)}
    ends = [*(start - 1 for start in list(starts)[1:]), last]
    made = tuple(Shot(start, end, "cut", settings) for (start, settings), end in zip(starts.items(), ends, strict=True))
    fields = Fields(Method.NONE, "", len(reel.frames), "")
    return Plan("reel", first, last, reel.size, fields, InputColour.SRGB, made, {})
