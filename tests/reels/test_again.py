"""Claims about taking repairs back: what the ledger gives is, byte for byte, what a new search would give."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from in_process import film
from small_films import write_dpx

from restore.cli.film_options import Reading, Wishes
from restore.cli.film_report import FilmReport
from restore.reels import run
from restore.reels.again import can_be_made_again
from restore.reels.run import restore_reel
from restore.reels.state import State
from restore.reels.undo import undo_frame
from restore.reels.work import Work

REPORT = FilmReport(as_json=False)
SHORT = Reading(frames="0-11")


def everything(work: Work, state: State) -> dict[str, bytes]:
    """The result's files, and what the state has of its segments, but for times."""
    target = work.target
    results = [target] if target.is_file() else [path for path in target.iterdir() if path.is_file()]
    kept = [path for path in state.root.rglob("*") if path.suffix in (".patches", ".segment")]
    found = {path.name: path.read_bytes() for path in (*results, *kept)}
    for path in state.root.rglob("segments/*.json"):
        receipt = json.loads(path.read_bytes())
        receipt["files"] = [one[:4] for one in receipt.get("files", ())]
        found[path.name] = json.dumps(receipt).encode()
    return found


def searched_again(work: Work, state: State) -> dict[str, bytes]:
    """`everything`, made anew with what was taken back, from nothing but the source."""
    for path in state.root.rglob("segments/*.json"):
        path.unlink()
    restore_reel(work, state, 0, REPORT, overwrite=True)
    return everything(work, state)


def undo(state: State, number: int, blobs: Sequence[int] | None, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Takes back; of each segment that was made anew, whether the ledger sufficed."""
    sufficed = []

    def told(*arguments: object) -> bool:
        sufficed.append(can_be_made_again(*arguments))  # type: ignore[arg-type]
        return sufficed[-1]

    with monkeypatch.context() as patch:
        patch.setattr(run, "can_be_made_again", told)
        undo_frame(state, number, blobs, 0, REPORT)
    return sufficed


def test_a_video_without_a_repair_is_the_same_from_the_ledger_as_from_a_search(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, work, state = film(clip, tmp_path / "out.mkv", Wishes(), SHORT)
    first = everything(work, state)
    for number, blobs in ((8, [1]), (8, [0, 3]), (3, None), (8, None)):
        assert undo(state, number, blobs, monkeypatch) == [True]
    from_ledger = everything(work, state)
    assert from_ledger != first
    assert searched_again(work, state) == from_ledger


def test_only_the_frame_without_its_repair_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, saved = tmp_path / "in", tmp_path / "masks"
    write_dpx(source)
    for number in (997, *range(1001, 1017)):
        (source / f"reel.{number}.dpx").unlink()
    summary, work, state = film(source, tmp_path / "out", Wishes(), save_masks=saved)
    assert 997 in summary.faults
    before = {path.name: path.stat().st_mtime_ns for folder in (work.target, saved) for path in folder.glob("reel*")}
    assert undo(state, 996, [2], monkeypatch) == [True]
    after = {path.name: path.stat().st_mtime_ns for folder in (work.target, saved) for path in folder.glob("reel*")}
    assert [name for name in before if before[name] != after[name]] == ["reel.996.dpx", "reel.996.png"]
    from_ledger = everything(work, state)
    assert searched_again(work, state) == from_ledger


@pytest.mark.parametrize("changed", ["ledger", "result", "source"])
def test_where_the_ledger_or_its_surroundings_changed_the_segment_is_searched_again(
    changed: str, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for path in sorted(frames.iterdir(), key=lambda path: int(path.suffixes[0][1:]))[:6]:
        shutil.copy(path, source / path.name)
    _, work, state = film(source, tmp_path / "out", Wishes())
    if changed == "ledger":
        (ledger,) = state.repairs.glob("*.patches")
        whole = ledger.read_bytes()
        assert undo(state, 994, [0], monkeypatch) == [True]
        ledger.write_bytes(whole)  # as after a kill between the ledger and its receipt
    elif changed == "result":
        (work.target / "reel.995.dpx").unlink()
    else:
        os.utime(source / "reel.995.dpx", ns=(0, 0))
    assert undo(state, 996, [1], monkeypatch) == [False]
    from_undo = everything(work, state)
    assert searched_again(work, state) == from_undo


def test_an_evened_film_is_made_again_as_a_whole(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, work, state = film(clip, tmp_path / "out.mkv", Wishes(flicker=True), SHORT, segment_frames=12)
    assert undo(state, 8, [1], monkeypatch) == [False]
    undone = everything(work, state)
    assert searched_again(work, state) == undone
