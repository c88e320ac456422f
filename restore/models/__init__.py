"""Owns models: the catalogue, safe reading of checkpoints, and the executors that run networks.

Importing this package loads no torch; `load` does, and `resolve` only to convert a checkpoint.
"""

from restore.models.library import (
    Listing,
    ModelRef,
    Verdict,
    import_file,
    info,
    list_models,
    pull,
    resolve,
    verify,
)
from restore.models.loading import Model, choose_precision, load

__all__ = [
    "Listing",
    "Model",
    "ModelRef",
    "Verdict",
    "choose_precision",
    "import_file",
    "info",
    "list_models",
    "load",
    "pull",
    "resolve",
    "verify",
]
