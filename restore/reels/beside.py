"""Owns what is written beside a video's frames: the file of their times and tags, and all that stood beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from restore.batch.fsops import digest_of, explained
from restore.film.form import AsPictures
from restore.film.times import times_of
from restore.formats.video_beside import Beside, beside_of, kept, write_beside
from restore.reels import sidecar
from restore.reels.sidecar import Sidecar
from restore.reels.state import State, sync_folder, write_whole
from restore.reels.work import Work

_RECEIPT = "beside.json"
_INTENT = "beside.intent.json"


def names(work: Work) -> tuple[str, ...]:
    """Of the files that a reel's folder gets, but for its frames."""
    if not work.written.pictures:
        return ()
    sound = _sound_of(work)
    said = sidecar.beside(work.target, work.stem).name
    return (said,) if sound is None else (said, sound[0])


def put(work: Work, state: State) -> None:
    """Writes them, unless they are there as they were made.  Raises ImageError, SetupError, DiskFullError."""
    if not work.written.pictures:
        return
    made_of: dict[str, object] = {"source": work.source.identity(0, 0), "frames": [work.plan.first, work.plan.last]}
    made_of |= {"drop": list(work.written.drop), "said": sidecar.to_bytes(_sidecar(work)).decode()}
    known = state.get(_RECEIPT)
    made = known["files"] if known is not None and known["made_of"] == made_of else []
    if made and all(_stamp(work, one) == one[1:3] for one in made):
        return
    files: list[list[Any]] = []
    try:
        for name in names(work):
            temporary = _temporary(work, name)
            if name.endswith(sidecar.SUFFIX):
                write_whole(temporary, sidecar.to_bytes(_sidecar(work)))
            else:
                _write_sound(work, temporary)
            with temporary.open("rb") as file:
                files.append([name, temporary.stat().st_size, temporary.stat().st_mtime_ns, digest_of(file)])
        state.put(_INTENT, {"files": files})
        for name in names(work):
            with explained(work.target / name):
                os.replace(_temporary(work, name), work.target / name)
        sync_folder(work.target)
    finally:
        for name in names(work):
            with suppress(FileNotFoundError):
                _temporary(work, name).unlink()
    state.put(_RECEIPT, {"made_of": made_of, "files": files})
    with suppress(FileNotFoundError):
        (state.root / _INTENT).unlink()


def strangers(work: Work, state: State) -> Iterator[Path]:
    """Files in their places that aren't as they were made."""
    made = [(state.get(receipt) or {}).get("files", ()) for receipt in (_RECEIPT, _INTENT)]
    known = [one for files in made for one in files]
    for name in names(work):
        path = work.target / name
        if path.exists() and all(_changed(path, one) for one in known if one[0] == name):
            yield path


def problems(work: Work, state: State) -> Iterator[str]:
    """What isn't as it was made, for proof."""
    if not work.written.pictures:
        return
    known = state.get(_RECEIPT)
    if known is None:
        yield "what goes beside the frames isn't written: run restore film again"
        return
    for one in known["files"]:
        path = work.target / one[0]
        if not path.exists():
            yield f"{one[0]} is missing"
        elif _changed(path, one):
            yield f"{one[0]} was changed"


def _temporary(work: Work, name: str) -> Path:
    return work.target / f".{name}.{work.token}.part"


def _changed(path: Path, known: Sequence[Any]) -> bool:
    with path.open("rb") as file:
        return bool(digest_of(file) != known[3])


def _stamp(work: Work, one: Sequence[Any]) -> list[int]:
    try:
        stat = (work.target / one[0]).lstat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def _sound_of(work: Work) -> tuple[str, Beside] | None:
    """(name, streams) of what stood beside the pictures and can be copied; None where there was nothing."""
    clip = work.source.clip
    assert clip is not None
    found = beside_of(clip)
    if found is None:
        return None
    copied = [one for one in found.companions if one.index not in work.written.drop and one.kind != "timecode"]
    if not copied and not clip.chapters:
        return None
    suffix = ".mka" if all(one.kind == "audio" for one in copied) else ".mkv"
    return f"{work.stem}{suffix}", found


def _write_sound(work: Work, path: Path) -> None:
    found = _sound_of(work)
    assert found is not None
    _, beside = found
    pts, lengths, base = work.times()
    window = None if work.whole else (int(pts[0]) * base, int(pts[-1] + lengths[-1]) * base)
    without = [one for one in beside.companions if one.index in work.written.drop]
    with explained(path):
        write_beside(beside, without, window, path)
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def _sidecar(work: Work) -> Sidecar:
    clip, form = work.source.clip, work.form
    assert clip is not None
    assert isinstance(form, AsPictures)
    pts, lengths, base = work.times()
    start = pts if work.whole else pts - pts[0]
    sound = _sound_of(work)
    rate = clip.rate * work.plan.fields.rate_factor
    label = None if clip.timecode is None else clip.timecode.moved(work.plan.first, rate)
    return Sidecar(
        of=clip.path.name,
        frames=form.about,
        first=work.plan.first,
        times=times_of(start, lengths, base),
        rate=rate,
        colour=form.colour,
        sample_aspect=clip.sample_aspect,
        field_order="progressive" if work.plan.fields.order else clip.field_order,
        timecode="" if label is None else label.text,
        tags=kept(clip.metadata),
        sound="" if sound is None else sound[0],
    )
