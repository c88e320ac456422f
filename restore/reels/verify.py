"""Owns proving later that a restored reel still is what was made, and that nothing outside its repairs was touched."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from restore.batch.fsops import digest_of
from restore.errors import ImageError, SetupError
from restore.film.native import Holes, native_of
from restore.film.proof import Untouched
from restore.film.reel import FilmFrame, Reel
from restore.film.scan import clip_reel, untreated
from restore.film.segments import Segment
from restore.formats import Decoder, video_process
from restore.reels import beside
from restore.reels.publish import FILM, receipt_name
from restore.reels.review import ledger_of
from restore.reels.source import Source
from restore.reels.state import State
from restore.reels.work import Work
from restore.reels.work_file import work_of


@dataclass(frozen=True)
class ReelVerdict:
    """What is true of one stretch of a restored reel."""

    label: str
    first: int
    last: int
    frames: int
    """That OUT has of it."""
    untouched: bool
    """Every sample outside its repairs is the source's, converted where it had to be; False: only its bytes can be
    proved."""
    problems: tuple[str, ...]
    converted: bool = False
    """Samples are those that converting the source's gives."""


def verify_reel(state: State, source: Source | None, decoder: Decoder) -> Iterator[ReelVerdict]:
    """One verdict a segment.  `source`: also compare with this reel.  Raises SetupError, ImageError."""
    work = work_of(state)
    if source is not None and (source.frames is None) != (work.source.frames is None):
        what = "frames" if work.source.frames is not None else "a video"
        raise SetupError(f"{source.path}: OUT was made of {what}: give its own IN with --source")
    whole = _film_problems(work, state) if work.is_video else tuple(beside.problems(work, state))
    result = _result_reel(work) if work.is_video and not whole else None
    original = None if source is None else work.open(decoder, source)
    converted = work.form is not None and not work.form.exact
    for segment in work.segments:
        first, last = segment.start + work.origin, segment.stop - 1 + work.origin
        known = state.get(receipt_name(segment))
        if known is None:
            yield ReelVerdict(work.source.label, first, last, 0, False, ("it isn't finished: run restore film again",))
            continue
        problems = [*whole, *_file_problems(work, known)]
        proved = known["untouched_sha256"] is not None and not _whole_frames(work, first, last)
        if proved and not problems:
            problems += _sample_problems(work, state, segment, known, result, original, decoder)
        frames = segment.frames - (0 if work.is_video else len(known["faults"]))
        yield ReelVerdict(work.source.label, first, last, frames, proved, tuple(problems), converted)


def _film_problems(work: Work, state: State) -> tuple[str, ...]:
    known = state.get(FILM)
    if known is None:
        return ("it isn't joined: run restore film again",)
    try:
        with work.target.open("rb") as file:
            found = digest_of(file)
    except OSError as error:
        return (f"{work.target}: {error.strerror}",)
    made = str(known["sha256"])
    return () if found == made else (f"its bytes were changed: sha256 is {found}, made was {made}",)


def _file_problems(work: Work, known: dict[str, Any]) -> list[str]:
    problems = []
    for number, name, _, sha256, _ in known.get("files", ()):
        path = work.target / os.fsdecode(bytes.fromhex(name))
        try:
            with path.open("rb") as file:
                found = digest_of(file)
        except OSError as error:
            problems.append(f"frame {number}: {path.name}: {error.strerror}")
            continue
        if found != sha256:
            problems.append(f"frame {number}: {path.name} was changed: sha256 is {found}, made was {sha256}")
    return problems


def _sample_problems(
    work: Work,
    state: State,
    segment: Segment,
    known: dict[str, Any],
    result: Reel | None,
    original: Reel | None,
    decoder: Decoder,
) -> list[str]:
    try:
        ledger = ledger_of(state, segment)
        touched = ledger.touched()
        lost = set(known["faults"])
        found = Untouched()
        if result is not None:
            start = work.plan.first - work.origin
            _add(found, result, segment.start - start, segment.stop - start, segment.start + work.origin, touched, lost)
        else:
            for number, name, *_ in known["files"]:
                path = work.target / os.fsdecode(bytes.fromhex(name))
                found.add(number, native_of(path, decoder), touched[number - work.origin - segment.start])
        if found.hexdigest() != known["untouched_sha256"]:
            return ["samples outside its repairs are not the source's any more, or its ledger was changed"]
        if original is None:
            return []
        again = Untouched()
        _add(again, original, segment.start, segment.stop, segment.start + work.origin, touched, lost)
    except (ImageError, ValueError) as error:
        return [str(error)]
    return [] if again.hexdigest() == known["untouched_sha256"] else ["samples outside its repairs differ from IN's"]


def _add(
    digest: Untouched, reel: Reel, start: int, stop: int, first: int, touched: Sequence[Holes], lost: set[str]
) -> None:
    """The reel's frames, numbered from `first`, but for those that nobody had."""
    for place, item in enumerate(reel.read(start, stop)):
        if str(first + place) in lost:
            continue
        if not isinstance(item, FilmFrame):
            raise ImageError(item.reason)
        digest.add(first + place, item.native, np.asarray(touched[place]))


def _result_reel(work: Work) -> Reel:
    clip, known = video_process.look(work.target)
    return clip_reel(clip, known, untreated(known.frames))


def _whole_frames(work: Work, first: int, last: int) -> bool:
    shots = [shot for shot in work.plan.shots if shot.first <= last and first <= shot.last]
    return any(shot.settings.whole_frame for shot in shots)
