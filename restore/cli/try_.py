"""Owns `restore try`: a small sample through the real engine, on one page, before anybody starts a night's run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restore.cli import console, options
from restore.cli.resolve import Wishes, open_model, upscale_step
from restore.cli.sheet import MOST_ROWS, check_page
from restore.errors import ImageError, SetupError
from restore.recipe import ColorFix, Precision, TraitRules, Wrap
from restore.report.visible import visible

if TYPE_CHECKING:
    from restore.formats import Decoder, Header
    from restore.image import Image
    from restore.report.sheet import Row
    from restore.traits import Traits

DEFAULT_MODELS = "x4plus,animevideov3-x4"
DEFAULT_SAMPLE = 12
TRYING = "What is tried"
PART_PX = 128
"""Larger sources are cut to their most detailed square of this side: it is all that the page shows, and a sample of
large pictures would take as long as a run."""

Models = Annotated[
    str,
    typer.Option(
        "--models",
        "-m",
        metavar="A,B",
        help="Models to compare: names or files, comma-separated.",
        rich_help_panel=TRYING,
    ),
]
Sample = Annotated[
    int,
    typer.Option(
        "--sample", min=1, max=MOST_ROWS, help="Pictures to try, spread over formats and sizes.", rich_help_panel=TRYING
    ),
]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="SHEET.png", help="The before/after page to write.", rich_help_panel=TRYING),
]


@dataclass(frozen=True)
class Specimen:
    """One source of the sample, cut to PART_PX, and what its whole was taken for."""

    name: Path
    part: Image
    traits: Traits
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """What one model made of the sample, in its order."""

    model: str
    results: tuple[Image | ImageError, ...]
    seconds: float


def try_(
    source: options.Source,
    sample: Sample = DEFAULT_SAMPLE,
    models: Models = DEFAULT_MODELS,
    out: Out = Path("restore-try.png"),
    include: options.Include = None,
    exclude: options.Exclude = None,
    wrap: options.WrapOption = Wrap.AUTO,
    color_fix: options.ColorFixOption = ColorFix.AUTO,
    keep_grain: options.KeepGrain = options.DEFAULT_KEEP_GRAIN,
    precision: options.PrecisionOption = Precision.AUTO,
    scale: options.Scale = None,
    device: options.Device = "auto",
) -> None:
    """Compare models on a small sample of IN: one before/after page, and how long all of IN would take."""
    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names:
        raise SetupError("--models names none: give some, such as --models x4plus,animevideov3-x4")
    check_page(out)
    _check_outside(out, source)
    specimens, pixels = _choose(source, sample, include or (), exclude or (), TraitRules(wrap))
    wishes = Wishes(precision=precision, scale=scale, color_fix=color_fix, keep_grain=keep_grain, wrap=wrap)
    trials = []
    for name in names:
        trial = _try_model(name, device, wishes, specimens)
        trials.append(trial)
        console.say(_timing(trial, specimens, pixels))
    from restore.report.sheet import sheet

    sheet(
        (_row(number, specimen, trials) for number, specimen in enumerate(specimens)), out, title=source.resolve().name
    )
    console.say(f"look at {visible(str(out))}")


def _check_outside(out: Path, source: Path) -> None:
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise SetupError(f"{out}: the page would lie among the sources in {source}: name one elsewhere with --out")


def _choose(
    source: Path, sample: int, include: Sequence[str], exclude: Sequence[str], rules: TraitRules
) -> tuple[list[Specimen], int]:
    """The sample, read and cut; and the pixels of everything in `source`.  SetupError where nothing can be read."""
    from restore.batch.probe import probe_all
    from restore.batch.walk import walk
    from restore.formats import Decoder
    from restore.report.sample import spread

    if not source.exists():
        raise SetupError(f"{source}: no such file or folder: give an image or a folder of images")
    base = source if source.is_dir() else source.parent
    headers: list[tuple[Path, Header]] = []
    specimens: list[Specimen] = []
    unreadable: list[str] = []
    names = walk(source, include, exclude).images
    for name, header in zip(names, probe_all([base / name for name in names], Decoder, decode=False), strict=True):
        if isinstance(header, ImageError):
            unreadable.append(_about(name, header, base))
        else:
            headers.append((name, header))
    with Decoder() as decoder:
        for name, _ in spread(headers, sample, kind=lambda one: one[1].format, size=lambda one: _pixels(one[1])):
            try:
                specimens.append(_specimen(base, name, decoder, rules))
            except ImageError as error:
                unreadable.append(_about(name, error, base))
    if not specimens:
        raise SetupError(f"{source}: holds no image that can be read" + "".join(f"; {why}" for why in unreadable[:3]))
    for why in unreadable[:5]:
        console.say(f"can't be read  {visible(why)}")
    if len(unreadable) > 5:
        console.say(f"... and {len(unreadable) - 5} more that can't be read")
    return specimens, sum(_pixels(header) for _, header in headers)


def _about(name: Path, error: ImageError, base: Path) -> str:
    from restore.batch.job import without_place

    return f"{name}: {without_place(str(error), base / name, name)}"


def _pixels(header: Header) -> int:
    return header.width * header.height * max(1, header.pages)


def _specimen(base: Path, name: Path, decoder: Decoder, rules: TraitRules) -> Specimen:
    from restore.report.sheet import detail_window
    from restore.traits import classify

    whole = decoder.read(base / name).first
    traits = classify(whole, name.name, rules)
    if max(whole.height, whole.width) <= PART_PX:
        return Specimen(name, whole, traits, (traits.because,))
    window = detail_window(whole, PART_PX, PART_PX)
    part = whole.with_pixels(window.cut(whole.pixels))
    # A part of a repeating texture doesn't repeat along the sides where it was cut.
    wraps = (traits.wraps[0] and part.height == whole.height, traits.wraps[1] and part.width == whole.width)
    note = f"a part of {whole.width}x{whole.height}"
    return Specimen(name, part, replace(traits, wraps=wraps), (note, traits.because))


def _try_model(name: str, device: str, wishes: Wishes, specimens: Sequence[Specimen]) -> Trial:
    from restore.batch.worker import CPU_BATCH_PX, GPU_BATCH_PX
    from restore.image import Document
    from restore.upscale import Picture, Upscaler

    model = open_model(name, device, wishes.precision)
    step = upscale_step(model, wishes)
    upscaler = Upscaler(model, step, batch_px=CPU_BATCH_PX if model.device == "cpu" else GPU_BATCH_PX)
    pictures = [
        (number, Picture(Document((specimen.part,)), (specimen.traits,))) for number, specimen in enumerate(specimens)
    ]
    for _ in upscaler.stream(pictures[:1]):
        pass  # the first picture of a process pays for setting kernels up, and would spoil the estimate
    began = time.perf_counter()
    made = {
        number: result if isinstance(result, ImageError) else result.document().first
        for number, result in upscaler.stream(pictures)
    }
    seconds = time.perf_counter() - began
    return Trial(model.ref.name, tuple(made[number] for number in range(len(specimens))), seconds)


def _timing(trial: Trial, specimens: Sequence[Specimen], pixels: int) -> str:
    from restore.cli.wording import clock, counted, megapixels

    tried = sum(specimen.part.width * specimen.part.height for specimen in specimens)
    failed = sum(isinstance(result, ImageError) for result in trial.results)
    failures = f", {failed} failed" if failed else ""
    return (
        f"{visible(trial.model)}: {counted(len(trial.results), 'picture')} in {clock(trial.seconds)}{failures}; "
        f"everything ({megapixels(pixels)}) would take about {clock(trial.seconds * pixels / tried)} here"
    )


def _row(number: int, specimen: Specimen, trials: Sequence[Trial]) -> Row:
    from restore.report.sheet import After, Row

    afters, failures = [], []
    for trial in trials:
        result = trial.results[number]
        if isinstance(result, ImageError):
            failures.append(f"{trial.model}: {result}")
        else:
            afters.append(After(trial.model, result))
    return Row(str(specimen.name), specimen.part, tuple(afters), (*specimen.notes, *failures))
