"""Claims about masks of a whole reel: who works on them and what happens meanwhile changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from film_command import kill_after, of, run
from small_films import FRAMES, SIZE

from restore.cli.film_options import Reading, Wishes, plan_for
from restore.cli.film_report import FilmReport
from restore.errors import SetupError
from restore.formats import Decoder
from restore.formats.sequence import find
from restore.reels.detect import write_masks
from restore.reels.run import Summary
from restore.reels.source import sources_in
from restore.reels.state import state_of_masks


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def detect(source: Path, folder: Path, wishes: Wishes | None = None, *, overwrite: bool = False) -> Summary:
    (one,) = sources_in(source)
    with Decoder() as decoder:
        plan = plan_for(one, Reading(), wishes or Wishes(), decoder, None)
    state = state_of_masks(one, folder, None)
    return write_masks(one, plan, folder, state, 0, FilmReport(as_json=False), overwrite=overwrite)


@pytest.fixture
def few(frames: Path, tmp_path: Path) -> Path:
    source = tmp_path / "in"
    source.mkdir()
    for path in sorted(frames.iterdir(), key=lambda path: int(path.suffixes[0][1:]))[:5]:
        shutil.copy(path, source / path.name)
    return source


def test_masks_of_a_killed_run_stay_and_the_rest_is_made_by_any_number_of_workers(clip: Path, tmp_path: Path) -> None:
    folder, whole = tmp_path / "masks", tmp_path / "whole"
    assert kill_after("segment", 1, "detect", clip, folder, "--json", "--workers", "1") == 1
    stamps = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    assert 0 < len(stamps) < FRAMES
    code, events = run("detect", clip, folder, "--json", "--workers", "3")
    assert code == 0
    assert of(events, "reel")[0]["done"] == 1
    (end,) = of(events, "masks")
    assert end["frames"] == FRAMES
    assert end["places"] > sum(one["places"] for one in of(events, "mask")) > 0
    assert stamps.items() <= {path.name: path.stat().st_mtime_ns for path in folder.glob("*.png")}.items()
    detect(clip, whole)
    assert files(folder) == files(whole)
    assert len(find(folder)) == 1, "as restore film --masks reads it"


def test_corrected_masks_and_those_of_others_are_not_replaced(few: Path, tmp_path: Path) -> None:
    folder, other = tmp_path / "masks", tmp_path / "other"
    detect(few, folder)
    made = files(folder)
    assert detect(few, folder).already_done == 1
    detect(few, folder, Wishes(dirt=False))
    assert files(folder) != made, "ours are made anew"
    mine = folder / "reel.995.png"
    cv2.imwrite(str(mine), np.full(SIZE, 255, np.uint8))
    corrected = mine.read_bytes()
    with pytest.raises(SetupError, match="perhaps a person corrected"):
        detect(few, folder)
    assert mine.read_bytes() == corrected
    detect(few, folder, overwrite=True)
    assert files(folder) == made
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns(".restore"))
    with pytest.raises(SetupError, match="name another folder"):
        detect(few, other)
    (other / "title.png").write_bytes(b"")
    for path in other.glob("reel*"):
        path.unlink()
    with pytest.raises(SetupError, match=r"title\.png"):
        detect(few, other)


def test_a_frame_that_cannot_be_read_has_no_mask(few: Path, tmp_path: Path) -> None:
    (few / "reel.995.dpx").write_bytes(b"SDPX")
    summary = detect(few, tmp_path / "masks")
    assert list(summary.faults) == [995]
    assert (summary.frames, len(files(tmp_path / "masks"))) == (4, 4)


def test_masks_do_not_lie_among_frames(frames: Path) -> None:
    code, events = run("detect", frames, frames, "--json")
    assert code == 2
    assert "among the frames" in events[-1]["message"]
