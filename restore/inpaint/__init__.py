"""Owns filling holes: crops with context from many pictures, fills, and the choice among them for each hole."""

from restore.inpaint.engine import Damaged, Inpainter, Repaired, inpaint

__all__ = ["Damaged", "Inpainter", "Repaired", "inpaint"]
