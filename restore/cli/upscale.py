"""Owns `restore upscale`: options in, a Recipe and RunOptions made of them, a planned run carried out, an exit code."""

from __future__ import annotations

import typer

from restore.cli import console, options
from restore.cli.resolve import AUTO_HALO, Wishes, open_model, recipe_for
from restore.cli.running import carry_out
from restore.errors import ExitCode
from restore.recipe import ColorFix, OnCollision, Pow2, Precision, RunOptions, Wrap

EXIT_CODES = "Exit codes: 0 all done, 2 could not start, 3 some files failed, 4 disk full, 130 and 143 interrupted."


def upscale(
    source: options.Source,
    target: options.Target,
    include: options.Include = None,
    exclude: options.Exclude = None,
    limit: options.Limit = None,
    model: options.Model = options.DEFAULT_MODEL,
    wrap: options.WrapOption = Wrap.AUTO,
    color_fix: options.ColorFixOption = ColorFix.AUTO,
    keep_grain: options.KeepGrain = options.DEFAULT_KEEP_GRAIN,
    precision: options.PrecisionOption = Precision.AUTO,
    tile: options.Tile = None,
    halo: options.HaloOption = None,
    scale: options.Scale = None,
    max_size: options.MaxSize = None,
    pow2: options.Pow2Option = Pow2.OFF,
    multiple_of: options.MultipleOf = 1,
    max_pixels: options.MaxPixels = options.DEFAULT_MAX_PIXELS,
    format_: options.FormatOption = options.Format.SAME,
    on_collision: options.OnCollisionOption = OnCollision.REFUSE,
    copy_others: options.CopyOthers = False,
    overwrite: options.Overwrite = False,
    state: options.State = None,
    device: options.Device = "auto",
    check: options.CheckOption = None,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Enlarge every image in IN into the same tree in OUT; started again, go on where it was."""
    checks = check or []
    wishes = Wishes(
        precision=precision,
        tile_px=tile,
        halo=halo or AUTO_HALO,
        scale=scale,
        color_fix=color_fix,
        keep_grain=keep_grain,
        max_size_px=max_size,
        pow2=pow2,
        multiple_of_px=multiple_of,
        wrap=wrap,
        format=format_,
    )
    run_options = RunOptions(
        source=source,
        target=target,
        state=state,
        device=device,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        limit=limit,
        on_collision=on_collision,
        check_content=options.Check.CONTENT in checks,
        check_decode=options.Check.DECODE in checks,
        copy_others=copy_others,
        overwrite=overwrite,
        max_pixels=max_pixels,
    )
    with console.report(as_json=as_json) as report:
        code = _run(run_options, wishes, model, report, dry_run=dry_run)
    raise typer.Exit(code)


def _run(
    run_options: RunOptions, wishes: Wishes, model_name: str, report: console.Report, *, dry_run: bool
) -> ExitCode:
    from restore.batch.places import find_places

    # What is cheap to find out comes first: a wrong path is told before torch is imported.
    find_places(run_options)
    model = open_model(model_name, run_options.device, wishes.precision)

    from restore.batch.steps import Models

    recipe = recipe_for(model, wishes)
    return carry_out(recipe, Models(upscale=model), run_options, report, dry_run=dry_run)
