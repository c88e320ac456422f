"""Video decoded in a child: the same frames, and a verdict whatever becomes of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from restore.errors import ImageError
from restore.formats import video_process
from restore.formats.video import index, probe
from restore.formats.video_plain import clip_from_plain, clip_to_plain, index_from_plain, index_to_plain
from restore.formats.video_read import frames

from .video_files import moving, save_clip

PICTURES = moving(30)


@pytest.fixture
def reel(tmp_path: Path) -> Path:
    return save_clip(tmp_path / "reel.mkv", PICTURES, "ffv1", "yuv422p10le", metadata={"title": "A reel"}, audio_s=1)


def test_the_child_gives_the_very_same_frames(reel: Path) -> None:
    clip, known = video_process.look(reel)
    assert clip == probe(reel)
    assert np.array_equal(known.pts, index(clip).pts)
    ours = list(video_process.frames(clip, 5, 17, known))
    theirs = list(frames(clip, 5, 17, known))
    assert [(f.number, f.pts, f.duration, f.is_key, f.damage) for f in ours] == [
        (f.number, f.pts, f.duration, f.is_key, f.damage) for f in theirs
    ]
    for one, other in zip(ours, theirs, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))


def test_a_fault_in_the_film_is_told_as_without_a_child(reel: Path) -> None:
    data = bytearray(reel.read_bytes())
    for place in range(len(data) // 2, len(data) // 2 + 40):
        data[place] ^= 0x5A
    reel.write_bytes(data)
    clip, known = video_process.look(reel)
    with pytest.raises(ImageError, match=r"frame \d+ of 30 is damaged or missing \(slice CRC"):
        list(video_process.frames(clip, 0, 30, known))
    assert sum(bool(frame.damage) for frame in video_process.frames(clip, 0, 30, known, keep_damaged=True)) >= 1
    reel.write_bytes(b"no video")
    with pytest.raises(ImageError, match="can't be read as video"):
        video_process.look(reel)


def test_a_child_that_crashes_hangs_or_gets_no_memory_is_a_verdict(
    reel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, known = video_process.look(reel)
    with pytest.raises(ImageError, match=r"frame 3: .*longer than 0\.01 s and was stopped"):
        list(video_process.frames(clip, 3, 20, known, timeout_s=0.01))
    with pytest.raises(ImageError):
        list(video_process.frames(clip, 3, 20, known, memory_bytes=60 << 20))
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crashing))
    with pytest.raises(ImageError, match=r"reel\.mkv: frame 3: the decoding process died over it \(SIGSEGV\)"):
        list(video_process.frames(clip, 3, 20, known))


def test_frames_that_nobody_wants_any_more_end_the_child(reel: Path) -> None:
    clip, known = video_process.look(reel)
    wanted = video_process.frames(clip, 0, 30, known)
    assert next(wanted).number == 0
    wanted.close()  # type: ignore[attr-defined]
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_names_that_are_no_text_work_too(reel: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(reel.parent) + b"/film \xff.mkv"))
    reel.rename(odd)
    clip, known = video_process.look(odd)
    assert clip.path == odd
    assert sum(1 for _ in video_process.frames(clip, 0, 30, known)) == 30


def test_clips_and_indices_are_plain_values_and_back(reel: Path) -> None:
    clip, known = video_process.look(reel)
    assert clip_from_plain(clip_to_plain(clip)) == clip
    again = index_from_plain(index_to_plain(known))
    assert np.array_equal(again.pts, known.pts)
    assert (again.last_duration, again.doubt, again.notes) == (known.last_duration, known.doubt, known.notes)
