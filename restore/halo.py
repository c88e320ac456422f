"""Owns how large tiles and their halos are: decided before planning, since both may decide pixels.

Compact networks see 18 to 34 px far, so a full halo is cheap, and tiled output equals untiled output.  RRDB networks
see 94 (6 blocks) or 349 px (23 blocks) far, but feel little of it.  Measured on real weights in fp32, the largest and
the mean difference that a cut `halo` px away makes right at the edge of what is kept, in steps of 1/255:

    halo_px           16          24          32          48          64          96
    x4plus          57.6 2.08   60.6 2.02   19.7 0.76    6.6 0.25    2.3 0.08    0.1 0.00
    x4plus-anime   119.1 2.00   82.8 1.66   28.4 0.63    4.0 0.02    0.0 0.00    0.0 0.00

(the worst of three pictures, `benchmarks/results/halo.json`, made by `benchmarks/halo.py`.)  48 px is the default:
a quarter of a step on average and single pixels of a few steps, at 1.4 times the work of no halo in the default tile.
"""

from __future__ import annotations

from dataclasses import dataclass

from restore.errors import SetupError

FINISH_REACH_PX = 12
"""How far colour fix and grain look around a pixel: an exact halo is this much wider than the network's."""

APPROXIMATE_HALO_PX = 48
EXACT_RADIUS_LIMIT_PX = 64
"""Receptive radii up to this get a full halo unless asked otherwise."""

AUTO_TILE_PX = {"rrdb": 640, "compact": 640}
"""640 = 512 + 2 * 48 and a little: the commonest large texture runs whole, even where it repeats."""
OTHER_TILE_PX = 320
SMALLEST_INSIDE_PX = 16


@dataclass(frozen=True)
class Tiling:
    tile_px: int
    halo_px: int
    exact: bool
    """Tiled output equals untiled output (to rounding)."""


def choose(
    architecture: str,
    receptive_radius_px: int | None,
    *,
    tile_px: int | None = None,
    halo_px: int | None = None,
    exact: bool = False,
) -> Tiling:
    """Tile and halo for a network; None is auto.  `exact` asks for a halo of all that the network sees.

    Raises SetupError where the network's reach is unknown, or where a tile would have nothing left inside its halo.
    """
    full = None if receptive_radius_px is None else receptive_radius_px + FINISH_REACH_PX
    if exact and full is None:
        raise SetupError(f"--halo exact: nobody knows how far {architecture} sees; give a number of pixels")
    if halo_px is None:
        cheap = receptive_radius_px is not None and receptive_radius_px <= EXACT_RADIUS_LIMIT_PX
        halo_px = full if full is not None and (exact or cheap) else APPROXIMATE_HALO_PX
    smallest = 2 * halo_px + SMALLEST_INSIDE_PX
    if tile_px is None:
        tile_px = max(AUTO_TILE_PX.get(architecture, OTHER_TILE_PX), 2 * halo_px + 256)
    elif tile_px < smallest:
        raise SetupError(
            f"--tile {tile_px} leaves nothing inside a halo of {halo_px} px; "
            f"use --tile {smallest} or more, or a smaller --halo"
        )
    return Tiling(tile_px, halo_px, full is not None and halo_px >= full)
