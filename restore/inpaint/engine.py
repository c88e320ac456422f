"""Owns filling holes of pictures: each flows in damaged and comes out repaired, with a record of every repair.

    for key, result in Inpainter(model, step, batch_px=65536).stream(pictures):
        ...

Crops of several pictures may share a batch.  What a hole becomes depends on its picture alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import ceil, log2
from typing import Generic, TypeVar

import numpy as np

from restore.batcher import Batcher
from restore.errors import ImageError
from restore.holes.found import Blob, Found, Holes, one_kind
from restore.image import Image
from restore.inpaint.arbiter import EVEN, Arbiter, Verdict, arbiter_for
from restore.inpaint.filling import Filling, Means, Witness
from restore.inpaint.grain import regrain
from restore.inpaint.surface import Surface, surface_of
from restore.models.inpainting import INPUTS, InpaintModel
from restore.recipe import FindHoles, Grain, HolesFrom, Inpaint, TraitRules, Wrap
from restore.traits import Traits, classify
from restore.trust.ledger import Fill, Repair

Key = TypeVar("Key")

_GPU_BATCH_PX = 1 << 20
_CPU_BATCH_PX = 1 << 17
"""Crops of one shape run side by side, one a thread: 56 of 48 x 48 px, 2 of 256 x 256."""


@dataclass(frozen=True)
class Damaged:
    """One page with its holes.  `found.page` is what is filled: `page`, unless dirt was divided out of it."""

    page: Image
    found: Found
    traits: Traits
    page_number: int
    """From 0."""
    top: int = 0
    """Where `page` is a band of rows of a larger picture: its first row there."""


@dataclass(frozen=True)
class Repaired:
    """The page without holes; every pixel outside them, and outside what was divided out, is the original's."""

    page: Image
    repairs: tuple[Repair, ...]
    """In order of the boxes' corners, rows first."""
    seconds: float
    network_px: int = 0
    """Pixels that went through the network."""


@dataclass(eq=False)
class _Work(Generic[Key]):
    key: Key
    damaged: Damaged
    started: float = field(default_factory=time.perf_counter)
    surface: Surface | None = None
    filling: Filling | None = None
    error: ImageError | None = None

    @property
    def finished(self) -> bool:
        return self.failure is not None or self.filling is None or self.filling.finished

    @property
    def failure(self) -> ImageError | None:
        return self.error or (None if self.filling is None else self.filling.error)


class Inpainter:
    """Fills holes with one model on one device.

    `batch_px`: pixels that run at once, on a CPU `_CPU_BATCH_PX` at least; `in_flight_px`: pixels of pictures that may
    wait for partners of their crops' shape before the oldest batch runs part-filled.  `arbiter`: another one than the
    model's own; `witness` is told what every hole's fills were.
    """

    def __init__(
        self,
        model: InpaintModel,
        step: Inpaint,
        *,
        batch_px: int,
        in_flight_px: int = 1 << 25,
        arbiter: Arbiter | None = None,
        witness: Witness | None = None,
    ) -> None:
        self._step = step
        batch_px = max(batch_px, _CPU_BATCH_PX) if model.device == "cpu" else batch_px
        self._batcher = Batcher(model, batch_px=batch_px, channels=INPUTS)
        apart = Batcher(model, batch_px=batch_px, channels=INPUTS)
        self._means = Means(model, arbiter or arbiter_for(model.sha256), step.context_px, apart, witness)
        self._in_flight_px = in_flight_px

    def stream(self, pictures: Iterable[tuple[Key, Damaged] | None]) -> Iterator[tuple[Key, Repaired | ImageError]]:
        """Each picture comes out once, when it is done, under its key; pictures are pulled lazily.

        None among them means that none is ready now: what waits for partners runs without them.
        """
        in_flight: list[_Work[Key]] = []
        for item in pictures:
            if item is None:
                self._batcher.flush()
            else:
                work = _Work(*item)
                in_flight.append(work)
                self._begin(work)
            while sum(_area(w) for w in in_flight if not w.finished) > self._in_flight_px:
                if not self._batcher.flush_oldest():
                    break
            yield from self._take_finished(in_flight)
        self._batcher.flush()
        yield from self._take_finished(in_flight)

    def __call__(self, damaged: Damaged) -> Repaired:
        """One picture at once.  Raises ImageError."""
        for _, result in self.stream([(0, damaged)]):
            if isinstance(result, ImageError):
                raise result
            return result
        raise AssertionError("a stream of one picture gives one result")

    def reach_px(self, radius_px: float) -> int:
        """How far from a hole pixels have a say in its fill; `radius_px`: its largest distance to a known pixel."""
        times = ceil(log2(radius_px / self._means.limit_px)) if radius_px > self._means.limit_px else 0
        return self._means.context_px << times

    @property
    def batch_limit(self) -> int | None:
        """The largest batch that fitted into memory, where a larger one didn't."""
        return self._batcher.batch_limit

    def _begin(self, work: _Work[Key]) -> None:
        found = work.damaged.found
        if not found.blobs:
            return
        try:
            work.surface = surface_of(found.page, found, work.damaged.traits, self._step.holes.source)
            boxes = tuple(blob.box for blob in found.blobs)
            work.filling = Filling(work.surface, found.labels, boxes, self._means)
            work.filling.begin(self._batcher)
        except ImageError as error:
            work.error = error
        except MemoryError:
            work.error = ImageError("no memory for a copy of the picture; free some, or leave this file out")

    def _take_finished(self, in_flight: list[_Work[Key]]) -> Iterator[tuple[Key, Repaired | ImageError]]:
        done = [work for work in in_flight if work.finished]
        in_flight[:] = [work for work in in_flight if not work.finished]
        for work in done:
            yield work.key, work.failure or self._finish(work)

    def _wants_grain(self, surface: Surface) -> bool:
        """Nobody sees colour under alpha = 0, and grain there would only cost texture compression its blocks."""
        unseen = self._step.holes.source is HolesFrom.ALPHA
        return self._step.grain is Grain.AUTO and not surface.is_normal and not unseen

    def _finish(self, work: _Work[Key]) -> Repaired:
        damaged, found = work.damaged, work.damaged.found
        page, network_px = found.page, 0
        verdicts: tuple[Verdict, ...] = ()
        if work.surface is not None and work.filling is not None:
            verdicts = work.filling.verdicts
            if self._wants_grain(work.surface):
                for k, (blob, verdict) in enumerate(zip(found.blobs, verdicts, strict=True)):
                    if verdict is not EVEN:
                        regrain(work.surface, found.labels, k + 1, blob.box, damaged.top)
            for k in work.filling.grey:
                box = found.blobs[k].box
                rows, columns = np.nonzero(found.labels[box.y0 : box.y1, box.x0 : box.x1] == k + 1)
                work.surface.make_grey((rows + box.y0, columns + box.x0))
            page = page.with_pixels(work.surface.canvas)
            network_px = work.filling.network_px
        return Repaired(
            page, repairs_of(found, verdicts, damaged.page_number), time.perf_counter() - work.started, network_px
        )


def inpaint(
    image: Image,
    holes: Holes,
    model: InpaintModel,
    *,
    name: str = "",
    wrap: Wrap = Wrap.AUTO,
    context_px: int = Inpaint.context_px,
    grain: Grain = Grain.AUTO,
) -> Repaired:
    """`image` with `holes` (H, W), True = missing, filled; the rest of it bit for bit.

    `name`: the file's, which helps to tell a normal map.  Raises ImageError where nothing is known.
    """
    if holes.shape != (image.height, image.width):
        raise ImageError(
            f"holes are {holes.shape[1]} x {holes.shape[0]} px, the picture is {image.width} x {image.height} px"
        )
    step = Inpaint(model.name, model.sha256, model.precision, FindHoles(HolesFrom.MASKS), context_px, grain)
    found = one_kind(holes.astype(np.bool_), image, "mask")
    traits = classify(image, name, TraitRules(wrap))
    batch_px = 1 if model.device == "cpu" else _GPU_BATCH_PX
    return Inpainter(model, step, batch_px=batch_px)(Damaged(image, found, traits, 0))


def repairs_of(found: Found, verdicts: tuple[Verdict, ...], page: int) -> tuple[Repair, ...]:
    """The ledger's records of one page: holes that were filled, and dirt that was divided out."""
    filled = [(blob, verdict.fill, verdict.confidence) for blob, verdict in zip(found.blobs, verdicts, strict=True)]
    divided: list[tuple[Blob, Fill, float]] = [(blob, Fill.DIVIDED, 1.0) for blob in found.divided_blobs]
    both = sorted(filled + divided, key=lambda one: (one[0].box.y0, one[0].box.x0, one[0].box.y1, one[0].box.x1))
    return tuple(
        Repair(page, number, blob.box, blob.area_px, blob.kind, fill, confidence, blob.score)
        for number, (blob, fill, confidence) in enumerate(both)
    )


def _area(work: _Work[Key]) -> int:
    return work.damaged.page.height * work.damaged.page.width
