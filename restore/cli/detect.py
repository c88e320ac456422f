"""Owns `restore detect`: what would be repaired, as masks that a person can correct and give back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from restore.cli import film_options, options
from restore.cli.film_options import Reading, Wishes
from restore.cli.film_report import FilmReport
from restore.errors import SetupError

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
    state: options.State = None,
    workers: film_options.Workers = None,
    as_json: options.Json = False,
) -> None:
    """Write masks of the dirt and scratches that would be repaired; `restore film --masks MASKS` repairs just these."""
    from restore.formats import Decoder
    from restore.reels.detect import write_masks
    from restore.reels.run import workers_for
    from restore.reels.source import sources_in
    from restore.reels.state import state_of_masks

    reading = Reading(frames, fields, input_colour, plan, edl, edl_rate, ocio_config)
    wishes = Wishes(dirt, scratches, None, None, max_false, polarity, max_size)
    with FilmReport(as_json=as_json) as report:
        sources = sources_in(source)
        if len(sources) > 1:
            labels = ", ".join(one.label for one in sources[:4])
            raise SetupError(f"{source}: it holds several sequences ({labels}): name one by one of its frames")
        one = sources[0]
        if one.frames is not None and masks.resolve() == one.path.resolve():
            raise SetupError(f"{masks}: the masks would lie among the frames: name another folder")
        if masks.exists() and not masks.is_dir():
            raise SetupError(f"{masks}: it is no folder: name one for the masks")
        place = state_of_masks(one, masks, state)
        with Decoder() as decoder:
            made = film_options.plan_for(one, reading, wishes, decoder, place, report.on_looking(one.label))
        count = workers or workers_for(made.size, made, os.cpu_count() or 1)
        summary = write_masks(one, made, masks, place, count, report, overwrite=overwrite)
        report.on_masks(str(masks), summary)
        code = report.on_end([summary])
    raise typer.Exit(code)
