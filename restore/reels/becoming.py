"""Owns what frames of a folder are as a video: how long each is shown, what colours they have, which sound goes along.

Asked in this order: the person (`--fps`), the file that `restore film` wrote beside a video's frames, the headers.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

from restore.errors import ImageError, SetupError
from restore.film.form import AsVideo, kind_of, primaries_of
from restore.film.native import Scan, native_of, working_of
from restore.film.times import Times, steady, times_of
from restore.formats import Decoder, dpx_ycbcr, sequence, timecode
from restore.formats.video import Clip, Colour, Companion
from restore.formats.video_beside import Beside
from restore.formats.video_pixels import Family
from restore.formats.video_plain import clip_from_plain, clip_to_plain
from restore.image import Document
from restore.reels import sidecar
from restore.reels.sidecar import Sidecar

_NOMINAL = (24, 30, 48, 60, 120)
_SRGB, _LINEAR_OUT = 13, 1
_LEAST_FPS, _MOST_FPS = Fraction(1, 100), Fraction(1000)


@dataclass(frozen=True)
class Becoming:
    """A video that frames become."""

    clip: Clip
    """As if it were there already: `path` is the folder, and `container` is ""."""
    times: Times
    """Of every number from the sequence's first to its last, missing ones included."""
    linear: bool
    """The frames hold linear light."""
    sound: Beside | None
    notes: tuple[str, ...]

    @property
    def form(self) -> AsVideo:
        return AsVideo(self.clip.layout, self.linear)

    def joined_facts(self) -> list[object]:
        """What decides the film beside its segments, as plain values.  ImageError when its sound is gone."""
        facts: list[object] = [str(self.times), str(self.clip.sample_aspect), self.clip.field_order]
        facts += [dict(self.clip.metadata), dict(self.clip.stream_metadata)]
        if self.sound is None:
            return facts
        try:
            stat = self.sound.path.stat()
        except OSError as error:
            raise ImageError(f"{self.sound.path}: it can't be read any more: {error.strerror}") from error
        return [*facts, stat.st_size, stat.st_mtime_ns]


def becoming(frames: sequence.Sequence, decoder: Decoder, fps: Fraction | None, sound: Beside | None) -> Becoming:
    """Raises SetupError when nothing says how quickly they are shown, ImageError when none can be read."""
    number, native = _first(frames, decoder)
    layout, linear = kind_of(native)
    height, width = working_of(native).shape[:2]
    count = frames.last + 1 - frames.first
    known = _sidecar(frames)
    rate, why = _rate(frames, native, fps, known)
    times = steady(count, rate)
    notes = []
    if fps is None and known is not None:
        times = _stretch(known, frames)
        if known.sound and sound is None:
            lies = frames.folder / known.sound
            notes.append(f"the video's sound and subtitles stay behind: give --sound {lies} to have them")
    notes.insert(0, f"shown at {_shown(rate)} frames a second: {why}")
    if frames.gaps:
        missing = sum(map(len, frames.gaps))
        notes.append(f"{missing} missing frames: each is shown as the one before it, so that the sound stays in time")
    if isinstance(native, Scan) and len(native.header.elements) > 1:
        notes.append("further image elements of the DPX files stay behind")
    if "icc" in _extras(native):
        notes.append("the files' colour profile stays behind")
    colour, full = _colour(native, linear, known)
    clip = Clip(
        path=frames.folder,
        container="",
        stream=0,
        codec="rawvideo",
        profile="",
        width=width,
        height=height,
        layout=layout,
        rate=rate,
        time_base=times.time_base,
        start_pts=times.start,
        claimed_s=None,
        claimed_frames=None,
        colour=replace(colour, range=2 if full else 1),
        sample_aspect=known.sample_aspect if known else _aspect(native),
        field_order=known.field_order if known else "progressive",
        companions=(),
        chapters=0,
        metadata=MappingProxyType(dict(known.tags) if known else {}),
        stream_metadata=MappingProxyType(_label(frames.first, number, native, known, rate)),
    )
    return Becoming(clip, times, linear, sound, tuple(notes))


def fps_of(text: str) -> Fraction:
    """ "24", "23.976", "24000/1001" -> frames a second; 23.976 and its kin are meant as N * 1000/1001.  SetupError."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise SetupError(f"--fps {text}: give a number of frames a second: 24, 23.976 or 24000/1001") from error
    if not _LEAST_FPS <= rate <= _MOST_FPS:
        raise SetupError(f"--fps {text}: it can be {float(_LEAST_FPS)} to {_MOST_FPS}")
    return _settled(rate)


def to_plain(one: Becoming) -> dict[str, Any]:
    return {
        "clip": clip_to_plain(one.clip),
        "times": [str(one.times.time_base), one.times.start, one.times.runs],
        "linear": one.linear,
        "sound": None if one.sound is None else _sound_to_plain(one.sound),
        "notes": one.notes,
    }


def from_plain(plain: dict[str, Any]) -> Becoming:
    """KeyError, TypeError or ValueError when it is none."""
    base, start, runs = plain["times"]
    sound = plain["sound"]
    return Becoming(
        clip_from_plain(plain["clip"]),
        Times(Fraction(base), start, tuple((length, count) for length, count in runs)),
        plain["linear"],
        None if sound is None else _sound_from_plain(sound),
        tuple(plain["notes"]),
    )


def _sound_to_plain(sound: Beside) -> dict[str, Any]:
    return {"path": os.fsencode(sound.path.absolute()), "streams": [asdict(one) for one in sound.companions]}


def _sound_from_plain(plain: dict[str, Any]) -> Beside:
    return Beside(Path(os.fsdecode(plain["path"])), tuple(Companion(**one) for one in plain["streams"]))


def _first(frames: sequence.Sequence, decoder: Decoder) -> tuple[int, Scan | Document]:
    """(number, frame) of the first one that can be read."""
    for number in frames.names:
        try:
            return number, native_of(frames.path(number), decoder)
        except ImageError:
            continue
    raise ImageError(f"{frames.label}: none of its {len(frames.names)} frames can be read")


def _sidecar(frames: sequence.Sequence) -> Sidecar | None:
    path = sidecar.beside(frames.folder, os.fsdecode(frames.before).removesuffix("."))
    return sidecar.read(path) if path.is_file() else None


def _stretch(known: Sidecar, frames: sequence.Sequence) -> Times:
    """The times of this sequence's frames.  SetupError when the file speaks of others."""
    last = known.first + known.times.frames - 1
    if frames.first < known.first or frames.last > last:
        raise SetupError(
            f"{frames.label}: {known.of}'s times are known of frames {known.first}-{last} only: give --fps, or move"
            f" {sidecar.SUFFIX} away"
        )
    pts, lengths = known.times.arrays()
    part = slice(frames.first - known.first, frames.last + 1 - known.first)
    return times_of(pts[part], lengths[part], known.times.time_base)


def _rate(
    frames: sequence.Sequence, native: Scan | Document, fps: Fraction | None, known: Sidecar | None
) -> tuple[Fraction, str]:
    if fps is not None:
        return fps, "as was asked for"
    if known is not None:
        return known.rate, f"as {known.of} was, whose frames they are"
    said, where = _rate_in(native)
    if said is None:
        raise SetupError(f"{frames.label}: its files don't say how quickly they are shown: give --fps 24, or another")
    return said, where


def _rate_in(native: Scan | Document) -> tuple[Fraction | None, str]:
    if isinstance(native, Scan):
        for name in ("film.frame_rate", "tv.frame_rate"):
            value = native.header.fields.get(name)
            if isinstance(value, float) and _LEAST_FPS <= value <= _MOST_FPS:
                return _settled(Fraction(value).limit_denominator(1001)), f"as the first file's header says ({name})"
        return None, ""
    for name, _, value in _extras(native).get("exr.attributes", ()):
        if name == "FramesPerSecond" and isinstance(value, list | tuple) and value[1]:
            return Fraction(value[0], value[1]), "as the first file's header says (framesPerSecond)"
    return None, ""


def _settled(rate: Fraction) -> Fraction:
    for nominal in _NOMINAL:
        exact = Fraction(nominal * 1000, 1001)
        if abs(rate - exact) < exact / 4000:
            return exact
    return rate.limit_denominator(1001)


def _shown(rate: Fraction) -> str:
    return f"{float(rate):.6g}"


def _colour(native: Scan | Document, linear: bool, known: Sidecar | None) -> tuple[Colour, bool]:
    """(tags, whether all codes are used)."""
    if isinstance(native, Scan) and native.sampled is not None:
        signal = native.sampled.signal
        return Colour(matrix=dpx_ycbcr.matrix_in(native.header)[0]), signal.full_range
    if known is not None:
        family = kind_of(native)[0].family
        return replace(known.colour, matrix=0 if family is Family.RGB else 2), True
    if isinstance(native, Scan):
        return Colour(), True
    if not linear:
        return Colour(primaries=1, transfer=_SRGB), True
    said = [value for name, _, value in _extras(native).get("exr.attributes", ()) if name == "chromaticities"]
    return Colour(primaries=primaries_of(said[0]) if said else 1, transfer=_LINEAR_OUT), True


def _extras(native: Scan | Document) -> Any:
    return {} if isinstance(native, Scan) else native.first.stored.extras


def _aspect(native: Scan | Document) -> Fraction:
    if isinstance(native, Scan):
        across, down = (native.header.fields.get(f"source.aspect_{way}") for way in ("across", "down"))
        if isinstance(across, int) and isinstance(down, int) and across > 0 and down > 0:
            return Fraction(across, down).limit_denominator(1000)
    for name, _, value in _extras(native).get("exr.attributes", ()):
        if name == "PixelAspectRatio" and isinstance(value, float) and value > 0:
            return Fraction(value).limit_denominator(1000)
    return Fraction(1)


def _label(first: int, number: int, native: Scan | Document, known: Sidecar | None, rate: Fraction) -> dict[str, str]:
    """The timecode of frame `first`, as a tag."""
    label, of = (timecode.parse(known.timecode), known.first) if known is not None else (None, first)
    if label is None and isinstance(native, Scan):
        label, of = timecode.parse(native.header.timecode or ""), number
    return {} if label is None else {"timecode": label.moved(first - of, rate).text}
