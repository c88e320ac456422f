"""Owns one surface on its way: its holes become crops, crops go through the network beside the classical fills, and
each hole is written when all of it is there and the arbiter has decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from math import ceil

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restore.batcher import Batcher, Request, TileTooLargeError
from restore.errors import ImageError
from restore.holes.found import Labels
from restore.inpaint.arbiter import EVEN, Arbiter, Evidence, Verdict, evidence
from restore.inpaint.atlas import CELL_PX, Crop, Frame, lay_out
from restore.inpaint.biharmonic import biharmonic
from restore.inpaint.chroma import Chroma, around
from restore.inpaint.coarse import depths, halve, middle
from restore.inpaint.fills import Flags, Planes
from restore.inpaint.surface import Surface
from restore.models.inpainting import InpaintModel
from restore.navier_stokes import navier_stokes
from restore.tiling import Box

_RIM_PX = 3
"""As far as Navier-Stokes looks."""
_CELL_PX = 48
"""Hairs and scratches, rims of wide holes, and whatever is too long for a crop leave most of their rectangle empty:
they are cut into small pieces, and near ones come together again.  None is wider than its context: no cut shows."""

At = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns (n,) in the picture."""
Witness = Callable[[Evidence, At, Planes], None]
"""Told of each hole: what was measured, where it is, and its fills (len(FILLS), n, C)."""


@dataclass(frozen=True)
class Means:
    """What holes are filled with."""

    model: InpaintModel
    arbiter: Arbiter
    context_px: int
    apart: Batcher
    """For what must be there before anything else can go on; never holds requests for long."""
    witness: Witness | None = None

    @property
    def limit_px(self) -> float:
        """The largest distance from a pixel in a hole to a known one that the network was trained for."""
        return self.model.max_width_px / 2 + 1


@dataclass(eq=False)
class _Hole:
    label: int
    box: Box
    radius_px: float
    is_even: bool = False
    """One colour is all around it, and it has got it."""
    is_wide: bool = False
    """Its inside was filled at half the size."""
    waiting: int = 0
    parts: list[tuple[Box, Evidence, At, Planes]] = field(default_factory=list)
    verdict: Verdict | None = None
    chroma: Chroma | None = None


@dataclass(frozen=True)
class _Piece:
    hole: _Hole
    box: Box


class Filling:
    """Fills the holes of `surface`: `labels` (H, W) is k + 1 in the hole within `boxes[k]`."""

    def __init__(self, surface: Surface, labels: Labels, boxes: tuple[Box, ...], means: Means) -> None:
        self._surface = surface
        self._labels = labels
        self._boxes = boxes
        self._means = means
        self._holes: list[_Hole] = []
        self._waiting = 0
        self._handed_over = False
        self.error: ImageError | None = None
        self.network_px = 0
        """Pixels that went through the network, at all sizes."""

    @property
    def finished(self) -> bool:
        return self.error is not None or (self._handed_over and self._waiting == 0)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Of each hole, once all are filled."""
        return tuple(hole.verdict or EVEN for hole in self._holes)

    @property
    def grey(self) -> tuple[int, ...]:
        """Numbers of the holes, from 0, around which there is no colour at all."""
        return tuple(k for k, hole in enumerate(self._holes) if hole.chroma is not None and hole.chroma.is_none)

    def begin(self, batcher: Batcher) -> None:
        """Hand every crop to `batcher`.  Raises ImageError."""
        limit_px, context_px = self._means.limit_px, self._means.context_px
        middles, evens = [], []
        for k, box in enumerate(self._boxes):
            own = self._own(k + 1, box)
            if (even := self._even_rim(box, own)) is not None:
                self._holes.append(_Hole(k + 1, box, 0.0, is_even=True, verdict=EVEN))
                rows, columns = np.nonzero(own)
                evens.append((rows + box.y0, columns + box.x0, np.repeat(even[None], len(rows), 0)))
                continue
            depth = depths(self._surface, box, own, ceil(max(limit_px, context_px)) + 1)
            hole = _Hole(k + 1, box, float(depth.max()), chroma=around(self._surface, box, context_px))
            self._holes.append(hole)
            if hole.radius_px > limit_px or float(depth.min(where=depth > 0, initial=np.inf)) > context_px:
                middles.append((hole.chroma, self._middle(hole, depth)))
        for chroma, (rows, columns, values) in middles:  # all together: none is context for another
            self._surface.write((rows, columns), _kept(chroma, values))
            self._surface.seen[rows, columns] = True
        for rows, columns, values in evens:
            self._surface.write((rows, columns), values)
        pieces = list(self._pieces())
        frame = Frame(*self._surface.size, self._surface.wraps, context_px, self._means.model.multiple_of)
        deep = frozenset(i for i, piece in enumerate(pieces) if piece.hole.radius_px > context_px / 2)
        for crop in lay_out([piece.box for piece in pieces], frame, deep):
            if self.error is not None:
                raise self.error
            self._add(crop, [pieces[i] for i in crop.members], batcher)
        self._handed_over = True

    def _middle(self, hole: _Hole, depth: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp], Planes]:
        """The inside of a hole that is wider than the network knows; what is left of the hole is its rim."""
        limit_px = self._means.limit_px
        halved = halve(
            self._surface, self._labels, hole.label, hole.box, hole.radius_px, limit_px, self._means.context_px
        )
        coarse = Filling(halved.surface, halved.holes.labels, halved.holes.boxes, replace(self._means, witness=None))
        coarse.begin(self._means.apart)
        self._means.apart.flush()
        if coarse.error is not None:
            raise coarse.error
        self.network_px += coarse.network_px
        hole.is_wide, hole.radius_px = True, min(hole.radius_px, float(max(hole.box.height, hole.box.width)))
        hole.verdict = min(coarse.verdicts, key=lambda verdict: verdict.confidence, default=EVEN)
        return middle(hole.box, halved, depth, limit_px)

    def _even_rim(self, box: Box, own: Flags) -> NDArray[np.float32] | None:
        """The one colour that is all around a hole, if it is: then Navier-Stokes is exact, and nothing else is."""
        wide = self._surface.clamp(Box(box.y0 - _RIM_PX, box.x0 - _RIM_PX, box.y1 + _RIM_PX, box.x1 + _RIM_PX))
        values, seen = self._surface.read(wide)
        inner = np.zeros(seen.shape, np.uint8)
        y, x = box.y0 - wide.y0, box.x0 - wide.x0
        inner[y : y + box.height, x : x + box.width] = own
        rim = (cv2.dilate(inner, np.ones((2 * _RIM_PX + 1, 2 * _RIM_PX + 1), np.uint8)) > 0) & seen
        known = values[rim]
        if len(known) and (known == known[0]).all():
            first: NDArray[np.float32] = known[0]
            return first
        return None

    def _own(self, label: int, box: Box) -> Flags:
        own: Flags = self._labels[box.y0 : box.y1, box.x0 : box.x1] == label
        return own

    def _unfilled(self, hole: _Hole, box: Box) -> Flags:
        unfilled: Flags = self._own(hole.label, box) & ~self._surface.seen[box.y0 : box.y1, box.x0 : box.x1]
        return unfilled

    def _pieces(self) -> Iterator[_Piece]:
        """Holes, whole where they fit into a crop."""
        frame = Frame(*self._surface.size, self._surface.wraps, self._means.context_px, self._means.model.multiple_of)
        for hole in self._holes:
            if hole.is_even:
                continue
            box, longest = hole.box, frame.longest_hole_px
            if hole.is_wide or hole.radius_px <= frame.context_px / 2 or max(box.height, box.width) > longest:
                longest = min(longest, _CELL_PX)
            for y0, y1 in _parts(box.y0, box.y1, longest):
                for x0, x1 in _parts(box.x0, box.x1, longest):
                    tight = _tight(self._unfilled(hole, Box(y0, x0, y1, x1)))
                    if tight is not None:
                        hole.waiting += 1
                        yield _Piece(hole, Box(y0 + tight.y0, x0 + tight.x0, y0 + tight.y1, x0 + tight.x1))

    def _add(self, crop: Crop, pieces: list[_Piece], batcher: Batcher) -> None:
        surface, read = self._surface, crop.read
        masks = []
        for piece, (dy, dx) in zip(pieces, crop.shifts, strict=True):
            mask = np.zeros((read.height, read.width), np.bool_)
            y0, x0 = piece.box.y0 + dy - read.y0, piece.box.x0 + dx - read.x0
            mask[y0 : y0 + piece.box.height, x0 : x0 + piece.box.width] = self._unfilled(piece.hole, piece.box)
            masks.append(mask)
        self._waiting += 1
        wanted = np.logical_or.reduce(masks)
        self.network_px += read.area

        def load() -> Tensor:
            colour, flags = surface.read(read)
            planes = np.empty((5, *flags.shape), np.float32)
            planes[:3], planes[3], planes[4] = colour.transpose(2, 0, 1), flags, wanted
            return torch.from_numpy(planes).to(self._means.model.device)

        take = partial(self._take, read, pieces, masks)
        batcher.add(Request((read.height, read.width), load, take, partial(self._fail, read)))

    def _fail(self, read: Box, _error: TileTooLargeError) -> None:
        self.error = ImageError(
            f"out of memory on {self._means.model.device} even for one crop of {read.width} x {read.height} px; "
            "free memory there, or try --device cpu"
        )

    def _take(self, read: Box, pieces: list[_Piece], masks: list[Flags], answer: Tensor, source: Tensor) -> None:
        """A crop came back."""
        if self.error is not None:
            return
        self._waiting -= 1
        count = len(self._surface.shown)
        planes, given = answer.cpu().numpy().transpose(1, 2, 0), source.cpu().numpy().transpose(1, 2, 0)
        seen = given[..., 3] > 0
        net, smooth = planes[..., :3], planes[..., 3:6]
        if count == 1:
            net, smooth = net.mean(2, keepdims=True), smooth.mean(2, keepdims=True)
        known = np.ascontiguousarray(given[..., :count])
        flow = navier_stokes(known, seen)
        smoothest = biharmonic(known, seen, np.logical_or.reduce(masks), smooth)
        try:
            for piece, mask in zip(pieces, masks, strict=True):
                fills = np.stack([np.clip(net[mask], 0, 1), smooth[mask], flow[mask], smoothest[mask]])
                self._collect(piece, self._surface.where(mask, read), fills, planes[..., 6][mask])
        except ImageError as error:
            self.error = error

    def _collect(self, piece: _Piece, at: At, fills: Planes, deviation: NDArray[np.float32]) -> None:
        hole = piece.hole
        found = evidence(fills, hole.radius_px, deviation, is_rim=hole.is_wide)
        hole.parts.append((piece.box, found, at, fills))
        hole.waiting -= 1
        if hole.waiting:
            return
        hole.parts.sort(key=lambda part: (part[0].y0, part[0].x0))  # sums mustn't depend on which batch came first
        first, *others = (part[1] for part in hole.parts)
        total = sum(others, first)
        decided = self._means.arbiter.decide(total)
        for _, _, where, parts in hole.parts:
            if self._means.witness is not None:
                self._means.witness(total, where, parts)
            self._surface.write(where, _kept(hole.chroma, decided.blend(parts)))
        hole.parts.clear()
        hole.verdict = decided


def _kept(chroma: Chroma | None, values: Planes) -> Planes:
    return values if chroma is None else chroma.kept(values)


def _parts(start: int, stop: int, longest: int) -> list[tuple[int, int]]:
    """As few even parts as will do; small ones are cut at the borders of the atlas's cells, too."""
    count = -(-(stop - start) // longest)
    edges = {start + (stop - start) * i // count for i in range(count + 1)}
    if longest <= _CELL_PX:
        edges.update(range(-(-(start + 1) // CELL_PX) * CELL_PX, stop, CELL_PX))
    return list(pairwise(sorted(edges)))


def _tight(flags: Flags) -> Box | None:
    """The smallest rectangle around what is set."""
    rows, columns = np.flatnonzero(flags.any(1)), np.flatnonzero(flags.any(0))
    if not len(rows):
        return None
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
