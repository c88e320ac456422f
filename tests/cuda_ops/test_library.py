"""The compiled library as a file: what it may need, what it was built from, and what ptxas says of its kernels."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
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
    waiting, seen = [source], set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        text = path.read_text()
        assert not re.search(r"#include <(torch|ATen|c10)/", text), path.name
        waiting += [path.parent / name for name in re.findall(r'#include "(.+?)"', text)]


@dataclass(frozen=True)
class Compiled:
    """One source for one architecture."""

    report: str
    """What ptxas says."""
    cubin: Path


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], Compiled]:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not there")
    folder = tmp_path_factory.mktemp("cubins")

    @cache
    def compile_source(source: Path, architecture: str) -> Compiled:
        cubin = folder / f"{source.stem}-{architecture}.cubin"
        flags = ["-std=c++17", "-O3", f"-arch={architecture}", "-cubin", "-Xptxas=-v"]
        return Compiled(output_of(nvcc, *flags, source, "-o", cubin), cubin)

    return compile_source


@pytest.mark.parametrize("source", KERNELS, ids=lambda path: path.name)
def test_kernels_fit_two_blocks_registers_of_sm_90(source: Path, compiled: Callable[[Path, str], Compiled]) -> None:
    report = compiled(source, "sm_90a").report
    spills = [
        int(count)
        for pair in re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", report)
        for count in pair
    ]
    registers = [int(count) for count in re.findall(r"Used (\d+) registers", report)]
    assert registers, report
    assert set(spills) == {0}, report
    assert max(registers) <= 128, report
    assert "serialized" not in report, report  # products of four warps that wait for each other


@pytest.mark.parametrize(("architecture", "product"), [("sm_80", "HMMA.16816"), ("sm_90a", "HGMMA")])
@pytest.mark.parametrize("source", [path for path in KERNELS if path.name.startswith("conv_")], ids=lambda p: p.name)
def test_convolutions_are_tensor_core_products_and_touch_no_local_memory(
    source: Path, architecture: str, product: str, compiled: Callable[[Path, str], Compiled]
) -> None:
    spec = importlib.util.find_spec("nvidia.cu13")
    places = [] if spec is None else [str(Path(folder) / "bin") for folder in spec.submodule_search_locations or ()]
    tool = shutil.which("nvdisasm", path=os.pathsep.join([*places, os.environ.get("PATH", "")]))
    if tool is None and os.environ.get("RESTORE_REQUIRE_OPS") == "1":
        pytest.fail("RESTORE_REQUIRE_OPS=1, but nvdisasm is not there (extra `dev`)", pytrace=False)
    if tool is None:
        pytest.skip("nvdisasm is not there (extra `dev`)")
    listing = output_of(tool, compiled(source, architecture).cubin)
    functions = re.split(r"^\.text\.", listing, flags=re.MULTILINE)[1:]
    products = {}
    for body in functions:
        name = body.split("\n", 1)[0].strip()
        assert not re.search(r"\b(LDL|STL)\b", body), f"{name} uses local memory"
        if found := re.search(r"(Conv3x3|ConvAny).*?Li(\d+)E(?:Lb([01])ELb([01])E)?", name):
            kind, filters, masked = found[1], int(found[2]), (found[3], found[4])
            counted = product if kind == "Conv3x3" else "HMMA.16816"
            products[kind, filters, masked] = len(re.findall(rf"\b{re.escape(counted)}\.\S*F32", body))
    # A warp's share of a chunk for one column of taps: 3 taps, ROWS rows, 2 products for each 16 filters; of four warps
    # together, all filters at once.  Where pixels are loaded ahead, the three columns stand one after the other.
    # Plain, with blocks that take many tiles, with validity.
    plain, many, valid = ("0", "0"), ("0", "1"), ("1", "0")
    rows = {(n, plain): count for n, count in ((16, 4), (32, 4), (64, 2))}
    rows |= {(n, many): count for (n, _), count in rows.items()}
    rows |= {(16, valid): 4, (32, valid): 2, (64, valid): 2}
    together = product == "HGMMA"
    expected = {(n, masked): 3 * count * (1 if together else n // 8) for (n, masked), count in rows.items()}
    if together:
        expected[64, plain] *= 3
        expected[64, many] *= 3
    tuned = {(n, masked): count for (kind, n, masked), count in products.items() if kind == "Conv3x3"}
    assert tuned == expected
    for (kind, filters, _), count in products.items():
        if kind == "ConvAny":  # one tap, 2 rows; the compiler may unroll the loop over taps
            assert count > 0
            assert count % (2 * filters // 8) == 0
