"""Owns super-resolution of pictures: planes -> tiles -> network -> planes.

    for key, result in Upscaler(model, step, batch_px=65536).stream(pictures):
        ...

Pictures flow through: tiles of several may share a batch, and each comes out when its last tile is sewn.  Canvas and
source stay in host memory, so device memory is bounded by the batch of tiles, whatever the picture's size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import numpy as np
from torch import Tensor

from restore.batcher import Batcher, Request, TileTooLargeError
from restore.cover import cover
from restore.errors import ImageError
from restore.image import Document, Image, Pixels
from restore.models import Model
from restore.planes import Plane, Split, fill_constants, fill_source, from_network, needed, split, to_network
from restore.recipe import Upscale
from restore.resample import resample, target_size
from restore.tiling import Tile, cut, gather, sew
from restore.traits import AlphaUse, Content, Traits

Key = TypeVar("Key")

SMALLEST_TILE_PX = 64
"""Beyond the halo; below this an out-of-memory is the picture's failure."""


@dataclass(frozen=True)
class Picture:
    """What to enlarge: one file's pages, and what each of them is."""

    document: Document
    traits: tuple[Traits, ...]
    tile_px: int | None = None
    """Smaller than the recipe's, where an earlier run had to; None: the recipe's."""


@dataclass(frozen=True)
class Enlarged:
    """The pages at the network's scale, in their own number type, and how they came about."""

    picture: Picture
    canvases: tuple[Pixels, ...]
    scale: int
    step: Upscale
    tile_px: int
    tiles: int
    seconds: float

    def document(self) -> Document:
        """The pages at the size that was asked for (resampled once where that isn't the network's own)."""
        return Document(
            tuple(
                page.with_pixels(self._sized(page, traits, canvas))
                for page, traits, canvas in zip(
                    self.picture.document.pages, self.picture.traits, self.canvases, strict=True
                )
            ),
            self.picture.document.arrangement,
        )

    def _sized(self, page: Image, traits: Traits, canvas: Pixels) -> Pixels:
        size = target_size(page.height, page.width, self.scale, self.step)
        if size == canvas.shape[:2]:
            return canvas
        normal = traits.content is Content.NORMAL
        opacity = page.alpha_channel if traits.alpha in (AlphaUse.CUTOUT, AlphaUse.BLEND) else None
        resized = resample(
            canvas,
            size,
            linear_light=not normal and page.stored.transfer == "srgb",
            alpha_channel=opacity,
            wraps=traits.wraps,
            data_channels=tuple(c for c in range(canvas.shape[2]) if c not in page.color_channels and c != opacity),
            normal=normal,
        )
        if traits.alpha is AlphaUse.CUTOUT and opacity is not None:  # still only 0 or full
            top = np.iinfo(canvas.dtype).max if canvas.dtype.kind == "u" else 1
            resized[..., opacity] = np.where(resized[..., opacity] > top / 2, top, 0)
        return resized


@dataclass(eq=False)
class _Work(Generic[Key]):
    """One picture on its way: what is still missing of it."""

    key: Key
    picture: Picture
    tile_px: int
    on_smaller_tile: Callable[[Key, int], None] | None
    started: float = field(default_factory=time.perf_counter)
    canvases: tuple[Pixels, ...] = ()
    waiting: int = 0
    """Tiles handed to the batcher and not yet sewn."""
    handed_over: bool = False
    tiles: int = 0
    attempt: int = 0
    error: ImageError | None = None
    too_large: bool = False

    @property
    def finished(self) -> bool:
        return self.error is not None or (self.handed_over and self.waiting == 0)


class Upscaler:
    """Enlarges pictures with one model on one device.

    `batch_px`: source pixels that run at once; `in_flight_px`: source pixels of pictures that may wait for partners of
    their tiles' shape before the oldest batch runs part-filled.
    """

    def __init__(self, model: Model, step: Upscale, *, batch_px: int, in_flight_px: int = 1 << 22) -> None:
        self._model = model
        self._step = step
        self._batcher = Batcher(model, batch_px=batch_px)
        self._in_flight_px = in_flight_px

    def stream(
        self,
        pictures: Iterable[tuple[Key, Picture] | None],
        on_smaller_tile: Callable[[Key, int], None] | None = None,
    ) -> Iterator[tuple[Key, Enlarged | ImageError]]:
        """Each picture comes out once, when it is done, under its key; pictures are pulled lazily.

        None among them means that none is ready now: what waits for partners runs without them.  `on_smaller_tile` is
        told when memory ran out and a picture starts again.
        """
        in_flight: list[_Work[Key]] = []
        for item in pictures:
            if item is None:
                self._batcher.flush()
            else:
                key, picture = item
                work = _Work(key, picture, picture.tile_px or self._step.tile_px, on_smaller_tile)
                in_flight.append(work)
                self._hand_over(work)
            self._restart_smaller(in_flight)
            while sum(_area(w) for w in in_flight if not w.finished) > self._in_flight_px:
                if not self._batcher.flush_oldest():
                    break
                self._restart_smaller(in_flight)
            yield from self._take_finished(in_flight)
        while in_flight:
            self._batcher.flush()
            self._restart_smaller(in_flight)
            yield from self._take_finished(in_flight)

    def __call__(self, document: Document, traits: tuple[Traits, ...]) -> Document:
        """One document at once.  Raises ImageError."""
        for _, result in self.stream([(0, Picture(document, traits))]):
            if isinstance(result, ImageError):
                raise result
            return result.document()
        raise AssertionError("a stream of one picture gives one result")

    @property
    def batch_limit(self) -> int | None:
        """The largest batch that fitted into memory, where a larger one didn't."""
        return self._batcher.batch_limit

    def _hand_over(self, work: _Work[Key]) -> None:
        """Cut every plane of the picture and give its tiles to the batcher; again, smaller, while they don't fit."""
        while True:
            self._cut_and_add(work)
            if not work.too_large:
                return
            self._shrink(work)
            if work.error is not None:
                return

    def _cut_and_add(self, work: _Work[Key]) -> None:
        scale = self._model.scale
        work.attempt += 1
        work.waiting = work.tiles = 0
        work.too_large = work.handed_over = False
        canvases = []
        try:
            splits = [split(page, traits) for page, traits in _pages(work.picture)]
        except ImageError as error:
            work.error = error
            return
        for page, parts in zip(work.picture.document.pages, splits, strict=True):
            shape = (page.height * scale, page.width * scale, page.pixels.shape[2])
            try:
                canvas = np.empty(shape, dtype=page.pixels.dtype)
            except MemoryError:
                size = np.prod(shape, dtype=float) * page.pixels.itemsize / 2**30
                work.error = ImageError(f"no memory for a result of {size:.1f} GiB; free some, or leave this file out")
                return
            fill_constants(canvas, parts.constants)
            canvases.append(canvas)
        work.canvases = tuple(canvases)
        for (_, traits), parts, canvas in zip(_pages(work.picture), splits, canvases, strict=True):
            self._add_planes(work, parts, canvas, traits.wraps)
        work.handed_over = True

    def _add_planes(self, work: _Work[Key], parts: Split, canvas: Pixels, wraps: tuple[bool, bool]) -> None:
        for plane in parts.planes:
            for tile in self._tiles(work, plane, canvas, wraps):
                if work.too_large or work.error is not None:
                    return
                work.waiting += 1
                work.tiles += 1
                self._batcher.add(self._request(work, plane, tile, canvas, wraps))

    def _tiles(self, work: _Work[Key], plane: Plane, canvas: Pixels, wraps: tuple[bool, bool]) -> tuple[Tile, ...]:
        """Tiles for what is needed of the plane; the rest of `canvas` is filled here."""
        tile_px, halo_px, multiple_of = work.tile_px, self._step.halo_px, self._model.multiple_of
        need = needed(plane, wraps)
        if need is not None:
            tiles = cover(need, tile_px=tile_px, halo_px=halo_px, wraps=wraps, multiple_of=multiple_of)
            if tiles is not None:
                fill_source(canvas, plane, wraps)
                return tiles
        height, width = plane.pixels.shape[:2]
        return cut(height, width, tile_px=tile_px, halo_px=halo_px, wraps=wraps, multiple_of=multiple_of)

    def _request(self, work: _Work[Key], plane: Plane, tile: Tile, canvas: Pixels, wraps: tuple[bool, bool]) -> Request:
        patch = gather(plane.pixels, tile.read, wraps)
        weight = None if plane.weight is None else gather(plane.weight, tile.read, wraps)
        attempt = work.attempt

        def deliver(answer: Tensor, source: Tensor) -> None:
            if work.attempt != attempt or work.error is not None:
                return
            try:
                result = from_network(answer, source, patch, weight, plane, self._step)
            except ImageError as error:
                work.error = error
                return
            sew(canvas, result, tile, self._model.scale, plane.channels)
            work.waiting -= 1

        load = partial(to_network, patch, plane, self._model.device)
        return Request(patch.shape[:2], load, deliver, partial(_mark_too_large, work, attempt))

    def _restart_smaller(self, in_flight: list[_Work[Key]]) -> None:
        for work in in_flight:
            if work.too_large and work.error is None:
                self._shrink(work)
                if work.error is None:
                    self._hand_over(work)

    def _shrink(self, work: _Work[Key]) -> None:
        smaller = work.tile_px * 3 // 4
        if smaller < 2 * self._step.halo_px + SMALLEST_TILE_PX:
            work.error = ImageError(
                f"out of memory on {self._model.device} even with tiles of {work.tile_px} px; "
                "free memory there, or try --device cpu, a smaller --halo or a smaller model"
            )
            return
        work.tile_px = smaller
        if work.on_smaller_tile is not None:
            work.on_smaller_tile(work.key, smaller)

    def _take_finished(self, in_flight: list[_Work[Key]]) -> Iterator[tuple[Key, Enlarged | ImageError]]:
        done = [work for work in in_flight if work.finished]
        in_flight[:] = [work for work in in_flight if not work.finished]
        for work in done:
            if work.error is not None:
                yield work.key, work.error
                continue
            yield (
                work.key,
                Enlarged(
                    work.picture,
                    work.canvases,
                    self._model.scale,
                    self._step,
                    work.tile_px,
                    work.tiles,
                    time.perf_counter() - work.started,
                ),
            )


def _mark_too_large(work: _Work[Key], attempt: int, _error: TileTooLargeError) -> None:
    if work.attempt == attempt:
        work.too_large = True


def _pages(picture: Picture) -> list[tuple[Image, Traits]]:
    return list(zip(picture.document.pages, picture.traits, strict=True))


def _area(work: _Work[Key]) -> int:
    return sum(page.height * page.width for page in work.picture.document.pages)
