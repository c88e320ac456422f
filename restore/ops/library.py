"""Owns the compiled library (`cuda_ops/`): finding it, loading it, and saying which kernels serve.

It only adds kernels to the ops that the other modules of this package declare, so everything works without it.
Environment: RESTORE_OPS=off ignores the library, RESTORE_OPS=FILE loads exactly that one.
"""

from __future__ import annotations

import ctypes
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch

import restore

INTERFACE = 4
"""Raised with every change of a schema in this package: the library's file name carries it, so that an old one is never
loaded.  CMakeLists.txt reads this line."""

OLDEST_CUDA = (8, 0)
"""Compute capability that the CUDA kernels start at; older devices run the references."""

SCHEMAS = torch.library.Library("restore", "DEF")
"""Where each module of this package declares its ops."""

_KERNELS: dict[str, tuple[str, str]] = {}
"""Op -> what the library adds on the CPU ("" for nothing: torch's own operators are at the CPU's peak there) and on
CUDA."""

_CHOICES: dict[str, Callable[[], str]] = {}
"""Op -> asks which of torch's operators its reference takes on this CPU, in words for people."""


@dataclass(frozen=True)
class CompiledLibrary:
    """The compiled library as found when this package was imported."""

    path: Path | None
    why_not: str = ""
    """Why there is none, for people; empty if there is one."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What it was built with: compiler, and for CUDA kernels cuda and architectures."""


def declare(schema: str, *, on_cpu: str = "", on_cuda: str = "", choice_on_cpu: Callable[[], str] | None = None) -> str:
    """Define an op by its schema and say what the compiled library adds; returns its name.

    `choice_on_cpu`: where the reference has a choice among torch's operators, what it takes on this CPU, in words.
    """
    SCHEMAS.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    name = schema.split("(", 1)[0]
    _KERNELS[name] = (on_cpu, on_cuda)
    if choice_on_cpu is not None:
        _CHOICES[name] = choice_on_cpu
    return name


def _load() -> CompiledLibrary:
    wanted = os.environ.get("RESTORE_OPS", "")
    if wanted == "off":
        return CompiledLibrary(None, "RESTORE_OPS=off")
    # __path__, not __file__: in an editable install the library lies in site-packages and this file does not.
    places = [Path(wanted)] if wanted else [Path(folder) / f"_ops_{INTERFACE}.so" for folder in restore.__path__]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        if wanted:
            return CompiledLibrary(None, f"RESTORE_OPS names {wanted}, which is not there")
        return CompiledLibrary(None, "no compiled library (no C++ compiler, or no torch headers, at install)")
    try:
        torch.ops.load_library(str(found))
        tell = ctypes.CDLL(str(found)).restore_ops_facts
    except (OSError, AttributeError) as error:
        warnings.warn(f"restore runs without its compiled kernels: {error}", stacklevel=2)
        return CompiledLibrary(None, f"{found.name} does not load: {error}")
    tell.restype = ctypes.c_char_p
    lines = tell().decode().splitlines()
    return CompiledLibrary(found, facts=dict(line.split("=", 1) for line in lines))


LIBRARY = _load()


def kernels_run_on(device: torch.device) -> bool:
    """The compiled CUDA kernels serve this device."""
    return device.type == "cuda" and _serve(device)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _serve(device: torch.device) -> bool:
    """torch.compile doesn't look in here: it asks once, while it compiles, and builds the answer in."""
    return not _why_not_on(_index_of(device))


def _index_of(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index


@cache
def _why_not_on(index: int) -> str:
    """Why the kernels don't run on a CUDA device, for people; empty if they do.

    The library brings its own CUDA runtime: one that is newer than the driver, or that was built for other devices,
    says so here, and not in the middle of a run.
    """
    if LIBRARY.path is None:
        return LIBRARY.why_not
    if "cuda" not in LIBRARY.facts:
        return "no CUDA compiler at install"
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    with torch.cuda.device(index):
        major, minor = torch.cuda.get_device_capability()
        if (major, minor) < OLDEST_CUDA:
            oldest = ".".join(map(str, OLDEST_CUDA))
            return f"the kernels need compute capability {oldest}, this device has {major}.{minor}"
        ask = ctypes.CDLL(str(LIBRARY.path)).restore_ops_cuda_error
        ask.restype = ctypes.c_char_p
        complaint = ask()
    return "" if complaint is None else f"the compiled kernels don't start: {complaint.decode()}"


def reserve(device: torch.device, *sizes: int) -> None:
    """Make sure that torch holds memory for blocks of these bytes; torch.OutOfMemoryError if it can't.

    The compiled library allocates through torch, but an allocation that fails there loses its kind.  What is taken and
    given back here, it then gets from torch's cache.
    """
    blocks = [torch.empty(size, dtype=torch.uint8, device=device) for size in sizes]
    del blocks


def kernels(device: str = "cpu") -> dict[str, str]:
    """What serves each op on `device` ("cpu", "cuda:0", "mps", ...), in words for people: {"masked_conv2d": ...}."""
    place = torch.device(device)
    served = {name: _kernel_on(place, on_cpu, on_cuda) for name, (on_cpu, on_cuda) in _KERNELS.items()}
    if place.type == "cpu":
        served |= {name: f"{served[name]}: {choice()}" for name, choice in _CHOICES.items()}
    return served


def _kernel_on(device: torch.device, on_cpu: str, on_cuda: str) -> str:
    if device.type == "cpu" and not on_cpu:
        return "torch's own operators"
    if LIBRARY.path is None:
        return f"torch reference: {LIBRARY.why_not}"
    if device.type == "cpu":
        return on_cpu
    if device.type != "cuda":
        return f"torch reference: no kernel for {device.type}"
    if why_not := _why_not_on(_index_of(device)):
        return f"torch reference: {why_not}"
    major, minor = torch.cuda.get_device_capability(device)
    return f"CUDA kernel (sm_{major}{minor}): {on_cuda}"
