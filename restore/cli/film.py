"""Owns `restore film`: a reel in, the same reel without dirt and scratches out; more only where it is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from restore.cli import film_options, options
from restore.cli.film_options import RUNNING, WRITING, Reading, Wishes
from restore.cli.film_report import FilmReport
from restore.errors import ImageError, SetupError

Target = Annotated[Path, typer.Argument(metavar="OUT", help="A video file, or a folder for frames, whichever IN is.")]
Codec = Annotated[
    str,
    typer.Option(
        "--codec", metavar="ffv1|prores|x264|x265|av1|same-family", help="How a video is encoded; ffv1 is lossless.",
        rich_help_panel=WRITING,
    ),
]  # fmt: skip
Quality = Annotated[
    int | None, typer.Option("--quality", metavar="CRF", help="For x264, x265 and av1.", rich_help_panel=WRITING)
]
DropStreams = Annotated[
    bool,
    typer.Option("--drop-streams", help="Leave out streams that the container can't hold.", rich_help_panel=WRITING),
]
FramesAs = Annotated[
    str | None,
    typer.Option(
        "--frames-as", metavar="png|tiff|dpx|exr", show_default="png where OUT is a folder",
        help="Write a video's frames as files.", rich_help_panel=WRITING,
    ),
]  # fmt: skip
Fps = Annotated[
    str | None,
    typer.Option(
        "--fps", metavar="N", show_default="what the files say", help="Of a video made of frames: 24, 24000/1001.",
        rich_help_panel=WRITING,
    ),
]  # fmt: skip
Sound = Annotated[
    Path | None,
    typer.Option(
        "--sound", metavar="FILE", help="Sound and subtitles for a video made of frames, copied packet for packet.",
        rich_help_panel=WRITING,
    ),
]  # fmt: skip
Grain = Annotated[
    film_options.GrainWish,
    typer.Option("--grain", help="What becomes of grain.", rich_help_panel=film_options.REPAIR),
]
UpscaleModel = Annotated[
    str | None,
    typer.Option(
        "--upscale", metavar="MODEL", help="Enlarge: x4plus for photographed film, animevideov3-x4 for drawn.",
        rich_help_panel=film_options.REPAIR,
    ),
]  # fmt: skip
Masks = Annotated[
    Path | None,
    typer.Option(
        "--masks", metavar="DIR", help="Repair what these masks say (white = hole), and nothing else.",
        rich_help_panel=film_options.REPAIR,
    ),
]  # fmt: skip
SaveMasks = Annotated[
    Path | None,
    typer.Option("--save-masks", metavar="DIR", help="Write what was repaired as masks.", rich_help_panel=WRITING),
]
Review = Annotated[
    Path | None,
    typer.Option(
        "--review", metavar="DIR", help="Draw source, holes and result side by side, and the least certain repairs.",
        rich_help_panel=WRITING,
    ),
]  # fmt: skip
View = Annotated[
    str | None,
    typer.Option(
        "--view", metavar="VIEW|DISPLAY/VIEW", help="Draw --review's pages as this view of the OpenColorIO config.",
        rich_help_panel=WRITING,
    ),
]  # fmt: skip
SegmentFrames = Annotated[
    int | None,
    typer.Option(
        "--segment-frames",
        min=1,
        metavar="N",
        show_default="96, fewer in short films",
        help="Of a job.",
        rich_help_panel=RUNNING,
    ),
]


def film(
    source: film_options.Reel,
    target: Target,
    frames: film_options.Frames = None,
    fields: film_options.FieldsOption = film_options.FieldsWish.AUTO,
    input_colour: film_options.InputColourOption = film_options.AUTO,
    ocio_config: film_options.OcioConfig = None,
    plan: film_options.PlanOption = None,
    edl: film_options.Edl = None,
    edl_rate: film_options.EdlRate = 24.0,
    dirt: film_options.Dirt = None,
    scratches: film_options.Scratches = None,
    flicker: film_options.Flicker = None,
    steady: film_options.Steady = None,
    max_false: film_options.MaxFalse = None,
    polarity: film_options.PolarityOption = None,
    max_size: film_options.MaxSize = None,
    masks: Masks = None,
    inpaint: film_options.InpaintModel = "pconv",
    upscale: UpscaleModel = None,
    scale: options.Scale = None,
    grain: Grain = film_options.GrainWish.KEEP,
    codec: Codec = "ffv1",
    quality: Quality = None,
    drop_streams: DropStreams = False,
    frames_as: FramesAs = None,
    fps: Fps = None,
    sound: Sound = None,
    save_masks: SaveMasks = None,
    review: Review = None,
    view: View = None,
    overwrite: options.Overwrite = False,
    state: options.State = None,
    device: options.Device = "auto",
    workers: film_options.Workers = None,
    segment_frames: SegmentFrames = None,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Remove dirt and scratches from a reel; everything outside repairs stays as it is, sample for sample."""
    from restore.cli.film_work import Ask, checked, goes_out, work_for
    from restore.reels.publish import refuse_at_once
    from restore.reels.run import Summary, restore_reel, workers_for
    from restore.reels.state import state_of

    if view is not None and review is None:
        raise SetupError("--view says how the pages of --review are drawn: give --review DIR, too")
    ask = Ask(
        masks, inpaint, upscale, scale, grain, codec, quality, drop_streams, save_masks, device, segment_frames,
        frames_as, fps, sound,
    )  # fmt: skip
    reading = Reading(frames, fields, input_colour, plan, edl, edl_rate, ocio_config)
    wishes = Wishes(dirt, scratches, flicker, steady, max_false, polarity, max_size)
    with FilmReport(as_json=as_json) as report:
        sources = checked(source, target, one_only=plan is not None or edl is not None or frames is not None)
        is_video, _ = goes_out(sources, target, ask)
        summaries = []
        for one in sources:
            place = state_of(one, target, state, is_video=is_video)
            try:
                if is_video and not overwrite:
                    refuse_at_once(target, place)
                mine = ask if len(sources) == 1 else ask.of_one(one.key)
                work = work_for(one, target, reading, wishes, mine, None if dry_run else place, report)
            except ImageError as error:
                if len(sources) == 1:
                    raise
                summaries.append(Summary(one.label, 0, 0, [str(error)]))
                report.on_lost(one.label, str(error))
                continue
            look = film_options.view_for(work.plan.colour, view, ocio_config)
            if dry_run:
                report.on_dry_run(work, place)
                continue
            count = workers or workers_for(work.plan.size, work.plan, os.cpu_count() or 1)
            summary = restore_reel(work, place, count, report, overwrite=overwrite)
            if review is not None and not summary.failed:
                from restore.reels.review import draw

                draw(place, review if len(sources) == 1 else review / one.key, report.on_note, look)
            report.on_reel_end(work, summary)
            summaries.append(summary)
        code = report.on_end(summaries)
    raise typer.Exit(code)
