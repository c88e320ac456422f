"""Owns edit decision lists: the frames at which an editor says that shots begin.

CMX 3600 (SMPTE 258M): one line an event, with four timecodes; the last two are where it lies in the finished film.
A dissolve or wipe is two lines, of which the second one has its length in frames; the change lies in the middle of it.
Sound, and titles laid over the picture, are no cuts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from restore.errors import SetupError

_CODE = r"\d\d[:;.,]\d\d[:;.,]\d\d[:;.,]\d\d"
_EVENT = re.compile(
    rf"^\s*\d+\w?\s+\S+\s+(?P<track>\S+)\s+(?P<kind>[CDW]\d*|K\s+[BO]|K[BO]?)(?:\s+(?P<length>\d+))?"
    rf"\s+{_CODE}\s+{_CODE}\s+(?P<start>{_CODE})\s+(?P<stop>{_CODE})(?:\s.*)?$",
    re.IGNORECASE,
)
_FCM = re.compile(r"^\s*FCM:\s*(NON)?", re.IGNORECASE)
_KINDS = {"C": "edl", "K": "edl", "D": "dissolve", "W": "wipe"}
_DROPS_FROM_RATE = 30


@dataclass(frozen=True)
class _Event:
    start: int
    stop: int
    """Frames of the finished film, half-open, as its timecode counts them."""
    kind: str
    length: int
    """Frames that a dissolve or wipe takes."""


def cuts(text: str, rate: Fraction, name: str) -> dict[int, str]:
    """Frames, counted from the first event's start, at which shots begin, ascending, and how: "edl" is a cut.

    0 is among them.  Where no event follows on another, what lies between is a shot, too.

    `rate`: frames a second.  Drop-frame timecode ("FCM: DROP FRAME", or ";" before the frames) leaves out two numbers a
    minute at 29.97 frames a second.  SetupError, with the file's `name`, when no event of the picture can be read, or
    when the rate is another one.
    """
    events = _events(text, rate, name)
    if not events:
        raise SetupError(f"{name}: no event of a picture in an edit decision list (CMX 3600) is in it")
    begin, end = min(event.start for event in events), max(event.stop for event in events)
    found: dict[int, str] = {}
    for event in events:
        found.setdefault(event.start + event.length // 2, event.kind)
    shown = begin
    for event in sorted(events, key=lambda one: one.start):
        if event.start > shown:
            found.setdefault(shown, "edl")
        shown = max(shown, event.stop)
    return {frame - begin: found[frame] for frame in sorted(found) if frame < end}


def _events(text: str, rate: Fraction, name: str) -> list[_Event]:
    """Events of the picture that take time."""
    base = round(rate)
    lines = text.splitlines()
    matches = [match for match in map(_EVENT.match, lines) if match is not None]
    pictures = [match for match in matches if _is_picture(match["track"]) and _kind(match) is not None]
    stated = next((match for match in map(_FCM.match, lines) if match is not None), None)
    drop = (stated is not None and stated[1] is None) or any(";" in match["start"] for match in pictures)
    if drop and pictures and base % _DROPS_FROM_RATE:
        raise SetupError(f"{name}: it has drop-frame timecode, so its film has 29.97 a second: give --edl-rate 29.97")
    found = []
    for match in pictures:
        start, stop = (_number(match[end], base, name, drop=drop) for end in ("start", "stop"))
        kind = _kind(match)
        length = int(match["length"] or 0) if kind in ("dissolve", "wipe") else 0
        if kind is not None and stop > start:
            found.append(_Event(start, stop, kind, min(length, stop - start)))
    return found


def _is_picture(track: str) -> bool:
    """ "V", "AA/V", "V2"; "B" is both, sound and picture."""
    return "V" in track.upper() or track.upper() == "B"


def _kind(match: re.Match[str]) -> str | None:
    """How the shot begins; None for a title that is laid over another shot."""
    kind = match["kind"].upper()
    return None if kind[0] == "K" and not kind.endswith("B") else _KINDS[kind[0]]


def _number(code: str, base: int, name: str, *, drop: bool) -> int:
    hours, minutes, seconds, frames = (int(part) for part in re.split("[:;.,]", code))
    if frames >= base:
        raise SetupError(f"{name}: it counts frames up to {frames}, but the film has {base} a second: give --edl-rate")
    number = ((hours * 60 + minutes) * 60 + seconds) * base + frames
    whole = hours * 60 + minutes
    return number - 2 * (base // _DROPS_FROM_RATE) * (whole - whole // 10) if drop else number
