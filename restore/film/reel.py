"""Owns the one form of videos and sequences for repair: frames by position, and verdicts where there is no frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.color import yuv
from restore.color.yuv import Signal
from restore.errors import ImageError
from restore.film import fields as film_fields
from restore.film.fields import Fields, Method
from restore.film.form import Form
from restore.film.native import Native, Sampled, Scan, Working, native_of, working_of
from restore.formats import Decoder, video_process
from restore.formats import sequence as names
from restore.formats.video import Clip, Index
from restore.formats.video_read import Frame

_SKIM_PX = (256, 144)
"""Width and height."""


@dataclass(frozen=True)
class FilmFrame:
    """One frame of a reel."""

    number: int
    """The file's own in a sequence; from 0 in a video."""
    working: Working
    native: Native
    damage: str = ""
    """What its decoder could not read and covered up."""
    coarse_colour: bool = False
    """Its source has fewer samples of colour than of brightness."""


@dataclass(frozen=True)
class Fault:
    """A frame that can't be had; its neighbours can."""

    number: int
    reason: str
    """Names the file, the fact and the way out."""


@dataclass(frozen=True)
class Skimmed:
    """A frame as a small picture, which is enough to see cuts."""

    number: int
    small: Working | None
    """None: it can't be had, for the reason in `damage`."""
    damage: str


class Reel(Protocol):
    """Film by position: `read(0, len(reel.numbers))` is all of it."""

    @property
    def label(self) -> str: ...
    @property
    def numbers(self) -> Sequence[int]:
        """Frame numbers, in order of presentation; a sequence's include those that are missing."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before the run."""
        ...

    def read(self, start: int, stop: int) -> Iterator[FilmFrame | Fault]:
        """What stands at positions `start` <= p < `stop`, in order, exactly one item for each."""
        ...

    def skim(self, start: int, stop: int) -> Iterator[Skimmed]:
        """The same, small."""
        ...


@dataclass(frozen=True)
class ClipReel:
    """A video, its frames made whole if asked."""

    clip: Clip
    known: Index
    signal: Signal
    fields: Fields
    form: Form | None = None
    """That its frames are given in; None: their own."""

    @property
    def label(self) -> str:
        return str(self.clip.path)

    @property
    def numbers(self) -> Sequence[int]:
        return range(self.fields.frames)

    @property
    def size(self) -> tuple[int, int]:
        return self.clip.width, self.clip.height

    @property
    def notes(self) -> tuple[str, ...]:
        doubt = (f"{self.known.doubt}: its frames were counted by decoding",) if self.known.doubt else ()
        return (*self.known.notes, *doubt, f"colour: {self.signal.because}")

    def read(self, start: int, stop: int) -> Iterator[FilmFrame | Fault]:
        number = start
        try:
            for frame in film_fields.processed(self._source, self.fields, start, stop):
                native = Sampled(frame.planes, replace(self.signal, layout=frame.layout))
                yield _film_frame(frame.number, native, self.form, frame.damage)
                number = frame.number + 1
        except ImageError as error:
            for lost in range(number, stop):
                yield Fault(lost, str(error))

    def skim(self, start: int, stop: int) -> Iterator[Skimmed]:
        """`read` for whom small pictures are enough: colour is computed on these alone."""
        number = start
        try:
            for frame in film_fields.processed(self._source, self.fields, start, stop):
                planes = tuple(_small(plane) for plane in frame.planes)
                signal = replace(self.signal, layout=replace(frame.layout, halvings=(0, 0)))
                yield Skimmed(frame.number, yuv.to_working(planes, signal), frame.damage)
                number = frame.number + 1
        except ImageError as error:
            for lost in range(number, stop):
                yield Skimmed(lost, None, str(error))

    def _source(self, start: int, stop: int) -> Iterator[Frame]:
        return video_process.frames(self.clip, start, stop, self.known, keep_damaged=True)


@dataclass(frozen=True)
class SequenceReel:
    """Frames of a folder; gaps are positions, too."""

    sequence: names.Sequence
    decoder: Decoder
    size: tuple[int, int]
    notes: tuple[str, ...]
    form: Form | None = None
    """As a clip's."""

    @property
    def label(self) -> str:
        return self.sequence.label

    @property
    def numbers(self) -> Sequence[int]:
        return range(self.sequence.first, self.sequence.last + 1)

    def skim(self, start: int, stop: int) -> Iterator[Skimmed]:
        """As a clip's."""
        for item in self.read(start, stop):
            if isinstance(item, Fault):
                yield Skimmed(item.number, None, item.reason)
            else:
                small = _small(item.working)
                yield Skimmed(item.number, small.reshape(*small.shape[:2], item.working.shape[2]), item.damage)

    def read(self, start: int, stop: int) -> Iterator[FilmFrame | Fault]:
        for number in self.numbers[start:stop]:
            try:
                path = self.sequence.path(number)
                frame = _film_frame(number, native_of(path, self.decoder), self.form)
                height, width = frame.working.shape[:2]
                if (width, height) != self.size:
                    raise ImageError(
                        f"{path}: it is {width} x {height}, but the sequence began as {self.size[0]} x {self.size[1]}:"
                        " put frames of another size into a folder of their own"
                    )
                yield frame
            except ImageError as error:
                yield Fault(number, str(error))


def open_clip(path: Path, fields: Fields | None = None) -> ClipReel:
    """A video; `fields` as `film.fields.settle` gave it, None: frames are taken as they are.

    ImageError when it can't be read.
    """
    clip, known = video_process.look(path)
    signal = yuv.signal_of(clip.layout, clip.colour.matrix, clip.height, full_range=clip.full_range)
    return ClipReel(clip, known, signal, fields or Fields(Method.NONE, "", known.frames, "taken as they are"))


def open_sequence(sequence: names.Sequence, decoder: Decoder, form: Form | None = None) -> SequenceReel:
    """Frames of a folder; the first readable one says how large all must be.  `decoder` belongs to this thread.

    ImageError when no frame can be read.
    """
    reasons = []
    for number in sequence.names:
        try:
            frame = _film_frame(number, native_of(sequence.path(number), decoder), form)
        except ImageError as error:
            reasons.append(str(error))
            continue
        height, width = frame.working.shape[:2]
        return SequenceReel(sequence, decoder, (width, height), sequence.notes, form)
    raise ImageError(f"{sequence.label}: none of its {len(reasons)} frames can be read; the first: {reasons[0]}")


def _small(plane: NDArray[Any]) -> NDArray[Any]:
    """A plane or picture of at most `_SKIM_PX`; its shape is another one, its numbers' type stays."""
    return np.asarray(cv2.resize(plane, _SKIM_PX, interpolation=cv2.INTER_AREA), plane.dtype)


def _film_frame(number: int, native: Native, form: Form | None, damage: str = "") -> FilmFrame:
    planes = native.sampled if isinstance(native, Scan) else native
    coarse = isinstance(planes, Sampled) and planes.signal.layout.halvings != (0, 0)
    given = native if form is None else form.of(number, native)
    return FilmFrame(number, working_of(given), given, damage, coarse)
