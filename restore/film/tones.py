"""Owns how log and linear frames are looked at: as a display would show them, and back without loss of order.

Repair and networks want numbers in which a step of the same size looks about the same in shadows and lights.  The way
there and back is only ever taken by pixels that a repair changes; all others keep their codes.

Cineon's curve: 0.002 density a code, 0.6 gamma, white at code 685, black at 95 (Kodak, "Conversion of 10-bit Log Film
Data to 8-bit Linear or Video Data", 1993).  Light above white is squeezed by an extended Reinhard curve
L (1 + L / W^2) / (1 + L), which has an exact inverse (Reinhard et al., "Photographic Tone Reproduction", 2002).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restore.film.settings import InputColour
from restore.film.working import Frame, as_float32, from_float, to_float

_BLACK_CODE, _WHITE_CODE, _TOP_CODE = 95.0, 685.0, 1023.0
_DENSITY_A_CODE, _GAMMA = 0.002, 0.6
_LEAST_PEAK = 1.0


@dataclass(frozen=True)
class Tones:
    """The way to a display-like frame and back."""

    colour: InputColour
    peak: float = 64.0
    """LINEAR: the light that becomes 1; brighter light goes on above it."""

    @property
    def plain(self) -> bool:
        """Whether frames are looked at as they are."""
        return self.colour in (InputColour.SRGB, InputColour.REC709)

    def shown(self, frame: Frame) -> Frame:
        """(H, W, C) as stored -> float32 about 0..1, or the frame itself."""
        if self.plain:
            return frame
        values = to_float(frame)
        light = _light_of_cineon(values) if self.colour is InputColour.CINEON else values
        return _encoded(_squeezed(light, self._peak))

    def stored(self, shown: Frame, like: Frame) -> Frame:
        """The way back, in the number type of `like`."""
        if self.plain:
            return shown
        light = _spread(_decoded(as_float32(shown)), self._peak)
        if self.colour is InputColour.CINEON:
            light = _cineon_of_light(light)
        return from_float(as_float32(light), like)

    @property
    def _peak(self) -> float:
        if self.colour is InputColour.CINEON:
            return float(_light_of_cineon(np.ones((1, 1, 1), np.float32))[0, 0, 0])
        return max(_LEAST_PEAK, self.peak)


def _light_of_cineon(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """0 = black, 1 = white; above it, what film holds beyond."""
    black = 10 ** ((_BLACK_CODE - _WHITE_CODE) * _DENSITY_A_CODE / _GAMMA)
    exponent = (values * np.float32(_TOP_CODE) - np.float32(_WHITE_CODE)) * np.float32(_DENSITY_A_CODE / _GAMMA)
    return as_float32((np.float32(10) ** exponent - np.float32(black)) / np.float32(1 - black))


def _cineon_of_light(light: NDArray[np.float32]) -> NDArray[np.float32]:
    black = 10 ** ((_BLACK_CODE - _WHITE_CODE) * _DENSITY_A_CODE / _GAMMA)
    bottom = 10 ** (-_WHITE_CODE * _DENSITY_A_CODE / _GAMMA)
    exposure = np.maximum(light * np.float32(1 - black) + np.float32(black), np.float32(bottom))
    return as_float32((np.log10(exposure) * (_GAMMA / _DENSITY_A_CODE) + _WHITE_CODE) / _TOP_CODE)


def _squeezed(light: NDArray[np.float32], peak: float) -> NDArray[np.float32]:
    bright = np.maximum(light, 0)
    squeezed = bright * (1 + bright / np.float32(peak**2)) / (1 + bright)
    return as_float32(np.where(light > 0, squeezed, light))


def _spread(squeezed: NDArray[np.float32], peak: float) -> NDArray[np.float32]:
    """The inverse of `_squeezed`: the positive root of L^2 / W^2 + L (1 - s) - s."""
    s = np.maximum(squeezed, 0).astype(np.float64)
    b = 1 - s
    light = (np.sqrt(b * b + 4 * s / peak**2) - b) * (peak**2 / 2)
    return as_float32(np.where(squeezed > 0, light, squeezed))


def _encoded(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sRGB curve; its straight part goes on below 0, its power above 1."""
    bright = np.float32(1.055) * np.maximum(light, np.float32(0.0031308)) ** np.float32(1 / 2.4) - np.float32(0.055)
    return as_float32(np.where(light <= 0.0031308, light * np.float32(12.92), bright))


def _decoded(shown: NDArray[np.float32]) -> NDArray[np.float32]:
    bright = ((np.maximum(shown, np.float32(0.04045)) + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return as_float32(np.where(shown <= 0.04045, shown / np.float32(12.92), bright))
