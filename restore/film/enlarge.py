"""Owns enlarging frames so that they hang together in time: the same tiles and precision for all, held frames once.

Colour is fixed against the very frame that was enlarged (`color.fix`), around each pixel, so it can't jump where the
source doesn't.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from restore.film.grain import GrainCurve, grain_curve
from restore.film.native import Native, Working, resized
from restore.film.netfill import film_traits, image_of
from restore.film.regrain import regrained
from restore.film.settings import FilmGrain, FilmSettings
from restore.film.tones import Tones
from restore.film.working import Frame, to_float
from restore.image import Document

if TYPE_CHECKING:
    from restore.upscale import Upscaler

_CPU_BATCH_PX = 1
_GPU_BATCH_PX = 1 << 18


class Enlarger:
    """Enlarges one frame after the other; the network is loaded with the first."""

    def __init__(self, settings: FilmSettings, tones: Tones, device: str) -> None:
        """ValueError when `settings` ask for no enlarging."""
        if settings.upscale is None:
            raise ValueError("no network to enlarge with")
        self._step = settings.upscale
        self._name = settings.upscale_model
        self._regrain = settings.grain is FilmGrain.REGRAIN
        self._tones = tones
        self._device = device
        self._upscaler: Upscaler | None = None
        self._last: tuple[Working, Working] | None = None

    def __call__(self, native: Native, working: Working, number: int, grain: GrainCurve | None = None) -> Native:
        """`working`, of frame `number`, enlarged in the form of `native`.

        `grain`: how much it had, where that was taken out; else it is measured where it is to come back.
        ImageError when memory or the format doesn't allow it.
        """
        return resized(native, self.picture(working, number, grain))

    def picture(self, working: Working, number: int, grain: GrainCurve | None = None) -> Working:
        """(H, W, C) -> (H', W', C), in its number type.  A frame that is the last one again is not computed again."""
        if self._last is not None and np.array_equal(self._last[0], working):
            return self._last[1]
        shown = self._tones.shown(working)
        large = self._large(shown)
        if self._regrain:
            curve = grain or grain_curve(to_float(shown), [])
            large = regrained(large, curve, large.shape[0] / shown.shape[0], number)
        picture = self._tones.stored(large, working) if not self._tones.plain else large
        self._last = (working, picture)
        return picture

    def _large(self, shown: Frame) -> Frame:
        if self._upscaler is None:
            from restore.models import load, resolve
            from restore.upscale import Upscaler

            model = load(resolve(self._name), self._device, self._step.precision)
            batch_px = _CPU_BATCH_PX if self._device == "cpu" else _GPU_BATCH_PX
            self._upscaler = Upscaler(model, self._step, batch_px=batch_px)
        document = self._upscaler(Document((image_of(shown),)), (film_traits(shown),))
        return np.asarray(document.first.pixels)
