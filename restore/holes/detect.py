"""Owns finding damage in the picture itself: what is searched where, and what the things found are called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restore.holes.found import Blob, Holes, Places, places
from restore.holes.levels import lightness
from restore.holes.lines import find_scratches, row_means
from restore.holes.shape import LINE_RATIO, measure
from restore.holes.spots import Spot, find_spots
from restore.image import Banded, Image
from restore.recipe import FindHoles
from restore.traits import AlphaUse, Traits

_BAND_ROWS = 2048
"""Height of what is searched for specks at once."""
_LEAST_MOST_PX = 5
_MOST_SHARE = 0.01
"""Of the picture's height: 99 % of the dust on scanned 35 mm film is less than half of that in diameter, and 99 % of
the dirt less than 0.87 % (ten annotated scans of FilmDamageSimulator)."""
_MOST_LINE_SHARE = 0.3
"""Of the picture's diagonal.  Longer lines of that kind are more often wires and ropes."""
_DUST_SHARE = 0.0046
"""Of the height: larger specks are dirt."""
_LEAST_DUST_PX = 3.0
_STRAIGHT = 0.9
"""Distance between a line's ends over its length, from which it is a scratch and no hair."""
_CRACK_SHARE = 0.25
"""Of the picture's diagonal: a line of that length is a crack."""


Seen = tuple[int, int, float]
"""Row and column of one pixel of a spot, and its score."""
At = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns (n,)."""


@dataclass(frozen=True)
class Damage:
    where: Places
    blobs: tuple[Blob, ...]
    """One for each of the places."""


def find_damage(page: Image, rule: FindHoles, traits: Traits) -> Damage:
    """Dust, dirt, hairs, scratches and cracks in `page`, and its not-a-numbers.

    Nothing is looked for under alpha = 0 where alpha is opacity.  Needs about 30 bytes for each pixel of a band of
    2,048 rows and 6 for each of the picture.
    """
    height, width = page.height, page.width
    holes = np.zeros((height, width), np.bool_)
    spots = [_mark(holes, spot, top) for top, spot in find_specks(Banded.of(page), rule)]
    means = row_means(Banded.of(page))
    scratches = find_scratches(means, threshold_sigmas=rule.threshold_sigmas, polarity=rule.polarity)
    for scratch in scratches:
        holes[scratch.pixels(height, width)] = True
    leave_unseen_out(page, traits, holes)
    missing = _not_a_number(page)
    holes |= missing
    where = places(holes)
    drawn = [(scratch.score, scratch.pixels(height, width)) for scratch in scratches]
    return Damage(where, named(where, spots, drawn, missing, (height, width)))


def find_specks(picture: Banded, rule: FindHoles) -> Iterator[tuple[int, Spot]]:
    """(first row of the band that a spot was found in, the spot): dust, dirt, hairs and cracks, band by band."""
    height, width = picture.height, picture.width
    most_px = rule.max_size_px if rule.max_size_px is not None else max(_LEAST_MOST_PX, round(_MOST_SHARE * height))
    most_line_px = round(_MOST_LINE_SHARE * float(np.hypot(height, width)))
    margin = min(4 * most_px + 64, _BAND_ROWS // 4)
    for start in range(0, height, _BAND_ROWS):
        top, stop = max(0, start - margin), min(height, start + _BAND_ROWS + margin)
        for spot in find_spots(
            lightness(picture.rows(top, stop)),
            threshold_sigmas=rule.threshold_sigmas,
            most_px=most_px,
            most_line_px=most_line_px,
            polarity=rule.polarity,
        ):
            if start <= top + spot.y0 < start + _BAND_ROWS:  # what begins in the margin is another band's
                yield top, spot


def _mark(holes: Holes, spot: Spot, top: int) -> Seen:
    """Marks a spot; one of its pixels, and its score."""
    y0 = top + spot.y0
    there = spot.there[: holes.shape[0] - y0]
    holes[y0 : y0 + there.shape[0], spot.x0 : spot.x0 + there.shape[1]] |= there
    return mark_of(spot, top)


def mark_of(spot: Spot, top: int) -> Seen:
    """Row, column and score of a spot that was found in a band beginning at row `top`."""
    y, x = np.unravel_index(int(spot.there.argmax()), spot.there.shape)
    return top + spot.y0 + int(y), spot.x0 + int(x), spot.score


def leave_unseen_out(page: Image, traits: Traits, holes: Holes) -> None:
    """Takes what lies under alpha = 0 out of `holes`, in place."""
    at = page.alpha_channel
    if at is not None and traits.alpha in (AlphaUse.CUTOUT, AlphaUse.BLEND):
        holes &= page.pixels[..., at] > 0


def _not_a_number(page: Image) -> Holes:
    missing = np.zeros((page.height, page.width), np.bool_)
    if page.stored.is_float:
        for channel in page.color_channels or (0,):
            missing |= np.isnan(page.pixels[:, :, channel])
    return missing


def named(
    where: Places,
    spots: Sequence[Seen],
    scratches: Sequence[tuple[float, At]],
    missing: Holes | None,
    size: tuple[int, int],
) -> tuple[Blob, ...]:
    """A kind and a score for each place.  `scratches`: score and pixels of each; `size` (H, W): of the whole picture,
    of which `where` may be a part: then all else counts from that part's first row."""
    scores: list[float | None] = [None] * len(where)
    known: dict[int, str] = {}
    for y, x, score in spots:
        at = int(where.labels[y, x]) - 1
        if at >= 0:
            scores[at] = max(score, scores[at] or 0.0)
    for score, pixels in scratches:
        for label in np.unique(where.labels[pixels]).tolist():
            if label:
                known[label - 1] = "scratch"
                scores[label - 1] = max(score, scores[label - 1] or 0.0)
    if missing is not None:
        for label in np.unique(where.labels[missing]).tolist():
            known.setdefault(label - 1, "not a number")
    dust_px, crack_px = _DUST_SHARE * size[0], _CRACK_SHARE * float(np.hypot(*size))
    blobs = []
    for k, (box, area) in enumerate(zip(where.boxes, where.areas_px, strict=True)):
        there = where.labels[box.y0 : box.y1, box.x0 : box.x1] == k + 1
        blobs.append(Blob(box, area, known.get(k) or _kind(there, dust_px, crack_px), scores[k]))
    return tuple(blobs)


def _kind(there: Holes, dust_px: float, crack_px: float) -> str:
    shape = measure(there)
    if shape.length_px < LINE_RATIO * shape.thickness_px:
        diameter = 2.0 * float(np.sqrt(np.count_nonzero(there) / np.pi))
        return "dust" if diameter <= max(dust_px, _LEAST_DUST_PX) else "dirt"
    if float(np.hypot(*there.shape)) >= _STRAIGHT * shape.length_px:
        return "scratch"
    return "crack" if shape.length_px >= crack_px else "hair"
