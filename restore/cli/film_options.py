"""Owns the options that the commands of film share: their names, their help, and the plan that they make."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restore.errors import SetupError
from restore.recipe import Polarity

if TYPE_CHECKING:
    from restore.color.ocio import View
    from restore.film.plan import Plan
    from restore.film.settings import Colour, InputColour
    from restore.formats import Decoder
    from restore.reels.source import Source
    from restore.reels.state import State

AUTO = "auto"
_SEEN = "seen.json"
_SEEN_VERSION = 1

REPAIR = "What is repaired"
READING = "How the reel is read"
WRITING = "How it is written"
RUNNING = "How it runs"


class FieldsWish(StrEnum):
    AUTO = "auto"
    MATCH = "match"
    IVTC = "ivtc"
    BOB = "bob"
    REFUSE = "refuse"


class GrainWish(StrEnum):
    KEEP = "keep"
    REMOVE = "remove"
    REGRAIN = "regrain"


Reel = Annotated[Path, typer.Argument(metavar="IN", help="A video, a folder of frames, or one frame of a sequence.")]
Frames = Annotated[
    str | None,
    typer.Option("--frames", metavar="A-B", help="Only these frames, by their numbers.", rich_help_panel=READING),
]
FieldsOption = Annotated[
    FieldsWish,
    typer.Option("--fields", help="What becomes of fields; auto looks at the pictures.", rich_help_panel=READING),
]
InputColourOption = Annotated[
    str,
    typer.Option(
        "--input-colour", metavar="auto|srgb|rec709|cineon|linear|OCIO:NAME",
        help="What the numbers mean; auto asks the file's header.", rich_help_panel=READING,
    ),
]  # fmt: skip
OcioConfig = Annotated[
    str | None,
    typer.Option(
        "--ocio-config", metavar="FILE|ocio://NAME", show_default="$OCIO, or ACES with cameras",
        help="The config of OpenColorIO that has OCIO:NAME.", rich_help_panel=READING,
    ),
]  # fmt: skip
PlanOption = Annotated[
    Path | None,
    typer.Option("--plan", metavar="FILE", help="A plan of `restore scan --write-plan`.", rich_help_panel=READING),
]
Edl = Annotated[
    Path | None,
    typer.Option("--edl", metavar="FILE", help="Take cuts from this list (CMX 3600).", rich_help_panel=READING),
]
EdlRate = Annotated[
    float,
    typer.Option("--edl-rate", min=1, metavar="FPS", help="Frames a second of its timecode.", rich_help_panel=READING),
]
Dirt = Annotated[bool | None, typer.Option("--dirt/--no-dirt", help="Remove dirt and dust.", rich_help_panel=REPAIR)]
Scratches = Annotated[
    bool | None,
    typer.Option("--scratches/--no-scratches", help="Remove vertical scratches.", rich_help_panel=REPAIR),
]
Flicker = Annotated[
    bool | None, typer.Option("--flicker/--no-flicker", help="Even out flicker.", rich_help_panel=REPAIR)
]
Steady = Annotated[
    bool | None, typer.Option("--steady/--no-steady", help="Take out gate weave.", rich_help_panel=REPAIR)
]
MaxFalse = Annotated[
    float | None,
    typer.Option(
        "--max-false", min=0, metavar="N", show_default="2", help="False objects a frame to put up with.",
        rich_help_panel=REPAIR,
    ),
]  # fmt: skip
PolarityOption = Annotated[
    Polarity | None,
    typer.Option("--polarity", show_default="both", help="Which dirt is looked for.", rich_help_panel=REPAIR),
]
MaxSize = Annotated[
    float | None,
    typer.Option(
        "--max-size", min=1, metavar="PX", show_default="2 % of the height", help="Largest diameter of a speck.",
        rich_help_panel=REPAIR,
    ),
]  # fmt: skip
InpaintModel = Annotated[
    str,
    typer.Option(
        "--inpaint", metavar="NAME|PATH|off", help="Network for what neighbouring frames can't fill.",
        rich_help_panel=REPAIR,
    ),
]  # fmt: skip
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, metavar="N", show_default="one a core", help="Processes that work.",
        rich_help_panel=RUNNING,
    ),
]  # fmt: skip


@dataclass(frozen=True)
class Wishes:
    """What was asked for about the repair of shots; None: nothing was said."""

    dirt: bool | None = None
    scratches: bool | None = None
    flicker: bool | None = None
    steady: bool | None = None
    max_false: float | None = None
    polarity: Polarity | None = None
    max_size_px: float | None = None

    def said(self) -> dict[str, Any]:
        """As fields of ShotSettings."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Reading:
    """What was asked for about how a reel is read."""

    frames: str | None = None
    fields: FieldsWish = FieldsWish.AUTO
    colour: str = AUTO
    plan: Path | None = None
    edl: Path | None = None
    edl_rate: float = 24.0
    ocio_config: str | None = None


def plan_for(
    source: Source,
    reading: Reading,
    wishes: Wishes,
    decoder: Decoder,
    state: State | None,
    on_look: Callable[[int, int], None] = lambda _done, _frames: None,
) -> Plan:
    """The plan that the options mean for a reel: read, or made by looking at all of it, which `on_look` hears of: how
    many of how many frames were seen.

    What is said on the command line holds for every shot of a plan.  What an earlier run saw is taken from `state`, and
    what this one sees is kept there; None: neither.  Raises SetupError, ImageError.
    """
    from restore.film.plan import from_toml, read_plan, to_toml, with_cuts

    colour = _colour_asked(reading)
    if reading.plan is not None:
        plan = read_plan(reading.plan).with_settings(wishes.said())
        plan = replace(plan, colour=colour or _settled(plan.colour, reading.ocio_config))
        reel = source.open(plan.fields, decoder)
        numbers = reel.numbers
        if reel.size != plan.size or plan.first < numbers[0] or plan.last > numbers[-1]:
            one, other = (
                f"{a}-{b} of {w} x {h}"
                for a, b, (w, h) in ((plan.first, plan.last, plan.size), (numbers[0], numbers[-1], reel.size))
            )
            raise SetupError(f"{reading.plan}: it is for frames {one}, {source.label} has frames {other}")
        return cut_to(plan, reading.frames)
    key = _seen_key(source, reading, colour)
    seen = None if state is None else state.get(_SEEN)
    if seen is not None and seen.get("key") == key:
        plan = from_toml(str(seen["plan"]), "the state's plan")
        fields = replace(plan.fields, because=str(seen["because"]))
        plan = replace(plan, fields=fields, notes=tuple(seen["notes"]), colour=colour or plan.colour)
    else:
        plan = _look(source, reading, colour, decoder, on_look, state)
        if state is not None:
            state.put(
                _SEEN, {"key": key, "plan": to_toml(plan), "because": plan.fields.because, "notes": list(plan.notes)}
            )
    if reading.edl is not None:
        plan = with_cuts(plan, _cuts(reading.edl, reading.edl_rate, plan))
    return plan.with_settings(wishes.said())


def _look(
    source: Source,
    reading: Reading,
    colour: Colour | None,
    decoder: Decoder,
    on_look: Callable[[int, int], None],
    state: State | None,
) -> Plan:
    from restore.film.scan import fields_of, scan, untreated
    from restore.film.settings import ShotSettings

    if source.frames is None:
        assert source.clip is not None
        assert source.known is not None
        fields, _ = fields_of(source.clip, source.known, reading.fields.value)
    else:
        fields = untreated(len(source.frames.names))
    reel = source.open(fields, decoder)
    stretch = _stretch(reading.frames, reel.numbers[0], reel.numbers[-1])
    colour, frames = colour or _colour_of(source, decoder), len(reel.numbers)
    if state is not None:
        state.token()  # a disk that can't be written to is told before all frames are looked at
    return scan(reel, fields, colour, ShotSettings(), stretch, lambda position: on_look(position, frames))


def _seen_key(source: Source, reading: Reading, colour: Colour | None) -> str:
    from restore.film.settings import deciding

    meant = AUTO if colour is None else deciding(colour)
    facts = [_SEEN_VERSION, source.identity(0, 1 << 62), reading.frames, reading.fields, meant]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def view_for(colour: Colour, name: str | None, config: str | None) -> View | None:
    """The view of OpenColorIO that pages are drawn with; None: as a display shows such frames.  SetupError."""
    from restore.color import ocio
    from restore.film.settings import InputColour

    if name is None:
        return None
    if colour in (InputColour.SRGB, InputColour.REC709):
        raise SetupError(f"--view {name} is for linear and log frames; these are {colour}, and shown as they are")
    return ocio.view_of(name, colour.config if isinstance(colour, ocio.Space) else config)


def _colour_asked(reading: Reading) -> Colour | None:
    """None: the files' headers say it.  SetupError where there is no such colour."""
    from restore.color import ocio
    from restore.film.settings import InputColour

    text = reading.colour
    if text.casefold() == AUTO:
        return None
    if text.upper().startswith(ocio.PREFIX):
        return ocio.space_of(text[len(ocio.PREFIX) :], reading.ocio_config)
    try:
        return InputColour(text.casefold())
    except ValueError as error:
        known = ", ".join((AUTO, *InputColour))
        raise SetupError(f"--input-colour {text}: it can be {known}, or OCIO:NAME with a name of a config") from error


def _settled(colour: Colour, config: str | None) -> Colour:
    """A plan's colour, with its config found again.  SetupError where it isn't the same one."""
    from restore.color import ocio

    return ocio.settled(colour, config) if isinstance(colour, ocio.Space) else colour


def _colour_of(source: Source, decoder: Decoder) -> InputColour:
    from restore.film.scan import sequence_colour
    from restore.film.settings import InputColour

    if source.frames is None:
        return InputColour.REC709
    return sequence_colour(source.frames, decoder)


def _stretch(text: str | None, first: int, last: int) -> tuple[int, int] | None:
    if text is None:
        return None
    from restore.formats.sequence import parse_ranges

    ranges = parse_ranges(text)
    if len(ranges) != 1:
        raise SetupError(f"--frames {text}: give one range; several stretches are several runs")
    start, stop = max(first, ranges[0].start), min(last, ranges[0].stop - 1)
    if stop < start:
        raise SetupError(f"--frames {text}: there are only frames {first}-{last}")
    return start, stop


def cut_to(plan: Plan, text: str | None) -> Plan:
    """The plan of some of its frames: "1001-1100".  SetupError when there are none."""
    stretch = _stretch(text, plan.first, plan.last)
    if stretch is None:
        return plan
    first, last = stretch
    shots = tuple(
        replace(shot, first=max(first, shot.first), last=min(last, shot.last))
        for shot in plan.shots
        if shot.first <= last and first <= shot.last
    )
    return replace(plan, first=first, last=last, shots=shots)


def _cuts(path: Path, rate: float, plan: Plan) -> dict[int, str]:
    from restore.film.edl import cuts

    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}") from error
    found = cuts(text, Fraction(rate).limit_denominator(1001), str(path))
    return {plan.first + start: change for start, change in found.items()}
