"""What is promised of what is known of CPUs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restore import cpu

INTEL, AMD = "GenuineIntel", "AuthenticAMD"


def describe(place: Path, vendor: str, family: int, flags: str) -> Path:
    path = place / "cpuinfo"
    path.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nflags\t\t: fpu {flags}\n")
    return path


@pytest.mark.parametrize(
    ("vendor", "family", "flags", "quicker"),
    [
        (AMD, 26, "avx2 avx512f", True),
        (AMD, 26, "avx2", False),  # a host that hides AVX-512
        (AMD, 25, "avx2 avx512f", False),  # Zen 4
        (AMD, 23, "avx2", False),  # Zen 2
        (INTEL, 6, "avx2 avx512f", False),
    ],
)
def test_only_zen_5_and_later_convolve_quicker_than_mkl_multiplies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vendor: str, family: int, flags: str, quicker: bool
) -> None:
    monkeypatch.setattr(cpu, "_CPUINFO", describe(tmp_path, vendor, family, flags))
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    assert cpu.convolves_quicker_than_mkl_multiplies() is quicker
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert not cpu.convolves_quicker_than_mkl_multiplies()


def test_windows_says_maker_and_family_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "absent")
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: True, raising=False)
    monkeypatch.setattr("platform.machine", lambda: "AMD64")
    monkeypatch.setattr("platform.processor", lambda: "AMD64 Family 26 Model 68 Stepping 0, AuthenticAMD")
    assert cpu.convolves_quicker_than_mkl_multiplies()
    monkeypatch.setattr("platform.processor", lambda: "Intel64 Family 6 Model 183 Stepping 1, GenuineIntel")
    assert not cpu.convolves_quicker_than_mkl_multiplies()
