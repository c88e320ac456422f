"""Claims about measuring on one's own stock by several processes."""

from __future__ import annotations

from pathlib import Path

from film_command import of, run


def test_any_number_of_workers_counts_the_same(frames: Path) -> None:
    options = ("--inpaint", "off", "--lines", "900", "--json")
    scores = [run("bench", "detect", frames, *options, "--workers", str(count)) for count in (1, 3)]
    assert [code for code, _ in scores] == [0, 0]
    (one,), (other,) = (of(events, "bench") for _, events in scores)
    assert one == other
    assert one["frames"] == 24
    assert one["specks"] > one["specks_found"] > 0


def test_overlays_that_hold_no_damage_are_told_at_once(frames: Path, tmp_path: Path) -> None:
    code, _ = run("bench", "detect", frames, "--overlays", tmp_path, "--json")
    assert code == 2
