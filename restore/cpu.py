"""Owns what is known of this machine's CPU, and which way of computing is the quicker one on it.

Answers follow from maker, family and instruction sets alone: they are the same in every run.  torch is imported inside
the functions that need it.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_AMD = "AuthenticAMD"
_ZEN_5 = 26
"""AMD's family that multiplies 512 bits at once; Zen 4, of family 25, takes AVX-512 in two halves."""


def name() -> str:
    """As its maker calls it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def bf16_is_quick() -> bool:
    """Whether bf16 products are quicker than fp32 ones: with AMX, and with AVX512_BF16 on AMD's cores.

    One core each, register to register, 512-bit: Zen 4 does 221 GFLOP/s in bf16 and 112 in fp32; a Sapphire Rapids
    whose AMX the host hides does 80 in bf16 (VDPBF16PS) and 170 in fp32, so bf16 would halve its speed.
    """
    amx = _has("amx_bf16", "_is_amx_tile_supported")
    return amx or (_maker() == _AMD and _has("avx512_bf16", "_is_avx512_bf16_supported"))


def convolves_quicker_than_mkl_multiplies() -> bool:
    """Whether fp32 convolutions do about twice the FLOP/s of matrix products: on AMD from Zen 5 on, if torch has MKL.

    MKL uses AVX-512 on Intel's CPUs only and AVX2 on others; oneDNN, which convolves, asks for instructions alone.
    One Zen 5 core: 3x3 convolutions do 230 GFLOP/s, batched products 100.  With oneDNN held to AVX2 as well, as on
    Zen 2 and 3, convolutions do no more than products.
    """
    import torch

    return (
        torch.backends.mkl.is_available()
        and _maker() == _AMD
        and _family() >= _ZEN_5
        and _has("avx512f", "_is_avx512_supported")
    )


def _maker() -> str:
    told = _cpuinfo("vendor_id") or platform.processor()
    return _AMD if _AMD in told else told


def _family() -> int:
    """0 where the system doesn't say."""
    told = _cpuinfo("cpu family")
    if told is None and (found := re.search(r"\bFamily (\d+)\b", platform.processor())):  # Windows
        told = found[1]
    return int(told) if told is not None and told.isdecimal() else 0


def _has(flag: str, question: str) -> bool:
    """An x86 instruction set: `flag` in /proc/cpuinfo, or where that is absent torch.cpu's answer to `question`."""
    flags = _cpuinfo("flags")
    if flags is not None:
        return flag in flags.split()
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    import torch

    return bool(getattr(torch.cpu, question)()) if hasattr(torch.cpu, question) else False


def _cpuinfo(key: str) -> str | None:
    """The first value of `key` in /proc/cpuinfo, or None."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        field, colon, value = line.partition(":")
        if colon and field.strip() == key:
            return value.strip()
    return None
