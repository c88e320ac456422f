"""Counts how many pixels go through the network for a sprite sheet of which three quarters are empty.

    python benchmarks/skip.py

A 2048 x 2048 RGBA sheet of square cells; a quarter of them hold texture, the others alpha 0 over junk.  Counted are
network input pixels of all planes, halos included, against the plain cut of the whole sheet: nothing is run, so the
figures are the same on every machine.  `share_batched` counts what a GPU computes where this picture is alone in its
run, with part-filled batches padded; on a CPU tiles run one by one, and nothing is padded.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from record import store

from restore.batch.worker import GPU_BATCH_PX
from restore.cover import cover
from restore.halo import APPROXIMATE_HALO_PX, AUTO_TILE_PX, FINISH_REACH_PX
from restore.image import Alpha, Image, Stored, Transfer
from restore.planes import needed, split
from restore.recipe import TraitRules, Wrap
from restore.tiling import Tile, cut
from restore.traits import classify

SIDE_PX = 2048
CELLS_PX = (1024, 512, 256, 128, 64, 32)
TILINGS = {
    "rrdb": (AUTO_TILE_PX["rrdb"], APPROXIMATE_HALO_PX),
    "compact": (AUTO_TILE_PX["compact"], 18 + FINISH_REACH_PX),
}
"""Tile and halo of the defaults; compact networks see 18 px far."""
TEXTURE = Path(__file__).parent.parent / "examples" / "textures" / "ground" / "seafloor.png"


def main() -> None:
    table: dict[str, dict[str, dict[int, dict[str, Any]]]] = {}
    for name, (tile_px, halo_px) in TILINGS.items():
        for arrangement in ("scattered", "checkerboard"):
            for alpha in ("opaque", "varied"):
                kind = f"{arrangement}, {alpha} cells"
                rows = {cell: costs(sheet(cell, arrangement, alpha), tile_px, halo_px) for cell in CELLS_PX}
                table.setdefault(name, {})[kind] = rows
                curve = "  ".join(f"{cell}: {row['share']:.3f}" for cell, row in rows.items())
                print(f"{name:8} {kind:28} {curve}", flush=True)
    figures = {
        "side_px": SIDE_PX,
        "empty_share": 0.75,
        "tile_and_halo_px": TILINGS,
        "batch_px_of_a_gpu": GPU_BATCH_PX,
        "computed_against_the_plain_cut_by_cell_px": table,
    }
    print(store("skip", figures))


def sheet(cell_px: int, arrangement: str, alpha: str) -> Image:
    """`varied` alpha is different everywhere in a cell: no even surface that costs nothing."""
    cells = SIDE_PX // cell_px
    full = np.zeros((cells, cells), np.bool_)
    if arrangement == "checkerboard":
        full[::2, ::2] = True
    else:
        full.flat[np.random.default_rng(0).permutation(full.size)[: full.size // 4]] = True
    inside = full.repeat(cell_px, 0).repeat(cell_px, 1)
    texture = cv2.cvtColor(cv2.imread(str(TEXTURE)), cv2.COLOR_BGR2RGB)
    color = np.tile(texture, (SIDE_PX // texture.shape[0], SIDE_PX // texture.shape[1], 1))
    noise = np.random.default_rng(1).integers(1, 256, inside.shape, dtype=np.uint8)
    opacity = np.where(inside, noise if alpha == "varied" else 255, 0).astype(np.uint8)
    pixels = np.dstack([np.where(inside[..., None], color, (0, 255, 0)).astype(np.uint8), opacity])
    return Image(pixels, Stored("png", 8, False, Transfer.SRGB, Alpha.STRAIGHT, ("R", "G", "B", "A")))


def costs(image: Image, tile_px: int, halo_px: int) -> dict[str, Any]:
    traits = classify(image, "sheet", TraitRules(Wrap.NONE))
    how: dict[str, Any] = {"tile_px": tile_px, "halo_px": halo_px, "wraps": traits.wraps}
    whole = cut(image.height, image.width, **how)
    planes: dict[str, list[Tile]] = {}
    for plane in split(image, traits).planes:
        need = needed(plane, traits.wraps)
        tiles = None if need is None else cover(need, **how)
        planes[plane.kind.name.lower()] = list(whole if tiles is None else tiles)
    every = [tile for tiles in planes.values() for tile in tiles]
    return {
        "share": round(area(every) / (len(planes) * area(whole)), 4),
        "share_by_plane": {kind: round(area(tiles) / area(whole), 4) for kind, tiles in planes.items()},
        "share_batched": round(batched(every) / batched([*whole] * len(planes)), 4),
        "tiles": len(every),
        "plain_tiles": len(planes) * len(whole),
        "shapes": len({(tile.read.height, tile.read.width) for tile in every}),
    }


def area(tiles: list[Tile] | tuple[Tile, ...]) -> int:
    return sum(tile.read.area for tile in tiles)


def batched(tiles: list[Tile]) -> int:
    """What `Batcher` runs for them: whole batches of each shape."""
    total = 0
    for (height, width), number in Counter((tile.read.height, tile.read.width) for tile in tiles).items():
        count = max(1, GPU_BATCH_PX // (height * width))
        total += -(-number // count) * count * height * width
    return total


if __name__ == "__main__":
    main()
