"""Owns one run over one reel: what is left to do is done, and the film is joined.

shots judged -> segments restored by several processes -> each published with its receipt -> one join.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from restore.batch.fsops import OutputRoot
from restore.device import free_bytes
from restore.errors import ImageError, SetupError
from restore.film.plan import Plan, Shot, to_toml
from restore.film.prepared import reach_frames
from restore.film.settings import deciding
from restore.reels import beside, publish
from restore.reels.again import can_be_made_again
from restore.reels.pool import Job, Pool
from restore.reels.state import State, write_whole
from restore.reels.work import FILM_VERSION, Work
from restore.reels.work_file import pack

PLAN = "plan.toml"
_SOURCE = "source.json"
"""Which reel the result is made of."""
_FRAME_COPIES = 60
"""Of a frame in single precision that a worker may hold at once: five frames, their greys, flows and versions."""
_NETWORK_BYTES = 600 << 20
"""Of a process that has loaded a network."""


class Report(Protocol):
    """Hears how a run goes."""

    def on_begin(self, work: Work, state: State, done: int, left: int) -> None: ...
    def on_shot(self, work: Work, shot: Shot, answer: dict[str, Any]) -> None: ...
    def on_segment(self, first: int, last: int, receipt: dict[str, Any] | None, error: str) -> None: ...
    def on_note(self, note: str) -> None: ...


@dataclass
class Summary:
    """What became of one reel."""

    label: str
    segments: int
    already_done: int
    failed: list[str] = field(default_factory=list)
    """Segments that could not be made, and why."""
    frames: int = 0
    """That OUT has."""
    blobs: int = 0
    faults: dict[int, str] = field(default_factory=dict)
    """Frames that could not be had."""
    damage: dict[int, str] = field(default_factory=dict)
    joined: bool = False
    proved: bool = False
    """Every sample outside repairs was read back and is the source's."""
    notes: list[str] = field(default_factory=list)


def restore_reel(work: Work, state: State, workers: int, report: Report, *, overwrite: bool = False) -> Summary:
    """Restores one reel, or what is left of it.

    Raises SetupError, DiskFullError; ImageError when a film can't be joined.  KeyboardInterrupt ends it at once: the
    same call goes on where it stopped.
    """
    with state.held():
        _same_reel(work, state, overwrite=overwrite)
        work = replace(work, token=state.token(), undone=state.undone())
        if not overwrite:
            publish.refuse_strangers(work, state)
        _tidy(work)
        try:
            with Pool(state, workers) as pool:
                work = replace(work, plan=judged(work, state, pool, report))
                write_whole(state.work, pack(work))
                write_whole(state.root / PLAN, to_toml(work.plan).encode())
                return _restored(work, state, pool, report)
        finally:
            _tidy(work)  # what a full disk or an impatient hand left half done


def _same_reel(work: Work, state: State, *, overwrite: bool) -> None:
    """SetupError when OUT was made of another source, unless it may be replaced; then nothing of that one stays undone.

    A source that was moved, or copied with its times, is the same one, and so is one at the same place.
    """
    path = os.fsencode(work.source.path.absolute()).hex()
    identity = hashlib.sha256(json.dumps(work.source.identity(0, 1 << 62)).encode()).hexdigest()
    known = state.get(_SOURCE)
    if known is not None and known["path"] != path and known["identity"] != identity:
        if not overwrite:
            raise SetupError(
                f"{work.target}: it was made of {os.fsdecode(bytes.fromhex(known['path']))}, another reel than"
                f" {work.source.path}: name another OUT, or give --overwrite"
            )
        state.set_undone({})
    state.put(_SOURCE, {"path": path, "identity": identity})


def _tidy(work: Work) -> None:
    if not work.is_video:
        OutputRoot(work.target, work.token).remove_leftovers({work.token}, keep=set())


def _restored(work: Work, state: State, pool: Pool, report: Report) -> Summary:
    prints, segments = work.fingerprints(), work.segments
    receipts: dict[int, dict[str, Any]] = {}
    for segment in segments:
        if known := publish.is_done(work, state, segment, prints[segment.number]):
            receipts[segment.number] = known
    left = [segment for segment in segments if segment.number not in receipts]
    summary = Summary(work.source.label, len(segments), len(receipts))
    report.on_begin(work, state, len(receipts), len(left))
    jobs = [Job("again" if can_be_made_again(work, state, one) else "segment", one.number) for one in left]
    for done in pool.run(jobs):
        segment = segments[done.job.number]
        first, last = segment.start + work.origin, segment.stop - 1 + work.origin
        error, receipt = done.error, None
        if done.answer is not None:
            try:
                receipt = publish.publish(work, state, segment, prints[segment.number], done.answer)
                receipts[segment.number] = receipt
            except ImageError as failure:
                error = str(failure)
        if receipt is None:
            summary.failed.append(f"frames {first}-{last}: {error}")
        report.on_segment(first, last, receipt, error)
    _sum_up(summary, receipts)
    if not work.is_video:
        summary.frames -= len(summary.faults)
    if work.is_video and not summary.failed:
        summary.joined = publish.join_film(work, state, [receipts[segment.number] for segment in segments])
    elif not summary.failed:
        beside.put(work, state)
    return summary


def _sum_up(summary: Summary, receipts: dict[int, dict[str, Any]]) -> None:
    notes: dict[str, None] = {}
    for receipt in receipts.values():
        summary.frames += receipt["frames"]
        summary.blobs += receipt["blobs"]
        summary.faults.update({int(number): why for number, why in receipt["faults"].items()})
        summary.damage.update({int(number): why for number, why in receipt["damage"].items()})
        notes.update(dict.fromkeys(receipt.get("notes", ())))
    summary.notes += list(notes)
    summary.proved = bool(receipts) and all(one["untouched_sha256"] is not None for one in receipts.values())


def judged(work: Work, state: State, pool: Pool, report: Report) -> Plan:
    """The plan with a bar for every shot whose dirt is looked for."""
    if work.settings.masks:
        return work.plan
    open_shots = [
        place for place, shot in enumerate(work.plan.shots) if shot.settings.dirt and shot.settings.bar is None
    ]
    known: dict[int, dict[str, Any]] = {}
    prints = {place: _shot_print(work, work.plan.shots[place]) for place in open_shots}
    for place in open_shots:
        receipt = state.get(_shot_name(work.plan.shots[place]))
        if receipt is not None and receipt.get("fingerprint") == prints[place]:
            known[place] = receipt
    missing = [place for place in open_shots if place not in known]
    if missing:
        write_whole(state.work, pack(work))
        for done in pool.run(Job("shot", place) for place in missing):
            shot = work.plan.shots[done.job.number]
            if done.answer is None:
                report.on_note(f"shot {shot.first}-{shot.last}: not judged ({done.error}): the usual bar is taken")
                continue
            receipt = {**done.answer, "fingerprint": prints[done.job.number]}
            state.put(_shot_name(shot), receipt)
            known[done.job.number] = receipt
            report.on_shot(work, shot, receipt)
    return replace(work.plan, shots=_with_bars(work.plan.shots, known))


def judged_plan(work: Work, state: State, workers: int, report: Report) -> Plan:
    """The plan with every shot's bar, and what was seen in it, for a person to read."""
    with state.held(), Pool(state, workers) as pool:
        return judged(work, state, pool, report)


def _with_bars(shots: Sequence[Shot], known: dict[int, dict[str, Any]]) -> tuple[Shot, ...]:
    made = []
    for place, shot in enumerate(shots):
        answer = known.get(place)
        if answer is not None:
            settings = replace(shot.settings, bar=float(answer["bar"]))
            about = f"{answer['dirt_share']:.0%} of candidates are dirt, {answer['expected_false']:.2f} false a frame"
            shot = replace(shot, settings=settings, about=about)  # noqa: PLW2901
        made.append(shot)
    return tuple(made)


def _shot_name(shot: Shot) -> str:
    return f"shots/{shot.first}-{shot.last}.json"


def _shot_print(work: Work, shot: Shot) -> str:
    facts = {
        "version": FILM_VERSION,
        "shot": [shot.first, shot.last, asdict(shot.settings)],
        "colour": deciding(work.plan.colour),
        "fields": [work.plan.fields.method, work.plan.fields.order],
        "source": work.source.identity(shot.first, shot.last),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def workers_for(size: tuple[int, int], plan: Plan, cores: int) -> int:
    """How many processes memory and cores allow."""
    pixels = size[0] * size[1]
    held = max(reach_frames(shot.settings) for shot in plan.shots)
    each = _NETWORK_BYTES + pixels * 3 * 4 * _FRAME_COPIES + pixels * 3 * 2 * 2 * 2 * held
    fitting = int(free_bytes("cpu") * 0.7 // max(each, 1))
    return max(1, min(cores, fitting))
