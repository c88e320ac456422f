"""Owns the network's part in film: blobs that neighbouring frames can't fill are filled as holes of a picture are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from restore.errors import ImageError
from restore.film.fill import navier_stokes
from restore.film.working import Frame, Holes
from restore.holes.found import one_kind
from restore.image import Alpha, Image, Stored, Transfer
from restore.recipe import FindHoles, Grain, HolesFrom, Inpaint, Precision
from restore.traits import AlphaUse, Content, Traits
from restore.trust.ledger import Fill, Repair

if TYPE_CHECKING:
    from restore.inpaint import Inpainter

_LEAST_SIDE_PX = 64


class NetFiller:
    """A `fill.Filler` that asks the network and the classical fills, and takes for each hole the one to be trusted."""

    def __init__(self, model: str, device: str) -> None:
        """`model`: a name or a file.  The network is loaded with the first hole: most frames need none."""
        self._model = model
        self._device = device
        self._inpainter: Inpainter | None = None
        self.made: Sequence[Repair] = ()
        """What the last call put into each hole."""

    def __call__(self, frame: Frame, holes: Holes) -> Frame:
        self.made = ()
        if min(frame.shape[:2]) < _LEAST_SIDE_PX:
            return navier_stokes(frame, holes)
        image = image_of(frame)
        found = one_kind(holes, image, "dust")
        try:
            from restore.inpaint import Damaged

            repaired = self._loaded()(Damaged(image, found, film_traits(frame), 0))
        except ImageError:  # nothing is known around it, or no memory is left: the classical fill needs neither
            return navier_stokes(frame, holes)
        self.made = repaired.repairs
        return np.asarray(repaired.page.pixels)

    def _loaded(self) -> Inpainter:
        if self._inpainter is None:
            from restore.inpaint import Inpainter
            from restore.models.inpainting import load

            model = load(self._model, self._device, Precision.AUTO)
            step = Inpaint(model.name, model.sha256, model.precision, FindHoles(HolesFrom.MASKS), grain=Grain.OFF)
            self._inpainter = Inpainter(model, step, batch_px=1 if self._device == "cpu" else 1 << 20)
        return self._inpainter

    def settled(self, repairs: Sequence[Repair]) -> tuple[Repair, ...]:
        """Records of a frame with what the last call knows about those that it made."""
        settled = []
        for repair in repairs:
            mine = next((one for one in self.made if _meet(one, repair)), None) if repair.fill is Fill.NET else None
            if mine is not None:
                repair = replace(repair, fill=mine.fill, confidence=mine.confidence)  # noqa: PLW2901
            elif repair.fill is Fill.NET:
                repair = replace(repair, fill=Fill.NAVIER_STOKES)  # noqa: PLW2901
            settled.append(repair)
        return tuple(settled)


def image_of(frame: Frame) -> Image:
    """A working frame as a picture."""
    channels = ("R", "G", "B") if frame.shape[2] == 3 else ("Y",)
    is_float = frame.dtype.kind == "f"
    bits = 32 if is_float else 8 * frame.dtype.itemsize
    return Image(frame, Stored("film", bits, is_float, Transfer.SRGB, Alpha.NONE, channels))


def film_traits(frame: Frame) -> Traits:
    """The same for every frame: a film's frame never repeats along an axis, and a fade to grey changes nothing."""
    return Traits(Content.COLOR, AlphaUse.NONE, (False, False), frame.shape[2] == 1, "a frame of film")


def _meet(one: Repair, other: Repair) -> bool:
    a, b = one.box, other.box
    return a.y0 < b.y1 and b.y0 < a.y1 and a.x0 < b.x1 and b.x0 < a.x1
