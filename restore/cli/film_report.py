"""Owns how commands of film tell what happens: lines for people, or one JSON object a line.

With --json:

    reel     path, state, frames [first, last], size, shots, segments, done, left, fields, input_colour, notes
    shot     frames, bar, dirt_share, expected_false: judged from some of its frames
    segment  frames, blobs, touched_px, proved, faults {number: why}, damage {number: why}, error
    note     text
    restored path, frames, blobs, already_done, failed, faults, damage, joined, proved, notes
    lost     path, error: one of several reels, of which nothing can be had
    scanned  path, frames, size, fields, fields_because, input_colour, shots, damage, notes (restore scan)
    mask     frame, places (restore detect)
    masks    path, frames, places, already_done, failed, faults (restore detect, at its end)
    undone   frame, blobs, left (restore undo OUT --frame N)
    end      exit_code
    error    message, exit_code
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from restore.cli import console
from restore.errors import ExitCode, RestoreError
from restore.report.visible import visible

if TYPE_CHECKING:
    from restore.film.plan import Plan, Shot
    from restore.reels.run import Summary
    from restore.reels.state import State
    from restore.reels.undo import FilmUndone
    from restore.reels.work import Work

_FEW = 8
_SETTLED_S = 10.0


class FilmReport:
    """A `reels.run.Report` that also opens, closes and sums up."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._left = self._seen = 0
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._json and isinstance(error, RestoreError):
            from restore.cli.failures import exit_code

            console.say_json({"event": "error", "message": str(error), "exit_code": int(exit_code(error))})

    def on_looking(self, label: str) -> Callable[[int, int], None]:
        """Tells now and then how far looking at a reel has come."""
        told = 0.0

        def heard(done: int, frames: int) -> None:
            nonlocal told
            now = time.monotonic()
            if not told:
                self.on_note(f"{label}: looking at all frames for shots, fields and damage")
            elif now - told > _SETTLED_S:
                self.on_note(f"{label}: looked at {done} of {frames} frames")
            else:
                return
            told = now

        return heard

    def on_note(self, note: str) -> None:
        if self._json:
            console.say_json({"event": "note", "text": note})
        else:
            console.say(f"note: {visible(note)}")

    def on_dry_run(self, work: Work, state: State) -> None:
        self._tell_reel(work, state, 0, len(work.segments))

    def on_begin(self, work: Work, state: State, done: int, left: int) -> None:
        self._left, self._seen, self._began = left, 0, time.monotonic()
        self._tell_reel(work, state, done, left)

    def on_shot(self, work: Work, shot: Shot, answer: dict[str, Any]) -> None:
        frames = [shot.first, shot.last]
        if self._json:
            kept = {name: answer[name] for name in ("bar", "dirt_share", "expected_false")}
            console.say_json({"event": "shot", "frames": frames, **kept})
        else:
            share = f"{answer['dirt_share']:.0%} of what looks like dirt is dirt"
            console.say(f"{visible(work.source.label)}: shot {frames[0]}-{frames[1]} judged: {share}")

    def on_segment(self, first: int, last: int, receipt: dict[str, Any] | None, error: str) -> None:
        self._seen += 1
        if self._json:
            facts = {name: (receipt or {}).get(name) for name in ("blobs", "touched_px", "faults", "damage")}
            proved = receipt is not None and receipt["untouched_sha256"] is not None
            console.say_json(
                {"event": "segment", "frames": [first, last], **facts, "proved": proved, "error": error or None}
            )
            for number, places in (receipt or {}).get("masks", ()):
                console.say_json({"event": "mask", "frame": number, "places": places})
            return
        width = len(str(self._left))
        head = f"[{self._seen:{width}}/{self._left}] frames {first}-{last}"
        if receipt is None:
            console.say(f"{head}  failed: {visible(error)}")
            return
        what = "places" if "masks" in receipt else "repairs"
        console.say(f"{head}  {receipt['blobs']} {what}{self._time_left()}")
        for number, why in {**receipt["faults"], **receipt["damage"]}.items():
            console.say(f"  frame {number}: {visible(why)}")

    def on_reel_end(self, work: Work, summary: Summary) -> None:
        if self._json:
            facts = {
                name: getattr(summary, name)
                for name in ("frames", "blobs", "already_done", "failed", "joined", "proved", "notes")
            }
            lost = {name: {str(k): v for k, v in getattr(summary, name).items()} for name in ("faults", "damage")}
            console.say_json({"event": "restored", "path": summary.label, **facts, **lost})
            return
        console.say(_lines(work, summary))

    def on_lost(self, label: str, why: str) -> None:
        """One of several reels that can't be restored at all."""
        if self._json:
            console.say_json({"event": "lost", "path": label, "error": why})
        else:
            console.say(f"{visible(label)}: failed: {visible(why)}")

    def on_scanned(self, plan: Plan) -> None:
        """What `restore scan` found."""
        if self._json:
            shots = [
                {"first": one.first, "last": one.last, "change": one.change, "bar": one.settings.bar}
                for one in plan.shots
            ]
            damage = {str(number): why for number, why in plan.damage.items()}
            console.say_json(
                {
                    "event": "scanned",
                    "path": plan.source,
                    "frames": [plan.first, plan.last],
                    "size": list(plan.size),
                    "fields": plan.fields.method.value,
                    "fields_because": plan.fields.because,
                    "input_colour": str(plan.colour),
                    "shots": shots,
                    "damage": damage,
                    "notes": list(plan.notes),
                }
            )
            return
        from restore.film.settings import described

        lines = [f"{visible(plan.source)}: frames {plan.first}-{plan.last}, {plan.size[0]} x {plan.size[1]}"]
        lines.append(
            f"  colour: {visible(described(plan.colour))};"
            f" fields: {plan.fields.method.value} ({visible(plan.fields.because)})"
        )
        lines += [f"  note: {visible(note)}" for note in plan.notes]
        lines += [f"  frame {number}: {visible(why)}" for number, why in plan.damage.items()]
        for shot in plan.shots:
            about = f"  {shot.about}" if shot.about else ""
            lines.append(f"  shot {shot.first}-{shot.last}  {shot.frames} frames, begins with {shot.change}{about}")
        console.say(lines)

    def on_masks(self, folder: str, summary: Summary) -> None:
        """What `restore detect` wrote."""
        if self._json:
            facts = {name: getattr(summary, name) for name in ("frames", "already_done", "failed")}
            faults = {str(number): why for number, why in summary.faults.items()}
            console.say_json(
                {"event": "masks", "path": summary.label, **facts, "places": summary.blobs, "faults": faults}
            )
            return
        lines = [
            f"{summary.frames} masks with {summary.blobs} places in {visible(folder)}",
            "  white = hole: correct them freely, then give them to restore film --masks",
        ]
        if summary.already_done:
            lines.append(f"  {summary.already_done} of {summary.segments} segments were done already")
        if summary.faults:
            lines.append(f"  {len(summary.faults)} frames could not be had: they have no mask")
        lines += [f"  failed: {visible(failure)}" for failure in summary.failed]
        console.say(lines)

    def on_undone(self, undone: FilmUndone) -> None:
        if self._json:
            blobs = {"frame": undone.frame, "blobs": list(undone.blobs), "left": undone.left}
            console.say_json({"event": "undone", **blobs})
            return
        count = f"{len(undone.blobs)} repair{'s' if len(undone.blobs) != 1 else ''}"
        console.say(f"frame {undone.frame}: {count} undone, {undone.left} left")

    def on_end(self, summaries: list[Summary]) -> ExitCode:
        """The exit code: some frames or segments failed, or none."""
        bad = any(summary.failed or summary.faults for summary in summaries)
        code = ExitCode.SOME_FAILED if bad else ExitCode.OK
        if self._json:
            console.say_json({"event": "end", "exit_code": int(code)})
        return code

    def _tell_reel(self, work: Work, state: State, done: int, left: int) -> None:
        from restore.reels.notes import notes_of

        plan = work.plan
        notes = notes_of(work)
        if self._json:
            console.say_json(
                {
                    "event": "reel",
                    "path": work.source.label,
                    "state": str(state.root),
                    "frames": [plan.first, plan.last],
                    "size": list(plan.size),
                    "shots": len(plan.shots),
                    "segments": len(work.segments),
                    "done": done,
                    "left": left,
                    "fields": plan.fields.method.value,
                    "input_colour": str(plan.colour),
                    "notes": list(notes),
                }
            )
            return
        from restore.film.settings import described

        shots = f"{len(plan.shots)} shot{'s' if len(plan.shots) != 1 else ''}"
        what = f"frames {plan.first}-{plan.last}, {plan.size[0]} x {plan.size[1]}, {shots}, {described(plan.colour)}"
        how = f"fields: {plan.fields.method.value}; {done} of {len(work.segments)} segments done"
        lines = [f"{visible(work.source.label)}: {visible(what)}, {how}"]
        if plan.fields.method.value != "none":
            lines.append(f"  fields: {visible(plan.fields.because)}")
        lines += [f"  note: {visible(note)}" for note in notes]
        lines += [f"  frame {number}: {visible(why)}" for number, why in list(plan.damage.items())[:_FEW]]
        if len(plan.damage) > _FEW:
            lines.append(f"  and {len(plan.damage) - _FEW} more frames that are missing or damaged")
        console.say(lines)

    def _time_left(self) -> str:
        from restore.cli.wording import clock

        elapsed = time.monotonic() - self._began
        if elapsed < _SETTLED_S or self._seen >= self._left:
            return ""
        return f"  {clock(elapsed * (self._left - self._seen) / self._seen)} left"


def _lines(work: Work, summary: Summary) -> list[str]:
    lines = [
        f"{visible(summary.label)}: {summary.frames} frames, {summary.blobs} repairs"
        + (f", {summary.already_done} of {summary.segments} segments were done already" if summary.already_done else "")
    ]
    if summary.proved:
        if any(shot.settings.whole_frame for shot in work.plan.shots):
            why = "flicker, weave or grain was taken out, so every pixel may differ from the source"
            lines.append(f"  {why}; written frames were read back and are what was meant")
        else:
            whose = "the source's"
            if work.form is not None and not work.form.exact:
                whose = "what converting the source gives"
            lines.append(f"  every sample outside the repairs is {whose}: written frames were read back")
    lines += [f"  note: {visible(note)}" for note in summary.notes]
    if summary.faults:
        what = "shows the frame before in their place" if work.is_video else "has no file for them"
        lines.append(f"  {len(summary.faults)} frames could not be had: OUT {what}")
    if summary.damage:
        lines.append(f"  {len(summary.damage)} frames came damaged: their decoder covered it up")
    for failure in summary.failed:
        lines.append(f"  failed: {visible(failure)}")
    if work.is_video and summary.failed:
        lines.append("  the film isn't joined: run the same command again once the cause is gone")
    return lines
