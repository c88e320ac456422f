"""Owns planes on their way into an encoder: R'G'B' and grey as Y'CbCr where a codec has nothing else, and stand-ins.

FFmpeg's own way there is half an 8-bit code too bright at every depth (measured with libswscale 9.5), and rounds twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from restore.color import yuv
from restore.color.yuv import Signal
from restore.film.native import Native, rescaled
from restore.formats.encoding import Encoding
from restore.formats.video_pixels import Family, Planes, layout_of


def taking(encoding: Encoding, signal: Signal) -> tuple[Encoding, Callable[[Planes], Planes]]:
    """(the encoding as the encoder gets it, what turns planes of `signal` into its own)."""
    target = layout_of(layout_of(encoding.pixel_format).planar_name)
    if encoding.source.family is Family.YUV or target.family is not Family.YUV:
        return encoding, lambda planes: planes
    wanted = Signal(target, encoding.colour.range == 2, encoding.colour.matrix, "as the encoder takes it")

    def turned(planes: Planes) -> Planes:
        rgb = yuv.to_rgb(planes, signal)
        alpha = None
        if target.alpha:
            top = (1 << target.bits) - 1
            opaque = np.full(planes[0].shape, top, target.dtype)
            alpha = rescaled(planes[-1], (1 << signal.layout.bits) - 1, top) if signal.layout.alpha else opaque
            alpha = alpha.astype(target.dtype)
        return yuv.from_rgb(rgb if rgb.shape[2] == 3 else rgb.repeat(3, 2), wanted, alpha)

    return replace(encoding, source=target, source_full_range=wanted.full_range), turned


def without_gaps(natives: Iterator[Native | None], before: Callable[[], Native | None]) -> Iterator[Native | None]:
    """A video keeps its frames' number: where one can't be had, the one before is shown again; None: there is none.

    `before` gives the one before the first.
    """
    last: Native | None = None
    for place, native in enumerate(natives):
        last = before() if native is None and place == 0 else native or last
        yield last


def grey(encoding: Encoding) -> Planes:
    """A frame of no picture."""
    layout = encoding.source
    middle = 1 << (layout.bits - 1)
    return tuple(np.full(shape, middle, layout.dtype) for shape in layout.shapes(encoding.height, encoding.width))
