"""Owns the classical fills beside Navier-Stokes: push-pull for arrays, and the average of both."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.models.push_pull import push_pull
from restore.navier_stokes import navier_stokes

Planes = NDArray[np.float32]
"""(h, w, C)."""
Flags = NDArray[np.bool_]
"""(h, w)."""


def push_pull_planes(values: Planes, valid: Flags) -> Planes:
    """`push_pull` for (h, w, C) float32 or float64 on the CPU."""
    import torch

    x = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]
    with torch.inference_mode():
        filled = push_pull(x, torch.from_numpy(np.ascontiguousarray(valid))[None, None])
    return np.ascontiguousarray(filled[0].numpy().transpose(1, 2, 0))


def classical(values: Planes, valid: Flags) -> Planes:
    """The average of both, which is nearer the truth than either: for alpha and other planes no network was taught."""
    if valid.all():
        return values
    known: NDArray[Any] = values[valid]
    if known.size and (known == known[0]).all():
        return np.where(valid[..., None], values, known[0])
    return (push_pull_planes(values, valid) + navier_stokes(values, valid)) * np.float32(0.5)
