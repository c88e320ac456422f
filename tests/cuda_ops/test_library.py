"""The compiled library as a file: what it may need, what it was built from, and what ptxas says of its kernels."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from restore import ops

CUDA_OPS = Path(__file__).resolve().parents[2] / "cuda_ops"
KERNELS = sorted(CUDA_OPS.glob("*.cu"))


@pytest.fixture
def library() -> Path:
    if ops.LIBRARY.path is None:
        if os.environ.get("RESTORE_REQUIRE_OPS") == "1":
            pytest.fail(f"RESTORE_REQUIRE_OPS=1, but {ops.LIBRARY.why_not}", pytrace=False)
        pytest.skip(ops.LIBRARY.why_not)
    return ops.LIBRARY.path


def output_of(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_one_file_serves_every_torch_from_2_11_on(library: Path) -> None:
    pytest.importorskip("torch_abi_audit", reason="torch-abi-audit is in the extra `dev`")
    script = shutil.which("torch-abi-audit", path=str(Path(sys.executable).parent))
    assert script is not None
    verdict = output_of(script, "--check", "torch", "-v", library)
    assert re.search(r"\bSTABLE\b", verdict), verdict
    assert "UNSTABLE" not in verdict


def test_it_needs_only_torch_and_the_system(library: Path) -> None:
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not there (Debian: binutils)")
    dynamic = output_of("readelf", "--dynamic", "--wide", library)
    needed = set(re.findall(r"\(NEEDED\).*\[(.+?)\.so", dynamic))
    assert "libtorch" in needed
    assert needed <= {
        "libtorch",
        "libstdc++",
        "libm",
        "libgcc_s",
        "libc",
        "libpthread",
        "libdl",
        "librt",
        "ld-linux-x86-64",
    }
    assert "RPATH" not in dynamic
    assert "RUNPATH" not in dynamic


def test_the_stream_symbol_is_weak_so_that_cpu_builds_of_torch_load_it(library: Path) -> None:
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not there (Debian: binutils)")
    if "cuda" not in ops.LIBRARY.facts:
        pytest.skip("the library was built without CUDA kernels")
    symbols = output_of("readelf", "--dyn-syms", "--wide", library)
    assert re.search(r"WEAK\s+DEFAULT\s+UND aoti_torch_get_current_cuda_stream", symbols)


@pytest.mark.parametrize("source", KERNELS, ids=lambda path: path.name)
def test_no_cuda_source_includes_torch(source: Path) -> None:
    headers = [source, *(CUDA_OPS / name for name in re.findall(r'#include "(.+?)"', source.read_text()))]
    for path in headers:
        assert not re.search(r"#include <(torch|ATen|c10)/", path.read_text()), path.name


@pytest.mark.parametrize("source", KERNELS, ids=lambda path: path.name)
def test_kernels_fit_the_registers_of_sm_90(source: Path, tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not there")
    report = output_of(
        nvcc,
        "-std=c++17",
        "-O3",
        "-gencode=arch=compute_90,code=sm_90",
        "-Xptxas=-v",
        "-c",
        source,
        "-o",
        tmp_path / "x.o",
    )
    spills = [
        int(count)
        for pair in re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", report)
        for count in pair
    ]
    registers = [int(count) for count in re.findall(r"Used (\d+) registers", report)]
    assert len(registers) >= 6, report
    assert set(spills) == {0}, report
    assert max(registers) <= 128, report
