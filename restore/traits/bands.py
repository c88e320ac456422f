"""Owns what a picture is that is read in bands of rows: as `classify` says of a whole one, but for repeating."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from restore.image import Banded, Image, Pixels
from restore.recipe import TraitRules, Wrap
from restore.traits import AlphaUse, Content, Traits, channels_of, is_grey
from restore.traits.alpha import AlphaFacts, alpha_facts, sampled_rows, top_of
from restore.traits.normal import SAMPLE_SIDE, normal_evidence

_BAND_ROWS = 512


def classify_in_bands(picture: Banded, name: str, rules: TraitRules) -> Traits:
    """What `picture`, from a file called `name`, is.

    Only textures repeat, and nothing so large is one: its first row isn't taken for its last one's neighbour.  Across,
    it repeats if `rules` say so.
    """
    step = max(1, picture.height // SAMPLE_SIDE)
    sample = np.concatenate([_colour(picture.rows(y, y + 1)) for y in range(0, picture.height, step)])
    vectors = normal_evidence(sample, name)
    told = _look(picture)
    use = AlphaFacts(AlphaUse.NONE, "no alpha channel")
    if told.alpha is not None:
        low, high, only_ends, top = told.alpha
        bands = [
            _both(picture.rows(rows.start, min(rows.stop, picture.height))) for rows in sampled_rows(picture.height)
        ]
        use = alpha_facts(low, high, bands, only_ends=only_ends, top=top)
        if vectors is not None and use.use in (AlphaUse.CUTOUT, AlphaUse.BLEND):
            use = AlphaFacts(AlphaUse.PACKED, "alpha beside vectors is data")
    if rules.wrap is Wrap.AUTO:
        wrap_reason = "doesn't repeat: it is worked on in bands of rows, as scans are, and scans don't"
    else:
        wrap_reason = f"wrap is {rules.wrap.value} by request"
    content = Content.COLOR if vectors is None else Content.NORMAL
    reasons = [f"normal map: {vectors}"] if vectors is not None else []
    reasons += [wrap_reason, use.because] + (["grey"] if told.grey else [])
    return Traits(content, use.use, (False, rules.wrap is Wrap.X), told.grey, "; ".join(reasons))


@dataclass(frozen=True)
class _Told:
    grey: bool
    alpha: tuple[float, float, bool, float] | None
    """Least, largest, whether there is nothing between 0 and the most, the most."""


def _look(picture: Banded) -> _Told:
    """Goes through all rows, or as far as they can still tell something."""
    grey, only_ends = True, True
    alphas: list[tuple[float, float]] = []
    top = 1.0
    for _, band in picture.bands(_BAND_ROWS):
        grey = grey and is_grey(_colour(band))
        at = band.alpha_channel
        if at is None:
            if not grey or len(band.color_channels) == 1:
                break
            continue
        alpha = band.pixels[..., at]
        top = top_of(alpha)
        alphas.append((alpha.min(), alpha.max()))
        only_ends = only_ends and bool(((alpha == 0) | (alpha == top)).all())
    if not alphas:
        return _Told(grey, None)
    return _Told(grey, (min(low for low, _ in alphas), max(high for _, high in alphas), only_ends, top))


def _colour(band: Image) -> Pixels:
    return channels_of(band, band.color_channels)


def _both(band: Image) -> tuple[Pixels, Pixels]:
    assert band.alpha_channel is not None  # only asked where there is one
    return _colour(band), band.pixels[..., band.alpha_channel]
