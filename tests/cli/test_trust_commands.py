"""Claims about `restore verify`, `restore undo` and `restore apply`: proof later, originals back, patches elsewhere."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import Result

sys.path.insert(0, str(Path(__file__).parent))

from inpaint_tree import SIZES, events, invoke, make_tree, of, painted, read, save, specks, tiny_net


@dataclass(frozen=True)
class World:
    source: Path
    masks: Path
    target: Path
    net: Path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A repaired tree.  Tests leave it alone."""
    base = tmp_path_factory.mktemp("finished")
    source, masks = make_tree(base)
    net = tiny_net(base / "tiny.safetensors")
    result = invoke("inpaint", source, base / "out", "--masks", masks, "--model", net, "--device", "cpu")
    assert result.exit_code == 0, result.output
    return World(source, masks, base / "out", net)


@pytest.fixture
def own(finished: World, tmp_path: Path) -> World:
    """A copy of the result, for tests that change it."""
    shutil.copytree(finished.target, tmp_path / "out")
    return World(finished.source, finished.masks, tmp_path / "out", finished.net)


def verdicts(result: Result) -> dict[str, tuple[str, ...]]:
    return {str(said["target"]): tuple(said["problems"]) for said in of(result, "verdict")}  # type: ignore[arg-type]


def test_a_finished_run_is_proved_from_the_journal_alone_and_against_its_sources(finished: World) -> None:
    for options in ((), ("--source", finished.source)):
        result = invoke("verify", finished.target, *options, "--json")
        assert result.exit_code == 0, result.output
        assert verdicts(result) == dict.fromkeys((*SIZES, "whole.png"), ())
        (summary,) = of(result, "verified")
        assert (summary["untouched"], summary["source"], summary["failed"]) == (len(SIZES), 1, 0)


def test_what_differs_is_named(own: World) -> None:
    name = "deep/scan 1.tiff"
    damaged = bytearray((own.target / name).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (own.target / name).write_bytes(damaged)
    (own.target / "wall.png").unlink()
    (own.target / "stranger.png").write_bytes(b"")
    result = invoke("verify", own.target, "--json")
    assert result.exit_code == 3
    told = verdicts(result)
    assert "sha256" in told[name][0]
    assert "missing" in told["wall.png"][0]
    assert [said for said in told.values() if not said] == [()] * (len(SIZES) - 1)
    assert of(result, "verified")[0]["unknown"] == 1


def test_a_pixel_changed_behind_a_forged_journal_is_still_noticed(own: World) -> None:
    """The digest of untouched pixels doesn't depend on the file's bytes."""
    import hashlib
    import sqlite3
    from contextlib import closing

    import cv2

    target = own.target / "wall.png"
    pixels = cv2.imread(str(target))
    pixels[0, 0, 0] ^= 1
    old, new = hashlib.sha256(target.read_bytes()).hexdigest(), save(target, pixels).read_bytes()
    sha256 = hashlib.sha256(new).hexdigest()
    ledger = own.target / ".restore" / "repairs" / "wall.png"
    (ledger / f"{old[:32]}.patches").rename(ledger / f"{sha256[:32]}.patches")
    with closing(sqlite3.connect(own.target / ".restore" / "journal.sqlite")) as journal, journal:
        journal.execute(
            "UPDATE files SET target_sha256 = ?, target_size = ? WHERE target = ?", (sha256, str(len(new)), b"wall.png")
        )
    result = invoke("verify", own.target / "wall.png", "--json")
    assert result.exit_code == 3
    assert "pixels outside its repairs" in verdicts(result)["wall.png"][0]


def test_a_changed_source_is_told(own: World, tmp_path: Path) -> None:
    shutil.copytree(own.source, tmp_path / "in")
    save(tmp_path / "in" / "wall.png", painted(55, 48, 64))
    result = invoke("verify", own.target, "--source", tmp_path / "in", "--json")
    assert result.exit_code == 3
    assert {name for name, problems in verdicts(result).items() if problems} == {"wall.png"}


@pytest.mark.parametrize("name", list(SIZES))
def test_undoing_all_repairs_gives_the_source_s_pixels_back(own: World, name: str) -> None:
    result = invoke("undo", own.target, name)
    assert result.exit_code == 0, result.output
    before, after = read(own.source / name).first, read(own.target / name).first
    assert np.array_equal(before.pixels, after.pixels)
    assert invoke("verify", own.target, "--source", own.source).exit_code == 0
    assert invoke("undo", own.target, name).exit_code == 2


def test_undoing_one_repair_leaves_the_others_and_the_run_stays_done(own: World) -> None:
    repaired = read(own.target / "wall.png").first.pixels.copy()
    result = invoke("undo", own.target, own.target / "wall.png", "--blob", "1", "--json")
    assert result.exit_code == 0, result.output
    (said,) = events(result)
    assert said["blobs"] == 1
    source, after = read(own.source / "wall.png").first.pixels, read(own.target / "wall.png").first.pixels
    back = (after != repaired).any(axis=2)
    assert back.any()
    assert np.array_equal(after[back], source[back])
    assert int(str(said["pixels"])) >= back.sum()
    assert invoke("verify", own.target, "--source", own.source).exit_code == 0
    again = invoke(
        "inpaint", own.source, own.target, "--masks", own.masks, "--model", own.net, "--device", "cpu", "--json"
    )
    assert of(again, "started") == [], "what a person undid is not done again"


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("nothing.png",), "knows no such result"),
        (("whole.png",), "nothing was repaired"),
        (("wall.png", "--blob", "99"), "has no blob 99"),
        (("wall.png", "--page", "2", "--blob", "0"), "page 2 has no blob 0"),
        (("wall.png", "--page", "2"), "page 2 has no repairs"),
    ],
)
def test_what_cannot_be_undone_is_told_and_nothing_changes(own: World, arguments: tuple[str, ...], fact: str) -> None:
    before = (own.target / "wall.png").read_bytes()
    result = invoke("undo", own.target, *arguments)
    assert result.exit_code == 2
    assert fact in result.output
    assert (own.target / "wall.png").read_bytes() == before


def test_a_page_alone_takes_off_that_page_s_repairs_and_no_other_s(tmp_path: Path, finished: World) -> None:
    for folder, pages in (("in", [painted(seed, 40, 50) for seed in (1, 2)]), ("m", [specks(8, 40, 50)] * 2)):
        (tmp_path / folder).mkdir()
        cv2.imwritemulti(str(tmp_path / folder / "a.tiff"), pages)
    source, target = tmp_path / "in", tmp_path / "out"
    made = invoke("inpaint", source, target, "--masks", tmp_path / "m", "--model", finished.net, "--device", "cpu")
    assert made.exit_code == 0, made.output
    assert invoke("undo", target, "a.tiff", "--page", "2").exit_code == 0
    same = [
        np.array_equal(before.pixels, after.pixels)
        for before, after in zip(read(source / "a.tiff").pages, read(target / "a.tiff").pages, strict=True)
    ]
    assert same == [False, True]
    assert invoke("verify", target, "--source", source).exit_code == 0


def test_a_result_that_is_missing_is_said_to_be(own: World) -> None:
    (own.target / "wall.png").unlink()
    result = invoke("undo", own.target, "wall.png")
    assert result.exit_code == 2
    assert "the file is missing" in result.output


def test_a_result_that_somebody_changed_is_not_undone(own: World) -> None:
    save(own.target / "wall.png", painted(1, 48, 64))
    result = invoke("undo", own.target, "wall.png")
    assert result.exit_code == 2
    assert "was changed since" in result.output


def test_a_folder_without_a_journal_is_told(tmp_path: Path) -> None:
    for command in (("verify", tmp_path), ("undo", tmp_path, "a.png")):
        result = invoke(*command)
        assert result.exit_code == 2
        assert "no journal" in result.output


def test_patches_are_small_and_make_the_very_tree_that_a_run_makes(finished: World, tmp_path: Path) -> None:
    kept, out = tmp_path / "patches", tmp_path / "applied"
    model = ("--model", finished.net, "--device", "cpu", "--json")
    result = invoke("inpaint", finished.source, "--patches", kept, "--masks", finished.masks, *model)
    assert result.exit_code == 0, result.output
    assert {path.name for path in kept.rglob("*.patches")} == {f"{Path(name).name}.patches" for name in SIZES}
    again = invoke("inpaint", finished.source, "--patches", kept, "--masks", finished.masks, *model)
    assert of(again, "started") == []
    applied = invoke("apply", kept, finished.source, out, "--json")
    assert applied.exit_code == 0, applied.output
    for name in (*SIZES, "whole.png"):
        assert (out / name).read_bytes() == (finished.target / name).read_bytes()
    assert invoke("verify", out, "--source", finished.source).exit_code == 0
    assert of(invoke("apply", kept, finished.source, out, "--json"), "started") == []
    assert invoke("undo", out, "wall.png").exit_code == 0
    assert np.array_equal(read(out / "wall.png").first.pixels, read(finished.source / "wall.png").first.pixels)


def test_patches_of_a_scan_take_about_a_hundredth_of_its_bytes(tmp_path: Path, finished: World) -> None:
    rng = np.random.default_rng(0)
    noisy = painted(1, 500, 500, 3, np.uint16) + rng.integers(0, 900, (500, 500, 3)).astype(np.uint16)
    picture = save(tmp_path / "in" / "scan.tiff", noisy)
    save(tmp_path / "m" / "scan.png", specks(1, 500, 500, 10))
    options = ("--masks", tmp_path / "m", "--model", finished.net, "--device", "cpu", "--grow", "0")
    assert invoke("inpaint", tmp_path / "in", "--patches", tmp_path / "p", *options).exit_code == 0
    (patches,) = (tmp_path / "p").rglob("*.patches")
    assert patches.stat().st_size < 0.02 * picture.stat().st_size


def test_patches_are_put_on_no_other_file(finished: World, tmp_path: Path) -> None:
    kept, other = tmp_path / "patches", tmp_path / "other"
    model = ("--model", finished.net, "--device", "cpu")
    invoke("inpaint", finished.source, "--patches", kept, "--masks", finished.masks, *model)
    shutil.copytree(finished.source, other)
    save(other / "wall.png", painted(77, 48, 64))
    (kept / "deep" / "scan 1.tiff.patches").write_bytes(b"PK nothing")
    result = invoke("apply", kept, other, tmp_path / "out", "--json")
    assert result.exit_code == 3
    failed = {said["path"]: str(said["error"]) for said in of(result, "outcome") if said["status"] == "failed"}
    assert set(failed) == {"wall.png", "deep/scan 1.tiff"}
    assert "isn't the file" in failed["wall.png"]
    assert "no whole patch file" in failed["deep/scan 1.tiff"]
    assert json.dumps(failed).count(str(tmp_path)) == 0
    assert not (tmp_path / "out" / "wall.png").exists()
