"""What pip makes of this project: with a compiler, without one, and when it must not do without."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from restore import ops

ROOT = Path(__file__).resolve().parent.parent

needs_build_tools = pytest.mark.skipif(
    importlib.util.find_spec("scikit_build_core") is None or importlib.util.find_spec("pip") is None,
    reason="scikit-build-core and pip are in the extra `dev`",
)


def build_wheel(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """pip wheel of a copy of the project without isolation, into `folder`/wheels."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "CMakeLists.txt", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("restore", "cuda_ops"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    quiet = {key: value for key, value in os.environ.items() if not key.startswith(("RESTORE_", "PYTHONPATH"))}
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    return subprocess.run(
        [*pip, "--wheel-dir", str(folder / "wheels"), str(source)],
        env={**quiet, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def only_wheel(folder: Path) -> Path:
    (wheel,) = (folder / "wheels").iterdir()
    return wheel


def kernel_in(wheel: Path, folder: Path) -> str:
    """What the wheel's own copy of the package says serves masked_conv2d on the CPU."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    program = (
        f"import sys; sys.path.insert(0, {str(folder / 'installed')!r})\n"
        "sys.meta_path = [finder for finder in sys.meta_path if not type(finder).__name__.startswith('ScikitBuild')]\n"
        "import restore; from restore import ops\n"
        "assert restore.__file__.startswith(sys.path[0]), restore.__file__\n"
        "print(ops.kernels('cpu')['masked_conv2d'])"
    )
    environment = {key: value for key, value in os.environ.items() if key not in ("RESTORE_OPS", "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs_build_tools
def test_without_a_compiler_the_wheel_is_pure_and_torch_serves(tmp_path: Path) -> None:
    built = build_wheel(tmp_path, CXX="/nowhere/c++")
    assert built.returncode == 0, built.stderr
    wheel = only_wheel(tmp_path)
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "restore/ops/library.py" in names
    assert "restore/models/catalogue.toml" in names
    assert not [name for name in names if name.endswith((".so", ".cu", ".cpp"))]
    assert kernel_in(wheel, tmp_path).startswith("torch reference: no compiled library")


@needs_build_tools
def test_without_a_compiler_a_build_that_requires_the_library_fails(tmp_path: Path) -> None:
    built = build_wheel(tmp_path, CXX="/nowhere/c++", RESTORE_REQUIRE_OPS="1")
    assert built.returncode != 0
    assert not (tmp_path / "wheels").exists() or not any((tmp_path / "wheels").iterdir())


@needs_build_tools
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_with_a_compiler_one_wheel_for_every_python_brings_the_library(tmp_path: Path) -> None:
    built = build_wheel(tmp_path, RESTORE_CUDA="OFF", RESTORE_REQUIRE_OPS="1")
    assert built.returncode == 0, built.stderr
    wheel = only_wheel(tmp_path)
    assert "-py3-none-linux_" in wheel.name
    assert [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")] == [
        f"restore/_ops_{ops.INTERFACE}.so"
    ]
    assert kernel_in(wheel, tmp_path) == "passes of our own around torch's convolution"


def test_building_never_downloads_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert not [name for name in project["build-system"]["requires"] if name.startswith("torch")]
    assert "torch>=2.11" in project["project"]["dependencies"]
