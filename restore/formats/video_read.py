"""Owns decoded frames of a video by number: exact ranges, the damage that decoders hide, bounded memory.

One decoder thread: damage is then told for the frame that has it, and many ranges are decoded by many workers anyway.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from restore.errors import ImageError
from restore.formats import pyav
from restore.formats.video import Clip, Index, index
from restore.formats.video_pixels import Layout, Planes, planes_of


@dataclass(frozen=True)
class Frame:
    """One decoded frame, in the file's own samples."""

    number: int
    """In order of presentation, from 0."""
    pts: int
    """When it is shown, in units of `time_base`."""
    time_base: Fraction
    duration: int
    """In units of `time_base`."""
    planes: Planes
    layout: Layout
    is_key: bool
    is_interlaced: bool
    """As flagged."""
    damage: str = ""
    """What the decoder could not read and covered up; "" when whole."""

    @property
    def height(self) -> int:
        return int(self.planes[0].shape[0])

    @property
    def width(self) -> int:
        return int(self.planes[0].shape[1])


def frames(
    clip: Clip, start: int = 0, stop: int | None = None, known: Index | None = None, *, keep_damaged: bool = False
) -> Iterator[Frame]:
    """Frames `start` <= number < `stop` (None: to the end), each once, in order.

    `known` is the clip's index, made here when it isn't at hand.  Decoding starts at least one key frame before
    `start`, since the frames behind a key frame may still refer to those before it, and every timestamp is checked
    against the index.  Damage, a frame that is missing and an end that comes too early raise ImageError with the
    frame's number, after all frames before it; with `keep_damaged` damaged frames come as the decoder shows them and
    missing ones as the one before, with `damage` saying so.
    """
    known = known or index(clip)
    end = known.frames if stop is None else stop
    if not 0 <= start < end:
        raise ValueError(f"no frames in [{start}, {end})")
    if start >= known.frames:
        raise ImageError(f"{clip.path}: frame {start} was asked for, but its last one is {known.frames - 1}")
    expected = start
    last: Frame | None = None
    for frame in _counted(clip, known, start, min(end, known.frames)):
        if frame.number < expected:
            raise ImageError(
                f"{clip.path}: frame {frame.number} comes after frame {expected - 1}: its timestamps are broken; write"
                " it anew with `ffmpeg -fflags +genpts -i IN -c copy OUT.mkv`, or restore a copy of better make"
            )
        while expected < frame.number:
            last = _missing(clip, known, expected, last, "it can't be decoded", keep=keep_damaged)
            yield last
            expected += 1
        if frame.damage and not keep_damaged:
            raise ImageError(_verdict(clip, known, frame.number, frame.damage))
        if last is not None and last.damage and not frame.damage and not frame.is_key:
            frame = replace(frame, damage=f"it refers to frame {last.number}, which is damaged")  # noqa: PLW2901
        yield frame
        last, expected = frame, frame.number + 1
    for number in range(expected, min(end, known.frames)):
        last = _missing(clip, known, number, last, "it can't be decoded", keep=keep_damaged)
        yield last
    cut = next((note for note in known.notes if note.startswith("truncated")), "it ends there")
    if not keep_damaged and (end > known.frames or (stop is None and cut.startswith("truncated"))):
        raise ImageError(
            f"{clip.path}: frame {known.frames} is missing ({cut}): the frames before it are whole; get another copy,"
            f" or restore what there is with --frames 0-{known.frames - 1}"
        )


def _counted(clip: Clip, known: Index, start: int, end: int) -> Iterator[Frame]:
    """The frames of [start, end) that decoding gives, numbered."""
    before = np.flatnonzero(known.keys <= start)
    every_one = len(known.keys) == known.frames
    place = int(before[-1]) if every_one and len(before) else int(before[-2]) if len(before) > 1 else -1
    if place >= 0:
        with closing(_from_key(clip, known, place)) as numbered:
            for number, picture, damage in numbered:
                if number is None or number > start:
                    break  # the container sought elsewhere: count from the start instead
                if number < start:
                    continue
                yield _frame(clip, known, number, picture, damage)
                for after, shown, wrong in numbered:
                    if after is None or after >= end:
                        return
                    yield _frame(clip, known, after, shown, wrong)
                return
    with closing(_decoded(clip, None)) as decoded:
        for number, (picture, damage) in enumerate(decoded):
            if number >= end:
                return
            if number >= start:
                yield _frame(clip, known, number, picture, damage)


def _from_key(clip: Clip, known: Index, place: int) -> Generator[tuple[int | None, Any, str], None, None]:
    """(number, picture, what is wrong) from a key frame on; the number is None where the file disagrees."""
    times = {int(pts): number for number, pts in enumerate(known.pts)} if not known.doubt else {}
    key_pts, number = int(known.key_pts[place]), int(known.keys[place])
    reached = False
    with closing(_decoded(clip, key_pts)) as decoded:
        for picture, damage in decoded:
            if not known.doubt:
                yield times.get(picture.pts), picture, damage
                continue
            if not reached and picture.pts != key_pts:
                if picture.key_frame:
                    yield None, picture, damage
                continue  # frames shown before the key frame, made of ones that were skipped
            reached = True
            yield number, picture, damage
            number += 1


def _decoded(clip: Clip, seek_pts: int | None) -> Generator[tuple[Any, str], None, None]:
    """Pictures in order of presentation, each with what is wrong with it."""
    av = pyav.load()
    with pyav.opened(clip.path) as container, pyav.refusing(str(clip.path), "reading stopped"):
        stream = container.streams[clip.stream]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        if seek_pts is not None:
            container.seek(seek_pts, stream=stream, backward=True)
        wrong: dict[int | None, str] = {}
        late: deque[str] = deque()  # said about packets without a timestamp: the next picture's
        for packet in container.demux(stream):
            pictures: list[Any] = []
            with pyav.listening() as said:
                try:
                    pictures = packet.decode()
                except av.FFmpegError as error:
                    said.append(str(error.strerror or error))
            if packet.is_corrupt and packet.size:
                said.append("its packet is damaged")
            if said and packet.size:
                if packet.pts is None:
                    late.append(said[0])
                wrong[packet.pts] = said[0]
            for picture in pictures:
                damage = wrong.pop(picture.pts, "") or (late.popleft() if late else "")
                yield picture, damage or ("the decoder marks it as damaged" if picture.is_corrupt else "")


def _frame(clip: Clip, known: Index, number: int, picture: Any, damage: str) -> Frame:
    if (picture.width, picture.height, picture.format.name) != (clip.width, clip.height, clip.layout.name):
        raise ImageError(
            f"{clip.path}: frame {number} is {picture.width} x {picture.height} in {picture.format.name}, but the film"
            f" began as {clip.width} x {clip.height} in {clip.layout.name}: cut it where that changes"
        )
    return Frame(
        number=number,
        pts=int(known.pts[number]),
        time_base=clip.time_base,
        duration=known.duration(number),
        planes=planes_of(picture, clip.layout),
        layout=clip.layout,
        is_key=bool(picture.key_frame),
        is_interlaced=bool(picture.interlaced_frame),
        damage=damage,
    )


def _missing(clip: Clip, known: Index, number: int, last: Frame | None, why: str, *, keep: bool) -> Frame:
    if not keep:
        raise ImageError(_verdict(clip, known, number, why))
    planes = last.planes if last is not None else _grey(clip)
    return Frame(
        number, int(known.pts[number]), clip.time_base, known.duration(number), planes, clip.layout, False, False, why
    )


def _grey(clip: Clip) -> Planes:
    middle = 1 << (clip.layout.bits - 1)
    return tuple(np.full(shape, middle, clip.layout.dtype) for shape in clip.layout.shapes(clip.height, clip.width))


def _verdict(clip: Clip, known: Index, number: int, why: str) -> str:
    return (
        f"{clip.path}: frame {number} of {known.frames} is damaged or missing ({why}): the frames before it are whole;"
        " get another copy, or restore ranges without it with --frames"
    )
