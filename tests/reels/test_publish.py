"""Claims about giving results their names: a kill before or after any single rename is understood by the next run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from film_command import SMALL, run

_DIES_AT = """
import os, sys
at, before, real, count = int(sys.argv[1]), sys.argv[2] == "before", os.replace, 0
def replace(*names, **folders):
    global count
    count += 1
    if count == at and before:
        os._exit(9)
    real(*names, **folders)
    if count == at:
        os._exit(9)
os.replace = replace
sys.argv = ["restore", *sys.argv[3:]]
from restore.cli import main
main()
"""


def killed_at(rename: int, when: str, *arguments: str | Path) -> int:
    """Runs a command that dies at the driver's `rename`-th rename; 9, or how it ended before that."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", _DIES_AT, str(rename), when, *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, timeout=120, check=False).returncode


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_rename_of_frames_loses_nothing(when: str, frames: Path, tmp_path: Path) -> None:
    source, target, reference = tmp_path / "in", tmp_path / "out", tmp_path / "reference"
    source.mkdir()
    for path in sorted(frames.iterdir())[:9]:
        shutil.copy2(path, source / path.name)
    assert run("film", source, reference, *SMALL, "--segment-frames", "3")[0] == 0
    rename = 2
    while killed_at(rename, when, "film", source, target, *SMALL, "--segment-frames", "3", "--workers", "1") == 9:
        rename += 1
        assert rename < 40
    assert rename > 8, "it was killed in the middle of naming frames, too"
    left = {path.name: path.read_bytes() for path in target.iterdir() if path.is_file()}
    assert left == {path.name: path.read_bytes() for path in reference.iterdir() if path.is_file()}


def test_a_kill_after_any_rename_of_a_video_loses_nothing(clip: Path, tmp_path: Path) -> None:
    target, reference = tmp_path / "out.mkv", tmp_path / "reference.mkv"
    options = (*SMALL, "--segment-frames", "4", "--frames", "0-7")
    assert run("film", clip, reference, *options)[0] == 0
    rename = 4
    while killed_at(rename, "after", "film", clip, target, *options, "--workers", "1") == 9:
        rename += 1
        assert rename < 40
    assert target.read_bytes() == reference.read_bytes()
    assert not list(tmp_path.glob(".*.part"))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_what_was_made_of_another_reel_is_not_replaced_unasked(frames: Path, tmp_path: Path) -> None:
    first, second, moved = tmp_path / "first", tmp_path / "second", tmp_path / "moved"
    target, fresh = tmp_path / "out", tmp_path / "fresh"
    for folder, start in ((first, 0), (second, 3)):
        folder.mkdir()
        for number, path in enumerate(sorted(frames.iterdir())[start : start + 3]):
            shutil.copy(path, folder / f"reel.{number}.dpx")
    assert run("film", first, target, *SMALL)[0] == 0
    assert run("undo", target, "--frame", "1")[0] == 0
    taken_back = files(target)
    assert run("film", second, target, *SMALL)[0] == 2
    assert files(target) == taken_back
    first.rename(moved)
    assert run("film", moved, target, *SMALL)[0] == 0
    assert files(target) == taken_back, "the same reel at another place goes on"
    assert run("film", second, target, *SMALL, "--overwrite")[0] == 0
    assert run("film", second, fresh, *SMALL)[0] == 0
    assert files(target) == files(fresh), "nothing of the other reel stays undone"
