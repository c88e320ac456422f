"""Owns which file a name for a network that fills holes means; loads nothing."""

from __future__ import annotations

import os
from pathlib import Path

from restore.errors import ModelError

DEFAULT = "pconv"
SHIPPED = Path(__file__).parent / "weights" / "inpainter.safetensors"


def inpainter_file(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of the shipped network (`DEFAULT`), or the one that is named.  ModelError when there is none."""
    path = SHIPPED if str(name_or_path) == DEFAULT else Path(name_or_path)
    if path.is_file():
        return path
    raise ModelError(f"no model for inpainting is called {str(name_or_path)!r}, nor is it a file; known is {DEFAULT}")
