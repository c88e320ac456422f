"""Claims about starting: help is cheap and complete, and what is missing is told in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from restore import __version__
from restore.cli import app
from restore.cli.failures import exit_code, import_remedy
from restore.errors import DiskFullError, ExitCode, ImageError, ModelError, SetupError

HEAVY = ("torch", "torchvision", "cv2", "OpenImageIO", "numpy", "PIL", "spandrel", "safetensors", "sqlite3", "rich")
COMMANDS = (
    *(("try",), ("upscale",), ("sheet",), ("doctor",), ("models",), ("train",)),
    *(("inpaint",), ("run",), ("verify",), ("undo",), ("apply",)),
    *(("models", c) for c in ("list", "info")),
    *(("train", c) for c in ("crops", "inpainter")),
)
OPTIONS = (
    "--include",
    "--exclude",
    "--limit",
    "--model",
    "--wrap",
    "--color-fix",
    "--keep-grain",
    "--precision",
    "--tile",
    "--halo",
    "--scale",
    "--max-size",
    "--pow2",
    "--multiple-of",
    "--max-pixels",
    "--format",
    "--on-collision",
    "--copy-others",
    "--overwrite",
    "--state",
    "--device",
    "--check",
    "--dry-run",
    "--json",
)

INPAINT_OPTIONS = (
    *("--masks", "--holes", "--invert-mask", "--mask-pattern", "--no-mask", "--strict", "--polarity", "--threshold"),
    *("--max-size", "--save-masks", "--grow", "--grain", "--context", "--lossy", "--patches", "--model", "--precision"),
    *("--include", "--exclude", "--limit", "--format", "--state", "--device", "--check", "--dry-run", "--json"),
    *("--overwrite", "--on-collision", "--copy-others", "--max-pixels", "--wrap"),
)

run = CliRunner().invoke


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([*c, "--help"] for c in COMMANDS)])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from restore.cli import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout or done.stdout == f"restore {__version__}\n"


def test_version_is_the_package_s_own() -> None:
    result = run(app, ["--version"])
    assert result.exit_code == 0
    assert result.output == f"restore {__version__}\n"


def test_python_m_restore_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "restore", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"restore {__version__}\n")


def test_every_command_and_its_options_are_explained() -> None:
    page = run(app, ["--help"]).output
    for command in ("try", "upscale", "sheet", "models", "doctor"):
        assert f" {command} " in page
    page = run(app, ["upscale", "--help"], env={"COLUMNS": "200"}).output
    for option in OPTIONS:
        assert f" {option} " in page
    assert "Exit codes: 0" in page
    for group in ("Which sources:", "What the pixels become:", "How large the results are:", "Files:", "How it runs:"):
        assert f"\n{group}\n" in page


def test_every_option_of_inpaint_is_shown_in_its_group() -> None:
    page = run(app, ["inpaint", "--help"]).stdout
    for option in INPAINT_OPTIONS:
        assert f" {option} " in page
    for group in ("Where the damage is:", "How it is repaired:", "Files:", "How it runs:"):
        assert f"\n{group}\n" in page
    assert "Exit codes: 0" in page


def test_an_unknown_command_cannot_start() -> None:
    result = run(app, ["upscayl"])
    assert result.exit_code == ExitCode.COULD_NOT_START
    assert "upscayl" in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SetupError("x"), ExitCode.COULD_NOT_START),
        (ModelError("x"), ExitCode.COULD_NOT_START),
        (ImageError("x"), ExitCode.SOME_FAILED),
        (DiskFullError("x"), ExitCode.DISK_FULL),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(error: Exception, code: ExitCode) -> None:
    assert exit_code(error) is code


@pytest.mark.parametrize("library", ["libGL.so.1", "libgthread-2.0.so.0"])
def test_a_bare_server_is_told_what_opencv_needs(library: str) -> None:
    remedy = import_remedy(ImportError(f"{library}: cannot open shared object file: No such file or directory"))
    assert remedy is not None
    assert library in remedy
    assert "apt-get install libgl1 libglib2.0-0" in remedy
    assert "opencv-python-headless" in remedy


def test_an_unknown_system_library_is_still_named() -> None:
    remedy = import_remedy(ImportError("libweird.so.7: cannot open shared object file: No such file or directory"))
    assert remedy is not None
    assert "libweird.so.7" in remedy


def test_a_missing_package_is_told_with_what_to_install() -> None:
    assert "pip install restore-sr" in str(import_remedy(ModuleNotFoundError("No module named 'cv2'", name="cv2")))
    extra = import_remedy(ModuleNotFoundError("No module named 'basicsr'", name="basicsr.archs"))
    assert 'pip install "restore-sr[train]"' in str(extra)


def test_a_fault_of_our_own_is_not_dressed_up_as_a_missing_package() -> None:
    assert import_remedy(ModuleNotFoundError("No module named 'restore.nowhere'", name="restore.nowhere")) is None
    assert import_remedy(ImportError("cannot import name 'x' from 'numpy'", name="numpy")) is None


def test_a_missing_system_library_ends_a_command_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("restore.models.list_models", fail)
    result = run(app, ["models", "list"])
    assert result.exit_code == ExitCode.COULD_NOT_START
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "apt-get install" in result.stderr
