"""Owns `restore apply`: patches that `restore inpaint --patches` kept are put on the sources they were made from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restore.cli import console, holes, options
from restore.cli.running import carry_out
from restore.recipe import OnCollision, Output, Recipe, RunOptions

PatchesArgument = Annotated[Path, typer.Argument(metavar="PATCHES", help="The folder that --patches made.")]


def apply(
    patches: PatchesArgument,
    source: options.Source,
    target: options.Target,
    include: options.Include = None,
    exclude: options.Exclude = None,
    limit: options.Limit = None,
    max_pixels: options.MaxPixels = options.DEFAULT_MAX_PIXELS,
    format_: options.FormatOption = options.Format.SAME,
    lossy: holes.Lossy = False,
    on_collision: options.OnCollisionOption = OnCollision.REFUSE,
    copy_others: options.CopyOthers = False,
    overwrite: options.Overwrite = False,
    state: options.State = None,
    check: options.CheckOption = None,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Put stored repairs on the pictures of IN; pictures without any are copied byte for byte."""
    from restore.batch.places import find_places

    checks = check or []
    with console.report(as_json=as_json) as report:
        run_options = RunOptions(
            source=source,
            target=target,
            state=state,
            device="cpu",
            include=tuple(include or ()),
            exclude=tuple(exclude or ()),
            limit=limit,
            on_collision=on_collision,
            check_content=options.Check.CONTENT in checks,
            check_decode=options.Check.DECODE in checks,
            copy_others=copy_others,
            overwrite=overwrite,
            max_pixels=max_pixels,
            lossy=lossy,
            patches=patches,
        )
        find_places(run_options)
        from restore.batch.steps import Models

        recipe = Recipe(output=Output(format_.value))
        code = carry_out(recipe, Models(), run_options, report, dry_run=dry_run)
    raise typer.Exit(code)
