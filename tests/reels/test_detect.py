"""Claims about masks of a whole reel: who works on them and what happens meanwhile changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from film_command import kill_after, of, run
from small_films import FRAMES, SIZE

from restore.formats.sequence import find


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def masks(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by one process."""
    folder = tmp_path_factory.mktemp("masks") / "masks"
    code, events = run("detect", clip, folder, "--json", "--workers", "1")
    assert code == 0
    assert [one["frame"] for one in of(events, "mask")] == list(range(FRAMES))
    (end,) = of(events, "masks")
    assert end["frames"] == FRAMES
    assert end["places"] == sum(one["places"] for one in of(events, "mask")) > FRAMES
    return folder


def test_masks_of_a_killed_run_stay_and_the_rest_is_made_by_any_number_of_workers(
    clip: Path, masks: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "masks"
    assert kill_after("segment", 1, "detect", clip, folder, "--json", "--workers", "1") == 1
    stamps = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    assert stamps
    assert len(stamps) < FRAMES
    code, events = run("detect", clip, folder, "--json", "--workers", "3")
    assert code == 0
    assert of(events, "reel")[0]["done"] == 1
    assert stamps.items() <= {path.name: path.stat().st_mtime_ns for path in folder.glob("*.png")}.items()
    assert files(folder) == files(masks)
    assert len(find(folder)) == 1, "as restore film --masks reads it"


def test_corrected_masks_and_those_of_others_are_not_replaced(frames: Path, tmp_path: Path) -> None:
    folder, other = tmp_path / "masks", tmp_path / "other"
    assert run("detect", frames, folder)[0] == 0
    made = files(folder)
    assert run("detect", frames, folder, "--max-false", "0", "--workers", "2")[0] == 0, "ours may be made anew"
    assert files(folder) != made
    mine = folder / "reel.1000.png"
    cv2.imwrite(str(mine), np.zeros(SIZE, np.uint8))
    corrected = mine.read_bytes()
    code, events = run("detect", frames, folder, "--json")
    assert code == 2
    assert "perhaps a person corrected" in events[-1]["message"]
    assert mine.read_bytes() == corrected
    assert run("detect", frames, folder, "--overwrite")[0] == 0
    assert files(folder) == made
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns(".restore"))
    assert run("detect", frames, other)[0] == 2
    (other / "title.png").write_bytes(b"")
    for path in other.glob("reel*"):
        path.unlink()
    assert run("detect", frames, other)[0] == 2, "another picture among masks would be read as one"


def test_a_frame_that_cannot_be_read_has_no_mask(frames: Path, tmp_path: Path) -> None:
    source, folder = tmp_path / "in", tmp_path / "masks"
    shutil.copytree(frames, source)
    (source / "reel.1003.dpx").write_bytes(b"SDPX")
    code, events = run("detect", source, folder, "--json")
    assert code == 3
    (end,) = of(events, "masks")
    assert list(end["faults"]) == ["1003"]
    assert len(list(folder.glob("*.png"))) == FRAMES - 1


def test_masks_do_not_lie_among_frames(frames: Path) -> None:
    code, events = run("detect", frames, frames, "--json")
    assert code == 2
    assert "among the frames" in events[-1]["message"]
