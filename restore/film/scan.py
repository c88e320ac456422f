"""Owns the first look at a reel: its shots, its fields, what is missing or damaged; all of it goes into a plan.

One pass over small pictures; memory holds some hundred of them, whatever the reel's length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from restore.color import yuv
from restore.errors import ImageError
from restore.film.clean import CONTEXT_FRAMES, Window, find, sampled
from restore.film.fields import Fields, Judgement, Method, judge, settle
from restore.film.judge import Verdicts, calibrated
from restore.film.native import Scan, native_of
from restore.film.plan import Plan, Shot
from restore.film.prepared import prepared, read_on
from restore.film.reel import ClipReel, Fault, Reel, Skimmed
from restore.film.render import law_of, one_thread
from restore.film.settings import Colour, InputColour, ShotSettings
from restore.film.shots import Border, borders
from restore.film.tones import Tones
from restore.film.working import Frame
from restore.formats import Decoder, video_process
from restore.formats import sequence as names
from restore.formats.video import Clip, Index

_MARGIN_FRAMES = 64
"""Beside a stretch, so that a cut near its ends is told as in the whole reel."""
_FIELD_STRETCHES = 8
_FIELD_FRAMES = 40
_LOG_TRANSFERS = (1, 3)
"""DPX: printing density, logarithmic."""
_WHOLE_FRAMES = 4 * 2 * CONTEXT_FRAMES
"""Samples closer together than this are read in one go."""


def scan(
    reel: Reel,
    fields: Fields,
    colour: Colour,
    settings: ShotSettings,
    stretch: tuple[int, int] | None = None,
    on_frame: Callable[[int], None] = lambda _: None,
) -> Plan:
    """The plan of a reel; `stretch`: only frames with these numbers, both included.  `on_frame` hears each position."""
    origin, count = reel.numbers[0], len(reel.numbers)
    first, last = (origin, origin + count - 1) if stretch is None else stretch
    start, stop = first - origin, last + 1 - origin
    low, high = max(0, start - _MARGIN_FRAMES), min(count, stop + _MARGIN_FRAMES)
    damage: dict[int, str] = {}

    def small() -> Iterator[Frame | None]:
        for position, one in enumerate(_patient(reel, low, high), low):
            on_frame(position)
            if one.damage and first <= one.number <= last:
                damage[one.number] = one.damage
            yield one.small

    found = list(borders(_whole(small())))
    shots = _shots(found, low + origin, first, last, settings)
    return Plan(reel.label, first, last, reel.size, fields, colour, shots, damage, tuple(reel.notes))


def judge_shot(reel: Reel, plan: Plan, shot: Shot) -> Verdicts:
    """What some frames of a shot say about its dirt: the bar for all of it."""
    origin = reel.numbers[0]
    start, count = shot.first - origin, shot.frames
    tones, law = Tones(plan.colour), law_of(shot.settings)
    odds = []
    with one_thread():
        for at, window in _windows(reel, start, count, sampled(count), tones):
            if at in window.frames:
                odds.append(find(window, law).odds)
    return calibrated(odds, shot.settings.max_false)


def fields_of(clip: Clip, known: Index, wish: str) -> tuple[Fields, list[Judgement]]:
    """How a video's fields are treated, from stretches spread over it.  SetupError as `fields.settle` raises it."""
    count = known.frames
    stretches = min(_FIELD_STRETCHES, max(1, count // _FIELD_FRAMES))
    judgements = []
    for number in range(stretches):
        start = number * (count - min(count, _FIELD_FRAMES)) // max(1, stretches - 1)
        frames = video_process.frames(clip, start, min(count, start + _FIELD_FRAMES), known, keep_damaged=True)
        try:
            judgements.append(judge(frames))
        except (ImageError, ValueError):
            continue
    return settle(judgements, wish, count), judgements


def untreated(frames: int) -> Fields:
    """For frames of a folder."""
    return Fields(Method.NONE, "", frames, "frames of a folder are taken as they are")


def colour_of(path: Path, decoder: Decoder) -> InputColour:
    """What a frame's file says about its numbers.  ImageError when it can't be read."""
    native = native_of(path, decoder)
    if isinstance(native, Scan):
        # Cineon files are always logarithmic; of DPX only those that say so.
        log = native.data[:4] not in (b"SDPX", b"XPDS") or native.header.elements[0].transfer in _LOG_TRANSFERS
        return InputColour.CINEON if log else InputColour.SRGB
    return InputColour.LINEAR if native.first.pixels.dtype.kind == "f" else InputColour.SRGB


def sequence_colour(sequence: names.Sequence, decoder: Decoder) -> InputColour:
    """`colour_of` of its first readable frame; SRGB when there is none."""
    for number in sequence.names:
        try:
            return colour_of(sequence.path(number), decoder)
        except ImageError:
            continue
    return InputColour.SRGB


def clip_reel(clip: Clip, known: Index, fields: Fields) -> ClipReel:
    """A video whose headers and index are known."""
    signal = yuv.signal_of(clip.layout, clip.colour.matrix, clip.height, full_range=clip.full_range)
    return ClipReel(clip, known, signal, fields)


def _patient(reel: Reel, start: int, stop: int) -> Iterator[Skimmed]:
    """`reel.skim`, taken up again behind a frame that ends it."""
    position = start
    while position < stop:
        lost: list[Skimmed] = []
        for one in reel.skim(position, stop):
            position += 1
            if one.small is None:
                lost.append(one)
                break
            yield one
        yield from lost
        if not lost:
            return


def _whole(small: Iterable[Frame | None]) -> Iterator[Frame]:
    """Every position has a picture: one that can't be had looks like the one before it, or the first one."""
    waiting, last = 0, None
    for picture in small:
        if picture is None:
            if last is None:
                waiting += 1
            else:
                yield last
            continue
        for _ in range(waiting):
            yield picture
        waiting, last = 0, picture
        yield picture
    if last is None and waiting:
        for _ in range(waiting):
            yield np.zeros((36, 64, 1), np.uint8)


def _shots(found: Sequence[Border], origin: int, first: int, last: int, settings: ShotSettings) -> tuple[Shot, ...]:
    starts = {first: "start"}
    for border in found:
        number = border.frame + origin
        if first < number <= last:
            starts[number] = border.change.value
    firsts = sorted(starts)
    lasts = [*(one - 1 for one in firsts[1:]), last]
    return tuple(Shot(a, b, starts[a], settings) for a, b in zip(firsts, lasts, strict=True))


def _windows(reel: Reel, start: int, count: int, wanted: Sequence[int], tones: Tones) -> Iterator[tuple[int, Window]]:
    """Windows around frames `wanted` of the shot that begins at position `start`."""
    plain = ShotSettings(dirt=True, scratches=False)
    groups = [wanted] if count <= _WHOLE_FRAMES * len(wanted) else [[one] for one in wanted]
    for group in groups:
        low, high = max(0, group[0] - CONTEXT_FRAMES), min(count, group[-1] + 1 + CONTEXT_FRAMES)
        there = {}
        items = read_on(reel, start + low, start + high)
        films = ((position, item) for position, item in items if not isinstance(item, Fault))
        ready = prepared(films, plain, tones)
        left = list(group)
        for item in ready:
            there[item.position - start] = item.shown
            while left and item.position - start >= min(left[0] + CONTEXT_FRAMES, count - 1):
                yield left[0], _window(there, left.pop(0), count)
            for old in [number for number in there if left and number < left[0] - CONTEXT_FRAMES]:
                del there[old]
        for at in left:
            yield at, _window(there, at, count)


def _window(there: dict[int, Frame], at: int, count: int) -> Window:
    near = range(max(0, at - CONTEXT_FRAMES), min(count, at + CONTEXT_FRAMES + 1))
    frames = {number: there[number] for number in near if number in there}
    return Window(frames, at, count, frozenset(number for number in near if number not in there))
