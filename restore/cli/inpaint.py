"""Owns `restore inpaint`: options in, a Recipe and RunOptions made of them, a planned run carried out, an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restore.cli import console, holes, options
from restore.cli.resolve import inpaint_step, open_inpaint_model
from restore.cli.running import carry_out
from restore.errors import SetupError
from restore.recipe import (
    PATCHES,
    Grain,
    MaskOptions,
    OnCollision,
    Output,
    Precision,
    Recipe,
    RunOptions,
    TraitRules,
    Wrap,
)

OptionalTarget = Annotated[
    Path | None, typer.Argument(metavar="OUT", help="Where results go: a folder (made if missing), or a file.")
]


def inpaint(
    source: options.Source,
    target: OptionalTarget = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    limit: options.Limit = None,
    masks: holes.Masks = None,
    way: holes.Holes = None,
    invert_mask: holes.InvertMask = False,
    mask_pattern: holes.MaskPattern = None,
    no_mask: holes.NoMaskOption = None,
    strict: holes.Strict = False,
    polarity: holes.PolarityOption = None,
    threshold: holes.Threshold = None,
    max_size: holes.MaxDefect = None,
    save_masks: holes.SaveMasks = None,
    grow: holes.Grow = None,
    grain: holes.GrainOption = Grain.AUTO,
    context: holes.Context = holes.DEFAULT_CONTEXT_PX,
    model: holes.Model = holes.DEFAULT_MODEL,
    precision: options.PrecisionOption = Precision.AUTO,
    wrap: options.WrapOption = Wrap.AUTO,
    max_pixels: options.MaxPixels = options.DEFAULT_MAX_PIXELS,
    format_: options.FormatOption = options.Format.SAME,
    lossy: holes.Lossy = False,
    patches: holes.PatchesDir = None,
    on_collision: options.OnCollisionOption = OnCollision.REFUSE,
    copy_others: options.CopyOthers = False,
    overwrite: options.Overwrite = False,
    state: options.State = None,
    device: options.Device = "auto",
    check: options.CheckOption = None,
    dry_run: options.DryRun = False,
    as_json: options.Json = False,
) -> None:
    """Fill the damaged places of every image in IN; all other pixels come back as they were, bit for bit."""
    wishes = holes.DamageWishes(
        way=way,
        masks=masks,
        invert=invert_mask,
        pattern=mask_pattern,
        grow=grow,
        polarity=polarity,
        threshold=threshold,
        max_size_px=max_size,
    )
    checks = check or []
    from restore.batch.places import find_places

    with console.report(as_json=as_json) as report:
        run_options = RunOptions(
            source=source,
            target=_place(target, patches, format_),
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
            masks=MaskOptions(masks, mask_pattern, no_mask, strict, save_masks),
        )
        find_places(run_options)  # what is cheap to find out comes first: before torch is imported
        found_by = holes.find_holes(wishes)
        loaded = open_inpaint_model(model, device, precision)
        recipe = Recipe(
            inpaint=inpaint_step(loaded, found_by, context, grain),
            rules=TraitRules(wrap),
            output=Output(format_.value if patches is None else PATCHES),
        )
        from restore.batch.steps import Models

        code = carry_out(recipe, Models(inpaint=loaded), run_options, report, dry_run=dry_run)
    raise typer.Exit(code)


def _place(target: Path | None, patches: Path | None, format_: options.Format) -> Path:
    """The folder that is written to.  Raises SetupError."""
    if patches is None:
        if target is None:
            raise SetupError("OUT is missing: name where results go, or keep only the repairs with --patches DIR")
        return target
    if target is not None:
        raise SetupError(
            f"OUT ({target}) and --patches contradict each other: --patches keeps only the repairs, and "
            "`restore apply PATCHES IN OUT` makes the pictures: leave one of them out"
        )
    if format_ is not options.Format.SAME:
        raise SetupError("--format and --patches contradict each other: give --format to `restore apply`")
    return patches
