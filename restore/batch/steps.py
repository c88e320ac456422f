"""Owns how engines stand in a worker's line: each takes pictures as a stream and gives them back as one.

A recipe's steps in order: holes are filled, then the picture is enlarged; or stored patches are put on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from restore.batch.facts import Deviation
from restore.batch.job import Deviated
from restore.batch.large import Large, fill
from restore.batch.memory import decoder_for, pixels_of
from restore.batch.repairs import own_pixels
from restore.batch.work import Leave, Step, Work
from restore.errors import ImageError
from restore.image import Document, Image
from restore.models import Model
from restore.recipe import Inpaint, Recipe, Upscale
from restore.trust.ledger import Repair
from restore.upscale import Picture, Upscaler

if TYPE_CHECKING:
    from restore.inpaint import Damaged, Repaired
    from restore.models.inpainting import InpaintModel


@dataclass(frozen=True)
class Models:
    """What the steps of a recipe run on; all on one device."""

    upscale: Model | None = None
    inpaint: InpaintModel | None = None

    @property
    def device(self) -> str:
        return next((model.device for model in (self.upscale, self.inpaint) if model is not None), "cpu")

    @property
    def scale(self) -> int:
        """Side of the largest canvas over the source's."""
        return 1 if self.upscale is None else self.upscale.scale


def steps_of(
    recipe: Recipe,
    models: Models,
    *,
    batch_px: int,
    may_go_on: Callable[[], None],
    tell: Callable[[Deviated], None],
) -> tuple[Step, ...]:
    """The recipe's steps.  `may_go_on` is called before each of a network's calls, and raises where nothing is wanted
    any more; `tell` hears of pictures that start again because memory ran out."""
    steps: list[Step] = []
    if recipe.inpaint is not None:
        if models.inpaint is None:
            raise ValueError("a recipe with inpainting needs an inpainting model")
        steps.append(Inpainting(models.inpaint, recipe.inpaint, batch_px))
    if recipe.upscale is not None:
        if models.upscale is None:
            raise ValueError("a recipe with upscaling needs a super-resolution model")
        steps.append(Upscaling(models.upscale, recipe.upscale, batch_px, may_go_on, tell))
    if not steps:
        steps.append(Patching())
    return tuple(steps)


class _Burst:
    """What is ready now of a stream, up to the next None."""

    def __init__(self, works: Iterator[Work | None]) -> None:
        self._works = works
        self.was_last = False

    def __iter__(self) -> Iterator[Work]:
        for work in self._works:
            if work is None:
                return
            yield work
        self.was_last = True


def _bursts(works: Iterable[Work | None]) -> Iterator[_Burst]:
    source = iter(works)
    while True:
        burst = _Burst(source)
        yield burst
        if burst.was_last:
            return


class Upscaling:
    """Enlarges."""

    def __init__(
        self,
        model: Model,
        step: Upscale,
        batch_px: int,
        may_go_on: Callable[[], None],
        tell: Callable[[Deviated], None],
    ) -> None:
        def net(batch: Tensor) -> Tensor:
            may_go_on()
            return model.net(batch)

        self._upscaler = Upscaler(replace(model, net=net), step, batch_px=batch_px)
        self._tell = tell

    def stream(self, works: Iterable[Work | None], leave: Leave) -> Iterator[Work | None]:
        for burst in _bursts(works):
            for work, enlarged in self._upscaler.stream(((work, _picture(work)) for work in burst), self._say):
                if isinstance(enlarged, ImageError):
                    leave(work, enlarged)
                else:
                    yield replace(work, enlarged=enlarged).after(enlarged.seconds)
            if not burst.was_last:
                yield None

    def _say(self, work: Work, tile_px: int) -> None:
        self._tell(Deviated(work.read.job, Deviation(tile_px, self._upscaler.batch_limit or 0)))


def _picture(work: Work) -> Picture:
    deviation = work.read.job.deviation
    return Picture(work.document, work.read.traits, deviation.tile_px if deviation is not None else None)


class _Pages:
    """A document of which some pages are being repaired."""

    def __init__(self, work: Work, missing: int) -> None:
        self.work = work
        self.pages: list[Image] = list(work.document.pages)
        self.missing = missing
        self.repairs: list[Repair] = []
        self.seconds = 0.0
        self.error: ImageError | None = None

    def add(self, number: int, repaired: Repaired | ImageError) -> None:
        self.missing -= 1
        if isinstance(repaired, ImageError):
            self.error = self.error or repaired
            return
        self.pages[number] = repaired.page
        self.repairs += repaired.repairs
        self.seconds += repaired.seconds

    def done(self) -> Work:
        document = Document(tuple(self.pages), self.work.document.arrangement)
        repairs = own_pixels(self.repairs, self.work.read.found)
        return replace(self.work, document=document, repairs=repairs).after(self.seconds)


class Inpainting:
    """Fills holes, page by page; pictures without any pass through."""

    def __init__(self, model: InpaintModel, step: Inpaint, batch_px: int) -> None:
        from restore.inpaint import Inpainter

        self._inpainter = Inpainter(model, step, batch_px=batch_px)
        self._in_bands = Inpainter(model, step, batch_px=batch_px)
        """Apart from the others: one band's crops aren't to wait for other pictures."""

    def stream(self, works: Iterable[Work | None], leave: Leave) -> Iterator[Work | None]:
        for burst in _bursts(works):
            whole: list[Work] = []
            for pages, number, repaired in self._repaired(burst, whole, leave):
                pages.add(number, repaired)
                if not pages.missing:
                    if pages.error is not None:
                        leave(pages.work, pages.error)
                    else:
                        yield pages.done()
                while whole:
                    yield whole.pop()
            yield from whole
            if not burst.was_last:
                yield None

    def _repaired(
        self, burst: _Burst, whole: list[Work], leave: Leave
    ) -> Iterator[tuple[_Pages, int, Repaired | ImageError]]:
        """Every damaged page, under its document; documents without damage, and those in bands, go to `whole`."""

        from restore.inpaint import Damaged

        def damaged() -> Iterator[tuple[tuple[_Pages, int], Damaged]]:
            for work in burst:
                if work.read.large is not None:
                    whole.extend(self._filled_in_bands(work, work.read.large, leave))
                    continue
                found = [(i, one) for i, one in enumerate(work.read.found) if one and (one.blobs or one.divided_blobs)]
                if not found:
                    whole.append(work)
                pages = _Pages(work, len(found))
                for number, one in found:
                    page, traits = work.document.pages[number], work.read.traits[number]
                    yield (pages, number), Damaged(page, one, traits, number)

        for (pages, number), repaired in self._inpainter.stream(damaged()):
            yield pages, number, repaired

    def _filled_in_bands(self, work: Work, large: Large, leave: Leave) -> list[Work]:
        started = time.perf_counter()
        try:
            with decoder_for(pixels_of(large.sizes)) as decoder:
                patched = tuple(fill(large, work.read.traits, self._in_bands, decoder))
        except ImageError as error:
            leave(work, error)
            return []
        repairs = tuple((patch.repair, patch.touched) for patch in patched)
        return [replace(work, repairs=repairs, patched=patched).after(time.perf_counter() - started)]


class Patching:
    """Puts stored patches on."""

    def stream(self, works: Iterable[Work | None], leave: Leave) -> Iterator[Work | None]:
        for work in works:
            patches = None if work is None else work.read.patches
            if work is None or patches is None:
                yield work
                continue
            repairs = tuple((patch.repair, patch.touched) for patch in patches.patches)
            if work.read.large is not None:
                yield replace(work, repairs=repairs, patched=patches.patches)
                continue
            started = time.perf_counter()
            try:
                document = patches.applied(work.document)
            except ImageError as error:
                leave(work, error)
                continue
            yield replace(work, document=document, repairs=repairs).after(time.perf_counter() - started)
