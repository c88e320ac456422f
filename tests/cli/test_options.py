"""Claims about options: what they accept, what they refuse, and what recipe they mean."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from restore.cli import app
from restore.cli.options import Halo, parse_halo, parse_scale, parse_tile
from restore.errors import ExitCode


def test_tile_and_halo_read_words_and_pixels() -> None:
    assert parse_tile("auto") is None
    assert parse_tile("256") == 256
    assert parse_halo("auto") == Halo(None)
    assert parse_halo("exact") == Halo(None, exact=True)
    assert parse_halo("0") == Halo(0)


@pytest.mark.parametrize("text", ["", "0", "-5", "31", "1e3", "256px", "９９", "9" * 5000, "exact", "8193"])
def test_bad_tiles_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="auto"):
        parse_tile(text)


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-2", "0", "17"])
def test_bad_scales_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"0\.1 to 16"):
        parse_scale(text)


def test_scales_may_be_fractions() -> None:
    assert parse_scale("1.5") == 1.5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--tile", "huge"], "--tile"),
        (["--halo", "wide"], "--halo"),
        (["--scale", "0"], "--scale"),
        (["--keep-grain", "1.5"], "--keep-grain"),
        (["--format", "dds"], "--format"),
        (["--wrap", "z"], "--wrap"),
        (["--limit", "0"], "--limit"),
        (["--check", "everything"], "--check"),
    ],
)
def test_a_bad_value_cannot_start_and_names_its_option(arguments: list[str], named: str) -> None:
    result = CliRunner().invoke(app, ["upscale", "in", "out", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == ExitCode.COULD_NOT_START
    assert result.stdout == ""
    assert named in result.stderr
