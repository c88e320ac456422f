"""Owns what a person is told before a reel is restored: what was noticed of it, and how it goes out."""

from __future__ import annotations

from restore.reels import beside
from restore.reels.work import Work


def notes_of(work: Work) -> tuple[str, ...]:
    """Sentences, each once."""
    notes = list(work.plan.notes)
    if work.only_masks:
        return tuple(dict.fromkeys(notes))
    if work.form is not None:
        notes.append(work.form.about)
    if work.written.becoming is not None:
        notes += work.written.becoming.notes
    if work.written.pictures:
        said, *sound = beside.names(work)
        notes.append(f"times and tags go into {said}")
        notes += [f"what stands beside the pictures goes into {one}, packet for packet" for one in sound]
    elif work.is_video:
        notes += work.encoding().notes
        notes += _timecode(work)
    return tuple(dict.fromkeys((*notes, *_left_out(work))))


def _timecode(work: Work) -> list[str]:
    clip = work.clip
    if clip is None or clip.timecode is None:
        return []
    tracks = sum(one.kind == "timecode" for one in clip.companions)
    more = f"; the first of its {tracks} timecode tracks" if tracks > 1 else ""
    how = "as a tag" if work.encoding().container == "matroska" else "as a timecode track"
    label = clip.timecode.moved(work.plan.first - work.origin, work.encoding().rate)
    return [f"timecode {label.text} goes along {how}{more}"]


def _left_out(work: Work) -> list[str]:
    clip, made = work.source.clip, work.written.becoming
    streams = clip.companions if clip is not None else made.sound.companions if made is not None and made.sound else ()
    return [
        f"stream {one.index} ({one.kind}, {one.codec or 'unknown'}) stays behind"
        for one in streams
        if one.index in work.written.drop
    ]
