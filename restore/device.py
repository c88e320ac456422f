"""Owns devices: which one is meant, which precision suits it, how much memory is free, what it is called.

torch is imported inside the functions that need it.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore import cpu
from restore.errors import SetupError
from restore.recipe import Precision

if TYPE_CHECKING:
    from types import ModuleType

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_CGROUP_USES = (Path("/sys/fs/cgroup/memory.current"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"))


def resolve_device(name: str) -> str:
    """`auto`, `cpu`, `cuda`, `cuda:N`, `mps` or `xpu` -> "cpu", "cuda:N", "mps" or "xpu".

    `auto` takes the first of CUDA (ROCm shows itself as CUDA), XPU, MPS and CPU that torch reaches.
    Raises SetupError when the device isn't there, with the ways out.
    """
    if name == "cpu":
        return "cpu"
    import torch

    if name == "auto":
        return next((found for kind in ("cuda", "xpu", "mps") if (found := _first(kind, torch))), "cpu")
    kind, _, index = name.partition(":")
    if kind in ("mps", "xpu") and not index:
        if not _first(kind, torch):
            raise SetupError(_absent(name, torch))
        return kind
    if kind == "cuda" and (not index or index.isdecimal()):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise SetupError(_absent(name, torch))
        if int(index or 0) >= count:
            known = ", ".join(f"cuda:{i}" for i in range(count))
            raise SetupError(f"there is no device {name}; torch reaches {known}")
        return f"cuda:{int(index or 0)}"
    raise SetupError(f"there is no device called {name!r}; use auto, cpu, cuda, cuda:N, mps or xpu")


def _first(kind: str, torch: ModuleType) -> str | None:
    module: Any = torch.backends.mps if kind == "mps" else getattr(torch, kind, None)
    if module is None or not module.is_available():
        return None
    return "cuda:0" if kind == "cuda" else kind


def _absent(name: str, torch: ModuleType) -> str:
    reason = "" if torch.version.cuda or not name.startswith("cuda") else " (it is built without CUDA)"
    return f"torch {torch.__version__} reaches no device {name}{reason}; use --device auto or --device cpu"


def resolve_precision(requested: Precision, device: str) -> Precision:
    """What `requested` means on `device`, a result of `resolve_device`; a fixed request is returned as it is.

    `auto` is fp16 on CUDA (73 to 76 dB from fp32 with real weights), bf16 on CPUs where that is quicker, and fp32
    anywhere else.  fp16 on a CPU is allowed: it is exact enough, but seldom faster than fp32.
    """
    if requested is not Precision.AUTO:
        return requested
    if device.startswith("cuda"):
        return Precision.FP16
    if device == "cpu" and cpu.bf16_is_quick():
        return Precision.BF16
    return Precision.FP32


def free_bytes(device: str) -> int:
    """Memory that can still be allocated on `device` now: for the CPU what the kernel and the container leave.

    On CUDA and XPU what torch's own cache holds unused counts as free.
    """
    if device.startswith(("cuda", "xpu")):
        import torch

        module: Any = torch.cuda if device.startswith("cuda") else torch.xpu
        free, _ = module.mem_get_info(device)
        return int(free) + int(module.memory_reserved(device)) - int(module.memory_allocated(device))
    if device == "mps":
        import torch

        return int(torch.mps.recommended_max_memory()) - int(torch.mps.current_allocated_memory())
    return min(_free_memory_bytes(), _container_free_bytes())


def _free_memory_bytes() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # no Linux
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 << 30


def _container_free_bytes() -> int:
    for limit_file, use_file in zip(_CGROUP_LIMITS, _CGROUP_USES, strict=True):
        try:
            limit, use = limit_file.read_text().strip(), use_file.read_text().strip()
        except OSError:
            continue
        if limit.isdecimal():
            return max(0, int(limit) - int(use))
    return 1 << 62


def describe(device: str) -> str:
    """One line for summaries and journals: "CPU, AMD EPYC 9R14, 2 threads", "cuda:0, NVIDIA H100 80GB HBM3"."""
    if device == "cpu":
        import torch

        threads = torch.get_num_threads()
        return f"CPU, {cpu.name()}, {threads} thread{'s' if threads != 1 else ''}"
    if device.startswith(("cuda", "xpu")):
        import torch

        module: Any = torch.cuda if device.startswith("cuda") else torch.xpu
        return f"{device}, {module.get_device_name(device)}"
    return f"{device}, {platform.processor() or platform.machine()}"
