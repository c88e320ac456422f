"""Owns how stored values become the [0, 1] that networks were trained on, and the way back.

Networks learnt from display-encoded pictures that fill the range.  Light as it stands (EXR, float TIFF) looks dark and
flat to them: what they answer is blurred, and full of patterns once it is brightened again.  So light is exposed and
encoded as a display would show it, and brighter highlights are squeezed into what is left above.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from math import log, log1p

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from restore.color import linear_to_srgb, srgb_to_linear
from restore.image import Pixels

_BAND_ROWS = 256
_SAMPLE_SIDE = 512
_WHITE_SHARE = 99.0
"""Percentile of the values above 0 that is shown as white; what is brighter is highlights."""
_LEAST_DISPLAY_SHARE = 0.6
"""Of [0, 1] that values up to white get, however bright the highlights are."""
_DISPLAY_SLOPE = 1.055 / 2.4
"""Of the sRGB curve at white."""
_SIGNED_SHARE = 0.1
"""Values further below 0 than this share of white aren't light but vectors or positions."""
_SPREAD = 64.0
"""Data whose largest value is this many times a common small one are looked at in decades: depth with a far plane."""
_STEEPNESS = 31.0
_MOST_RATIO = 1e12
"""Float32 can't tell values apart that are this far from the largest one."""


class Shape(Enum):
    """What a curve does between its ends."""

    PLAIN = auto()  # straight
    DISPLAY = auto()  # sRGB up to white, a logarithm above
    DECADES = auto()  # a logarithm


@dataclass(frozen=True)
class Curve:
    """Stored values `low`..`peak` to 0..1."""

    low: float
    peak: float
    shape: Shape = Shape.PLAIN
    knee: float = 1.0
    """DISPLAY: how far above `low` white is.  DECADES: how far above it the straight part ends, about."""

    def forward(self, values: Tensor) -> Tensor:
        """Any shape, float32; what lies outside `low`..`peak` ends at their ends unless the curve is straight."""
        if self.shape is Shape.PLAIN:
            return (values - self.low) / (self.peak - self.low)
        above = ((values - self.low) / self.knee).clamp(0.0, self._ratio)
        if self.shape is Shape.DECADES:
            return (above * _STEEPNESS).log1p() / log1p(self._ratio * _STEEPNESS)
        shown = linear_to_srgb(above.clamp_max(1.0))
        if self._ratio <= 1.0:
            return shown
        share = self._display_share
        return shown * share + above.clamp_min(1.0).log() * ((1.0 - share) / log(self._ratio))

    def back(self, unit: Tensor) -> Tensor:
        """The inverse of `forward` for [0, 1]."""
        if self.shape is Shape.PLAIN:
            return unit * (self.peak - self.low) + self.low
        if self.shape is Shape.DECADES:
            return (unit * log1p(self._ratio * _STEEPNESS)).expm1() * (self.knee / _STEEPNESS) + self.low
        if self._ratio <= 1.0:
            return srgb_to_linear(unit) * self.knee + self.low
        share = self._display_share
        shown = srgb_to_linear((unit / share).clamp_max(1.0))
        brighter = ((unit - share).clamp_min(0.0) * (log(self._ratio) / (1.0 - share))).exp()
        return shown * brighter * self.knee + self.low

    @property
    def _ratio(self) -> float:
        return (self.peak - self.low) / self.knee

    @property
    def _display_share(self) -> float:
        smooth = 1.0 / (1.0 + _DISPLAY_SLOPE * log(self._ratio))  # so that the curve has no bend at white
        return max(_LEAST_DISPLAY_SHARE, smooth)


def fixed_curve(pixels: Pixels) -> Curve:
    """For normal maps, whose range means something: integers over their maximum, floats 0..1."""
    return Curve(0.0, _top(pixels))


def unit_curve(pixels: Pixels) -> Curve:
    """For alpha and display-encoded colour: 0..1, further where floats go further."""
    if pixels.dtype.kind == "u":
        return fixed_curve(pixels)
    low, peak = _ends(pixels)
    return Curve(min(low, 0.0), max(peak, 1.0))


def display_curve(pixels: Pixels) -> Curve:
    """For colour that is stored as light, (H, W, C): exposed by its own white, as a float's 1 means nothing."""
    if pixels.dtype.kind == "u":
        return Curve(0.0, _top(pixels), Shape.DISPLAY, _top(pixels))
    low, peak = _ends(pixels)
    low = min(low, 0.0)
    above = _sample_above(pixels, 0.0)
    if peak <= 0.0 or above.size == 0:
        return Curve(low, max(peak, low + 1.0))
    white = float(np.percentile(above, _WHITE_SHARE))
    if low < -_SIGNED_SHARE * white:
        return Curve(low, peak)
    return Curve(low, peak, Shape.DISPLAY, max(white - low, (peak - low) / _MOST_RATIO))


def data_curve(pixels: Pixels) -> Curve:
    """For a channel that is neither colour nor alpha, (H, W, 1): floats fill the range."""
    if pixels.dtype.kind == "u":
        return fixed_curve(pixels)
    low, peak = _ends(pixels)
    if peak <= low:
        return Curve(low, low + 1.0)
    above = _sample_above(pixels, low)
    common = float(np.percentile(above, 25.0)) - low if above.size else peak - low
    if peak - low <= _SPREAD * common:
        return Curve(low, peak)
    return Curve(low, peak, Shape.DECADES, max(common, (peak - low) / _MOST_RATIO))


def _top(pixels: Pixels) -> float:
    return float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else 1.0


def _ends(pixels: Pixels) -> tuple[float, float]:
    """Smallest and largest finite value; (0, 0) where there is none."""
    lows, peaks = [], []
    for start in range(0, pixels.shape[0], _BAND_ROWS):
        band = pixels[start : start + _BAND_ROWS]
        finite = np.isfinite(band)
        if finite.any():
            lows.append(float(band.min(where=finite, initial=np.inf)))
            peaks.append(float(band.max(where=finite, initial=-np.inf)))
    return (min(lows), max(peaks)) if lows else (0.0, 0.0)


def _sample_above(pixels: Pixels, low: float) -> NDArray[np.float64]:
    """Finite values above `low`, of evenly spread rows and columns."""
    steps = [max(1, side // _SAMPLE_SIDE) for side in pixels.shape[:2]]
    sample = pixels[:: steps[0], :: steps[1]].astype(np.float64)
    return sample[np.isfinite(sample) & (sample > low)]
