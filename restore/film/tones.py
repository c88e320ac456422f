"""Owns how log and linear frames are looked at: as a display would show them, and back without loss of order.

Repair and networks want numbers in which a step of the same size looks about the same in shadows and lights.  The way
there and back is only ever taken by pixels that a repair changes; all others keep their codes.

Cineon's curve: 0.002 density a code, 0.6 gamma, white at code 685, black at 95 (Kodak, "Conversion of 10-bit Log Film
Data to 8-bit Linear or Video Data", 1993).  Light above white is squeezed by an extended Reinhard curve
L (1 + L / W^2) / (1 + L), which has an exact inverse (Reinhard et al., "Photographic Tone Reproduction", 2002), and
then encoded as sRGB does; both curves go on below 0 as they do above it, turned around.

Of a colour space of OpenColorIO only its curve is taken: how much light a grey of each code is.  Every channel goes
that way alone and stays in the primaries of its source.  A config's own display-like space, or its linear one, would
need the matrix as well.  That spreads what is wrong in one layer of the film over three channels, turns saturated
colours into negative ones, clips where the config clips, and doesn't return the codes: in single precision a dark
channel beside one at the top of a camera's curve comes back several 16-bit codes off.  A curve for each channel is a
table, and so is the way back: exact for every code that the config can tell from its neighbours.  Spaces that are a
display's already are looked at as they are.  What people look at (`View`) takes the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from restore.color import ocio
from restore.color.ocio import Space
from restore.errors import SetupError
from restore.film.settings import Colour, InputColour
from restore.film.working import Frame, as_float32, from_float, to_float

_BLACK_CODE, _WHITE_CODE, _TOP_CODE = 95.0, 685.0, 1023.0
_DENSITY_A_CODE, _GAMMA = 0.002, 0.6
_LEAST_PEAK = 1.0
_DISPLAY_PEAK = 1.5
"""Light of the highest code below which a curve that isn't straight is a display's."""
_STRAIGHT = 0.02
"""How far half of the highest code may be from half of its light where a space is linear."""
_PROBES, _NOISE = 17, 1e-5


@dataclass(frozen=True)
class _Curve:
    """A colour space of OpenColorIO for one channel."""

    linear: bool
    plain: bool
    """It is a display's."""
    peak: float
    values: NDArray[np.float32]
    """Rising: all codes there are."""
    shown: NDArray[np.float32]
    """What they look like."""
    looks: NDArray[np.float32]
    """The same, rising, each but once."""
    codes: NDArray[np.float32]
    """That look so; of several the one next to 0."""


@dataclass(frozen=True)
class Tones:
    """The way to a display-like frame and back."""

    colour: Colour
    peak: float = 64.0
    """Linear frames: the light that becomes 1; brighter light goes on above it."""

    @property
    def plain(self) -> bool:
        """Whether frames are looked at as they are."""
        if isinstance(self.colour, Space):
            return _curve(self.colour, whole=True).plain
        return self.colour in (InputColour.SRGB, InputColour.REC709)

    def shown(self, frame: Frame) -> Frame:
        """(H, W, C) as stored -> float32 about 0..1, or the frame itself."""
        if self.plain:
            return frame
        if isinstance(self.colour, Space):
            curve = _curve(self.colour, whole=frame.dtype.kind == "u")
            if not curve.linear:
                if frame.dtype == np.uint16:
                    return curve.shown[frame]
                return as_float32(np.interp(to_float(frame), curve.values, curve.shown))
        values = to_float(frame)
        light = _light_of_cineon(values) if self.colour is InputColour.CINEON else values
        return _encoded(_squeezed(light, self._peak))

    def stored(self, shown: Frame, like: Frame) -> Frame:
        """The way back, in the number type of `like`."""
        if self.plain:
            return shown
        if isinstance(self.colour, Space):
            curve = _curve(self.colour, whole=like.dtype.kind == "u")
            if not curve.linear:
                return from_float(as_float32(np.interp(shown, curve.looks, curve.codes)), like)
        light = _spread(_decoded(as_float32(shown)), self._peak)
        if self.colour is InputColour.CINEON:
            light = _cineon_of_light(light)
        return from_float(as_float32(light), like)

    @property
    def _peak(self) -> float:
        if self.colour is InputColour.CINEON:
            return float(_light_of_cineon(np.ones((1, 1, 1), np.float32))[0, 0, 0])
        return max(_LEAST_PEAK, self.peak)


@dataclass(frozen=True)
class View:
    """What people look at: sRGB, or what a view of an OpenColorIO config makes."""

    tones: Tones
    view: ocio.View | None = None

    def __call__(self, frame: Frame) -> NDArray[np.uint8]:
        """(H, W, C) as stored -> (H, W, 3)."""
        picture = to_float(frame)
        if picture.shape[2] == 1:
            picture = picture.repeat(3, axis=2)
        colour = self.tones.colour
        if isinstance(colour, Space):
            if self.view is not None:
                shown = ocio.viewed(self.view, picture, colour)
            else:
                light = ocio.screen_light(colour, picture)
                shown = _encoded(_squeezed(light, _curve(colour, whole=True).peak))
        elif self.view is None or self.tones.plain:
            shown = to_float(self.tones.shown(picture))
        else:
            light = _light_of_cineon(picture) if colour is InputColour.CINEON else picture
            shown = ocio.viewed(self.view, light, None)
        return np.asarray(np.rint(np.clip(shown, 0, 1) * 255), np.uint8)


@lru_cache(maxsize=8)
def _curve(space: Space, *, whole: bool) -> _Curve:
    """`whole`: of the 16-bit codes, 0..1; else of all numbers that a half can hold, and straight between them.

    SetupError when brighter greys don't have higher codes all along, or lower ones all along: nothing leads back then.
    """
    codes = np.arange(65536, dtype=np.uint16)
    halfs = codes.view(np.float16)
    values = as_float32(codes / 65535 if whole else np.unique(halfs[np.isfinite(halfs)]))
    light = ocio.grey_light(space, values)
    some = np.interp(np.linspace(0, 1, _PROBES), values, light)
    zero, half, one = (float(some[at]) for at in (0, _PROBES // 2, -1))
    steps, tolerance = np.diff(some), _NOISE * np.abs(some).max()
    falling = zero > one
    if zero == one or ((steps > tolerance) if falling else (steps < -tolerance)).any():
        raise SetupError(
            f"{space}: the light of greys goes up and down with their codes: no repair could be taken back"
        )
    light = (np.minimum if falling else np.maximum).accumulate(light)
    linear = max(abs(half - one / 2), abs(zero)) < _STRAIGHT * one
    top = max(zero, one, _LEAST_PEAK)
    peak = Tones.peak if linear else top
    shown = _encoded(_squeezed(light, peak))
    near = np.argsort(np.abs(values), kind="stable")
    looks, at = np.unique(shown[near], return_index=True)
    plain = not (linear or falling) and top < _DISPLAY_PEAK
    return _Curve(linear, plain, peak, values, shown, looks, values[near][at])


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
    bright = np.abs(light)
    squeezed = bright * (1 + bright / np.float32(peak**2)) / (1 + bright)
    return as_float32(np.copysign(squeezed, light))


def _spread(squeezed: NDArray[np.float32], peak: float) -> NDArray[np.float32]:
    """The inverse of `_squeezed`: the positive root of L^2 / W^2 + L (1 - s) - s."""
    s = np.abs(squeezed).astype(np.float64)
    b = 1 - s
    light = (np.sqrt(b * b + 4 * s / peak**2) - b) * (peak**2 / 2)
    return as_float32(np.copysign(light, squeezed))


def _encoded(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sRGB curve; its power goes on above 1."""
    bright = np.abs(light)
    power = np.float32(1.055) * np.maximum(bright, np.float32(0.0031308)) ** np.float32(1 / 2.4) - np.float32(0.055)
    return as_float32(np.copysign(np.where(bright <= 0.0031308, bright * np.float32(12.92), power), light))


def _decoded(shown: NDArray[np.float32]) -> NDArray[np.float32]:
    bright = np.abs(shown)
    power = ((np.maximum(bright, np.float32(0.04045)) + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return as_float32(np.copysign(np.where(bright <= 0.04045, bright / np.float32(12.92), power), shown))
