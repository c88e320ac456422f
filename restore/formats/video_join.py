"""Owns the finished film: segments joined without encoding anything again, and what stands beside the pictures put in.

Packets get the source's own times.  The result depends on the segments' bytes alone, so it is the same file whoever
made them in whatever order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.formats import matroska, pyav, timecode
from restore.formats.encoding import Encoding, settle
from restore.formats.packets import Packet, head_of, packets_of
from restore.formats.video import Clip, Companion
from restore.formats.video_beside import Beside, beside_of, kept, lent


def join(
    segments: Sequence[Path],
    encoding: Encoding,
    clip: Clip | None,
    pts: NDArray[np.int64],
    durations: NDArray[np.int64],
    time_base: Fraction,
    target: Path,
    *,
    sound: Beside | None = None,
    without: Sequence[Companion] = (),
    part: bool = False,
    skipped: int = 0,
) -> None:
    """Writes the film to `target`, a temporary file that the caller syncs, checks and names.

    `pts` and `durations` are those of all frames, in units of `time_base`.  `clip` lends its tags and timecode, and
    what stands beside its pictures, less the streams in `without`; None where nothing is known (frames of a folder).
    `sound`: what stands beside them comes from there instead.  `part`: the frames are a stretch of the clip, `skipped`
    of which lie before them; what stands beside that stretch is copied, and all times start at 0.

    ImageError when segments are damaged, don't fit each other, or don't add up to the frames; SetupError when the
    container can't hold a stream that isn't in `without`.
    """
    lead = _lead(segments, len(pts))
    av = pyav.load()
    shift = Fraction(int(pts[0])) * time_base if part else Fraction(0)
    end = Fraction(int(pts[-1] + durations[-1])) * time_base
    with (
        pyav.refusing(str(target), "the film can't be joined"),
        av.open(str(target), "w", format=encoding.container, options=_container_options(encoding)) as film,
    ):
        stream = film.add_stream(encoding.encoder, rate=encoding.rate)
        settle(stream.codec_context, encoding)
        stream.time_base = time_base
        shown = _own_packets(segments, pts, durations, time_base, lead, stream, round(shift / time_base))
        lender = sound or (None if clip is None else beside_of(clip))
        if clip is not None:
            if turned := _rotation(clip):
                stream.set_display_rotation(turned)
            film.metadata.update(timecode.without(kept(clip.metadata)))
            stream.metadata.update(timecode.without(kept(clip.stream_metadata)))
            if (label := clip.timecode) is not None:
                stream.metadata["timecode"] = label.moved(skipped, encoding.rate).text
        with lent(lender, film, without, encoding.container, (shift, end) if part else None) as their_packets:
            film.start_encoding()
            _refuse_strangers(segments, stream)
            for packet in _merged(shown, their_packets):
                film.mux_one(packet)
    if encoding.container == "matroska" and encoding.sample_aspect != 1:
        with target.open("r+b") as file:
            matroska.set_sample_aspect(file, encoding.sample_aspect, encoding.width, encoding.height)


def _container_options(encoding: Encoding) -> dict[str, str]:
    options = {"fflags": "+bitexact", "max_interleave_delta": "1000000"}
    if encoding.container in ("mov", "mp4"):
        options["movflags"] = "+write_colr+use_metadata_tags"
    return options


def _lead(segments: Sequence[Path], frames: int) -> int:
    """How many frames decoding runs ahead of showing, over all segments; every packet is verified on the way."""
    lead = base = 0
    for path in segments:
        places = [packet.place for packet in packets_of(path)]
        if sorted(places) != list(range(len(places))):
            raise ImageError(f"{path}: this segment has not one packet a frame: delete it, and run again")
        lead = max([lead, *(order - place for order, place in enumerate(places))])
        base += len(places)
    if base != frames:
        raise ImageError(f"the segments hold {base} frames, the film has {frames}: some segments are missing")
    return lead


def _refuse_strangers(segments: Sequence[Path], stream: Any) -> None:
    """A segment that was encoded with other settings or another FFmpeg can't be decoded with this film's header."""
    mine = stream.codec_context.extradata or b""
    for path in segments:
        if bytes.fromhex(head_of(path)["extradata"]) != mine:
            raise ImageError(f"{path}: this segment was encoded by another version or with other settings: delete it")


def _own_packets(
    segments: Sequence[Path],
    pts: NDArray[np.int64],
    durations: NDArray[np.int64],
    time_base: Fraction,
    lead: int,
    stream: Any,
    shift: int,
) -> Iterator[Any]:
    av = pyav.load()
    step = max(1, int(durations[0]))
    order = base = 0
    for path in segments:
        count = 0
        for packet in packets_of(path):
            number = base + packet.place
            ready = order - lead
            decoded = int(pts[ready]) if ready >= 0 else int(pts[0]) + ready * step
            made = _packet(av, packet, stream)
            made.time_base = time_base
            made.pts, made.dts = int(pts[number]) - shift, decoded - shift
            made.duration = int(durations[number])
            yield made
            order += 1
            count += 1
        base += count


def _rotation(clip: Clip) -> int:
    """Degrees counter-clockwise that players turn the pictures by; only a decoded frame tells."""
    if not clip.container:
        return 0
    av = pyav.load()
    with pyav.opened(clip.path) as source:
        try:
            first = next(source.decode(source.streams[clip.stream]), None)
        except av.FFmpegError:
            return 0
        return int(first.rotation) if first is not None else 0


def _packet(av: Any, packet: Packet, stream: Any) -> Any:
    made = av.Packet(packet.data)
    made.stream = stream
    made.is_keyframe = packet.is_key
    return made


def _merged(shown: Iterator[Any], beside: Iterator[Any]) -> Iterator[Any]:
    """Both in order of time, so that the container never has to hold much back."""
    waiting = next(beside, None)
    for packet in shown:
        moment = packet.dts * packet.time_base
        while waiting is not None and _moment(waiting) <= moment:
            yield waiting
            waiting = next(beside, None)
        yield packet
    while waiting is not None:
        yield waiting
        waiting = next(beside, None)


def _moment(packet: Any) -> Fraction:
    known = packet.dts if packet.dts is not None else packet.pts
    return Fraction(0) if known is None else known * packet.time_base
