"""Owns which tiles run through a network together: tiles of many images, of one shape, in one batch.

Game folders hold thousands of small textures; alone they would leave a GPU idle.  The size of a batch depends on the
tile's shape alone and a part-filled one is padded, so that a resumed run, which meets other neighbours, computes the
same bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from restore.models import Model


class TileTooLargeError(Exception):
    """Even a batch of one tile doesn't fit into the device's memory."""


@dataclass(frozen=True)
class Request:
    """One tile on its way through the network."""

    tile: Tensor
    """(3, h, w) float32 in [0, 1], on the CPU."""
    deliver: Callable[[Tensor], None]
    """Called with (3, s*h, s*w) float32 on the device."""
    fail: Callable[[TileTooLargeError], None]
    """Called instead of `deliver` when the tile doesn't fit."""


class Batcher:
    """Collects requests by shape and runs a bucket when it is full.

    `batch_px`: about how many source pixels run at once; a tile of more runs alone.
    """

    def __init__(self, model: Model, *, batch_px: int) -> None:
        self._model = model
        self._batch_px = batch_px
        self._most = 1 << 30  # lowered when memory runs out, for the rest of the run
        self._buckets: OrderedDict[tuple[int, int], list[Request]] = OrderedDict()

    def add(self, request: Request) -> None:
        shape = (int(request.tile.shape[1]), int(request.tile.shape[2]))
        bucket = self._buckets.setdefault(shape, [])
        bucket.append(request)
        if len(bucket) >= self._count(shape):
            self._run(self._buckets.pop(shape))

    def flush(self) -> None:
        """Run everything that waits."""
        while self._buckets:
            self._run(self._buckets.popitem(last=False)[1])

    def flush_oldest(self) -> bool:
        """Run the bucket that has waited longest; False when none waits."""
        if not self._buckets:
            return False
        self._run(self._buckets.popitem(last=False)[1])
        return True

    @property
    def batch_limit(self) -> int | None:
        """The largest batch that fitted, once memory has run out; else None."""
        return self._most if self._most < 1 << 30 else None

    def _count(self, shape: tuple[int, int]) -> int:
        return max(1, min(self._most, self._batch_px // (shape[0] * shape[1])))

    def _run(self, requests: list[Request]) -> None:
        shape = (int(requests[0].tile.shape[1]), int(requests[0].tile.shape[2]))
        while requests:
            count = self._count(shape)
            head, requests = requests[:count], requests[count:]
            try:
                answers = self._infer(head, count)
            except torch.OutOfMemoryError as error:
                _release_memory(self._model.device)
                if count > 1:
                    self._most = count // 2
                    requests = head + requests
                else:
                    head[0].fail(TileTooLargeError(str(error).splitlines()[0]))
                continue
            for request, answer in zip(head, answers, strict=False):
                request.deliver(answer)

    def _infer(self, requests: list[Request], count: int) -> Tensor:
        batch = torch.zeros((count, *requests[0].tile.shape), dtype=torch.float32)
        for i, request in enumerate(requests):
            batch[i] = request.tile
        with torch.inference_mode():
            return self._model.net(batch.to(self._model.device, non_blocking=True))


def _release_memory(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
