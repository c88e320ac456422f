"""Claims about `restore train`: from folders of pictures to weights in two commands, one line for what goes wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

from restore.cli import app
from restore.errors import ExitCode

run = CliRunner().invoke
TINY = ["--steps", "2", "--batch", "2", "--crop-px", "32", "--widths", "4,6", "--max-width", "6", "--probe", "1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for seed in range(3):
        coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        PillowImage.fromarray(coarse).resize((64, 64)).save(pictures / f"{seed}.png")
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    return pictures


def test_pictures_become_weights_in_two_commands_and_a_run_goes_on(folder: Path, tmp_path: Path) -> None:
    shard, out = str(tmp_path / "shard"), tmp_path / "run"
    packed = run(app, ["train", "crops", str(folder), "--out", shard, "--crop-px", "32", "--licences", "CC0"])
    assert packed.exit_code == 0, packed.output
    assert "15 crops of 3 pictures, 1 of them held out" in packed.stdout
    assert "broken.png" in packed.stdout
    command = ["train", "inpainter", "--crops", shard, "--out", str(out), "--device", "cpu", "--every", "1", *TINY]
    stopped = run(app, [*command, "--minutes", "0"])
    assert stopped.exit_code == 0, stopped.output
    assert "stopped at step 1 of 2" in stopped.stdout
    done = run(app, command)
    assert done.exit_code == 0, done.output
    assert "step 2," in done.stdout
    assert "dust" in done.stdout
    assert "finished after 2 steps" in done.stdout
    assert {path.name for path in out.iterdir()} == {"checkpoint.pt", "inpainter.safetensors", "log.csv", "log.png"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "crops", "nowhere", "--out", "x"], "nowhere"),
        (["train", "inpainter", "--crops", "nowhere", "--out", "x"], "restore train crops"),
    ],
)
def test_what_cannot_start_is_told_in_one_line(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(app, arguments)
    assert result.exit_code == ExitCode.COULD_NOT_START
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("widths", ["32", "a,b", "0,3", ",", "1,2,3,4,5,6,7,8,9,10"])
def test_widths_that_are_none_are_refused(widths: str) -> None:
    result = run(app, ["train", "inpainter", "--crops", "x", "--out", "y", "--widths", widths])
    assert result.exit_code == ExitCode.COULD_NOT_START
    assert "such as 32,48,64" in result.stderr


def test_help_loads_nothing_heavy_and_explains_every_option() -> None:
    script = (
        "import sys\n"
        "from restore.cli import app\n"
        "try: app(['train', 'inpainter', '--help'])\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "assert not {'torch', 'cv2', 'numpy', 'OpenImageIO'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for option in (
        "--crops",
        "--out",
        "--steps",
        "--batch",
        "--crop-px",
        "--lr",
        "--widths",
        "--minutes",
        "--overlays",
    ):
        assert option in done.stdout
