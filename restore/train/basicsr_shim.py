"""Owns making basicsr 1.4.2, the last release, importable beside today's torchvision.

Its `data/degradations.py` takes `rgb_to_grayscale` from `torchvision.transforms.functional_tensor`, a module that
torchvision 0.17 removed (BasicSR issue 649, mended there but never released).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

from restore.errors import SetupError

_GONE = "torchvision.transforms.functional_tensor"


def import_basicsr() -> ModuleType:
    """The module `basicsr`; SetupError with the remedy when it isn't installed.

    An older torchvision that still has the module is left alone.
    """
    if importlib.util.find_spec("basicsr") is None:
        raise SetupError("training needs basicsr: pip install 'restore-sr[train]' (Python 3.11 or 3.12)")
    if _GONE not in sys.modules and importlib.util.find_spec(_GONE) is None:
        from torchvision.transforms.functional import rgb_to_grayscale

        alias = ModuleType(_GONE, "Stand-in for basicsr 1.4.2; see restore.train.basicsr_shim.")
        alias.__dict__["rgb_to_grayscale"] = rgb_to_grayscale
        sys.modules[_GONE] = alias
    return importlib.import_module("basicsr")
