"""Claims about `restore upscale`, `restore sheet` and `restore try`: real pictures, real weights, real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from restore.cli import app
from restore.errors import ExitCode

MODEL = "animevideov3-x4"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def upscale(*arguments: str | Path) -> Result:
    return run("upscale", *arguments, "--model", MODEL, "--device", "cpu", "--precision", "fp32")


def events(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def tree(folder: Path) -> dict[bytes, bytes]:
    """Every file below `folder`, names as bytes, but for the journal's folder."""
    return {
        os.fsencode(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".restore" not in path.parts
    }


def paint(path: Path, height: int = 12, width: int = 20, channels: int = 3) -> Path:
    """A small smooth picture, unlike every other size's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:height, 0:width]
    planes = [(40 + 9 * x + 5 * y * i) % 256 for i in range(3)] + [np.full_like(x, 255)] * (channels - 3)
    done, data = cv2.imencode(".png", np.stack(planes, axis=2).astype(np.uint8))
    assert done
    path.write_bytes(data.tobytes())
    return path


@pytest.fixture
def textures(tmp_path: Path) -> Path:
    return make_textures(tmp_path / "textures")


def make_textures(folder: Path) -> Path:
    """A tree with a deep folder, a name of other letters, an upper-case suffix and a file that is no image."""
    paint(folder / "wall.png")
    paint(folder / "déjà vu" / "стена 1.PNG", 16, 16)
    (folder / "readme.txt").write_text("hello")
    return folder


@dataclass(frozen=True)
class Finished:
    source: Path
    target: Path
    result: Result


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run over good pictures, shown to a person."""
    folder = tmp_path_factory.mktemp("finished")
    source = make_textures(folder / "textures")
    return Finished(source, folder / "out", upscale(source, folder / "out"))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run with one broken picture, told to a machine."""
    folder = tmp_path_factory.mktemp("told")
    source = make_textures(folder / "textures")
    (source / "broken.png").write_bytes((source / "wall.png").read_bytes()[:60])
    return Finished(source, folder / "out", upscale(source, folder / "out", "--json", "--copy-others"))


def test_a_tree_comes_back_four_times_larger_with_the_same_names(finished: Finished) -> None:
    assert finished.result.exit_code == 0, finished.result.output
    assert set(tree(finished.target)) == {os.fsencode("wall.png"), os.fsencode("déjà vu/стена 1.PNG")}
    wall = cv2.imread(str(finished.target / "wall.png"), cv2.IMREAD_UNCHANGED)
    assert wall.shape == (48, 80, 3)


def test_the_summary_says_what_was_done_with_which_model_licence_and_precision(finished: Finished) -> None:
    assert "2 images done" in finished.result.stdout
    assert f"made with {MODEL} (licence: BSD-3-Clause) in fp32" in finished.result.stdout


def test_a_second_run_does_nothing_and_says_so(finished: Finished) -> None:
    before = tree(finished.target)
    result = upscale(finished.source, finished.target)
    assert result.exit_code == 0
    assert "nothing to do; 2 images done before" in result.stdout
    assert tree(finished.target) == before


def test_json_tells_every_step(told: Finished) -> None:
    seen = events(told.result)
    assert [e["event"] for e in seen[:2]] == ["run", "plan"]
    assert seen[-1] | {"event": "end", "exit_code": 3, "done": 2, "copied": 1, "failed": 1} == seen[-1]
    outcomes = {e["path"]: e for e in seen if e["event"] == "outcome"}
    assert set(outcomes) == {"wall.png", "déjà vu/стена 1.PNG", "readme.txt", "broken.png"}
    assert outcomes["wall.png"]["traits"]


def test_one_bad_file_fails_alone_and_is_named(told: Finished) -> None:
    assert told.result.exit_code == ExitCode.SOME_FAILED
    (failed,) = [e for e in events(told.result) if e.get("status") == "failed"]
    assert failed["path"] == "broken.png"
    assert failed["error"]
    assert set(tree(told.target)) == {os.fsencode(n) for n in ("wall.png", "déjà vu/стена 1.PNG", "readme.txt")}


def test_a_dry_run_writes_nothing(textures: Path, tmp_path: Path) -> None:
    result = upscale(textures, tmp_path / "out", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "-> 80x48" in result.stdout
    assert "nothing was written" in result.stdout
    assert not (tmp_path / "out").exists()
    (event,) = [e for e in events(upscale(textures, tmp_path / "out", "--dry-run", "--json")) if e["event"] == "plan"]
    assert [job["output_width"] for job in event["jobs"]] == [64, 80]  # type: ignore[index,attr-defined]
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_with_newlines_and_stray_bytes_survive(tmp_path: Path) -> None:
    name = b"wall\n\x1b[2J\xff.png"
    paint(tmp_path / "in" / os.fsdecode(name))
    command = [sys.executable, "-m", "restore", "upscale", "in", "out", "-m", MODEL, "--precision", "fp32"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(tree(tmp_path / "out")) == {name}
    assert rb"wall\n\x1b[2J\xff.png" in done.stdout
    assert b"\x1b" not in done.stdout


def test_dds_sources_need_another_format_and_are_told_before_any_work(shared_data: Path, tmp_path: Path) -> None:
    source = next(path for path in sorted((shared_data / "dds").rglob("*.dds")) if path.stat().st_size < 30_000)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dds").write_bytes(source.read_bytes())
    result = upscale(tmp_path / "in", tmp_path / "out")
    assert result.exit_code == ExitCode.COULD_NOT_START
    assert result.stderr.count("\n") == 1
    assert "--format png" in result.stderr
    assert not (tmp_path / "out").exists()
    result = upscale(tmp_path / "in", tmp_path / "out", "--format", "png")
    assert result.exit_code == 0, result.output
    assert set(tree(tmp_path / "out")) == {b"a.png"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere", "out"), "no such file or folder"),
        (("textures", "textures/out"), "inside the input"),
        (("textures", "textures"), "same folder"),
        (("textures", "out", "--model", "x4plsu"), "did you mean x4plus"),
        (("textures", "out", "--device", "cuda:99"), "cuda:99"),
        (("textures", "out", "--device", "toaster"), "toaster"),
        (("textures", "out", "--model", MODEL, "--tile", "40"), "--tile"),
        (("textures", "out", "--model", "evil.pth"), "evil.pth"),
    ],
)
def test_what_cannot_start_says_why_in_one_line_and_touches_nothing(
    textures: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(textures.parent)
    Path("evil.pth").write_bytes(b"cos\nsystem\n(S'touch touched'\ntR.")
    before = tree(textures.parent)
    result = run("upscale", *arguments)
    assert result.exit_code == ExitCode.COULD_NOT_START
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert tree(textures.parent) == before


def test_a_run_for_machines_that_cannot_start_says_so_in_json(tmp_path: Path) -> None:
    result = run("upscale", tmp_path / "nowhere", tmp_path / "out", "--json")
    assert result.exit_code == ExitCode.COULD_NOT_START
    (event,) = events(result)
    assert event | {"event": "error", "exit_code": 2} == event
    assert str(event["message"]) in result.stderr


def test_any_scale_and_single_files(tmp_path: Path) -> None:
    source = paint(tmp_path / "one.png", 10, 14)
    result = upscale(source, tmp_path / "two.png", "--scale", "2")
    assert result.exit_code == 0, result.output
    assert cv2.imread(str(tmp_path / "two.png")).shape == (20, 28, 3)


def test_sheet_puts_sources_beside_their_results(finished: Finished, tmp_path: Path) -> None:
    result = run("sheet", finished.source, finished.target, tmp_path / "page.png")
    assert result.exit_code == 0, result.output
    assert "2 of 2 pictures" in result.stdout
    assert cv2.imread(str(tmp_path / "page.png")).shape[0] > 400


def test_sheet_without_results_says_what_to_do_first(textures: Path, tmp_path: Path) -> None:
    result = run("sheet", textures, tmp_path / "out", tmp_path / "page.png")
    assert result.exit_code == ExitCode.COULD_NOT_START
    assert "restore upscale IN OUT" in result.stderr
    assert not (tmp_path / "page.png").exists()


def test_try_shows_models_side_by_side_and_leaves_the_tree_alone(textures: Path, tmp_path: Path) -> None:
    paint(textures / "large.png", 200, 300)
    before = tree(textures)
    page = tmp_path / "page.png"
    models = f"{MODEL},animevideov3-x2"
    result = run("try", textures, "--sample", "3", "--models", models, "--out", page, "--device", "cpu")
    assert result.exit_code == 0, result.output
    for model in models.split(","):
        assert any(
            line.startswith(f"{model}: 3 pictures in ") and "about" in line for line in result.stdout.splitlines()
        )
    assert cv2.imread(str(page)).shape[1] > 3 * 384
    assert tree(textures) == before


def test_try_refuses_to_put_its_page_among_the_sources(textures: Path) -> None:
    result = run("try", textures, "--out", textures / "page.png")
    assert result.exit_code == ExitCode.COULD_NOT_START
    assert "--out" in result.stderr
    assert not (textures / "page.png").exists()
