"""Claims about `restore doctor`: it shows what is here, and for what is missing, what to type."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from restore.cli import app
from restore.doctor import Fact, _colour
from restore.errors import ExitCode

NO_GL = ImportError("libGL.so.1: cannot open shared object file: No such file or directory")


def test_a_working_machine_is_called_one() -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert {"versions", "libraries", "devices", "kernels", "cpu", "models"} <= set(lines)
    assert any(line.split()[:1] == ["cpu"] and "precision auto" in line for line in lines)
    assert lines[-1] == "everything needed is here"


def test_a_missing_system_library_is_shown_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = (Fact("libraries", "numpy", "loads"), Fact("libraries", "cv2", str(NO_GL), ok=False, error=NO_GL))
    monkeypatch.setattr("restore.doctor.examine", lambda: facts)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == ExitCode.COULD_NOT_START
    assert "MISSING: libGL.so.1" in result.stdout
    assert "-> opencv-python needs the system library libGL.so.1" in result.stdout
    assert result.stdout.splitlines()[-1] == "1 of these keep restore from working"
    told = [json.loads(line) for line in CliRunner().invoke(app, ["doctor", "--json"]).stdout.splitlines()]
    assert [fact["ok"] for fact in told] == [True, False]
    assert "apt-get install libgl1" in told[1]["remedy"]


def test_colour_spaces_and_views_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("PyOpenColorIO", reason="colour spaces by name need OpenColorIO: pip install opencolorio")
    monkeypatch.setenv("OCIO", "ocio://studio-config-latest")
    facts = {fact.name: fact.value for fact in _colour()}
    assert facts["OpenColorIO config"].startswith("ocio://studio-config-v")
    assert "ARRI LogC4" in facts["OCIO: log"].split(", ")
    assert "Un-tone-mapped" in facts["view on sRGB - Display"].split(", ")
    monkeypatch.setenv("OCIO", "none.ocio")
    assert "can't read this config" in next(_colour()).value
