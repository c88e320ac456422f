"""Owns `restore scan`: what a reel holds, shown, and written as a plan that a person can edit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from restore.cli import console, film_options, options
from restore.cli.film_options import Reading, Wishes
from restore.cli.film_report import FilmReport
from restore.errors import ExitCode, SetupError
from restore.report.visible import visible

WritePlan = Annotated[
    Path | None,
    typer.Option("--write-plan", metavar="FILE", help="Write the plan, to be edited and given to restore film."),
]
Judge = Annotated[bool, typer.Option("--judge", help="Also judge each shot's dirt from some of its frames.")]


def scan(
    source: film_options.Reel,
    write_plan: WritePlan = None,
    frames: film_options.Frames = None,
    fields: film_options.FieldsOption = film_options.FieldsWish.AUTO,
    input_colour: film_options.InputColourOption = film_options.AUTO,
    ocio_config: film_options.OcioConfig = None,
    edl: film_options.Edl = None,
    edl_rate: film_options.EdlRate = 24.0,
    dirt: film_options.Dirt = None,
    scratches: film_options.Scratches = None,
    flicker: film_options.Flicker = None,
    steady: film_options.Steady = None,
    max_false: film_options.MaxFalse = None,
    polarity: film_options.PolarityOption = None,
    max_size: film_options.MaxSize = None,
    judge: Judge = False,
    workers: film_options.Workers = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Find a reel's shots, fields, gaps and damage; nothing is restored."""
    import tempfile

    from restore.film.plan import to_toml
    from restore.film.settings import FilmSettings
    from restore.formats import Decoder
    from restore.reels.run import judged_plan, workers_for
    from restore.reels.source import sources_in
    from restore.reels.state import State
    from restore.reels.work import Work

    if write_plan is not None and write_plan.exists() and not overwrite:
        raise SetupError(f"{write_plan}: it is there already, perhaps edited: name another file, or give --overwrite")
    reading = Reading(frames, fields, input_colour, None, edl, edl_rate, ocio_config)
    wishes = Wishes(dirt, scratches, flicker, steady, max_false, polarity, max_size)
    with FilmReport(as_json=as_json) as report:
        sources = sources_in(source)
        if write_plan is not None and len(sources) > 1:
            labels = ", ".join(one.label for one in sources[:4])
            raise SetupError(f"{source}: it holds several sequences ({labels}): name one by one of its frames")
        for one in sources:
            with Decoder() as decoder:
                plan = film_options.plan_for(one, reading, wishes, decoder, None, report.on_looking(one.label))
            if judge:
                with tempfile.TemporaryDirectory(prefix="restore-") as folder:
                    work = Work(one, plan, FilmSettings(), Path(folder) / "none")
                    state = State(Path(folder), Path(folder) / "lock", work.target)
                    count = workers or workers_for(plan.size, plan, os.cpu_count() or 1)
                    plan = judged_plan(work, state, count, report)
            text = to_toml(replace(plan, source=one.label))
            if write_plan is not None:
                from restore.reels.state import write_whole

                write_whole(write_plan, text.encode())
            report.on_scanned(plan)
            if write_plan is not None and not as_json:
                console.say(f"plan written to {visible(str(write_plan))}")
    raise typer.Exit(ExitCode.OK)
