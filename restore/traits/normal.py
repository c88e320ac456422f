"""Owns telling a tangent-space normal map from a picture."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from restore.image import Pixels

_NAME = re.compile(r"(?:^|[^a-z])(?:n|nm|nrm|norm|normal|normals|normalmap|nor)(?=$|[^a-z])|normal(?:s|map)?\d*$")
_BUMP_NAME = re.compile(r"bump(?:map)?\d*$|(?:^|[^a-z])(?:ddn|local|bump)(?=$|[^a-z])")
SAMPLE_SIDE = 256


def normal_evidence(color: Pixels, name: str) -> str | None:
    """Why (H, W, 3) `color` of a file called `name` is a normal map, or None.

    A name that says so needs vectors that are roughly of unit length and look at the viewer; without a name they must
    be so closely (a bluish photo or sky has no unit vectors).  A height map called "bump" is grey, so its vectors fail.
    """
    if color.shape[2] != 3:
        return None
    stem = re.sub(r"\.[a-z0-9]+$", "", name.rsplit("/", 1)[-1].lower())
    named = bool(_NAME.search(stem) or _BUMP_NAME.search(stem))
    vectors = _sample_vectors(color)
    length = np.linalg.norm(vectors, axis=1)
    unit = float((np.abs(length - 1.0) < 0.12).mean())
    tight = float((np.abs(length - 1.0) < 0.06).mean())
    facing = float((vectors[:, 2] > 0.0).mean())
    tilt = float(np.hypot(*vectors[:, :2].mean(axis=0)))
    if float(np.ptp(vectors[:, 2])) == 0.0 and tight < 0.95:
        return _two_channel_evidence(vectors, named)
    if named and unit >= 0.7 and facing >= 0.9:
        return f"its name, and {unit:.0%} unit vectors"
    is_flat = float(vectors.std(axis=0).max()) < 0.01
    if not is_flat and tight >= 0.95 and facing >= 0.99 and tilt < 0.25 and float(vectors[:, 2].mean()) > 0.6:
        return f"{tight:.0%} unit vectors that look at the viewer"
    return None


def _two_channel_evidence(vectors: NDArray[np.float32], named: bool) -> str | None:
    """Blue is empty or full (BC5, RG only): x and y alone must fit in the unit disc; only a name can vouch for that."""
    z_side = float(vectors[0, 2])
    if abs(z_side) < 0.99:
        return None
    inside = float((np.hypot(vectors[:, 0], vectors[:, 1]) <= 1.05).mean())
    spread = float(vectors[:, :2].std())
    if named and inside >= 0.98 and spread > 0.0:
        return f"its name, and red and green within the unit disc ({'empty' if z_side < 0 else 'full'} blue: RG only)"
    return None


def _sample_vectors(color: Pixels) -> NDArray[np.float32]:
    step_y = max(1, color.shape[0] // SAMPLE_SIDE)
    step_x = max(1, color.shape[1] // SAMPLE_SIDE)
    sample = color[::step_y, ::step_x].reshape(-1, 3).astype(np.float32)
    top = float(np.iinfo(color.dtype).max) if np.issubdtype(color.dtype, np.integer) else 1.0
    vectors: NDArray[np.float32] = np.nan_to_num(sample / top * 2.0 - 1.0, nan=0.0, posinf=9.0, neginf=-9.0)
    return vectors
