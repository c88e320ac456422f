"""Owns what commands that make a tree of files share: plan it, show it or carry it out, and the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from restore.cli import console
from restore.errors import ExitCode
from restore.recipe import Recipe, RunOptions

if TYPE_CHECKING:
    from restore.batch.steps import Models
    from restore.cli.events import Used


def carry_out(
    recipe: Recipe, models: Models, run_options: RunOptions, report: console.Report, *, dry_run: bool
) -> ExitCode:
    """Plans `recipe` for IN and OUT and, unless it is a dry run, does it.  Raises SetupError, DiskFullError."""
    from restore.batch.finish import Finisher
    from restore.batch.opening import open_journal
    from restore.batch.plan import make_plan
    from restore.batch.run import run
    from restore.batch.worker import LocalWorker

    with open_journal(run_options, read_only=dry_run) as journal:
        report.on_used(_used(recipe, models, journal.places.state))
        plan = make_plan(recipe, run_options, journal, lambda height, width: _size(height, width, recipe, models))
        if dry_run:
            report.on_dry_run(plan)
            return ExitCode.SOME_FAILED if plan.problems else ExitCode.OK
        finisher = Finisher.of(recipe, run_options, journal)
        worker = LocalWorker(models, finisher, max_pixels=run_options.max_pixels)
        return run(plan, recipe, run_options, worker, journal, report).exit_code


def _size(height: int, width: int, recipe: Recipe, models: Models) -> tuple[int, int]:
    if recipe.upscale is None:
        return height, width
    from restore.resample import target_size

    return target_size(height, width, models.scale, recipe.upscale)


def _used(recipe: Recipe, models: Models, state: Path) -> Used:
    from restore.cli.events import Used
    from restore.device import describe

    steps = [step for step in (recipe.inpaint, recipe.upscale) if step is not None]
    licences = [model.licence for model in (models.inpaint,) if model is not None]
    licences += [model.ref.licence for model in (models.upscale,) if model is not None]
    return Used(
        model=" then ".join(step.model for step in steps),
        licence=", ".join(dict.fromkeys(licences)),
        precision=", ".join(dict.fromkeys(step.precision.value for step in steps)),
        device=models.device,
        device_name=describe(models.device) if steps else "",
        tile_px=recipe.upscale.tile_px if recipe.upscale is not None else None,
        halo_px=recipe.upscale.halo_px if recipe.upscale is not None else None,
        fingerprint=recipe.fingerprint(),
        state=state,
    )
