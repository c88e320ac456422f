"""Owns masks of a whole reel: what its repair would touch, written for a person to correct."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from restore.errors import SetupError
from restore.film.plan import Plan, Shot
from restore.film.reel import Fault, Reel
from restore.film.render import Tools, render
from restore.film.scan import judge_shot
from restore.film.settings import FilmSettings
from restore.formats import Decoder
from restore.reels.masks import mask_bytes, mask_name
from restore.reels.source import Source
from restore.reels.state import write_whole


def write_masks(
    source: Source, plan: Plan, folder: Path, decoder: Decoder, *, overwrite: bool
) -> Iterator[tuple[int, int, str]]:
    """Writes a mask for every frame; yields (frame's number, places in it, why it has none).

    Raises SetupError when masks are there already, which may be a person's work, unless `overwrite`.
    """
    if folder.is_dir() and any(folder.glob("*.png")) and not overwrite:
        raise SetupError(f"{folder}: it holds masks already, perhaps corrected ones: name another, or give --overwrite")
    reel = source.open(plan.fields, decoder)
    plan = replace(plan, shots=tuple(_with_bar(reel, plan, place) for place in range(len(plan.shots))))
    origin = reel.numbers[0]
    names = None if source.frames is None else source.frames.names
    start, stop = plan.first - origin, plan.last + 1 - origin
    for item in render(reel, plan, FilmSettings(input_colour=plan.colour), start, stop, Tools()):
        if isinstance(item, Fault):
            yield item.number, 0, item.reason
            continue
        holes = np.zeros(item.touched.shape, np.bool_)
        for repair, mine in item.repairs:
            box = repair.box
            holes[box.y0 : box.y1, box.x0 : box.x1] |= mine
        write_whole(folder / mask_name(item.number, None if names is None else names[item.number]), mask_bytes(holes))
        yield item.number, len(item.repairs), ""


def _with_bar(reel: Reel, plan: Plan, place: int) -> Shot:
    shot = plan.shots[place]
    if shot.settings.bar is not None or not shot.settings.dirt:
        return shot
    return replace(shot, settings=replace(shot.settings, bar=judge_shot(reel, plan, shot).bar))
