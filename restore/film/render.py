"""Owns the restoring of one stretch of a reel: frames in, frames without damage and their ledger out, in order.

The order of steps is that of restorers: steady, flicker, scratches and dirt, fill, grain.  What a stretch gives depends
on the reel, the plan and the settings alone; nothing crosses from one shot into another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.blobs import Blobs, boxes_meet
from restore.film.clean import CONTEXT_FRAMES, CleanLaw, Found, Memory, Window, find, repair, repair_holes
from restore.film.degrain import degrained
from restore.film.dirt import DirtLaw
from restore.film.fill import Filled, Filler, navier_stokes
from restore.film.grain import GrainCurve
from restore.film.judge import DEFAULT_BAR
from restore.film.lines import Line
from restore.film.native import Holes, Native, Working, spliced
from restore.film.netfill import NetFiller
from restore.film.plan import Plan, Shot
from restore.film.prepared import Prepared, prepared, reach_frames, read_on
from restore.film.reel import Fault, FilmFrame, Reel
from restore.film.scratches import Look, ScratchLaw, lines_of, scratches_in
from restore.film.settings import FilmSettings, ShotSettings
from restore.film.tones import Tones
from restore.film.unscratch import Unscratched, without_scratches
from restore.film.working import Frame
from restore.tiling import Box
from restore.trust.ledger import Fill, Repair

_CHROMA_RIM_PX = 2
"""Where chroma is coarser than luma, dirt has coloured samples that far beyond it."""


class MaskSource(Protocol):
    """Holes that somebody else found."""

    def holes(self, number: int) -> Holes | None:
        """(H, W) of frame `number`; None: it has none.  ImageError when its file can't be used."""
        ...


@dataclass(frozen=True)
class Rendered:
    """One frame, restored."""

    number: int
    before: Native
    after: Native
    repairs: tuple[tuple[Repair, NDArray[np.bool_]], ...]
    """Each with the (h, w) plane of its box that is its own."""
    touched: Holes
    """(H, W): pixels that may differ from the source."""
    old: Working
    new: Working
    """(H, W, C): the same as working pictures, before and after."""
    damage: str = ""
    """What its decoder couldn't read."""
    grain: GrainCurve | None = None
    """How much grain it had, as a display shows it, where that was taken out."""


@dataclass
class Tools:
    """What one worker renders with."""

    filler: Filler = navier_stokes
    filled_by: Fill = Fill.NAVIER_STOKES
    masks: MaskSource | None = None
    undone: Mapping[int, Collection[int] | str] = field(default_factory=dict)
    """Frame -> blobs whose repair was taken back, or ALL."""


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV divides optical flow among threads, and its result with them: one gives the same flow everywhere."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def render(
    reel: Reel, plan: Plan, settings: FilmSettings, start: int, stop: int, tools: Tools
) -> Iterator[Rendered | Fault]:
    """Positions `start` <= p < `stop` of the reel, in order, exactly one item for each."""
    origin = reel.numbers[0]
    for shot in plan.shots:
        low, high = max(start, shot.first - origin), min(stop, shot.last + 1 - origin)
        if low < high:
            with one_thread():
                yield from _Stretch(reel, plan, settings, shot, origin, low, high, tools).run()


class _Stretch:
    """Positions low..high of one shot."""

    def __init__(
        self, reel: Reel, plan: Plan, settings: FilmSettings, shot: Shot, origin: int, low: int, high: int, tools: Tools
    ) -> None:
        self._reel, self._settings, self._tools = reel, settings, tools
        self._shot = shot.settings
        self._origin = origin
        self._low, self._high = low, high
        self._first, self._end = shot.first - origin, shot.last + 1 - origin
        self._tones = Tones(plan.colour)
        self._law = law_of(shot.settings)
        self._looks: dict[int, Look] = {}
        self._ready: dict[int, Prepared] = {}
        self._clear: dict[int, Unscratched] = {}
        self._faults: dict[int, Fault] = {}
        self._masks: dict[int, Holes] = {}
        self._memory: Memory = {}

    def run(self) -> Iterator[Rendered | Fault]:
        reach = reach_frames(self._shot)
        first, end = max(self._first, self._low - reach), min(self._end, self._high + reach)
        searched = self._shot.scratches and not self._settings.masks
        late = CONTEXT_FRAMES if searched else 0
        cleared, given = first, self._low
        for item in prepared(self._frames(first, end), self._shot, self._tones):
            self._ready[item.position] = item
            if searched:
                self._looks[item.position] = lines_of(item.shown)
            while cleared <= item.position - late:
                self._unscratch(cleared, searched=searched)
                cleared += 1
            while given < self._high and given + CONTEXT_FRAMES < cleared:
                yield self._give(given)
                given += 1
                self._forget(given - 2 * CONTEXT_FRAMES - 1)
        while cleared < end:
            self._unscratch(cleared, searched=searched)
            cleared += 1
        while given < self._high:
            yield self._give(given)
            given += 1

    def _frames(self, first: int, end: int) -> Iterator[tuple[int, FilmFrame]]:
        for position, item in read_on(self._reel, first, end):
            if isinstance(item, Fault):
                self._faults[position] = item
            else:
                yield position, item

    def _unscratch(self, position: int, *, searched: bool) -> None:
        item = self._ready.get(position)
        if item is None:
            return
        if searched:
            near = [n for n in range(position - CONTEXT_FRAMES, position + CONTEXT_FRAMES + 1) if n in self._looks]
            looks, at = [self._looks[n] for n in near], near.index(position)
            lines = [one for one in scratches_in(looks, at, ScratchLaw()) if not self._is_excluded(_box_of(one))]
            self._clear[position] = without_scratches(looks, at, lines, ScratchLaw(), item.film.number)
        else:
            nothing = np.zeros(item.shown.shape[:2], np.bool_)
            self._clear[position] = Unscratched(item.shown, nothing, nothing, ())

    def _forget(self, before: int) -> None:
        for held in (self._ready, self._clear, self._looks, self._masks, self._faults):
            for old in [position for position in held if position <= before]:
                del held[old]

    def _window(self, position: int) -> Window:
        near = range(max(self._first, position - CONTEXT_FRAMES), min(self._end, position + CONTEXT_FRAMES + 1))
        frames = {n - self._first: self._clear[n].frame for n in near if n in self._clear}
        lost = frozenset(n - self._first for n in near if n not in self._clear)
        return Window(frames, position - self._first, self._end - self._first, lost)

    def _give(self, position: int) -> Rendered | Fault:
        item = self._ready.get(position)
        if item is None:
            fault = self._faults.get(position)
            return fault or Fault(position + self._origin, f"frame {position + self._origin} could not be read")
        blobs = Blobs(item.film.number, item.shown.shape[:2])
        clear = self._clear[position]
        blobs.add_lines(clear)
        frame = clear.frame
        if self._settings.masks:
            frame = self._masked(position, blobs)
        else:
            window = self._window(position)
            if self._shot.dirt:
                found = self._kept(replace(find(window, self._law, self._memory), rim_px=self._rim_px(item)))
                filled = self._settled(repair(window, found, self._law, self._tools.filler, self._tools.filled_by))
                blobs.add(filled, _labels(found.holes))
                frame = filled.frame
            if clear.holes.any():
                frame = self._scratch_holes(window, clear.holes, frame, blobs)
        return self._put_back(item, frame, blobs)

    def _masked(self, position: int, blobs: Blobs) -> Frame:
        window = self._window(position)
        frame = self._clear[position].frame
        holes = self._mask_of(position, frame)
        others = {n: self._mask_of(n + self._first, frame) for n in window.frames}
        filled = self._settled(
            repair_holes(
                window, holes, self._law, self._tools.filler, self._tools.filled_by, "mask", others, self._memory
            )
        )
        blobs.add(filled, _labels(holes))
        return filled.frame

    def _mask_of(self, position: int, like: Frame) -> Holes:
        if position not in self._masks:
            assert self._tools.masks is not None
            holes = self._tools.masks.holes(position + self._origin)
            self._masks[position] = np.zeros(like.shape[:2], np.bool_) if holes is None else holes
        return self._masks[position]

    def _scratch_holes(self, window: Window, holes: Holes, frame: Frame, blobs: Blobs) -> Frame:
        holes = holes & ~blobs.touched
        others = {n: self._clear[n + self._first].holes for n in window.frames}
        frames = {**window.frames, window.at: frame}
        again = replace(window, frames=frames)
        filled = self._settled(
            repair_holes(again, holes, self._law, self._tools.filler, self._tools.filled_by, "scratch", others)
        )
        blobs.add(filled, _labels(holes))
        return filled.frame

    def _settled(self, filled: Filled) -> Filled:
        if isinstance(self._tools.filler, NetFiller):
            return replace(filled, repairs=self._tools.filler.settled(filled.repairs))
        return filled

    def _put_back(self, item: Prepared, frame: Frame, blobs: Blobs) -> Rendered:
        film = item.film
        undone = self._tools.undone.get(film.number, ())
        repairs, touched = blobs.numbered(undone, self._shot.exclude)
        grain = None
        if self._shot.whole_frame:
            picture = np.where(touched[..., None], frame, item.shown)
            if self._shot.degrain:
                window = self._window(item.position)
                made = degrained(picture, [window.frames[n] for n in window.frames if n != window.at])
                picture, grain = made.frame, made.curve
            touched = np.ones(touched.shape, np.bool_)
        else:
            picture = frame
        if not touched.any():
            return Rendered(film.number, film.native, film.native, (), touched, film.working, film.working, film.damage)
        new = film.working.copy()
        new[touched] = self._tones.stored(picture[touched], film.working)
        after = spliced(film.native, new, touched)
        return Rendered(film.number, film.native, after, repairs, touched, film.working, new, film.damage, grain)

    def _rim_px(self, item: Prepared) -> int:
        return 1 + _CHROMA_RIM_PX if item.film.coarse_colour else 1

    def _kept(self, found: Found) -> Found:
        if not self._shot.exclude:
            return found
        kept = found.kept & np.array([not self._is_excluded(box) for box in found.candidates.boxes], np.bool_)
        return replace(found, kept=kept)

    def _is_excluded(self, box: Box) -> bool:
        return any(boxes_meet(box, one) for one in self._shot.exclude)


def law_of(settings: ShotSettings) -> CleanLaw:
    """How a shot's dirt is found."""
    bar = DEFAULT_BAR if settings.bar is None else settings.bar
    dirt = DirtLaw(polarity=settings.polarity, max_size_px=settings.max_size_px)
    return CleanLaw(dirt, bar, grain=not settings.degrain)


def tools_for(settings: FilmSettings, device: str) -> Tools:
    """What `settings` ask for; masks and undone repairs are the caller's."""
    if not settings.inpaint:
        return Tools()
    return Tools(NetFiller(settings.inpaint, device), Fill.NET)


def _labels(holes: Holes) -> NDArray[np.int32]:
    """As `clean` numbers blobs."""
    return np.asarray(cv2.connectedComponents(holes.astype(np.uint8))[1], np.int32)


def _box_of(line: Line) -> Box:
    return Box(line.top, round(line.x), line.bottom, round(line.x) + 1)
