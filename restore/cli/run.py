"""Owns `restore run`: a recipe file (`recipe_file`), its steps in order, in one pass over IN."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restore.cli import console, holes, options
from restore.cli.recipe_file import RecipeFile, read_recipe
from restore.cli.resolve import inpaint_step, open_inpaint_model, open_model, upscale_step
from restore.cli.running import carry_out
from restore.recipe import MaskOptions, OnCollision, Output, Recipe, RunOptions, TraitRules

if TYPE_CHECKING:
    from restore.batch.steps import Models

RecipeArgument = Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="Steps and settings: examples/recipes.")]


def run(
    recipe: RecipeArgument,
    source: options.Source,
    target: options.Target,
    include: options.Include = None,
    exclude: options.Exclude = None,
    limit: options.Limit = None,
    masks: holes.Masks = None,
    no_mask: holes.NoMaskOption = None,
    strict: holes.Strict = False,
    save_masks: holes.SaveMasks = None,
    max_pixels: options.MaxPixels = options.DEFAULT_MAX_PIXELS,
    lossy: holes.Lossy = False,
    on_collision: options.OnCollisionOption = OnCollision.REFUSE,
    copy_others: options.CopyOthers = False,
    overwrite: options.Overwrite = False,
    state: options.State = None,
    device: options.Device = "auto",
    check: options.CheckOption = None,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Carry out a recipe: holes are filled first, then pictures are enlarged, and their masks with them."""
    from restore.batch.places import find_places

    checks = check or []
    with console.report(as_json=as_json) as report:
        wanted = read_recipe(recipe, masks)
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
            lossy=lossy,
            masks=MaskOptions(wanted.masks, wanted.pattern, no_mask, strict, save_masks),
        )
        find_places(run_options)
        resolved, models = _resolved(wanted, device)
        code = carry_out(resolved, models, run_options, report, dry_run=dry_run)
    raise typer.Exit(code)


def _resolved(wanted: RecipeFile, device: str) -> tuple[Recipe, Models]:
    """The recipe with nothing left open, and what it runs on."""
    from restore.batch.steps import Models

    inpaint = upscale = None
    filler = enlarger = None
    if wanted.inpaint is not None:
        ask = wanted.inpaint
        filler = open_inpaint_model(ask.model, device, ask.precision)
        inpaint = inpaint_step(filler, ask.holes, ask.context_px, ask.grain)
    if wanted.upscale is not None:
        enlarger = open_model(wanted.upscale_model, device, wanted.upscale.precision)
        upscale = upscale_step(enlarger, wanted.upscale)
    made = Recipe(upscale, inpaint, TraitRules(wanted.wrap), Output(wanted.format.value))
    return made, Models(enlarger, filler)
