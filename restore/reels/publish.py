"""Owns giving results their names: in the driver only, each step understood after a kill.

An intent (names and digests) is on disk before the first rename, a receipt after the last.  A file in OUT is ours when
a receipt or an intent says so; any other is never replaced, unless the user said that it may be.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from restore.batch.fsops import OutputRoot, digest_of, explained
from restore.errors import ImageError, SetupError
from restore.film.segments import Segment
from restore.formats import video_process
from restore.formats.video_join import join
from restore.reels import beside
from restore.reels.state import State, segment_stem, sync_folder
from restore.reels.work import Work

FILM = "film.json"
_FILM_INTENT = "film.intent.json"


def receipt_name(segment: Segment) -> str:
    return f"segments/{segment_stem(segment)}.json"


def _intent_name(segment: Segment) -> str:
    return f"segments/{segment_stem(segment)}.intent.json"


def is_done(work: Work, state: State, segment: Segment, fingerprint: str) -> dict[str, Any] | None:
    """A segment's receipt, if its result is there as it was made."""
    known = state.get(receipt_name(segment))
    if known is None or known.get("fingerprint") != fingerprint:
        return None
    if work.is_video:
        path = state.segment(segment)
        there = path.is_file() and path.stat().st_size == known["bytes"]
    else:
        there = all(is_as_made(work.target, one) for one in known["files"])
    return known if there else None


def publish(work: Work, state: State, segment: Segment, fingerprint: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Gives a segment's frames their names and writes its receipt, which is returned.

    `answer["kept"]` are files of its receipt that stay as they are.  Raises ImageError, DiskFullError.
    """
    receipt = {**answer, "fingerprint": fingerprint, "start": segment.start, "stop": segment.stop}
    kept = receipt.pop("kept", [])
    if not work.is_video:
        output = OutputRoot(work.target, work.token)
        state.put(_intent_name(segment), {"files": answer["files"]})
        files = []
        for number, name, temporary, size, sha256 in answer["files"]:
            path = _path(name)
            stat = output.rename(Path(temporary), path)
            files.append([number, name, size, sha256, stat.st_mtime_ns])
        output.sync({Path()})
        receipt["files"] = sorted([*kept, *files])
    state.put(receipt_name(segment), receipt)
    with suppress(FileNotFoundError):
        (state.root / _intent_name(segment)).unlink()
    return receipt


def refuse_at_once(target: Path, state: State) -> None:
    """`refuse_strangers` as far as it can be told before a reel is looked at: a video that was made elsewhere."""
    if target.is_file() and state.get(FILM) is None and state.get(_FILM_INTENT) is None:
        raise _stranger(target)


def refuse_strangers(work: Work, state: State) -> None:
    """Raises SetupError when something in OUT that this tool didn't make would be replaced."""
    if work.is_video:
        if work.target.exists() and not _film_is_ours(work, state):
            raise _stranger(work.target)
        return
    if not work.target.is_dir():
        return
    for path in beside.strangers(work, state):
        raise _stranger(path)
    names = {os.fsencode(entry.name) for entry in os.scandir(work.target)}
    unknown = names & {os.fsencode(name) for name in work.names.values()}
    # Masks of another reel must not be mixed with this one's.
    others = {name for name in names if name.endswith(b".png")} if work.only_masks else set()
    if not unknown and not others:
        return
    for path in sorted(state.segments.glob("*.json")):
        known = state.get(f"segments/{path.name}") or {}
        for one in known.get("files", ()):
            name = bytes.fromhex(one[1])
            others.discard(name)
            if name in unknown and _is_ours(work.target, one):
                unknown.discard(name)
    unknown |= others
    if unknown and work.only_masks:
        raise SetupError(
            f"{work.target / os.fsdecode(min(unknown))}: it isn't as restore detect made it, perhaps a person corrected"
            " it: name another folder, or give --overwrite"
        )
    if unknown:
        raise _stranger(work.target / os.fsdecode(min(unknown)))


def join_film(work: Work, state: State, receipts: Sequence[Mapping[str, Any]]) -> bool:
    """Joins the segments of a video and names the film; False when it was there already.

    Raises ImageError, SetupError, DiskFullError.
    """
    segments = [state.segment(segment) for segment in work.segments]
    made_of = {"segments": [one["sha256"] for one in receipts], "drop": list(work.written.drop), "whole": work.whole}
    if work.written.becoming is not None:
        made_of["becoming"] = work.written.becoming.joined_facts()
    known = state.get(FILM)
    if known is not None and known["made_of"] == made_of and _stamp(work.target) == known["stamp"]:
        return False
    temporary = work.target.with_name(f".{work.target.name}.part")
    try:
        with explained(work.target):
            work.target.parent.mkdir(parents=True, exist_ok=True)
            _join(work, segments, temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
                sha256 = digest_of(file)
        clip, found = video_process.look(temporary)
        if (found.frames, clip.width, clip.height) != (sum(one["frames"] for one in receipts), *work.out_size()):
            raise ImageError(
                f"{work.target}: the joined film has {found.frames} frames of {clip.width} x {clip.height}"
            )
        state.put(_FILM_INTENT, {"sha256": sha256})
        with explained(work.target):
            os.replace(temporary, work.target)
            sync_folder(work.target.parent)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    state.put(FILM, {"made_of": made_of, "stamp": _stamp(work.target), "sha256": sha256})
    return True


def _join(work: Work, segments: Sequence[Path], target: Path) -> None:
    clip, made = work.clip, work.written.becoming
    assert clip is not None
    shown, lengths, time_base = work.times()
    sound = None if made is None else made.sound
    companions = clip.companions if sound is None else sound.companions
    join(
        segments,
        work.encoding(),
        clip,
        shown,
        lengths,
        time_base,
        target,
        sound=sound,
        without=[one for one in companions if one.index in work.written.drop],
        part=not work.whole,
        skipped=work.plan.first - work.origin,
    )


def _film_is_ours(work: Work, state: State) -> bool:
    known, meant = state.get(FILM), state.get(_FILM_INTENT)
    if known is not None and _stamp(work.target) == known["stamp"]:
        return True
    digests = {one["sha256"] for one in (known, meant) if one is not None}
    if not digests:
        return False
    with work.target.open("rb") as file:
        return digest_of(file) in digests


def _is_ours(root: Path, one: Sequence[Any]) -> bool:
    """Of a receipt's or an intent's file: [number, name, size, sha256, mtime_ns] or [.., temporary, size, sha256]."""
    if isinstance(one[2], int) and is_as_made(root, one):
        return True
    sha256 = one[3] if isinstance(one[2], int) else one[4]
    try:
        with (root / _path(one[1])).open("rb") as file:
            return bool(digest_of(file) == sha256)
    except OSError:
        return False


def is_as_made(root: Path, one: Sequence[Any]) -> bool:
    """Whether a receipt's file is there, and nobody wrote to it since."""
    return _stamp(root / _path(one[1])) == [one[2], one[4]]


def _path(name: str) -> Path:
    return Path(os.fsdecode(bytes.fromhex(name)))


def _stamp(path: Path) -> list[int]:
    try:
        stat = path.lstat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def _stranger(path: Path) -> SetupError:
    return SetupError(f"{path}: it is there already, and restore film didn't make it: move it, or give --overwrite")
