"""Owns small copies of frames, which shots are told by, and how alike two of them are."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.film.working import Frame, as_float32, to_float

Small = NDArray[np.float32]
"""(36, 64, C), 0..1."""

WIDTH, HEIGHT = 64, 36
MOVE_X, MOVE_Y = 6, 4
"""Motion that is searched for, in pixels of the small copy."""


def small_of(frame: Frame) -> Small:
    """What shots are told by."""
    values = to_float(frame)
    small = cv2.resize(values, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return as_float32(small).reshape(HEIGHT, WIDTH, values.shape[2])


def inner(small: Small) -> Small:
    """Without its rim: what can be searched for in another one."""
    return np.ascontiguousarray(small[MOVE_Y:-MOVE_Y, MOVE_X:-MOVE_X])


def apart(a: Small, b: Small) -> float:
    """0 = alike up to light and a little motion, 1 = nothing in common (correlation), up to 2."""
    return 1 - float(cv2.matchTemplate(b, inner(a), cv2.TM_CCOEFF_NORMED).max())
