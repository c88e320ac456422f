"""Owns the one way in: which pixels of a picture are missing, by whichever rule."""

from __future__ import annotations

import numpy as np

from restore.errors import ImageError
from restore.holes.detect import find_damage
from restore.holes.found import Found, Holes, one_kind
from restore.holes.grow import grow, grow_marked
from restore.holes.infrared import find_infrared
from restore.holes.key import clear_alpha, key_colour
from restore.holes.levels import top_of
from restore.holes.marked import read_marks
from restore.image import Image, Pixels
from restore.recipe import FindHoles, HolesFrom
from restore.traits import Traits

MUCH = 0.03
"""Of a picture; dust, dirt and hairs cover 1.3 % of a dirty 35 mm frame (mean of FilmDamageSimulator's ten scans)."""


def find(
    page: Image, rule: FindHoles, traits: Traits, *, marked: Image | None = None, infrared: Image | None = None
) -> Found:
    """The holes of `page`, grown as `rule` says.

    `marked` is the mask picture (MASKS), `infrared` the page or file with the infrared image (INFRARED with `ir_page`
    or `ir_suffix`; with `ir_channel` it is a channel of `page`).  ImageError, which doesn't know the file's name: a
    mask of another size, a channel that isn't there.  ValueError: what the rule needs wasn't handed over.

    Growth "until the rim is quiet" is for damage.  Alpha and colour keys say exactly which pixels are missing, and what
    lies beside them is often an outline that was drawn: they grow only by `grow_px`.
    """
    match rule.source:
        case HolesFrom.MASKS:
            return _from_mask(page, rule, traits, marked)
        case HolesFrom.ALPHA:
            holes, notes = clear_alpha(page)
            return _grown(page, holes, "alpha", rule.grow_px or 0, traits, notes)
        case HolesFrom.KEY:
            if rule.key_rgb is None:
                raise ValueError("holes by a colour key need key_rgb")
            holes, notes = key_colour(page, rule.key_rgb, rule.key_tolerance)
            return _grown(page, holes, "key", rule.grow_px or 0, traits, notes)
        case HolesFrom.AUTO:
            damage = find_damage(page, rule, traits)
            grown = grow(page, damage.where, damage.blobs, rule.grow_px, traits.wraps)
            nothing = np.zeros_like(grown.holes)
            return Found(
                grown.holes, grown.labels, grown.blobs, page, nothing, (), _warning(grown.holes, len(grown.blobs))
            )
        case HolesFrom.INFRARED:
            return find_infrared(page, infrared_plane(page, rule, infrared), rule, traits)


def _warning(holes: Holes, count: int) -> tuple[str, ...]:
    return warning(np.count_nonzero(holes) / holes.size, count)


def warning(share: float, count: int) -> tuple[str, ...]:
    """What a person should know where `count` places, `share` of a picture, were found in it."""
    if share <= MUCH:
        return ()
    told = f"{count} places found, {share:.1%} of the picture, more than dirty film has"
    return (f"{told}: look at the masks (--save-masks), or raise the threshold",)


def _from_mask(page: Image, rule: FindHoles, traits: Traits, marked: Image | None) -> Found:
    if marked is None:
        raise ValueError("holes from masks need the mask picture")
    if (marked.height, marked.width) != (page.height, page.width):
        sizes = f"the mask is {marked.width}x{marked.height}, the picture {page.width}x{page.height}"
        raise ImageError(f"{sizes}: make the mask at the picture's own size")
    return _grown(page, read_marks(marked, invert=rule.invert).holes, "mask", rule.grow_px, traits, ())


def _grown(page: Image, holes: Holes, kind: str, grow_px: int | None, traits: Traits, notes: tuple[str, ...]) -> Found:
    if grow_px == 0 or not holes.any() or holes.all():
        return one_kind(holes, page, kind, notes)
    grown = grow_marked(page, holes, kind, grow_px, traits.wraps)
    return Found(grown.holes, grown.labels, grown.blobs, page, np.zeros_like(grown.holes), (), notes)


def infrared_plane(page: Image, rule: FindHoles, infrared: Image | None) -> Pixels:
    """(h, w): one channel of the picture, or the mean of a separate one's colour channels."""
    if rule.ir_channel is not None:
        if not 0 <= rule.ir_channel < len(page.stored.channels):
            named = ", ".join(page.stored.channels)
            raise ImageError(f"there is no channel {rule.ir_channel}: the picture has {named}, counted from 0")
        return page.pixels[:, :, rule.ir_channel]
    if infrared is None:
        raise ValueError("holes from a separate infrared image need that image")
    channels = infrared.color_channels or (0,)
    if len(channels) == 1:
        return infrared.pixels[:, :, channels[0]]
    total = infrared.pixels[:, :, channels[0]].astype(np.float32)
    for channel in channels[1:]:
        total += infrared.pixels[:, :, channel]
    total /= np.float32(len(channels) * top_of(infrared.pixels))
    return total
