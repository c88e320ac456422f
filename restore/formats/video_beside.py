"""Owns what stands beside the pictures of a film: sound, subtitles, data, attachments and chapters, packet for packet.

A timecode track isn't copied but told by a tag: containers that hold such tracks write the same one from it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from restore.errors import ImageError, SetupError
from restore.formats import pyav
from restore.formats.encoding import Encoding, settle
from restore.formats.video import Clip, Companion, companion_of

_COPIED = ("audio", "subtitle", "data", "attachment")
_TOLD = "timecode"
_FFMPEGS_OWN = ("encoder", "major_brand", "minor_version", "compatible_brands")
_STALE = ("DURATION", "BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "_STATISTICS")
"""Tags of Matroska that describe a stream's old bytes."""

Window = tuple[Fraction, Fraction]
"""Seconds: from, and up to."""


@dataclass(frozen=True)
class Beside:
    """Streams of one file."""

    path: Path
    companions: tuple[Companion, ...]


def beside_of(clip: Clip) -> Beside | None:
    """What a video has beside its pictures; None where there is nothing, not even chapters."""
    return Beside(clip.path, clip.companions) if clip.container and (clip.companions or clip.chapters) else None


def sound_in(path: Path) -> Beside:
    """The streams of a file of sound, or of all that stood beside a film's pictures.  ImageError when it has none."""
    with pyav.opened(path, also=pyav.SOUND) as source:
        companions = tuple(companion_of(stream) for stream in source.streams)
    if not any(one.kind in _COPIED for one in companions):
        raise ImageError(f"{path}: it holds no sound and no subtitles: give another file with --sound")
    return Beside(path, tuple(one for one in companions if one.kind in _COPIED))


def refused(beside: Clip | Beside, encoding: Encoding) -> tuple[Companion, ...]:
    """Streams beside the pictures that the container can't hold; asked when a run is planned."""
    return unfit(beside, encoding.container, encoding)


def unfit(beside: Clip | Beside, container: str, encoding: Encoding | None = None) -> tuple[Companion, ...]:
    """`refused`, of a container that holds pictures of `encoding` beside them, or none."""
    wanted = [one for one in beside.companions if one.kind != _TOLD]
    if not wanted:
        return ()
    with pyav.opened(beside.path, also=pyav.SOUND) as source:
        return tuple(
            one
            for one in wanted
            if one.kind not in _COPIED or not _fits(source.streams[one.index], container, encoding)
        )


@contextmanager
def lent(
    beside: Beside | None, film: Any, without: Sequence[Companion], container: str, window: Window | None
) -> Iterator[Iterator[Any]]:
    """Adds the streams and chapters to the open container `film`; gives their packets.  `window`: only what lies in it,
    from 0 on.  SetupError when `film` can't hold one that isn't in `without`.
    """
    if beside is None:
        yield iter(())
        return
    with pyav.opened(beside.path, also=pyav.SOUND) as source:
        pairs = _added(source, film, beside, without, container)
        if chapters := source.chapters():
            film.set_chapters(
                chapters
                if window is None
                else [_moved(one, window[0]) for one in chapters if _within(one, window[0], window[1])]
            )
        yield _packets(source, pairs, window)


def write_beside(beside: Beside, without: Sequence[Companion], window: Window | None, target: Path) -> None:
    """A Matroska file of all that stands beside the pictures, and of nothing else.  ImageError, SetupError."""
    av = pyav.load()
    options = {"fflags": "+bitexact"}
    with (
        pyav.refusing(str(target), "sound and subtitles can't be written"),
        av.open(str(target), "w", format="matroska", options=options) as film,
        lent(beside, film, without, "matroska", window) as packets,
    ):
        film.start_encoding()
        for packet in packets:
            film.mux_one(packet)


def kept(tags: Any) -> dict[str, str]:
    """A container's or a stream's tags, less those that speak of its old bytes."""
    return {
        name: value
        for name, value in tags.items()
        if name.lower() not in _FFMPEGS_OWN and not name.upper().startswith(_STALE)
    }


def _fits(stream: Any, container: str, encoding: Encoding | None) -> bool:
    """Only a header that was written tells: some streams are taken, and refused then."""
    av = pyav.load()
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            if encoding is not None:
                settle(trial.add_stream(encoding.encoder, rate=encoding.rate).codec_context, encoding)
            trial.add_stream_from_template(stream)
            if stream.type == "data":
                trial.start_encoding()
    except (ValueError, av.FFmpegError):
        return False
    return True


def _added(source: Any, film: Any, beside: Beside, without: Sequence[Companion], container: str) -> dict[int, Any]:
    """The source's stream index -> the film's stream."""
    av = pyav.load()
    left_out = {companion.index for companion in without}
    pairs = {}
    for companion in beside.companions:
        if companion.index in left_out or companion.kind == _TOLD:
            continue
        template = source.streams[companion.index]
        try:
            if companion.kind not in _COPIED:
                raise ValueError(f"{companion.kind} streams are not copied")
            copy = film.add_stream_from_template(template)
        except (ValueError, av.FFmpegError) as error:
            raise SetupError(
                f"{beside.path}: its stream {companion.index} ({companion.kind}, {companion.codec or 'unknown'}) can't"
                f" go into {container} ({error}): choose another output suffix, or leave the stream out"
            ) from error
        copy.metadata.update(kept(template.metadata))
        copy.disposition = int(template.disposition)
        pairs[companion.index] = copy
    return pairs


def _packets(source: Any, pairs: dict[int, Any], window: Window | None) -> Iterator[Any]:
    streams = [source.streams[index] for index in pairs if source.streams[index].type != "attachment"]
    if not streams:
        return
    for packet in source.demux(streams):
        if packet.size == 0 and packet.dts is None:
            continue
        if window is not None:
            if packet.pts is None or not window[0] <= packet.pts * packet.time_base < window[1]:
                continue
            back = round(window[0] / packet.time_base)
            packet.pts -= back
            packet.dts = None if packet.dts is None else packet.dts - back
        packet.stream = pairs[packet.stream_index]
        yield packet


def _within(chapter: Any, start: Fraction, end: Fraction) -> bool:
    base = chapter["time_base"]
    return bool(chapter["end"] * base > start and chapter["start"] * base < end)


def _moved(chapter: Any, shift: Fraction) -> Any:
    back = round(shift / chapter["time_base"])
    return {**chapter, "start": max(0, chapter["start"] - back), "end": chapter["end"] - back}
