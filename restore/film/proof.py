"""Owns the proof for film: digests of every sample that no repair may have touched, of frames in their own form.

Definition, for other tools to check: sha256 over the frames in order; for each the text "frame NUMBER\n", then for
every plane (Y, Cb, Cr or R, G, B or Y, then A, of a video or a Y'CbCr scan; all code values, row by row with channels
side by side, of another scan or a picture) the text "SHAPE TYPE\n", SHAPE with "x" between its sides, and its samples,
little endian, with 0 for those that a repair touches.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.color import yuv
from restore.film.native import Holes, Native, Sampled, Scan


class Untouched:
    """Grows with the frames that it is shown."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, number: int, native: Native, touched: Holes) -> None:
        """`touched`: (H, W), pixels that repairs may have changed."""
        self._digest.update(f"frame {number}\n".encode())
        for samples, reached in zip(samples_of(native), _reached(native, touched), strict=True):
            shape = "x".join(map(str, samples.shape))
            self._digest.update(f"{shape} {samples.dtype.name}\n".encode())
            rest = samples.astype(samples.dtype.newbyteorder("<"))
            if reached is not None:
                rest[reached] = 0
            self._digest.update(rest.tobytes())

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def samples_of(native: Native) -> tuple[NDArray[Any], ...]:
    """Every number that the frame holds."""
    if isinstance(native, Sampled):
        return native.planes
    if isinstance(native, Scan) and native.sampled is not None:
        return native.sampled.planes
    return (native.codes,) if isinstance(native, Scan) else (native.first.pixels,)


def _reached(native: Native, touched: Holes) -> list[NDArray[np.bool_] | None]:
    if isinstance(native, Scan) and native.sampled is not None:
        native = native.sampled
    if not isinstance(native, Sampled):
        return [touched]
    reached: list[NDArray[np.bool_] | None] = list(yuv.touched(touched, native.signal))
    return reached + [None] * (len(native.planes) - len(reached))
