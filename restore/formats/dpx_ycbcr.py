"""Owns Y'CbCr in DPX: which code values are luma and chroma, taken apart into planes and put together again.

Source: SMPTE 268M-2003, descriptors 100 to 103, and its tables of transfer and colorimetry.
"""

from __future__ import annotations

import numpy as np

from restore.errors import ImageError
from restore.formats.dpx import Header
from restore.formats.film_raster import Codes
from restore.formats.video_pixels import Layout, Planes, layout_of

_MATRICES = {5: 1, 6: 1, 7: 5, 8: 6}
"""Transfer or colorimetry, as DPX numbers them (SMPTE 274M, BT.709, BT.601 with 625 and 525 lines) -> H.273 matrix."""
_UNSPECIFIED = 2


def layout_in(header: Header) -> Layout | None:
    """Of the picture's planes; None when it isn't Y'CbCr."""
    element = header.elements[0]
    if element.channels[0] not in ("Cb", "CbCr"):
        return None
    bits = element.raster.bits
    chroma = "422" if element.channels[0] == "CbCr" else "444"
    return layout_of(f"yuv{'a' if 'A' in element.channels else ''}{chroma}p{'' if bits == 8 else f'{bits}le'}")


def matrix_in(header: Header) -> tuple[int, bool]:
    """(H.273 matrix, whether all codes are used) as the header says; video's range unless its white is the top code."""
    element = header.elements[0]
    known = [_MATRICES[code] for code in (element.transfer, element.colorimetric) if code in _MATRICES]
    full = element.low_code == 0 and element.high_code == element.raster.max_code
    return (known[0] if known else _UNSPECIFIED), full


def planes_of(codes: Codes, layout: Layout) -> Planes:
    """Y, Cb, Cr (and A) of the element's codes (H, W, C)."""
    if layout.halvings == (1, 0):
        planes = [codes[..., 1], codes[:, 0::2, 0], codes[:, 1::2, 0]]
    else:
        planes = [codes[..., 1], codes[..., 0], codes[..., 2]]
        if layout.alpha:
            planes.append(codes[..., 3])
    return tuple(np.ascontiguousarray(plane, layout.dtype) for plane in planes)


def codes_of(planes: Planes, layout: Layout) -> Codes:
    """The inverse of `planes_of`.  ImageError when two pixels can't share chroma because the width is odd."""
    height, width = planes[0].shape
    if layout.halvings == (1, 0):
        if width % 2:
            raise ImageError(f"4:2:2 DPX needs an even width, not {width}: take another --scale")
        codes = np.empty((height, width, 2), np.uint16)
        codes[..., 1], codes[:, 0::2, 0], codes[:, 1::2, 0] = planes[:3]
        return codes
    order = (planes[1], planes[0], *planes[2:])
    return np.stack([plane.astype(np.uint16) for plane in order], -1)
