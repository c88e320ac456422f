"""Owns what a video file says about itself: streams, sizes, colour tags, rates, and when each frame is shown.

`probe` reads headers, `index` the packets' timestamps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.formats import pyav, timecode
from restore.formats.timecode import Timecode
from restore.formats.video_pixels import Layout, layout_of

_LOOKED_AT = 40
"""Frames whose times are compared with their packets': more than any reordering reaches."""

MAX_PIXELS = 1 << 28
"""Of one frame: 16K x 16K."""

FIELD_ORDERS = ("unknown", "progressive", "tff", "bff", "tff, bottom coded first", "bff, top coded first")
"""What a file claims; judge by content (`restore.film.fields`), since it is often wrong."""


@dataclass(frozen=True)
class Colour:
    """Code points of ITU-T H.273; 2 is unspecified."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0
    """0 unspecified, 1 limited ("tv", 16..235), 2 full ("pc", 0..255)."""


@dataclass(frozen=True)
class Companion:
    """A stream beside the pictures."""

    index: int
    """In the container."""
    kind: str
    """audio, subtitle, data, timecode, attachment, or video for a second picture stream (cover art)."""
    codec: str
    language: str
    title: str
    timecode: str = ""
    """The first frame's label, of a timecode track."""


@dataclass(frozen=True)
class Clip:
    """One video file and its main picture stream."""

    path: Path
    container: str
    """FFmpeg's name: "matroska,webm"."""
    stream: int
    """The picture stream's index in the container."""
    codec: str
    profile: str
    width: int
    height: int
    layout: Layout
    rate: Fraction
    """Frames a second, on average."""
    time_base: Fraction
    """Seconds of one unit of `pts`."""
    start_pts: int
    claimed_s: float | None
    """Length that the header promises."""
    claimed_frames: int | None
    colour: Colour
    sample_aspect: Fraction
    """Width of a sample over its height; 1 where the file says nothing."""
    field_order: str
    """One of FIELD_ORDERS, as flagged."""
    companions: tuple[Companion, ...]
    chapters: int
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The container's."""
    stream_metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def full_range(self) -> bool:
        """Whether samples span all codes; untagged YUV is limited, untagged RGB and grey are full, as in FFmpeg."""
        if self.layout.full_range or self.colour.range == 2:
            return True
        return self.layout.family != "yuv" and self.colour.range == 0

    @property
    def timecode(self) -> Timecode | None:
        """The first frame's label, wherever the file has it."""
        tracks = ({"timecode": one.timecode} for one in self.companions)
        return timecode.of_tags(self.stream_metadata, *tracks, self.metadata)


@dataclass(frozen=True)
class Index:
    """When each frame is shown, in order of presentation; frame numbers count from 0 in that order."""

    pts: NDArray[np.int64]
    """(frames,) in units of the clip's time base, ascending."""
    keys: NDArray[np.int64]
    """Numbers of the frames that decoding can start at, ascending."""
    key_pts: NDArray[np.int64]
    """What the file says their times are, to seek by."""
    last_duration: int
    """Of the last frame, in units of the time base; 0 unknown."""
    doubt: str = ""
    """Why packets' times can't be trusted: then all frames were decoded and counted; "" when they can."""
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        return len(self.pts)

    def duration(self, number: int) -> int:
        """How long frame `number` is shown, in units of the time base."""
        if number + 1 < self.frames:
            return int(self.pts[number + 1] - self.pts[number])
        if self.last_duration or self.frames < 2:
            return self.last_duration
        return int(self.pts[-1] - self.pts[-2])

    @property
    def steady(self) -> bool:
        """Whether every frame is shown equally long, to a unit of the time base."""
        gaps = np.diff(self.pts)
        return bool(gaps.size == 0 or gaps.max() - gaps.min() <= 1)


def probe(path: Path) -> Clip:
    """What the file's headers say.  ImageError when it is no video that can be read, or its frames are too large."""
    with pyav.opened(path) as container, pyav.refusing(str(path)):
        stream = picture_stream(container, path)
        context = stream.codec_context
        if context is None or not context.pix_fmt:
            raise ImageError(f"{path}: its picture stream can't be decoded here: convert it with the tool that made it")
        if not 0 < context.width * context.height <= MAX_PIXELS:
            raise ImageError(f"{path}: its header says {context.width} x {context.height} pixels a frame: damaged?")
        try:
            layout = layout_of(context.pix_fmt)
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from error
        seconds = _seconds(container, stream)
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)
        order = context.field_order
        return Clip(
            path=path,
            container=container.format.name,
            stream=stream.index,
            codec=context.codec.canonical_name,
            profile=context.profile or "",
            width=context.width,
            height=context.height,
            layout=layout,
            rate=rate,
            time_base=stream.time_base or 1 / rate,
            start_pts=stream.start_time or 0,
            claimed_s=seconds,
            claimed_frames=stream.frames or None,
            colour=Colour(
                int(context.color_primaries), int(context.color_trc), int(context.colorspace), int(context.color_range)
            ),
            sample_aspect=stream.sample_aspect_ratio or Fraction(1),
            field_order=FIELD_ORDERS[order] if 0 <= order < len(FIELD_ORDERS) else "unknown",
            companions=tuple(companion_of(other) for other in container.streams if other.index != stream.index),
            chapters=len(container.chapters()),
            metadata=MappingProxyType(dict(container.metadata)),
            stream_metadata=MappingProxyType(dict(stream.metadata)),
        )


def index(clip: Clip) -> Index:
    """Timestamps of all frames, from the packets: the file is read once, and only its first frames are decoded.

    Where those come at other times than the packets say (AVI with B-frames, packed frames, broken files), or packets
    have no usable times, the whole file is decoded once and its frames are counted.  ImageError when it has none.
    """
    shown, keys, doubts, damaged = [], [], [], 0
    last_duration = end = 0
    with pyav.opened(clip.path) as container, pyav.refusing(str(clip.path)):
        for packet in container.demux(container.streams[clip.stream]):
            end = max(end, (packet.pts or 0) + (packet.duration or 0))
            if packet.size == 0 or packet.is_discard:  # AVI says "the last frame again" with nothing
                continue
            damaged += packet.is_corrupt
            shown.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
            last_duration = packet.duration or last_duration
    if not shown:
        raise ImageError(f"{clip.path}: it has no frame: truncated?")
    if None in shown:
        doubts.append("packets without timestamps")
    elif len(set(shown)) != len(shown):
        doubts.append("timestamps that occur twice")
    elif keys and min(keys) == min(shown):
        pts = np.sort(np.array(shown, np.int64))
        if [time for time, _ in _decoded_times(clip, _LOOKED_AT)][:_LOOKED_AT] == pts[:_LOOKED_AT].tolist():
            key_pts = np.sort(np.array(keys, np.int64))
            numbers = np.searchsorted(pts, key_pts).astype(np.int64)
            notes = _shortfall(clip, len(pts), end - int(pts[0]))
            if damaged:
                notes = (*notes, f"{damaged} packets are marked as damaged")
            return Index(pts, numbers, key_pts, last_duration, "", notes)
        doubts.append("frames that come at other times than their packets say")
    else:
        doubts.append("no key frame at its start")
    decoded = _decoded_times(clip, None)
    pts = _as_good_as_it_gets([time for time, _ in decoded], clip)
    if not len(pts):
        raise ImageError(f"{clip.path}: not one of its frames can be decoded")
    seekable = Counter(time for time, _ in decoded)
    starts = [
        (number, time)
        for number, (time, is_key) in enumerate(decoded)
        if is_key and time is not None and seekable[time] == 1
    ]
    numbers, key_pts = (np.array([start[i] for start in starts], np.int64) for i in (0, 1))
    notes = _shortfall(clip, len(pts), int(pts[-1] - pts[0]) + last_duration)
    return Index(pts, numbers, key_pts, last_duration, " and ".join(doubts), notes)


def picture_stream(container: Any, path: Path) -> Any:
    """The film: the largest picture stream that is no cover art."""
    cover_art = 0x400  # AV_DISPOSITION_ATTACHED_PIC
    film = [s for s in container.streams.video if s.codec_context is not None and not int(s.disposition) & cover_art]
    if not film:
        raise ImageError(f"{path}: it has no picture stream that can be decoded: truncated, or of an unknown codec")
    return max(film, key=lambda stream: (stream.width * stream.height, -stream.index))


def _decoded_times(clip: Clip, count: int | None) -> list[tuple[int | None, bool]]:
    """(time, is a key frame) of the first `count` frames that decoding gives, or of all."""
    av = pyav.load()
    found: list[tuple[int | None, bool]] = []
    with pyav.opened(clip.path) as container, pyav.refusing(str(clip.path)), pyav.listening():
        stream = container.streams[clip.stream]
        stream.thread_type = "NONE"  # more threads would give other frames of damaged files
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            with suppress(av.FFmpegError):
                found.extend((picture.pts, bool(picture.key_frame)) for picture in packet.decode())
            if count is not None and len(found) >= count:
                break
    return found


def _as_good_as_it_gets(shown: list[int | None], clip: Clip) -> NDArray[np.int64]:
    """The times of decoded frames where they ascend, else made from the rate."""
    known = [pts for pts in shown if pts is not None]
    if len(known) == len(shown) and all(a < b for a, b in pairwise(known)):
        return np.array(known, np.int64)
    step = 1 / (clip.rate * clip.time_base)
    first = min(known, default=clip.start_pts)
    return np.array([first + round(number * step) for number in range(len(shown))], np.int64)


def _shortfall(clip: Clip, frames: int, length: int) -> tuple[str, ...]:
    """Says when the frames end before the time that the header promises: the file was cut off."""
    if not clip.claimed_s:
        return ()
    seconds = float(length * clip.time_base)
    slack_s = 1.5 / float(clip.rate) if clip.claimed_frames else max(0.5, 2 / float(clip.rate))
    if seconds >= clip.claimed_s - slack_s:
        return ()
    promised = f"{clip.claimed_frames} frames, " if clip.claimed_frames else ""
    promise = f"its header promises {promised}{clip.claimed_s:.2f} s"
    return (f"truncated: {promise}, it ends after {seconds:.2f} s with frame {frames - 1}",)


def companion_of(stream: Any) -> Companion:
    """A stream of an open container."""
    context = getattr(stream, "codec_context", None)
    label = timecode.of_tags(stream.metadata) if stream.type == "data" else None
    return Companion(
        stream.index,
        "timecode" if label else stream.type or "unknown",
        context.codec.canonical_name if context is not None else "",
        stream.metadata.get("language", ""),
        stream.metadata.get("title", stream.metadata.get("handler_name", "")),
        label.text if label else "",
    )


def _seconds(container: Any, stream: Any) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration:
        return float(container.duration / 1_000_000)
    return None
