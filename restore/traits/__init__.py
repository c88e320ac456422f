"""Owns what a texture is: decided once, from its pixels and its name, with the reason in words.

Nothing else in the package looks at file names or guesses at alpha, wrapping or normal maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from restore.image import Image, Pixels
from restore.recipe import TraitRules, Wrap
from restore.traits.alpha import AlphaFacts, AlphaUse, classify_alpha
from restore.traits.normal import normal_evidence
from restore.traits.wrap import Seam, measure_seams

__all__ = ["AlphaUse", "Content", "Traits", "classify"]


class Content(StrEnum):
    """What the colour channels hold."""

    COLOR = "color"
    NORMAL = "normal"
    """A tangent-space normal map: vectors, never colour-fixed, never bled, renormalised."""


@dataclass(frozen=True)
class Traits:
    content: Content
    alpha: AlphaUse
    wraps: tuple[bool, bool]
    """Whether the picture repeats along (y, x)."""
    grey: bool
    """One colour channel, or three that are equal in every pixel."""
    because: str
    """Why, for people: "normal map: its name, and 98% unit vectors; repeats along x (match 0.91, inside 0.93); ..."."""


def classify(image: Image, name: str, rules: TraitRules) -> Traits:
    """What `image`, from a file called `name`, is.

    Reads strips of colour (and the whole alpha channel) in the file's own type; never fails on odd sizes: what can't
    be told is taken as plain colour that doesn't repeat.
    """
    color = channels_of(image, image.color_channels)
    alpha_at = image.alpha_channel
    alpha = None if alpha_at is None else image.pixels[..., alpha_at]
    vectors = normal_evidence(color, name)
    use = _alpha_use(color, alpha, is_normal=vectors is not None)
    if use.use is AlphaUse.PACKED and alpha_at is not None:  # two pictures: both must go on across the seam
        seen, opacity = channels_of(image, (*image.color_channels, alpha_at)), None
    else:
        seen, opacity = color, alpha if use.use in (AlphaUse.CUTOUT, AlphaUse.BLEND) else None
    wraps, wrap_reason = _wraps(seen, opacity, rules.wrap)
    grey = is_grey(color)
    content = Content.COLOR if vectors is None else Content.NORMAL
    reasons = [f"normal map: {vectors}"] if vectors is not None else []
    reasons += [wrap_reason, use.because] + (["grey"] if grey else [])
    return Traits(content, use.use, wraps, grey, "; ".join(reasons))


def channels_of(image: Image, indices: tuple[int, ...]) -> Pixels:
    """(H, W, C): those channels, as a view where they lie side by side from the first."""
    if indices == tuple(range(len(indices))):
        return image.pixels[..., : len(indices)]
    return image.pixels[..., list(indices)]


def _alpha_use(color: Pixels, alpha: Pixels | None, *, is_normal: bool) -> AlphaFacts:
    use = classify_alpha(color, alpha)
    if is_normal and use.use in (AlphaUse.CUTOUT, AlphaUse.BLEND):
        return AlphaFacts(AlphaUse.PACKED, "alpha beside vectors is data")
    return use


def _wraps(color: Pixels, opacity: Pixels | None, asked: Wrap) -> tuple[tuple[bool, bool], str]:
    if asked is not Wrap.AUTO:
        wraps = (asked in (Wrap.Y, Wrap.BOTH), asked in (Wrap.X, Wrap.BOTH))
        return wraps, f"wrap is {asked.value} by request"
    seams = measure_seams(color, opacity)
    words = [_words(axis, seam) for axis, seam in zip("yx", seams, strict=True)]
    return (seams[0].repeats, seams[1].repeats), ", ".join(words)


def _words(axis: str, seam: Seam) -> str:
    if seam.repeats:
        return f"repeats along {axis} (match {seam.match:.2f}, inside {seam.usual_match:.2f})"
    return f"not along {axis}: {seam.refusal}"


def is_grey(color: Pixels) -> bool:
    """Whether (H, W, C) has one channel, or three that are equal in every pixel."""
    if color.shape[2] == 1:
        return True
    for start in range(0, color.shape[0], 64):
        band = color[start : start + 64]
        if not (np.array_equal(band[..., 0], band[..., 1]) and np.array_equal(band[..., 0], band[..., 2])):
            return False
    return True
