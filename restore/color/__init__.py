"""Owns the colour of a result: what it shall be (the source's), how far it strayed, and the sRGB curve.

torch is imported only by the functions that take tensors.
"""

from restore.color.drift import drift
from restore.color.fix import FIX_REACH_PX, KEEP_GRAIN, correct, recentre
from restore.color.srgb import light_of, linear_to_srgb, srgb_to_linear, stored_of

__all__ = [
    "FIX_REACH_PX",
    "KEEP_GRAIN",
    "correct",
    "drift",
    "light_of",
    "linear_to_srgb",
    "recentre",
    "srgb_to_linear",
    "stored_of",
]
