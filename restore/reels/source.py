"""Owns what a command's IN means: a video, the sequences of a folder, or the one sequence that a frame belongs to."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from restore.errors import ImageError, SetupError
from restore.film.fields import Fields
from restore.film.form import Form
from restore.film.reel import Reel, open_sequence
from restore.film.scan import clip_reel
from restore.formats import Decoder, sequence, video_process
from restore.formats.video import Clip, Index
from restore.formats.video_plain import clip_from_plain, clip_to_plain, index_from_plain, index_to_plain


@dataclass(frozen=True)
class Source:
    """One reel to restore: a video, or frames of a folder."""

    path: Path
    """The video, or the folder."""
    clip: Clip | None = None
    known: Index | None = None
    frames: sequence.Sequence | None = None

    @property
    def label(self) -> str:
        return self.path.name if self.frames is None else self.frames.label

    @property
    def key(self) -> str:
        """A name for its folder: readable, and no other reel's of the same place."""
        if self.frames is None:
            names = before = os.fsencode(self.path.name)
        else:
            before = self.frames.before
            names = before + b"\0" + self.frames.after
        plain = re.sub(r"[^A-Za-z0-9]+", "-", os.fsdecode(before)).strip("-")[:40]
        return f"{plain or 'reel'}-{hashlib.sha256(names).hexdigest()[:8]}"

    def identity(self, first: int, last: int) -> list[object]:
        """What changes when the source does, for frames with these numbers, both included."""
        if self.frames is None:
            return _stamp(self.path)
        names = self.frames.names
        return [
            [number, names[number].hex(), *_stamp(self.frames.path(number))]
            for number in range(max(first, self.frames.first), min(last, self.frames.last) + 1)
            if number in names
        ]

    def open(self, fields: Fields, decoder: Decoder, form: Form | None = None) -> Reel:
        """Its frames, in `form` or their own.  ImageError when none of it can be read."""
        if self.frames is not None:
            return open_sequence(self.frames, decoder, form)
        assert self.clip is not None
        assert self.known is not None
        return replace(clip_reel(self.clip, self.known, fields), form=form)


def sources_in(path: Path) -> tuple[Source, ...]:
    """The reels that `path` names.  SetupError when there is none, ImageError when a video can't be read."""
    if path.is_dir():
        found = sequence.find(path)
        if not found:
            raise SetupError(f"{path}: it holds no numbered frames: give a folder of frames, or a video file")
        return tuple(Source(path, frames=one) for one in found)
    if not path.exists():
        raise SetupError(f"{path}: no such file or folder: give a video, or a folder of frames")
    if path.suffix.lower() in sequence.FRAME_SUFFIXES:
        for one in sequence.find(path.parent):
            if os.fsencode(path.name) in one.names.values():
                return (Source(path.parent, frames=one),)
        raise SetupError(f"{path}: it is no frame of a sequence, for its name has no number: use restore inpaint")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: it is empty, 0 bytes: copy it again")
    clip, known = video_process.look(path)
    return (Source(path, clip, known),)


def to_plain(source: Source) -> dict[str, Any]:
    if source.frames is None:
        assert source.clip is not None
        assert source.known is not None
        return {
            "path": os.fsencode(source.path),
            "clip": clip_to_plain(source.clip),
            "index": index_to_plain(source.known),
        }
    frames = source.frames
    return {
        "path": os.fsencode(source.path),
        "before": frames.before,
        "after": frames.after,
        "names": [[number, name] for number, name in frames.names.items()],
    }


def from_plain(plain: dict[str, Any]) -> Source:
    """KeyError, TypeError or ValueError when `plain` is no source."""
    path = Path(os.fsdecode(plain["path"]))
    if "clip" in plain:
        return Source(path, clip_from_plain(plain["clip"]), index_from_plain(plain["index"]))
    names = {int(number): name for number, name in plain["names"]}
    return Source(path, frames=sequence.Sequence(path, plain["before"], plain["after"], names))


def absolute(source: Source) -> Source:
    """The same from wherever a child works."""
    path = source.path.absolute()
    if source.frames is not None:
        return replace(source, path=path, frames=replace(source.frames, folder=path))
    assert source.clip is not None
    return replace(source, path=path, clip=replace(source.clip, path=path))


def _stamp(path: Path) -> list[object]:
    try:
        stat = path.stat()
    except OSError as error:
        raise ImageError(f"{path}: it can't be read any more: {error.strerror}") from error
    return [stat.st_size, stat.st_mtime_ns]
