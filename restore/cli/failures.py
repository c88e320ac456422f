"""Owns what a command's failure means to its caller: the exit code, and the remedy where something isn't installed."""

from __future__ import annotations

import re

from restore.errors import DiskFullError, ExitCode, ImageError, RestoreError

DEBIAN_PACKAGES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
}
"""Which Debian package holds a shared library that the wheels expect to find on the system."""

OPENCV_NEEDS = ("libGL.so.1", "libEGL.so.1", "libgthread-2.0.so.0", "libglib-2.0.so.0", "libSM.so.6", "libXext.so.6")

EXTRAS = {"basicsr": "train", "ray": "cluster", "av": "film", "PyOpenColorIO": "film", "openvino": "bench"}
"""Which extra of this distribution brings a module that its core doesn't need."""


def exit_code(error: RestoreError) -> ExitCode:
    """What the process says when a command ends with `error`."""
    if isinstance(error, DiskFullError):
        return ExitCode.DISK_FULL
    return ExitCode.SOME_FAILED if isinstance(error, ImageError) else ExitCode.COULD_NOT_START


def import_remedy(error: ImportError) -> str | None:
    """What is missing and what to type, or None where the error is a fault of this package itself."""
    library = re.search(r"(\S+\.so(?:\.\d+)*): cannot open shared object file", str(error))
    if library:
        name = library[1]
        if name in OPENCV_NEEDS:
            return (
                f"opencv-python needs the system library {name}, which is not installed: "
                f"apt-get install libgl1 libglib2.0-0 (or, where you may not: "
                f"pip uninstall opencv-python && pip install opencv-python-headless)"
            )
        package = DEBIAN_PACKAGES.get(name)
        way = f"apt-get install {package}" if package else f"install the package of your system that holds {name}"
        return f"the system library {name} is not installed: {way}"
    module = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or module in ("", "restore"):
        return None
    if module in EXTRAS:
        return f'the Python package {module} is not installed: pip install "restore-sr[{EXTRAS[module]}]"'
    return f"the Python package {module} is not installed: pip install restore-sr"
