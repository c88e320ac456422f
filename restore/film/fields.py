"""Owns fields: whether film came as whole frames, as fields of whole frames, or as true interlace, and making it whole.

Flags lie, so the pictures are asked.  FFmpeg's idet says which frames are combed; its fieldmatch, which pairs each
field with the neighbour that fits, says whether film frames lie behind: then nothing is combed any more.  What remains
combed was shot in fields, and only interpolation (bwdif) makes frames of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError, SetupError
from restore.formats.video import Index
from restore.formats.video_filter import choices, filtered
from restore.formats.video_pixels import Family, layout_of, planes_of
from restore.formats.video_read import Frame

FEW = 0.05
"""Share of combed frames below which a stretch counts as progressive: idet errs on hard edges and captions."""
MANY = 0.25
"""Share of combed frames that matching leaves, of those combed before, from which it counts as true interlace."""
_CYCLE = 5
_LEAST_MOVING = 4
_DUPLICATE = 0.35
"""Difference of a cycle's repeated frame over the others' median: telecine repeats one in five."""
_CONTEXT = 4
"""Frames before and after that matching looks at, with one to spare."""


class Cadence(StrEnum):
    """How film frames lie in the stream."""

    PROGRESSIVE = "progressive"
    STILL = "still"  # too little moves to tell
    TELECINE = "telecine"  # four film frames in five, 2:3
    SHIFTED = "shifted"  # whole frames whose fields are one apart: PAL film
    INTERLACED = "interlaced"


class Method(StrEnum):
    """What is done about it."""

    NONE = "none"
    MATCH = "match"
    IVTC = "ivtc"
    BOB = "bob"


@dataclass(frozen=True)
class Judgement:
    """What a stretch of frames is, and why."""

    start: int
    stop: int
    cadence: Cadence
    order: str
    """ "tff" or "bff": the field that comes first, where there are fields; "" else."""
    because: str
    combed: float
    """Share of the moving frames that are combed as they stand."""


@dataclass(frozen=True)
class Fields:
    """A settled treatment of all frames of a clip."""

    method: Method
    order: str
    source_frames: int
    because: str

    @property
    def frames(self) -> int:
        """How many come out."""
        if self.method is Method.BOB:
            return 2 * self.source_frames
        if self.method is Method.IVTC:
            return self.source_frames // _CYCLE * (_CYCLE - 1) + self.source_frames % _CYCLE
        return self.source_frames

    @property
    def rate_factor(self) -> Fraction:
        return {Method.BOB: Fraction(2), Method.IVTC: Fraction(_CYCLE - 1, _CYCLE)}.get(self.method, Fraction(1))

    def reads(self, start: int, stop: int) -> tuple[int, int, int]:
        """(first source frame, end, results to drop) so that results `start` <= n < `stop` are the whole film's."""
        if self.method is Method.NONE:
            return start, stop, 0
        if self.method is Method.IVTC:
            cycle = max(0, start // (_CYCLE - 1) - 2)
            last = -(-stop // (_CYCLE - 1)) + 1
            return cycle * _CYCLE, min(self.source_frames, last * _CYCLE), start - cycle * (_CYCLE - 1)
        each = 2 if self.method is Method.BOB else 1
        first = max(0, start // each - _CONTEXT)
        return first, min(self.source_frames, -(-stop // each) + _CONTEXT), start - first * each


def judge(frames: Iterable[Frame]) -> Judgement:
    """The cadence of a stretch without a cut; some 40 frames are enough.

    Of every frame, luma in 8 bits is held: 2 MB at 1080 lines.  ValueError for an empty stretch.
    """
    luma, numbers = [], []
    for frame in frames:
        luma.append(luma_8_bit(frame))
        numbers.append(frame.number)
    if not numbers:
        raise ValueError("no frames to judge")
    start, stop = numbers[0], numbers[-1] + 1
    said = [picture.metadata for picture in filtered([(one,) for one in luma], layout_of("gray"), ["idet"])]
    kinds = [words.get("lavfi.idet.multiple.current_frame", "undetermined") for words in said]
    moving = len(kinds) - kinds.count("undetermined")
    combed = {order: kinds.count(order) for order in ("tff", "bff")}
    share = sum(combed.values()) / max(1, moving)
    if moving < _LEAST_MOVING:
        return Judgement(start, stop, Cadence.STILL, "", f"only {moving} of {len(kinds)} frames move", share)
    found = f"{sum(combed.values())} of {moving} moving frames are combed"
    if share <= FEW:
        return Judgement(start, stop, Cadence.PROGRESSIVE, "", found, share)
    matched = {order: list(choices(luma, _match(order))) for order in ("tff", "bff")}
    left = {order: sum(choice.combed for choice in matched[order]) for order in matched}
    order = min(left, key=lambda one: (left[one], -combed[one]))
    found = f"{found}, matching leaves {left[order]}"
    paired = sum(choice.top != choice.bottom for choice in matched[order])
    if left[order] <= FEW * moving and paired <= FEW * len(luma):
        return Judgement(start, stop, Cadence.PROGRESSIVE, "", f"{found} and pairs {paired} fields anew", share)
    if left[order] > MANY * sum(combed.values()):
        return Judgement(start, stop, Cadence.INTERLACED, max(combed, key=lambda one: combed[one]), found, share)
    if _repeats_one_in_five([_woven(luma[choice.top], luma[choice.bottom]) for choice in matched[order]]):
        return Judgement(start, stop, Cadence.TELECINE, order, f"{found}; then one in five repeats", share)
    return Judgement(start, stop, Cadence.SHIFTED, order, f"{found}; none repeats", share)


def settle(judgements: Sequence[Judgement], wish: str, source_frames: int) -> Fields:
    """One treatment for the clip from its stretches and `--fields`: auto, match, ivtc, bob, refuse.

    Numbering must be one for the whole clip, so stretches of different kinds are treated by what suits all: telecine
    mixed with other film is matched and keeps its repeated frames; true interlace anywhere asks for bob.
    SetupError with "refuse" when anything is combed, and for an unknown wish.
    """
    kinds = {one.cadence for one in judgements} - {Cadence.STILL}
    orders = [one.order for one in judgements if one.order]
    order = max(set(orders), key=orders.count) if orders else "tff"
    worst = max(judgements, key=lambda one: one.combed, default=None)
    because = f"frames {worst.start}-{worst.stop - 1}: {worst.because}" if worst is not None else "nothing was judged"
    fielded = bool(kinds - {Cadence.PROGRESSIVE})
    if wish == "refuse":
        if fielded:
            raise SetupError(f"it comes in fields ({because}): take --fields auto, match, ivtc or bob")
        return Fields(Method.NONE, "", source_frames, because)
    if wish in ("match", "ivtc", "bob"):
        return Fields(Method(wish), order, source_frames, f"asked for; {because}")
    if wish != "auto":
        raise SetupError(f"--fields {wish}: choose auto, match, ivtc, bob or refuse")
    if not fielded:
        return Fields(Method.NONE, "", source_frames, because)
    if Cadence.INTERLACED in kinds:
        return Fields(Method.BOB, order, source_frames, because)
    return Fields(Method.IVTC if kinds == {Cadence.TELECINE} else Method.MATCH, order, source_frames, because)


def processed(read: Callable[[int, int], Iterator[Frame]], fields: Fields, start: int, stop: int) -> Iterator[Frame]:
    """Whole frames `start` <= number < `stop` of the treated film; `read(a, b)` gives the source's frames.

    The same frames whatever the range: enough context is read.  Matched frames consist of the source's own samples at
    any depth.  Their `pts` is their number: `timeline` has their times.  ImageError when frames can't be read.
    """
    if fields.method is Method.NONE:
        yield from read(start, stop)
        return
    first, last, drop = fields.reads(start, stop)
    if fields.method is Method.BOB:
        made = _bobbed(read(first, last), fields.order)
    else:
        made = _matched(read(first, last), fields.order)
        if fields.method is Method.IVTC:
            made = _decimated(made)
    number = start - drop
    for number, frame in enumerate(made, start - drop):
        if number >= stop:
            return
        if number >= start:
            yield replace(frame, number=number, pts=number, duration=1, is_key=False, is_interlaced=False)
    if number + 1 < stop:
        raise ImageError(f"making frames whole ended at {number}, before {stop - 1}")


def luma_8_bit(frame: Frame) -> NDArray[np.uint8]:
    """(H, W) for what only has to be judged: luma, green or grey, in 8 bits."""
    plane = frame.planes[1 if frame.layout.family is Family.RGB else 0]
    return np.ascontiguousarray(plane >> (frame.layout.bits - 8)).astype(np.uint8)


def timeline(fields: Fields, known: Index) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """(pts, durations, divisor): when each result is shown, in units of the clip's time base over `divisor`."""
    edges = np.append(known.pts, known.pts[-1] + known.duration(known.frames - 1)).astype(np.int64)
    if fields.method is Method.BOB:
        double = np.empty(2 * known.frames + 1, np.int64)
        double[0::2], double[1::2] = 2 * edges, edges[:-1] + edges[1:]
        return double[:-1], np.diff(double), 2
    if fields.method is Method.IVTC:
        cycles, rest = divmod(known.frames, _CYCLE)
        starts, ends = edges[: cycles * _CYCLE : _CYCLE], edges[_CYCLE::_CYCLE][:cycles]
        kept = _CYCLE - 1
        inside = [kept * starts + (ends - starts) * place for place in range(kept)]
        tail = kept * edges[cycles * _CYCLE : cycles * _CYCLE + rest]
        shown = np.concatenate([np.stack(inside, 1).reshape(-1), tail, kept * edges[-1:]]).astype(np.int64)
        return shown[:-1], np.diff(shown), kept
    return known.pts, np.diff(edges), 1


def _match(order: str) -> str:
    return f"fieldmatch=order={order}:mode=pc:combmatch=full"


def _matched(source: Iterator[Frame], order: str) -> Iterator[Frame]:
    """One frame for each, of the pair of fields that fits."""
    held: dict[int, Frame] = {}

    def luma() -> Iterator[NDArray[np.uint8]]:
        for place, frame in enumerate(source):
            held[place] = frame
            yield luma_8_bit(frame)

    for choice in choices(luma(), _match(order)):
        top, bottom = held[choice.top], held[choice.bottom]
        planes = top.planes
        if choice.top != choice.bottom:
            planes = tuple(_woven(a, b) for a, b in zip(top.planes, bottom.planes, strict=True))
        yield replace(top, planes=planes, damage=top.damage or bottom.damage)
        for place in [place for place in held if place < min(choice.top, choice.bottom) - 2]:
            del held[place]


def _decimated(matched: Iterator[Frame]) -> Iterator[Frame]:
    """Four of each five: the one that repeats goes."""
    held: dict[int, Frame] = {}

    def luma() -> Iterator[NDArray[np.uint8]]:
        for place, frame in enumerate(matched):
            held[place] = frame
            yield luma_8_bit(frame)

    for choice in choices(luma(), f"decimate=cycle={_CYCLE}"):
        yield held[choice.top]
        for place in [place for place in held if place < choice.top]:
            del held[place]


def _bobbed(source: Iterator[Frame], order: str) -> Iterator[Frame]:
    """Two frames of each, one at each field's moment."""
    head = next(source, None)
    if head is None:
        return
    layout = layout_of(head.layout.planar_name)
    worked = (
        replace(layout, bits=16) if layout.family is Family.GREY and layout.bits > 8 else layout
    )  # bwdif's only greys
    planes = (frame.planes for frame in chain([head], source))
    for picture in filtered(planes, worked, [f"bwdif=mode=send_field:parity={order}:deint=all"]):
        made = tuple(np.minimum(plane, (1 << layout.bits) - 1) for plane in planes_of(picture, worked))
        yield replace(head, planes=made, layout=layout, damage="")


def _woven(top: NDArray[Any], bottom: NDArray[Any]) -> NDArray[Any]:
    woven = bottom.copy()
    woven[0::2] = top[0::2]
    return woven


def _repeats_one_in_five(pictures: Sequence[NDArray[Any]]) -> bool:
    """Whether, at one phase of five, a frame is nearly the one before, and at the others it isn't."""
    small = [picture[::2, ::2].astype(np.float32) for picture in pictures]
    steps = np.array([np.abs(b - a).mean() for a, b in pairwise(small)])
    if len(steps) < 2 * _CYCLE:
        return False
    phases = [float(np.median(steps[phase::_CYCLE])) for phase in range(_CYCLE)]
    least = min(phases)
    return least < _DUPLICATE * float(np.median(sorted(phases)[1:]))
