"""Owns telling, for each axis, whether a texture repeats there.

The seam (last line beside first line) is compared with what neighbouring lines inside the same picture look like.
Three features decide, and none depends on the picture's contrast:

- match: correlation of the two lines' fine structure.  It must come near the usual one inside, and stand out from
  what the same two lines give when one is shifted along the other.  This is the evidence that something goes on
  across the seam: flat or empty borders have none, so a sprite, a skin or a framed button never counts as repeating
  only because both its edges are black.
- jump: the step across the seam over the steps beside it, against the same ratio inside.  A repeating texture has no
  step that its inside doesn't have, and not much less of one either (a symmetric emblem has nearly none: its borders
  mirror each other).
- energy: fine structure of the two lines, against the usual one inside, so that a handful of pixels can't vouch for a
  whole border.

Positions inside are taken where blocks of 8 (JPEG) and 4 (DXT) meet, as at the seam itself.  The limits were set on the
"tune" half of tests/data/wrap_labels.csv; benchmarks/wrap_detector.py measures the other half.
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

MIN_MATCH_SHARE = 0.45
MIN_RANK = 0.99
"""Share of shifted matches that the true one must exceed, and ..."""
MIN_CONTRAST = 2.5
"""... by how many of their standard deviations it must stand out, unless it is a good match by itself: strict patterns
(grids, rivets) match when shifted, too."""
GOOD_MATCH = 0.5
MAX_JUMP_SHARE = 1.8
MIN_JUMP_SHARE = 0.4
"""... of a small jump inside."""
MIN_ENERGY_SHARE = 0.3
MIN_ENERGY = 0.5 / 255.0
"""Root mean square of the fine structure at the seam, and ..."""
FAINT_ENERGY = 2.0 / 255.0
"""... what it must reach unless the match is good: faint noise of compression can look alike."""


@dataclass(frozen=True)
class Seam:
    """What was measured on one axis; `nan` where it couldn't be."""

    match: float
    usual_match: float
    rank: float
    """Share of shifted matches below `match`."""
    contrast: float
    """`match` less the mean of the shifted ones, in their standard deviations."""
    jump: float
    small_jump: float
    usual_jump: float
    largest_jump: float
    energy: float
    energy_share: float
    """`energy` over the usual one inside."""

    @property
    def repeats(self) -> bool:
        return self.refusal is None

    @property
    def refusal(self) -> str | None:
        """Why the axis doesn't count as repeating, or None."""
        if np.isnan(self.match):
            return "too small to tell"
        if self.energy < MIN_ENERGY or self.energy_share < MIN_ENERGY_SHARE:
            return "flat border"
        if self.match < MIN_MATCH_SHARE * self.usual_match:
            return f"borders don't match ({self.match:.2f}, inside {self.usual_match:.2f})"
        if self.rank < MIN_RANK or (self.contrast < MIN_CONTRAST and self.match < GOOD_MATCH):
            return f"borders match no better than by chance ({self.match:.2f})"
        if self.energy < FAINT_ENERGY and self.match < GOOD_MATCH:
            return f"borders too faint to tell (match {self.match:.2f})"
        if self.jump > max(MAX_JUMP_SHARE * self.usual_jump, self.largest_jump):
            return f"step at the seam ({self.jump:.1f}, inside {self.usual_jump:.1f})"
        if self.jump < MIN_JUMP_SHARE * self.small_jump:
            return f"borders mirror each other (step {self.jump:.1f}, inside {self.usual_jump:.1f})"
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
        return Seam(*[float("nan")] * 10)
    every = 8 if lines >= 64 else 4
    inside = np.arange(every, lines - 3, every)
    if len(inside) > _POSITIONS:
        inside = inside[np.linspace(0, len(inside) - 1, _POSITIONS).astype(int)]
    starts = np.concatenate([[0], inside])
    windows = (starts[:, None] + np.arange(-2, 2)) % lines  # the first straddles the seam
    planes = _planes(color, alpha, windows, _segments(length))
    count = planes.shape[2] * planes.shape[3]
    steps = np.abs(np.diff(planes, axis=1)).reshape(len(starts), 3, count).mean(axis=2)
    jump = (steps[:, 1] + _FLOOR) / (0.5 * (steps[:, 0] + steps[:, 2]) + _FLOOR)
    fine = _fine_structure(planes[:, 1:3])
    power = np.einsum("pln,pln->pl", fine, fine)
    floor = _FLOOR**2 * count
    match = np.einsum("pn,pn->p", fine[:, 0], fine[:, 1]) / (np.sqrt(power[:, 0] * power[:, 1]) + floor)
    shifted = _shifted_matches(fine[0].reshape(2, planes.shape[3], -1)) / (np.sqrt(power[0].prod()) + floor)
    energy = np.sqrt(power.min(axis=1))
    usual_energy = float(np.median(energy[1:]))
    return Seam(
        match=float(match[0]),
        usual_match=float(np.median(match[1:])),
        rank=float((shifted < match[0]).mean()),
        contrast=float((match[0] - shifted.mean()) / (shifted.std() + 1e-3)),
        jump=float(jump[0]),
        small_jump=float(np.quantile(jump[1:], 0.25)),
        usual_jump=float(np.quantile(jump[1:], 0.75)),
        largest_jump=float(np.quantile(jump[1:], 0.95)),
        energy=float(np.sqrt(power[0].mean() / count)),
        energy_share=float(energy[0]) / (usual_energy + float(np.sqrt(floor))),
    )


def _shifted_matches(pair: NDArray[np.float32]) -> NDArray[np.float64]:
    """Products of two lines (2, C, N), the second shifted along the first by every amount from 3 pixels up."""
    spectrum = np.fft.rfft(pair.astype(np.float64), axis=2)
    products = np.fft.irfft((spectrum[0] * spectrum[1].conj()).sum(axis=0), n=pair.shape[2])
    result: NDArray[np.float64] = products[3:-3]
    return result


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
    light: NDArray[np.float32] = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=6e4, neginf=0.0).clip(0.0)
    squeezed: NDArray[np.float32] = light / (
        np.float32(1.0) + light
    )  # any monotone squeeze will do: HDR has no largest value
    return squeezed


def _fine_structure(lines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each line less its own moving mean, so that shading across the picture doesn't pass for a match.

    (positions, 2, pixels, channels) to (positions, 2, channels * pixels).
    """
    length = lines.shape[2]
    width = int(np.clip(length // 8, 5, 33)) | 1
    flat = np.ascontiguousarray(lines.transpose(0, 1, 3, 2)).reshape(-1, length)
    fine: NDArray[np.float32] = flat - cv2.blur(flat, (width, 1), borderType=cv2.BORDER_REFLECT_101)
    return fine.reshape(lines.shape[0], 2, -1)
