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


class NoMask(StrEnum):
    """What becomes of a picture without damage, or without a mask."""

    COPY = "copy"  # byte for byte
    SKIP = "skip"
    ERROR = "error"


class HolesFrom(StrEnum):
    """Where it is said which pixels are missing."""

    MASKS = "masks"
    """Mask pictures beside the sources or in a folder of their own; white = hole."""
    ALPHA = "alpha"
    """Where alpha is 0."""
    KEY = "key"
    """Where the colour is one certain colour."""
    AUTO = "auto"
    """Dust, scratches and cracks, found in the picture itself."""
    INFRARED = "ir"
    """A scanner's infrared channel, which sees dirt and not the dyes."""


class Polarity(StrEnum):
    """Which defects a detector looks for."""

    BOTH = "both"
    DARK = "dark"
    LIGHT = "light"


class Grain(StrEnum):
    """What becomes of grain in what is filled."""

    AUTO = "auto"  # as much as the neighbourhood has
    OFF = "off"


@dataclass(frozen=True)
class FindHoles:
    """How missing pixels are found."""

    source: HolesFrom
    invert: bool = False
    """Mask files only: black = hole."""
    key_rgb: tuple[int, int, int] | None = None
    """0..255 each; with KEY."""
    key_tolerance: int = 0
    """0..255: largest difference in any channel."""
    ir_channel: int | None = None
    """Index of the channel, from 0; with INFRARED one of these three is set."""
    ir_page: int | None = None
    """Number of the page, from 1."""
    ir_suffix: str | None = None
    """What a separate file's stem ends with: "_ir"."""
    polarity: Polarity = Polarity.BOTH
    """AUTO only."""
    threshold_sigmas: float = 6.0
    """AUTO and INFRARED: how far a defect must stand out, in standard deviations of the local noise."""
    max_size_px: int | None = None
    """AUTO: largest side of a defect that is no line; None: 1 % of the picture's height."""
    grow_px: int | None = None
    """How far holes are grown; None: until the rim no longer stands out."""


@dataclass(frozen=True)
class Inpaint:
    """One filling of holes, fully resolved: nothing here is still `auto` when it is hashed."""

    model: str
    """Name for people; `model_sha256` is what counts."""
    model_sha256: str
    precision: Precision
    holes: FindHoles
    context_px: int = 16
    """Known pixels that the network sees around a hole, on each side.  24 and 32 px gave at most 0.1 dB more on
    held-out crops, and cost much more."""
    grain: Grain = Grain.AUTO

    def __post_init__(self) -> None:
        if self.precision is Precision.AUTO:
            raise ValueError("precision must be resolved before a recipe is made")
        if self.context_px < 16:
            raise ValueError(f"holes need at least 16 px of context, got {self.context_px}")


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


PATCHES = "patches"
"""In place of a picture format: only the repairs are kept, with the originals under them (`trust.ledger`)."""


@dataclass(frozen=True)
class Output:
    """How results are written."""

    format: str = "same"
    """"same", a key of `formats.FORMATS`, or PATCHES."""


@dataclass(frozen=True)
class Recipe:
    """What the pixels become: holes are filled first, then the picture is enlarged, because dirt enlarged four times is
    worse dirt.  A recipe without steps puts stored patches on (`restore apply`)."""

    upscale: Upscale | None = None
    inpaint: Inpaint | None = None
    rules: TraitRules = field(default_factory=TraitRules)
    output: Output = field(default_factory=Output)

    def fingerprint(self) -> str:
        """sha256 over every field that decides pixels (models by their own sha256, not by their names)."""
        facts = {name: step for name, step in asdict(self).items() if step is not None}
        for step in ("upscale", "inpaint"):
            if step in facts:
                del facts[step]["model"]
        facts["pixels_version"] = PIXELS_VERSION
        return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def to_json(self) -> str:
        """For the journal: without the folders of models that were given as paths, so that it names no machine."""
        facts = asdict(self)
        for step in ("upscale", "inpaint"):
            if facts[step] is not None:
                facts[step]["model"] = Path(facts[step]["model"]).name
        return json.dumps(facts, sort_keys=True)


@dataclass(frozen=True)
class MaskOptions:
    """Where the files lie that say which pixels are missing; never hashed, because their contents are."""

    place: Path | None = None
    """A folder, or one file for all pictures; None: beside the pictures."""
    pattern: str | None = None
    """"{stem}_mask.{ext}"; None: the usual names."""
    no_mask: NoMask | None = None
    """None: COPY, and a doubt where `strict`."""
    strict: bool = False
    """Any doubt about holes or their files ends the run before it starts."""
    save: Path | None = None
    """A folder that gets the holes of every picture as mask pictures, for a person to correct."""


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
    """Largest source and largest output, in pixels, that one file may ask for."""
    lossy: bool = False
    """Let repaired pictures be written in formats that change every pixel."""
    masks: MaskOptions = field(default_factory=MaskOptions)
    patches: Path | None = None
    """A folder of patch files, which a recipe without steps puts on."""
