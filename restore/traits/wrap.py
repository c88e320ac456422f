"""Owns telling, for each axis, whether a texture repeats there.

The seam (last line beside first line) is compared with what neighbouring lines inside the same picture look like.  Three
features decide, all free of the picture's contrast:

- match: correlation of the two lines' fine structure, against the usual one inside.  This is the evidence that
  something goes on across the seam; flat or empty borders have none, so a sprite, a skin or a framed button never
  counts as repeating only because both its edges are black.
- jump: the step across the seam over the steps beside it, against the same ratio inside.  A repeating texture has no
  step that its inside doesn't have.
- energy: fine structure of the two lines, against the usual one inside, so that a handful of pixels can't vouch for a
  whole border.

Positions inside are taken where blocks of 8 (JPEG) and 4 (DXT) meet, as at the seam itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.image import Pixels

MIN_LINES = 16
"""Below this the inside is too small to compare with."""
_POSITIONS = 32
_MAX_LINE_PX = 4096
_FLOOR = 0.5 / 255.0
"""Steps and structure below half an 8-bit value are nothing."""

MIN_MATCH = 0.30
MIN_MATCH_SHARE = 0.62
MAX_JUMP_SHARE = 1.35
MIN_ENERGY_SHARE = 0.25


@dataclass(frozen=True)
class Seam:
    """What was measured on one axis; `nan` where it couldn't be."""

    match: float
    usual_match: float
    jump: float
    usual_jump: float
    energy: float
    """Share of the usual energy inside."""

    @property
    def repeats(self) -> bool:
        return self.refusal is None

    @property
    def refusal(self) -> str | None:
        """Why the axis doesn't count as repeating, or None."""
        if np.isnan(self.match):
            return "too small to tell"
        if self.energy < MIN_ENERGY_SHARE:
            return "flat border"
        if self.match < MIN_MATCH or self.match < MIN_MATCH_SHARE * self.usual_match:
            return f"borders don't match ({self.match:.2f}, inside {self.usual_match:.2f})"
        if self.jump > MAX_JUMP_SHARE * self.usual_jump:
            return f"step at the seam ({self.jump:.1f}, inside {self.usual_jump:.1f})"
        return None


def measure_seams(color: Pixels, alpha: Pixels | None) -> tuple[Seam, Seam]:
    """The seams across y (bottom to top) and across x (right to left) of (H, W, C) colour.

    `alpha` (H, W), if it is opacity, hides colour and counts as a channel of its own.
    """
    rows = _measure(color, alpha)
    columns = _measure(color.transpose(1, 0, 2), None if alpha is None else alpha.T)
    return rows, columns


def _measure(color: Pixels, alpha: Pixels | None) -> Seam:
    lines, length = color.shape[:2]
    if lines < MIN_LINES or length < MIN_LINES:
        return Seam(*[float("nan")] * 5)
    every = 8 if lines >= 64 else 4
    inside = np.arange(every, lines - 3, every)
    if len(inside) > _POSITIONS:
        inside = inside[np.linspace(0, len(inside) - 1, _POSITIONS).astype(int)]
    starts = np.concatenate([[0], inside])
    windows = (starts[:, None] + np.arange(-2, 2)) % lines  # the first straddles the seam
    planes = _planes(color, alpha, windows, _segments(length))
    steps = np.abs(np.diff(planes, axis=1)).mean(axis=(2, 3))
    jump = (steps[:, 1] + _FLOOR) / (0.5 * (steps[:, 0] + steps[:, 2]) + _FLOOR)
    fine = _fine_structure(planes[:, 1:3])
    power = (fine**2).sum(axis=(2, 3))
    product = (fine[:, 0] * fine[:, 1]).sum(axis=(1, 2))
    floor = _FLOOR**2 * fine.shape[2] * fine.shape[3]
    match = product / (np.sqrt(power[:, 0] * power[:, 1]) + floor)
    energy = np.sqrt(power.min(axis=1))
    usual_energy = float(np.median(energy[1:]))
    return Seam(
        match=float(match[0]),
        usual_match=float(np.median(match[1:])),
        jump=float(jump[0]),
        usual_jump=float(np.quantile(jump[1:], 0.75)),
        energy=float(energy[0]) / (usual_energy + float(np.sqrt(floor))),
    )


def _segments(length: int) -> NDArray[np.intp]:
    """Indices along a line: all of it, or four contiguous parts of a very long one."""
    if length <= _MAX_LINE_PX:
        return np.arange(length)
    part = _MAX_LINE_PX // 4
    starts = np.linspace(0, length - part, 4).astype(int)
    return (starts[:, None] + np.arange(part)).reshape(-1)


def _planes(
    color: Pixels, alpha: Pixels | None, windows: NDArray[np.intp], along: NDArray[np.intp]
) -> NDArray[np.float32]:
    """(positions, 4 lines, pixels along, channels) in about 0..1."""
    planes = _unit(color[windows[:, :, None], along[None, None, :]])
    if alpha is None:
        return planes
    opacity = _unit(alpha[windows[:, :, None], along[None, None, :]])[..., None]
    return np.concatenate([planes * opacity, opacity], axis=-1)


def _unit(values: Pixels) -> NDArray[np.float32]:
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    light = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=6e4, neginf=0.0).clip(0.0)
    squeezed: NDArray[np.float32] = light / (1.0 + light)  # any monotone squeeze will do: HDR has no largest value
    return squeezed


def _fine_structure(lines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each line less its own moving mean, so that shading across the picture doesn't pass for a match."""
    width = int(np.clip(lines.shape[2] // 8, 5, 33)) | 1
    flat = np.ascontiguousarray(lines.transpose(0, 1, 3, 2)).reshape(-1, lines.shape[2])
    smooth = cv2.blur(flat, (width, 1), borderType=cv2.BORDER_REFLECT_101)
    shape = (lines.shape[0], lines.shape[1], lines.shape[3], lines.shape[2])
    return (flat - smooth).reshape(shape).transpose(0, 1, 3, 2)
