"""What is promised of devices and precisions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restore import cpu, device
from restore.errors import SetupError
from restore.recipe import Precision


def _cpuinfo(tmp_path: Path, vendor: str, flags: str) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: A CPU\nflags\t\t: fpu {flags}\n")
    return path


@pytest.mark.parametrize(
    ("vendor", "flags", "precision"),
    [
        ("AuthenticAMD", "avx512f avx512_bf16", Precision.BF16),
        ("GenuineIntel", "avx512f avx512_bf16 amx_bf16 amx_tile", Precision.BF16),
        ("GenuineIntel", "avx512f avx512_bf16 avx512_fp16", Precision.FP32),
        ("GenuineIntel", "avx2", Precision.FP32),
        ("AuthenticAMD", "avx2", Precision.FP32),
    ],
)
def test_auto_takes_bf16_only_on_cpus_where_it_is_quicker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vendor: str, flags: str, precision: Precision
) -> None:
    monkeypatch.setattr(cpu, "_CPUINFO", _cpuinfo(tmp_path, vendor, flags))
    assert device.resolve_precision(Precision.AUTO, "cpu") is precision


def test_auto_takes_fp16_on_cuda_and_a_fixed_precision_stays() -> None:
    assert device.resolve_precision(Precision.AUTO, "cuda:1") is Precision.FP16
    assert device.resolve_precision(Precision.AUTO, "mps") is Precision.FP32
    assert device.resolve_precision(Precision.BF16, "cuda:0") is Precision.BF16


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "cpu:1", "", "mps:1", "meta"])
def test_an_unknown_device_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(SetupError, match="use auto, cpu, cuda, cuda:N, mps or xpu"):
        device.resolve_device(name)


def test_a_device_that_is_not_there_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SetupError, match=r"reaches no device cuda.*--device cpu"):
        device.resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.resolve_device("cuda") == "cuda:0"
    assert device.resolve_device("cuda:1") == "cuda:1"
    with pytest.raises(SetupError, match="torch reaches cuda:0, cuda:1"):
        device.resolve_device("cuda:2")


def test_auto_finds_a_device_that_runs() -> None:
    found = device.resolve_device("auto")
    assert float(torch.ones(2, device=found).sum()) == 2.0


def test_cpu_is_described_with_its_threads_and_has_free_memory() -> None:
    assert device.describe("cpu").startswith("CPU, ")
    assert f"{torch.get_num_threads()} thread" in device.describe("cpu")
    assert 1 << 20 < device.free_bytes("cpu") < 1 << 50


def test_free_memory_never_exceeds_what_the_container_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "limit").write_text("1000000\n")
    (tmp_path / "use").write_text("400000\n")
    monkeypatch.setattr(device, "_CGROUP_LIMITS", (tmp_path / "limit",))
    monkeypatch.setattr(device, "_CGROUP_USES", (tmp_path / "use",))
    assert device.free_bytes("cpu") == 600_000
