"""Owns dirt in a frame without neighbours: shots of one or two frames.

Without another frame nothing tells a speck from a star, so this is strict: small, compact, alone, and far from anything
else of its kind in contrast.  Top-hats of both polarities at three sizes (openings and closings), over local contrast.
"""

from __future__ import annotations

import cv2
import numpy as np

from restore.film.dirt import Candidates, DirtLaw, blobs_of
from restore.film.working import Grey, as_float32, grain_sigma

ALONE_SIGMAS = 9.0
"""Score that is dirt: of local standard deviations."""
_SEED = 5.0
_RADII_PX = (2, 4, 7)
_AROUND_PX = 41


def alone_candidates(grey: Grey, law: DirtLaw) -> Candidates:
    """Blobs of one frame that stand out from their surroundings, smaller than the law's largest."""
    sigma = grain_sigma(grey)
    smooth = cv2.GaussianBlur(grey, (0, 0), 0.7)
    spike = np.zeros(grey.shape, np.float32)
    for radius in _RADII_PX:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
        light = smooth - as_float32(cv2.morphologyEx(smooth, cv2.MORPH_OPEN, disc))
        dark = smooth - as_float32(cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, disc))
        for hat in (light, dark):
            spike = np.where(np.abs(hat) > np.abs(spike), hat, spike)
    mean = cv2.blur(smooth, (_AROUND_PX, _AROUND_PX))
    spread = np.sqrt(np.maximum(cv2.blur(smooth**2, (_AROUND_PX, _AROUND_PX)) - mean**2, 0))
    # The top-hats of plain texture: what most pixels around have counts as nothing.
    usual = as_float32(cv2.blur(np.abs(spike), (_AROUND_PX, _AROUND_PX)))
    score = as_float32(np.abs(spike) / (sigma + 0.5 * spread + 2 * usual))
    grown = (score > _SEED).astype(np.uint8)
    return blobs_of(grown, spike, score, law)
