"""Owns the options about damage: where holes are told, how they are found, what is done to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from restore.cli import options
from restore.errors import SetupError
from restore.recipe import FindHoles, Grain, HolesFrom, Inpaint, NoMask, Polarity

WHERE = "Where the damage is"
REPAIR = "How it is repaired"
DEFAULT_MODEL = "pconv"
WAYS = "masks, alpha, key:#rrggbb[,tolerance], auto, ir:channel=N, ir:page=N, ir:suffix=TEXT"


def parse_holes(text: str) -> FindHoles:
    """`--holes`; raises ValueError with what can be said instead."""
    kind, _, rest = text.partition(":")
    if text in ("masks", "alpha", "auto"):
        return FindHoles(HolesFrom(text))
    if kind == "key" and (found := re.fullmatch(r"#?([0-9a-fA-F]{6})(?:,(\d{1,3}))?", rest)):
        rgb, tolerance = bytes.fromhex(found[1]), int(found[2] or 0)
        if tolerance <= 255:
            return FindHoles(HolesFrom.KEY, key_rgb=(rgb[0], rgb[1], rgb[2]), key_tolerance=tolerance)
    if kind == "ir" and (found := re.fullmatch(r"(channel|page)=(\d{1,4})", rest)):
        number = int(found[2])
        if found[1] == "channel":
            return FindHoles(HolesFrom.INFRARED, ir_channel=number)
        if number >= 1:
            return FindHoles(HolesFrom.INFRARED, ir_page=number)
    if kind == "ir" and rest.startswith("suffix=") and len(rest) > len("suffix="):
        return FindHoles(HolesFrom.INFRARED, ir_suffix=rest.removeprefix("suffix="))
    raise ValueError(f"{text!r} is none of: {WAYS} (channels count from 0, pages from 1)")


def _parsed_holes(text: str) -> FindHoles:
    try:
        return parse_holes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@dataclass(frozen=True)
class Growth:
    """`--grow`."""

    px: int | None
    """None: until the rim no longer stands out."""


def parse_grow(text: str) -> Growth:
    """`--grow auto|N`."""
    if text == "auto":
        return Growth(None)
    if text.isascii() and text.isdigit() and int(text[:9]) <= 1024:
        return Growth(int(text))
    raise typer.BadParameter(f"{text!r} is not one of: auto, a whole number of pixels from 0 to 1024")


Masks = Annotated[
    Path | None,
    typer.Option(
        "--masks",
        metavar="DIR|FILE",
        show_default="beside the pictures",
        help="Mask pictures, white = missing: a folder, or one file for all.",
        rich_help_panel=WHERE,
    ),
]
Holes = Annotated[
    FindHoles | None,
    typer.Option(
        "--holes",
        parser=_parsed_holes,
        metavar="WAY",
        show_default="masks",
        help=f"What tells the damage: {WAYS}.",
        rich_help_panel=WHERE,
    ),
]
InvertMask = Annotated[
    bool, typer.Option("--invert-mask", help="In mask files black is missing.", rich_help_panel=WHERE)
]
MaskPattern = Annotated[
    str | None,
    typer.Option(
        "--mask-pattern",
        metavar="PATTERN",
        help="How masks are called, such as '{stem}_mask.{ext}'.",
        rich_help_panel=WHERE,
    ),
]
NoMaskOption = Annotated[
    NoMask | None,
    typer.Option(
        "--no-mask",
        show_default="copy",
        help="Pictures without damage: copy them byte for byte, skip them, or count them as failed.",
        rich_help_panel=WHERE,
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Any doubt about masks ends the run before it starts.", rich_help_panel=WHERE)
]
PolarityOption = Annotated[
    Polarity | None,
    typer.Option("--polarity", show_default="both", help="Defects that auto looks for.", rich_help_panel=WHERE),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        min=1.0,
        max=100.0,
        metavar="SIGMAS",
        show_default="6",
        help="How far a defect stands out from the local noise (auto, ir).",
        rich_help_panel=WHERE,
    ),
]
MaxDefect = Annotated[
    int | None,
    typer.Option(
        "--max-size",
        min=1,
        metavar="PX",
        show_default="1 % of the height",
        help="Largest defect that auto takes for one, lines apart.",
        rich_help_panel=WHERE,
    ),
]
SaveMasks = Annotated[
    Path | None,
    typer.Option(
        "--save-masks",
        metavar="DIR",
        help="Write what was taken for damage as mask pictures, to be corrected and given back with --masks.",
        rich_help_panel=WHERE,
    ),
]
Grow = Annotated[
    Growth | None,
    typer.Option(
        "--grow",
        parser=parse_grow,
        metavar="auto|PX",
        show_default="auto",
        help="Widen holes; auto: until the rim no longer stands out.",
        rich_help_panel=REPAIR,
    ),
]
GrainOption = Annotated[
    Grain, typer.Option("--grain", help="auto: fills get the grain of their surroundings.", rich_help_panel=REPAIR)
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE",
        help="The network that fills: the shipped one, or a .safetensors file.",
        rich_help_panel=REPAIR,
    ),
]
Context = Annotated[
    int,
    typer.Option(
        "--context", min=16, max=256, metavar="PX", help="Known pixels seen around a hole.", rich_help_panel=REPAIR
    ),
]
PatchesDir = Annotated[
    Path | None,
    typer.Option(
        "--patches",
        metavar="DIR",
        help="In place of OUT: keep only the repairs, about 1 % of the bytes (see restore apply).",
        rich_help_panel=options.FILES,
    ),
]
Lossy = Annotated[
    bool,
    typer.Option(
        "--lossy",
        help="Allow formats that change every pixel (JPEG): nothing can be proved there.",
        rich_help_panel=options.FILES,
    ),
]
DEFAULT_CONTEXT_PX = Inpaint.context_px


@dataclass(frozen=True)
class DamageWishes:
    """What was asked for about damage, as given: None where nothing was said."""

    way: FindHoles | None = None
    masks: Path | None = None
    invert: bool = False
    pattern: str | None = None
    grow: Growth | None = None
    polarity: Polarity | None = None
    threshold: float | None = None
    max_size_px: int | None = None


def find_holes(wishes: DamageWishes) -> FindHoles:
    """The wishes put together.  Raises SetupError where they contradict each other, saying which."""
    way = wishes.way or FindHoles(HolesFrom.MASKS)
    said = f"--holes {way.source.value}"
    if way.source is not HolesFrom.MASKS:
        given = {"--masks": wishes.masks, "--mask-pattern": wishes.pattern, "--invert-mask": wishes.invert or None}
        _refuse(given, said, "masks already say where the damage is")
    if way.source is not HolesFrom.AUTO:
        sought = {"--polarity": wishes.polarity, "--max-size": wishes.max_size_px}
        _refuse(sought, said, "only --holes auto looks for defects")
    if way.source not in (HolesFrom.AUTO, HolesFrom.INFRARED):
        _refuse({"--threshold": wishes.threshold}, said, "only --holes auto and ir measure how far damage stands out")
    return replace(
        way,
        invert=wishes.invert,
        polarity=wishes.polarity or FindHoles.polarity,
        threshold_sigmas=FindHoles.threshold_sigmas if wishes.threshold is None else wishes.threshold,
        max_size_px=wishes.max_size_px,
        grow_px=None if wishes.grow is None else wishes.grow.px,
    )


def _refuse(given: Mapping[str, object], said: str, why: str) -> None:
    for option, value in given.items():
        if value is not None:
            raise SetupError(f"{option} and {said} contradict each other: {why}: leave one of them out")
