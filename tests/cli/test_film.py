"""Claims about the commands of film on the command line itself; tests/reels has them from file to file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from restore.cli import app
from restore.errors import ExitCode

runner = CliRunner()


@pytest.mark.parametrize("command", ["film", "scan", "detect"])
def test_help_lists_the_options_in_groups(command: str) -> None:
    shown = runner.invoke(app, [command, "--help"]).output
    assert "How the reel is read" in shown
    assert "What is repaired" in shown


def test_bench_has_detect() -> None:
    assert "detect" in runner.invoke(app, ["bench", "--help"]).output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["film", "{here}/none.mkv", "out.mkv"], "no such file or folder: give a video, or a folder of frames"),
        (["film", "{here}", "out"], "holds no numbered frames"),
        (["scan", "{here}/still.png"], "use restore inpaint"),
        (["undo", "{here}", "--frame", "3"], "no state of restore film"),
        (["undo", "{here}"], "for film --frame N"),
    ],
)
def test_what_is_no_reel_is_told_with_the_way_out(arguments: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "still.png").write_bytes(b"")
    result = runner.invoke(app, [one.format(here=tmp_path) for one in arguments])
    assert result.exit_code == ExitCode.COULD_NOT_START
    assert says in result.output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--input-colour", "kodachrome"], "auto, srgb, rec709, cineon, linear, or OCIO:NAME"),
        (["--input-colour", "OCIO:acesct"], "did you mean ACEScct"),
        (["--input-colour", "OCIO:ACEScg", "--ocio-config", "none.ocio"], "can't read this config"),
        (["--view", "Raw"], "give --review DIR, too"),
        (["--view", "Raw", "--review", "pages", "--input-colour", "srgb", "--dry-run"], "these are srgb"),
        (["--view", "Rwa", "--review", "pages", "--input-colour", "linear", "--dry-run"], "did you mean Raw"),
    ],
)
def test_colours_that_cannot_be_are_refused_before_anything_is_written(
    options: list[str], says: str, tmp_path: Path
) -> None:
    pytest.importorskip("PyOpenColorIO", reason="colour spaces by name need OpenColorIO: pip install opencolorio")
    for number in (1, 2):
        picture = np.full((36, 64, 3), 40 * number, np.uint8)
        assert cv2.imwrite(str(tmp_path / f"a.{number:04d}.png"), picture)
    result = runner.invoke(app, ["film", str(tmp_path), str(tmp_path / "out"), *options])
    assert result.exit_code == ExitCode.COULD_NOT_START
    assert says in result.output
    assert not (tmp_path / "out").exists()


def test_an_empty_video_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "reel.mkv").write_bytes(b"")
    result = runner.invoke(app, ["film", str(tmp_path / "reel.mkv"), str(tmp_path / "out.mkv")])
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "it is empty, 0 bytes" in result.output
