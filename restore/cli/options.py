"""Owns the options that commands share: their names, their help, and what they allow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from restore.recipe import ColorFix, OnCollision, Pow2, Precision, Upscale, Wrap

DEFAULT_MODEL = "x4plus"
DEFAULT_KEEP_GRAIN = Upscale.keep_grain
DEFAULT_MAX_PIXELS = 1 << 30

SMALLEST_TILE_PX = 32
LARGEST_TILE_PX = 8192
LARGEST_HALO_PX = 1024

CHOOSING = "Which sources"
PIXELS = "What the pixels become"
SIZE = "How large the results are"
FILES = "Files"
RUNNING = "How it runs"


class Check(StrEnum):
    """What is looked at beyond headers and time stamps before work starts."""

    CONTENT = "content"
    DECODE = "decode"


class Format(StrEnum):
    """What results are written as."""

    SAME = "same"
    PNG = "png"
    TGA = "tga"
    BMP = "bmp"
    JPEG = "jpeg"
    TIFF = "tiff"
    WEBP = "webp"
    PNM = "pnm"
    EXR = "exr"


@dataclass(frozen=True)
class Halo:
    """`--halo`: a width, or a word that stands for one that the model knows."""

    px: int | None
    """None: the model's own default, or all that it can see where `exact`."""
    exact: bool = False


def parse_tile(text: str) -> int | None:
    """`--tile auto|N`; None is auto."""
    return None if text == "auto" else _whole_px(text, SMALLEST_TILE_PX, LARGEST_TILE_PX, "auto")


def parse_halo(text: str) -> Halo:
    """`--halo auto|exact|N`."""
    if text in ("auto", "exact"):
        return Halo(None, exact=text == "exact")
    return Halo(_whole_px(text, 0, LARGEST_HALO_PX, "auto, exact"))


def _whole_px(text: str, smallest: int, largest: int, words: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 10 and smallest <= int(text) <= largest:
        return int(text)
    raise typer.BadParameter(f"{text!r} is not one of: {words}, a whole number of pixels from {smallest} to {largest}")


def parse_scale(text: str) -> float:
    """`--scale`: output side over source side."""
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0.1 <= scale <= 16.0:  # also refuses nan
        raise typer.BadParameter(f"{text!r} is not a number from 0.1 to 16, such as 2 or 1.5")
    return scale


Source = Annotated[Path, typer.Argument(metavar="IN", help="An image, or a folder of images at any depth.")]
Target = Annotated[Path, typer.Argument(metavar="OUT", help="Where results go: a folder (made if missing), or a file.")]

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|PATH",
        help="A name from `restore models list`, or a checkpoint (.safetensors, .pth).",
        rich_help_panel=PIXELS,
    ),
]
WrapOption = Annotated[
    Wrap, typer.Option("--wrap", help="Axes on which textures repeat; auto looks at each one.", rich_help_panel=PIXELS)
]
ColorFixOption = Annotated[
    ColorFix,
    typer.Option("--color-fix", help="auto: keep the source's colours; off: the model's.", rich_help_panel=PIXELS),
]
KeepGrain = Annotated[
    float,
    typer.Option(
        "--keep-grain",
        min=0.0,
        max=1.0,
        metavar="0..1",
        help="Share of the source's own fine grain to bring back.",
        rich_help_panel=PIXELS,
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision", help="Number type inside the network; auto: the fastest good one here.", rich_help_panel=PIXELS
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        "--tile",
        parser=parse_tile,
        metavar="auto|PX",
        show_default="auto",
        help="Side of what the network reads at once, in source pixels.",
        rich_help_panel=PIXELS,
    ),
]
HaloOption = Annotated[
    Halo | None,
    typer.Option(
        "--halo",
        parser=parse_halo,
        metavar="auto|exact|PX",
        show_default="auto",
        help="Source pixels that tiles overlap; exact: all that the network can see.",
        rich_help_panel=PIXELS,
    ),
]

Scale = Annotated[
    float | None,
    typer.Option(
        "--scale",
        parser=parse_scale,
        metavar="FACTOR",
        show_default="the model's",
        help="Output side over source side, 0.1 to 16; resampled once where it isn't the model's.",
        rich_help_panel=SIZE,
    ),
]
MaxSize = Annotated[
    int | None,
    typer.Option("--max-size", min=1, metavar="PX", help="Longest output side allowed.", rich_help_panel=SIZE),
]
Pow2Option = Annotated[Pow2, typer.Option("--pow2", help="Round output sides to powers of two.", rich_help_panel=SIZE)]
MultipleOf = Annotated[
    int,
    typer.Option(
        "--multiple-of",
        min=1,
        max=4096,
        metavar="PX",
        help="Round output sides to multiples, such as 4 for block compression.",
        rich_help_panel=SIZE,
    ),
]
MaxPixels = Annotated[
    int,
    typer.Option(
        "--max-pixels",
        min=1,
        metavar="N",
        show_default="2^30",
        help="Refuse files whose result would have more pixels.",
        rich_help_panel=SIZE,
    ),
]

Include = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="GLOB", help="Only these, such as 'walls/*.tga'.", rich_help_panel=CHOOSING),
]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="GLOB", help="Not these.", rich_help_panel=CHOOSING)
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", help="At most N images in this run.", rich_help_panel=CHOOSING),
]

FormatOption = Annotated[Format, typer.Option("--format", "-f", help="File format of results.", rich_help_panel=FILES)]
OnCollisionOption = Annotated[
    OnCollision,
    typer.Option(
        "--on-collision",
        help="Two sources, one result name: refuse, or keep suffixes (a.tga.png).",
        rich_help_panel=FILES,
    ),
]
CopyOthers = Annotated[
    bool, typer.Option("--copy-others", help="Also copy files that are no images.", rich_help_panel=FILES)
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files in OUT that restore did not make.", rich_help_panel=FILES),
]
State = Annotated[
    Path | None,
    typer.Option(
        "--state", metavar="DIR", show_default="OUT/.restore", help="Where the journal is kept.", rich_help_panel=FILES
    ),
]

Device = Annotated[
    str,
    typer.Option("--device", metavar="auto|cpu|cuda[:N]|mps|xpu", help="What computes.", rich_help_panel=RUNNING),
]
CheckOption = Annotated[
    list[Check] | None,
    typer.Option(
        "--check",
        help="content: judge sources by sha256; decode: read them all before work. Repeatable.",
        rich_help_panel=RUNNING,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Show the plan; write nothing.", rich_help_panel=RUNNING)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.", rich_help_panel=RUNNING)]
