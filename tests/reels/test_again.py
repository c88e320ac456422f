"""Claims about taking repairs back: what the ledger gives is, byte for byte, what a new search would give."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from film_command import SMALL, run
from small_films import write_dpx

OPTIONS = (*SMALL, "--workers", "1")


def everything(target: Path, state: Path) -> dict[str, bytes]:
    """The result's files, and what the state has of its segments, but for times."""
    results = [target] if target.is_file() else [path for path in target.iterdir() if path.is_file()]
    found = {path.name: path.read_bytes() for path in results}
    for path in state.rglob("*"):
        if path.suffix in (".patches", ".segment"):
            found[path.name] = path.read_bytes()
    for path in state.rglob("segments/*.json"):
        receipt = json.loads(path.read_bytes())
        receipt["files"] = [one[:4] for one in receipt.get("files", ())]
        found[path.name] = json.dumps(receipt).encode()
    return found


def searched_again(source: Path, target: Path, state: Path) -> None:
    """Makes all of it anew, with what was taken back, from nothing but the source."""
    for path in state.rglob("segments/*.json"):
        path.unlink()
    assert run("film", source, target, *OPTIONS, "--overwrite")[0] == 0


def test_a_video_without_a_repair_is_the_same_from_the_ledger_as_from_a_search(clip: Path, tmp_path: Path) -> None:
    target, state = tmp_path / "out.mkv", tmp_path / ".out.mkv.restore"
    assert run("film", clip, target, *OPTIONS)[0] == 0
    first = everything(target, state)
    for wanted in (("8", "--blob", "1"), ("8", "--blob", "0", "--blob", "3"), ("3",), ("8",)):
        assert run("undo", target, "--frame", *wanted)[0] == 0
    from_ledger = everything(target, state)
    assert from_ledger != first
    searched_again(clip, target, state)
    assert everything(target, state) == from_ledger


def test_only_the_frame_without_its_repair_is_written_anew(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    write_dpx(source)
    (source / "reel.997.dpx").unlink()
    saved = tmp_path / "masks"
    assert run("film", source, target, *OPTIONS, "--save-masks", saved)[0] == 3
    stamps = {path.name: path.stat().st_mtime_ns for folder in (target, saved) for path in folder.glob("reel*")}
    assert run("undo", target, "--frame", "996", "--blob", "2")[0] == 3, "a frame is missing still"
    after = {path.name: path.stat().st_mtime_ns for folder in (target, saved) for path in folder.glob("reel*")}
    assert [name for name in stamps if stamps[name] != after[name]] == ["reel.996.dpx", "reel.996.png"]
    state = target / ".restore"
    from_ledger = everything(target, state)
    for path in state.rglob("segments/*.json"):
        path.unlink()
    assert run("film", source, target, *OPTIONS, "--overwrite", "--save-masks", saved)[0] == 3
    assert everything(target, state) == from_ledger


@pytest.mark.parametrize("lost", ["ledger", "result", "source"])
def test_where_the_ledger_or_its_surroundings_changed_the_segment_is_searched_again(
    lost: str, frames: Path, tmp_path: Path
) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    shutil.copytree(frames, source)
    assert run("film", source, target, *OPTIONS)[0] == 0
    (ledger, *_) = sorted(target.rglob("*.patches"))
    if lost == "ledger":
        whole = ledger.read_bytes()
        assert run("undo", target, "--frame", "994", "--blob", "0")[0] == 0
        ledger.write_bytes(whole)  # as after a kill between the ledger and its receipt
    elif lost == "result":
        (target / "reel.995.dpx").unlink()
    else:
        shutil.copy(source / "reel.1000.dpx", source / "reel.995.dpx")
    assert run("undo", target, "--frame", "996", "--blob", "1")[0] == 0
    from_undo = everything(target, target / ".restore")
    searched_again(source, target, target / ".restore")
    assert everything(target, target / ".restore") == from_undo


def test_an_evened_film_is_made_again_as_a_whole(clip: Path, tmp_path: Path) -> None:
    target, state = tmp_path / "out.mkv", tmp_path / ".out.mkv.restore"
    options = (*OPTIONS, "--flicker", "--frames", "0-11")
    assert run("film", clip, target, *options)[0] == 0
    assert run("undo", target, "--frame", "8", "--blob", "1")[0] == 0
    undone = everything(target, state)
    for path in state.rglob("segments/*.json"):
        path.unlink()
    assert run("film", clip, target, *options, "--overwrite")[0] == 0
    assert everything(target, state) == undone
