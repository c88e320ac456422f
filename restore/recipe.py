"""Owns everything that decides pixels, as frozen dataclasses, and their fingerprint.

What only decides where or how fast (devices, state directory, progress) is `RunOptions` and is never hashed,
so a run begun on one machine resumes on another.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

PIXELS_VERSION = 2
"""Raised whenever the same recipe would give other pixels than before: old outputs are then redone."""


class Wrap(StrEnum):
    """Which axes of a texture repeat."""

    AUTO = "auto"
    NONE = "none"
    X = "x"
    Y = "y"
    BOTH = "both"


class Precision(StrEnum):
    """The type that feature maps are stored in while a network runs (sums are fp32)."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class ColorFix(StrEnum):
    AUTO = "auto"
    OFF = "off"


class Pow2(StrEnum):
    """Rounding of the output's sides to powers of two."""

    OFF = "off"
    NEAREST = "nearest"
    UP = "up"
    DOWN = "down"


class OnCollision(StrEnum):
    """Two sources that would share one target."""

    REFUSE = "refuse"
    SUFFIX = "suffix"  # wall.tga -> wall.tga.png


@dataclass(frozen=True)
class TraitRules:
    """What the user overrides about what a texture is."""

    wrap: Wrap = Wrap.AUTO


@dataclass(frozen=True)
class Upscale:
    """One super-resolution step, fully resolved: nothing here is still `auto` when it is hashed."""

    model: str
    """Name for people; `model_sha256` is what counts."""
    model_sha256: str
    precision: Precision
    tile_px: int
    """Side of the square that the network reads at once, halo included, in source pixels."""
    halo_px: int
    """Pixels read around a tile's own and thrown away, in source pixels."""
    scale: float | None = None
    """Output side over source side; None is the model's own."""
    color_fix: ColorFix = ColorFix.AUTO
    keep_grain: float = 0.4
    """0..1: share of the source's own fine structure that is brought back where the network smoothed it away.  0.4 was
    chosen by looking (`restore.color.KEEP_GRAIN` says at what)."""
    max_size_px: int | None = None
    pow2: Pow2 = Pow2.OFF
    multiple_of_px: int = 1

    def __post_init__(self) -> None:
        if self.precision is Precision.AUTO:
            raise ValueError("precision must be resolved before a recipe is made")
        if not 0.0 <= self.keep_grain <= 1.0:
            raise ValueError(f"keep_grain must be in 0..1, got {self.keep_grain}")
        if self.tile_px <= 2 * self.halo_px:
            raise ValueError(f"a tile of {self.tile_px} px has nothing left inside a halo of {self.halo_px} px")


@dataclass(frozen=True)
class Output:
    """How results are written."""

    format: str = "same"
    """"same" or a key of `formats.FORMATS`."""


@dataclass(frozen=True)
class Recipe:
    """What the pixels become."""

    upscale: Upscale
    rules: TraitRules = field(default_factory=TraitRules)
    output: Output = field(default_factory=Output)

    def fingerprint(self) -> str:
        """sha256 over every field that decides pixels (the model by its own sha256, not by its name)."""
        facts = asdict(self)
        del facts["upscale"]["model"]
        facts["pixels_version"] = PIXELS_VERSION
        return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class RunOptions:
    """Where and how a run works; never hashed."""

    source: Path
    target: Path
    state: Path | None = None
    """Directory of the journal; None: TARGET/.restore, or a per-user one when TARGET is a network filesystem."""
    device: str = "auto"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limit: int | None = None
    on_collision: OnCollision = OnCollision.REFUSE
    check_content: bool = False
    """A source counts as unchanged only if its sha256 is."""
    check_decode: bool = False
    """Decode every source before the device is touched."""
    copy_others: bool = False
    overwrite: bool = False
    """Replace files in TARGET that this tool's journal doesn't know."""
    max_pixels: int = 1 << 30
    """Largest output, in pixels, that one file may ask for."""
