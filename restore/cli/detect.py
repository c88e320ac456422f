"""Owns `restore detect`: what would be repaired, as masks that a person can correct and give back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restore.cli import console, film_options, options
from restore.cli.film_options import Reading, Wishes
from restore.cli.film_report import FilmReport
from restore.errors import ExitCode, SetupError
from restore.report.visible import visible

MasksOut = Annotated[Path, typer.Argument(metavar="MASKS", help="A folder: one PNG a frame, white = hole.")]


def detect(
    source: film_options.Reel,
    masks: MasksOut,
    frames: film_options.Frames = None,
    fields: film_options.FieldsOption = film_options.FieldsWish.AUTO,
    input_colour: film_options.InputColourOption = film_options.AUTO,
    ocio_config: film_options.OcioConfig = None,
    plan: film_options.PlanOption = None,
    edl: film_options.Edl = None,
    edl_rate: film_options.EdlRate = 24.0,
    dirt: film_options.Dirt = None,
    scratches: film_options.Scratches = None,
    max_false: film_options.MaxFalse = None,
    polarity: film_options.PolarityOption = None,
    max_size: film_options.MaxSize = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Write masks of the dirt and scratches that would be repaired; `restore film --masks MASKS` repairs just these."""
    from restore.formats import Decoder
    from restore.reels.detect import write_masks
    from restore.reels.source import sources_in

    reading = Reading(frames, fields, input_colour, plan, edl, edl_rate, ocio_config)
    wishes = Wishes(dirt, scratches, None, None, max_false, polarity, max_size)
    with FilmReport(as_json=as_json) as report:
        sources = sources_in(source)
        if len(sources) > 1:
            labels = ", ".join(one.label for one in sources[:4])
            raise SetupError(f"{source}: it holds several sequences ({labels}): name one by one of its frames")
        with Decoder() as decoder:
            made = film_options.plan_for(
                sources[0], reading, wishes, decoder, None, report.on_looking(sources[0].label)
            )
            failed = holes = written = 0
            for number, count, fault in write_masks(sources[0], made, masks, decoder, overwrite=overwrite):
                failed += bool(fault)
                written += not fault
                holes += count
                report.on_mask(number, count, fault)
    if not as_json:
        console.say(f"{written} masks with {holes} places in {visible(str(masks))}; white = hole, correct them freely")
    raise typer.Exit(ExitCode.SOME_FAILED if failed else ExitCode.OK)
