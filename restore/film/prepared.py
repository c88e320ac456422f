"""Owns frames made ready for repair: looked at as a display shows them, held still, and without flicker.

A stretch of a shot is read with the frames around it that its first and last results depend on, and no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from restore.film.clean import CONTEXT_FRAMES
from restore.film.flicker import FlickerLaw, even_shot
from restore.film.reel import Fault, FilmFrame, Reel
from restore.film.settings import ShotSettings
from restore.film.steady import SteadyLaw, steady_shot
from restore.film.tones import Tones
from restore.film.working import Frame

_TRIES = 8
"""How often reading goes on behind a frame that nobody can have."""


@dataclass(frozen=True)
class Prepared:
    """One frame on its way."""

    position: int
    """In the reel, from 0."""
    film: FilmFrame
    shown: Frame
    """(H, W, C), as a display shows it, steady and even if that is wanted."""


def reach_frames(settings: ShotSettings) -> int:
    """Frames on each side, within the shot, that a frame's result depends on."""
    around = CONTEXT_FRAMES if settings.repairs or settings.degrain else 0
    if settings.scratches:
        around += CONTEXT_FRAMES
    if settings.flicker:
        around += FlickerLaw().reach_frames
    if settings.steady:
        around += SteadyLaw().reach_frames
    return around


def prepared(items: Iterable[tuple[int, FilmFrame]], settings: ShotSettings, tones: Tones) -> Iterator[Prepared]:
    """Frames of one shot, each with its position, made ready in order: steady first, then even."""
    waiting: deque[tuple[int, FilmFrame]] = deque()

    def shown() -> Iterator[Frame]:
        for position, film in items:
            waiting.append((position, film))
            yield tones.shown(film.working)

    frames: Iterator[Frame] = shown()
    if settings.steady:
        steadied = steady_shot(frames, SteadyLaw())
        frames = (frame for frame, _ in steadied)
    if settings.flicker:
        evened = even_shot(((frame, None) for frame in frames), FlickerLaw())
        frames = evened
    for frame in frames:
        position, film = waiting.popleft()
        yield Prepared(position, film, frame)


def read_on(reel: Reel, start: int, stop: int) -> Iterator[tuple[int, FilmFrame | Fault]]:
    """`reel.read` with positions, tried again behind a frame that ends it: one bad frame isn't all that follow."""
    position = start
    for tries in range(_TRIES + 1):
        last_try = tries == _TRIES
        got = 0
        for item in reel.read(position, stop):
            yield position, item
            position += 1
            got += 1
            if isinstance(item, Fault) and not last_try:
                break
        if position >= stop or got == 0:
            return
