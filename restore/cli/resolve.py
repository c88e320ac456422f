"""Owns turning wishes (`auto`, `exact`, names) into a Recipe in which nothing is left open.

What decides pixels is settled here, before planning, so that a run resumed later, or on another machine, gives the
same tree.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from restore.cli.options import Format, Halo
from restore.recipe import (
    ColorFix,
    FindHoles,
    Grain,
    Inpaint,
    Output,
    Pow2,
    Precision,
    Recipe,
    TraitRules,
    Upscale,
    Wrap,
)

if TYPE_CHECKING:
    from restore.models import Model
    from restore.models.inpainting import InpaintModel

AUTO_HALO = Halo(None)


@dataclass(frozen=True)
class Wishes:
    """What was asked for about pixels, not yet resolved against a model and a device."""

    precision: Precision = Precision.AUTO
    tile_px: int | None = None
    halo: Halo = AUTO_HALO
    scale: float | None = None
    color_fix: ColorFix = ColorFix.AUTO
    keep_grain: float = Upscale.keep_grain
    max_size_px: int | None = None
    pow2: Pow2 = Pow2.OFF
    multiple_of_px: int = 1
    wrap: Wrap = Wrap.AUTO
    format: Format = Format.SAME


def open_model(name_or_path: str, device: str, precision: Precision) -> Model:
    """Find, load and place a model.  `device` may be `auto`.  Raises ModelError and SetupError."""
    from restore.device import resolve_device
    from restore.models import load, resolve

    # The name is looked up first: a misspelt one is told at once, not after torch has loaded.
    ref = resolve(name_or_path)
    return load(ref, resolve_device(device), precision)


def recipe_for(model: Model, wishes: Wishes) -> Recipe:
    """The recipe that `wishes` mean for `model`.  Raises SetupError where they contradict each other."""
    return Recipe(
        upscale=upscale_step(model, wishes),
        rules=TraitRules(wrap=wishes.wrap),
        output=Output(format=wishes.format.value),
    )


def upscale_step(model: Model, wishes: Wishes) -> Upscale:
    """The step of enlarging alone."""
    from restore.halo import choose

    tiling = choose(
        model.ref.architecture,
        model.receptive_radius_px,
        tile_px=wishes.tile_px,
        halo_px=wishes.halo.px,
        exact=wishes.halo.exact,
    )
    return Upscale(
        model=model.ref.name,
        model_sha256=model.ref.sha256,
        precision=model.precision,
        tile_px=tiling.tile_px,
        halo_px=tiling.halo_px,
        scale=wishes.scale,
        color_fix=wishes.color_fix,
        keep_grain=wishes.keep_grain,
        max_size_px=wishes.max_size_px,
        pow2=wishes.pow2,
        multiple_of_px=wishes.multiple_of_px,
    )


def open_inpaint_model(name_or_path: str, device: str, precision: Precision) -> InpaintModel:
    """Find, load and place a network that fills holes.  Raises ModelError and SetupError."""
    # Read when torch is first imported.  Crops are small, so threads that spin while they wait for each other take the
    # cores from those that read, check and write: 24 textures took 2.5 s instead of 46 s on two cores that others used.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from restore.device import resolve_device
    from restore.models.inpainting import load

    return load(name_or_path, resolve_device(device), precision)


def inpaint_step(model: InpaintModel, holes: FindHoles, context_px: int, grain: Grain) -> Inpaint:
    """The step of filling holes alone."""
    return Inpaint(
        model=model.name,
        model_sha256=model.sha256,
        precision=model.precision,
        holes=holes,
        context_px=context_px,
        grain=grain,
    )
