"""Owns which tiles run through a network together: tiles of many images, of one shape, in one batch.

Game folders hold thousands of small textures; alone they would leave a GPU idle.  The size of a batch depends on the
tile's shape alone and a part-filled one is padded, so that a resumed run, which meets other neighbours, computes the
same bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class TileTooLargeError(Exception):
    """Even a batch of one tile doesn't fit into the device's memory."""


class Network(Protocol):
    """What runs batches: `restore.models.Model`, or one that fills holes."""

    @property
    def net(self) -> Callable[[Tensor], Tensor]: ...

    @property
    def device(self) -> str: ...


@dataclass(frozen=True)
class Request:
    """One tile on its way through the network."""

    shape: tuple[int, int]
    """(h, w)."""
    load: Callable[[], Tensor]
    """Gives (channels, h, w) float32 on the device, colour in [0, 1].  Called when the tile's batch runs, and again if
    that has to be repeated: a waiting tile takes no memory, and what crosses to the device is its pixels in the file's
    own type."""
    deliver: Callable[[Tensor, Tensor], None]
    """Called with the answer (C, s*h, s*w) and what `load` gave, both float32 on the device."""
    fail: Callable[[TileTooLargeError], None]
    """Called instead of `deliver` when the tile doesn't fit."""


class Batcher:
    """Collects requests by shape and runs a bucket when it is full.

    `batch_px`: about how many source pixels run at once; a tile of more runs alone.  `channels`: of what the network
    is given.
    """

    def __init__(self, model: Network, *, batch_px: int, channels: int = 3) -> None:
        self._model = model
        self._channels = channels
        self._batch_px = batch_px
        self._most = 1 << 30  # lowered when memory runs out, for the rest of the run
        self._buckets: OrderedDict[tuple[int, int], list[Request]] = OrderedDict()

    def add(self, request: Request) -> None:
        shape = request.shape
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
        shape = requests[0].shape
        while requests:
            count = self._count(shape)
            head, requests = requests[:count], requests[count:]
            try:
                sources, answers = self._infer(head, count)
            except torch.OutOfMemoryError as error:
                _release_memory(self._model.device)
                if count > 1:
                    self._most = count // 2
                    requests = head + requests
                else:
                    head[0].fail(TileTooLargeError(str(error).splitlines()[0]))
                continue
            for request, answer, source in zip(head, answers, sources, strict=False):
                request.deliver(answer, source)

    def _infer(self, requests: list[Request], count: int) -> tuple[Tensor, Tensor]:
        """(what the network was given, what it answered)."""
        batch = torch.zeros((count, self._channels, *requests[0].shape), dtype=torch.float32, device=self._model.device)
        for i, request in enumerate(requests):
            batch[i] = request.load()
        with torch.inference_mode():
            return batch, self._model.net(batch)


def _release_memory(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
