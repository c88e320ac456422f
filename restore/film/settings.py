"""Owns what is done to film: per shot, and to all of it; plain values that a plan file can hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from restore.color.ocio import Space
from restore.errors import SetupError
from restore.film.clean import MAX_FALSE
from restore.recipe import Polarity, Upscale
from restore.tiling import Box


class InputColour(StrEnum):
    """What the numbers of a frame mean: repair looks at all of them as a display would show them."""

    SRGB = "srgb"
    REC709 = "rec709"
    CINEON = "cineon"
    LINEAR = "linear"


Colour = InputColour | Space
"""One of ours, or a colour space of an OpenColorIO config."""


def described(colour: Colour) -> str:
    """For people: "cineon", or "OCIO:ACEScct of ocio://..."."""
    return f"{colour} of {colour.config}" if isinstance(colour, Space) else str(colour)


def deciding(colour: Colour) -> str:
    """What results depend on, for fingerprints; where a config lies doesn't matter."""
    return f"{colour} {colour.sha256}" if isinstance(colour, Space) else str(colour)


class FilmGrain(StrEnum):
    """What becomes of the film's grain."""

    KEEP = "keep"
    REMOVE = "remove"
    REGRAIN = "regrain"


@dataclass(frozen=True)
class ShotSettings:
    """What is done to one shot."""

    dirt: bool = True
    scratches: bool = True
    flicker: bool = False
    steady: bool = False
    degrain: bool = False
    """Grain is taken out."""
    polarity: Polarity = Polarity.BOTH
    max_size_px: float | None = None
    """Largest diameter of a speck; None: 2 % of the height."""
    max_false: float = MAX_FALSE
    """False objects a frame that are put up with."""
    bar: float | None = None
    """Log-odds from which a candidate is dirt; None: judged from some of the shot's frames."""
    exclude: tuple[Box, ...] = ()
    """Where nothing is repaired: sound track, perforations, burnt-in titles."""

    def __post_init__(self) -> None:
        if self.max_false < 0:
            raise SetupError(f"max_false = {self.max_false}: a number of objects a frame, 0 or more")

    @property
    def whole_frame(self) -> bool:
        """Whether every pixel changes."""
        return self.flicker or self.steady or self.degrain

    @property
    def repairs(self) -> bool:
        return self.dirt or self.scratches


@dataclass(frozen=True)
class FilmSettings:
    """What is done to all shots alike."""

    inpaint: str = ""
    """Network for holes that neighbours can't fill: a name or a file; "" fills them classically."""
    inpaint_sha256: str = ""
    upscale: Upscale | None = None
    upscale_model: str = ""
    """The name or file that `upscale`'s network was loaded from."""
    grain: FilmGrain = FilmGrain.KEEP
    masks: bool = False
    """Holes are those of mask files, and none is searched for."""
    shot: ShotSettings = field(default_factory=ShotSettings)
    """For shots that have none of their own."""

    @property
    def same_size(self) -> bool:
        """Whether what isn't repaired keeps its place, so that untouched samples can be compared."""
        return self.upscale is None
