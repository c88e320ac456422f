"""Owns what a repair is: where, how large, filled by what, how surely.  Inpainting and film write the same records."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from restore.tiling import Box


class Fill(StrEnum):
    """Where a repair's pixels came from."""

    NET = "net"
    PUSH_PULL = "push-pull"
    NAVIER_STOKES = "navier-stokes"
    BIHARMONIC = "biharmonic"
    BLEND = "blend"
    DIVIDED = "divided"  # semi-transparent dirt, divided out by its infrared image: nothing was invented
    TEMPORAL = "temporal"  # from neighbouring frames
    SUBTRACTED = "subtracted"  # a see-through scratch's profile, taken off: nothing was invented


@dataclass(frozen=True)
class Repair:
    """One repaired place ("blob") of one page or frame."""

    page: int
    """Page of a picture from 0, or the frame's number."""
    blob: int
    """From 0 within its page, in order of rows and then columns of the boxes' corners."""
    box: Box
    """Smallest rectangle with all changed pixels, in pixels of the page; inside it."""
    area_px: int
    """Pixels that were missing, growth included."""
    kind: str
    """"mask", "alpha", "key", "dust", "scratch", "crack", "hair", "infrared", ..."""
    fill: Fill
    confidence: float
    """0..1, how surely the fill is right; what it was measured to mean is in docs/inpainting.md."""
    score: float | None = None
    """A detector's, in its own unit (sigmas); None where a person marked the hole."""
