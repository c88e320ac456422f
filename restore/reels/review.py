"""Owns pictures for people: repaired frames as source | holes | result, and a sheet of the least certain repairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.color import ocio
from restore.errors import ImageError
from restore.film.native import Holes, Working, native_of, working_of
from restore.film.reel import FilmFrame, Reel
from restore.film.scan import clip_reel, untreated
from restore.film.segments import Segment
from restore.film.tones import Tones, View
from restore.formats import Decoder, video_process
from restore.reels.state import State, write_whole
from restore.reels.work import Work
from restore.reels.work_file import work_of
from restore.trust import patches
from restore.trust.ledger import Repair
from restore.trust.patches import Patch

Shown = NDArray[np.uint8]
"""(H, W, 3), sRGB, red first."""

MOST_FRAMES = 48
"""Pages of whole frames: those with the most repaired pixels, and spread over the reel."""
LEAST_CERTAIN = 50
_NEAR_FRAMES = 16
_CELL_PX = 96
_AROUND_PX = 12
_COLUMNS = 5
_GAP_PX = 6
_TEXT_PX = 16
_OVERLAY = np.array([255, 40, 60], np.float32)
_BACKGROUND = 32


@dataclass(frozen=True)
class Uncertain:
    """One repair that a person should look at."""

    number: int
    repair: Repair
    patch: Patch


def draw(state: State, folder: Path, on_note: Callable[[str], None], view: ocio.View | None = None) -> int:
    """Draws the pages of a finished restoration into `folder`, as `view` shows its frames; how many frames.

    Raises DiskFullError, ImageError, SetupError.
    """
    work = work_of(state)
    chosen = _chosen(work, state)
    least = _least_certain(work, state)
    wanted = {number for number, _ in chosen} | {one.number for one in least}
    cells: dict[tuple[int, int], Shown] = {}
    shown = View(Tones(work.plan.colour), view)
    pages = dict(chosen)
    drawn = 0
    for number, before, after in _pairs(work, sorted(wanted)):
        old, new = _both(shown, before, after)
        if number in pages:
            write_whole(folder / f"frame_{number:07d}.png", _png(_side_by_side(old, pages[number], new)))
            drawn += 1
        for one in least:
            if one.number == number:
                cells[number, one.repair.blob] = _cell(old, new, one, after.shape[1] / before.shape[1])
    if least:
        found = [cells[one.number, one.repair.blob] for one in least if (one.number, one.repair.blob) in cells]
        if found:
            write_whole(folder / "least_certain.png", _png(_sheet(found)))
    if not drawn:
        on_note(f"{work.source.label}: no frame was repaired: nothing to review")
    return drawn


def _both(shown: View, before: Working, after: Working) -> tuple[Shown, Shown]:
    """What is the same in both is looked at once: a view of OpenColorIO may take a second a megapixel."""
    old = shown(before)
    if after.shape != before.shape:
        return old, shown(after)
    new, changed = old.copy(), (after != before).any(axis=2)
    if changed.any():
        new[changed] = shown(after[changed][None])[0]
    return old, new


def ledger_of(state: State, segment: Segment) -> patches.Patches:
    """A segment's part of the ledger.  Raises ImageError."""
    path = state.ledger(segment)
    try:
        with path.open("rb") as file:
            return patches.read(file)
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}: run restore film again, it is made anew") from error


def _chosen(work: Work, state: State) -> list[tuple[int, Holes]]:
    """The frames of pages, with their holes."""
    holes: dict[int, Holes] = {}
    areas: dict[int, int] = {}
    for number, place, ledger in _frames(work, state):
        mine = [patch for patch in ledger.patches if patch.repair.page == place]
        if mine:
            areas[number] = sum(patch.repair.area_px for patch in mine)
    step = max(1, len(areas) // MOST_FRAMES)
    groups = [sorted(areas)[i : i + step] for i in range(0, len(areas), step)]
    wanted = {max(group, key=lambda number: areas[number]) for group in groups}
    for number, place, ledger in _frames(work, state):
        if number in wanted:
            holes[number] = _holes_of(ledger, place)
    return sorted(holes.items())[:MOST_FRAMES]


def _holes_of(ledger: patches.Patches, place: int) -> Holes:
    page = ledger.pages[place]
    holes = np.zeros((page.height, page.width), np.bool_)
    for patch in ledger.patches:
        if patch.repair.page == place:
            box = patch.repair.box
            holes[box.y0 : box.y1, box.x0 : box.x1] |= patch.touched
    return holes


def _least_certain(work: Work, state: State) -> list[Uncertain]:
    found: list[Uncertain] = []
    for segment in work.segments:
        ledger = _ledger_or_none(state, segment)
        if ledger is not None:
            first = segment.start + work.origin
            found += [Uncertain(first + one.repair.page, one.repair, one) for one in ledger.patches]
            found = sorted(found, key=lambda one: (one.repair.confidence, one.number, one.repair.blob))[:LEAST_CERTAIN]
    return found


def _frames(work: Work, state: State) -> Iterator[tuple[int, int, patches.Patches]]:
    for segment in work.segments:
        ledger = _ledger_or_none(state, segment)
        for place in range(0 if ledger is None else len(ledger.pages)):
            assert ledger is not None
            yield segment.start + place + work.origin, place, ledger


def _ledger_or_none(state: State, segment: Segment) -> patches.Patches | None:
    """None where the segment failed."""
    try:
        return ledger_of(state, segment)
    except ImageError:
        return None


def _pairs(work: Work, numbers: list[int]) -> Iterator[tuple[int, Working, Working]]:
    """(number, source, result) of frames, as working pictures; those that can't be had are left out."""
    with Decoder() as decoder:
        reel = work.open(decoder)
        if work.is_video:
            clip, known = video_process.look(work.target)
            result = clip_reel(clip, known, untreated(known.frames))
        for group in _together(numbers):
            befores = _working(reel, work.origin, group)
            video = work.is_video
            afters = _working(result, work.plan.first, group) if video else _written(work, group, decoder)
            for number in group:
                if number in befores and number in afters:
                    yield number, befores[number], afters[number]


def _together(numbers: list[int]) -> list[list[int]]:
    """Groups of frames that are read in one go."""
    groups: list[list[int]] = []
    for number in numbers:
        if groups and number - groups[-1][-1] <= _NEAR_FRAMES and len(groups[-1]) < _NEAR_FRAMES:
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups


def _working(reel: Reel, origin: int, numbers: list[int]) -> dict[int, Working]:
    wanted = set(numbers)
    found = {}
    for position, item in enumerate(reel.read(numbers[0] - origin, numbers[-1] + 1 - origin), numbers[0]):
        if position in wanted and isinstance(item, FilmFrame):
            found[position] = item.working
    return found


def _written(work: Work, numbers: list[int], decoder: Decoder) -> dict[int, Working]:
    found = {}
    for number in numbers:
        try:
            found[number] = working_of(native_of(work.target / work.name_of(number), decoder))
        except (ImageError, KeyError):
            continue
    return found


def _side_by_side(old: Shown, holes: Holes, new: Shown) -> Shown:
    if new.shape != old.shape:
        new = np.asarray(cv2.resize(new, old.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)
    marked = old.astype(np.float32)
    rim = cv2.dilate(holes.astype(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_)
    marked[rim] = 0.25 * marked[rim] + 0.75 * _OVERLAY
    gap = np.full((old.shape[0], _GAP_PX, 3), _BACKGROUND, np.uint8)
    return np.concatenate([old, gap, np.rint(marked).astype(np.uint8), gap, new], axis=1)


def _cell(old: Shown, new: Shown, one: Uncertain, scale: float) -> Shown:
    """One repair before and after, enlarged by whole pixels, with what the ledger says of it."""
    box = one.repair.box
    height, width = old.shape[:2]
    side = min(max(box.height, box.width) + 2 * _AROUND_PX, height, width, 4 * _CELL_PX)
    y0 = int(np.clip((box.y0 + box.y1 - side) // 2, 0, height - side))
    x0 = int(np.clip((box.x0 + box.x1 - side) // 2, 0, width - side))
    parts = []
    for picture, by in ((old, 1.0), (new, scale)):
        a, b, c, d = (round(v * by) for v in (y0, y0 + side, x0, x0 + side))
        part = np.ascontiguousarray(picture[a:b, c:d])
        how = cv2.INTER_NEAREST if part.shape[0] < _CELL_PX else cv2.INTER_AREA
        parts.append(np.asarray(cv2.resize(part, (_CELL_PX, _CELL_PX), interpolation=how), np.uint8))
    gap = np.full((_CELL_PX, 2, 3), _BACKGROUND, np.uint8)
    body = np.concatenate([parts[0], gap, parts[1]], axis=1)
    text = np.full((2 * _TEXT_PX, body.shape[1], 3), _BACKGROUND, np.uint8)
    for row, line in enumerate(
        (
            f"frame {one.number} blob {one.repair.blob}",
            f"{one.repair.kind}, {one.repair.fill.value} {one.repair.confidence:.2f}",
        )
    ):
        cv2.putText(
            text, line, (2, _TEXT_PX * (row + 1) - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (220, 220, 220), 1, cv2.LINE_AA
        )
    return np.concatenate([body, text], axis=0)


def _sheet(cells: list[Shown]) -> Shown:
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // _COLUMNS)
    columns = min(_COLUMNS, len(cells))
    page = np.full(
        (rows * (height + _GAP_PX) + _GAP_PX, columns * (width + _GAP_PX) + _GAP_PX, 3), _BACKGROUND, np.uint8
    )
    for place, cell in enumerate(cells):
        y = _GAP_PX + place // _COLUMNS * (height + _GAP_PX)
        x = _GAP_PX + place % _COLUMNS * (width + _GAP_PX)
        page[y : y + height, x : x + width] = cell
    return page


def _png(picture: Shown) -> bytes:
    done, data = cv2.imencode(".png", picture[..., ::-1])
    if not done:
        raise ImageError("a page for review could not be encoded")
    return data.tobytes()
