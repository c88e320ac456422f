"""Owns `restore bench`: how well settings do on a person's own pictures, before a night is spent on them."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from restore.cli import console, film_options, options
from restore.cli.film_options import Reading, Wishes
from restore.cli.film_report import FilmReport
from restore.errors import SetupError
from restore.report.visible import visible

app = typer.Typer(help="Measure settings on your own pictures.", no_args_is_help=True, rich_markup_mode=None)

Clean = Annotated[Path, typer.Argument(metavar="CLIP", help="A video or frames that have next to no damage.")]
Overlays = Annotated[
    Path | None,
    typer.Option("--overlays", metavar="DIR", help="Scanned damage, in folders named dust, dirt, hair-short, ..."),
]
Density = Annotated[float, typer.Option("--density", min=0, help="Of specks; 1 is a dirty 35 mm scan.")]
Lines = Annotated[
    int | None, typer.Option("--lines", metavar="N", help="Size specks for so many lines; small clips need about 1080.")
]
ScratchDepth = Annotated[float, typer.Option("--scratch", help="Depth of one planted scratch, 0..1; 0 plants none.")]
Seed = Annotated[int, typer.Option("--seed", help="Another one plants other damage.")]
_MOST_FRAMES = 48
_LEAST_LINES = 200


@app.callback()
def _only() -> None:
    """Measure settings on your own pictures."""


@app.command()
def detect(
    source: Clean,
    frames: film_options.Frames = None,
    overlays: Overlays = None,
    density: Density = 0.5,
    lines: Lines = None,
    scratch: ScratchDepth = 0.1,
    seed: Seed = 1,
    inpaint: film_options.InpaintModel = "pconv",
    fields: film_options.FieldsOption = film_options.FieldsWish.AUTO,
    input_colour: film_options.InputColourOption = film_options.AUTO,
    ocio_config: film_options.OcioConfig = None,
    plan: film_options.PlanOption = None,
    dirt: film_options.Dirt = None,
    scratches: film_options.Scratches = None,
    max_false: film_options.MaxFalse = None,
    polarity: film_options.PolarityOption = None,
    max_size: film_options.MaxSize = None,
    workers: film_options.Workers = None,
    as_json: options.Json = False,
) -> None:
    """Plant damage on clean frames, repair it, and count: recall, false alarms, and how near the fills come."""
    import tempfile

    from restore.film.bench import overlay_stamps
    from restore.film.planted import Planting, Scratch
    from restore.film.settings import FilmSettings
    from restore.formats import Decoder
    from restore.reels.bench import bench_reel
    from restore.reels.run import workers_for
    from restore.reels.source import sources_in
    from restore.reels.work import Damage

    if overlays is not None:
        overlay_stamps(overlays)  # what can't serve is told before the reel is looked at
    wishes = Wishes(dirt, scratches, None, None, max_false, polarity, max_size)
    with FilmReport(as_json=as_json) as report:
        one = sources_in(source)[0]
        reading = Reading(frames, fields, input_colour, plan, ocio_config=ocio_config)
        with Decoder() as decoder:
            made = film_options.plan_for(one, reading, wishes, decoder, None, report.on_looking(one.label))
        if frames is None and made.last - made.first >= _MOST_FRAMES:
            middle = (made.first + made.last - _MOST_FRAMES) // 2
            made = film_options.cut_to(made, f"{middle}-{middle + _MOST_FRAMES - 1}")
        if any(shot.settings.whole_frame for shot in made.shots):
            raise SetupError("bench detect measures repairs: leave out flicker, steady and degrain")
        if (lines or made.size[1]) < _LEAST_LINES:
            raise SetupError(
                f"specks sized for {lines or made.size[1]} lines would be smaller than half a pixel: give --lines 1080"
            )
        planted = (Scratch(0.37, scratch),) if scratch else ()
        planting = Planting(lines=lines, density=density, scratches=planted)
        settings = FilmSettings(inpaint="" if inpaint == "off" else inpaint)
        count = workers or workers_for(made.size, made, os.cpu_count() or 1)
        with tempfile.TemporaryDirectory(prefix="restore-") as folder:
            damage = Damage(planting, overlays, seed)
            score = bench_reel(one, made, settings, damage, Path(folder), count, report)
    if as_json:
        console.say_json({"event": "bench", "path": one.label, "frames_used": [made.first, made.last], **asdict(score)})
        return
    share = score.specks_found / max(1, score.specks)
    telea = f"{score.psnr_telea:.1f} dB by Telea's fill"
    text = [
        f"{visible(one.label)}: frames {made.first}-{made.last}, {score.specks} specks planted, seed {seed}",
        f"  found           {share:6.1%} of specks, {score.pixel_recall:.1%} of their pixels, soft rims included",
        f"  false alarms    {score.false_objects:6.2f} a frame, {score.false_share:.3%} of clean pixels",
        f"  in holes        {score.psnr_damaged:6.1f} dB damaged, {score.psnr_restored:.1f} dB restored, {telea}",
    ]
    if score.scratches:
        text.append(f"  scratch         found in {score.scratches_found} of {score.scratches} frames")
    console.say(text)
