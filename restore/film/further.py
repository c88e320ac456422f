"""Owns frames that are two away: what they show of a hole, laid over the frame, where the nearest ones are covered.

Their flow is only refined, from the near one's gone on with.  Nobody looked for dirt on them, so what stands out from
both near neighbours counts for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from restore.film.flow import Flow, refined, without_holes
from restore.film.temporal import Version, version_of
from restore.film.working import Frame, Grey, Holes, as_float32, grey_of

_LEAST_SIGMA = 1 / 255
_SIGMAS = 4.0
_BLUR_PX = 0.5
_GROW_PX = 2


def further_versions(
    current: Frame, holes: Holes, near: tuple[Version, Version], further: Sequence[tuple[Frame, Holes, Flow]]
) -> list[Version]:
    """Versions of `current` (H, W, C), whose holes are known, from more frames than the two of `near`.

    `further`: each frame, its known holes, and about where `current`'s pixels lie in it.
    """
    grey = without_holes(grey_of(current), holes)
    made = []
    for frame, known, about in further:
        version = version_of(current, frame, known, refined(grey, grey_of(frame), about))
        made.append(replace(version, valid=version.valid & ~_dirt(version, near)))
    return made


def _dirt(version: Version, near: tuple[Version, Version]) -> Holes:
    """(H, W): where a version stands out from both near ones."""
    greys = [grey_of(one.values) for one in near]
    a, b = (_blurred(grey_of(version.values) - grey) for grey in greys)
    sigma = max(_LEAST_SIGMA, 1.4826 * float(np.median(np.abs(greys[0] - greys[1]))))
    out = (a * b > 0) & (np.minimum(np.abs(a), np.abs(b)) > _SIGMAS * sigma) & near[0].valid & near[1].valid
    return cv2.dilate(out.astype(np.uint8), np.ones((2 * _GROW_PX + 1,) * 2, np.uint8)).view(np.bool_)


def _blurred(grey: Grey) -> Grey:
    return as_float32(cv2.GaussianBlur(grey, (0, 0), _BLUR_PX))
