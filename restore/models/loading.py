"""Owns turning a `ModelRef` into a network that runs: which executor, on which device, in which precision."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from restore import device as devices
from restore.errors import ModelError, SetupError
from restore.models import store
from restore.models.library import ModelRef
from restore.recipe import Precision

if TYPE_CHECKING:
    from torch import Tensor


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Of glibc's <malloc.h>."""


@dataclass(frozen=True)
class Model:
    """A network on its device.

    `net` takes (N, 3, H, W) float32 in [0, 1] on `device`, H and W multiples of `multiple_of`, and returns
    (N, 3, scale*H, scale*W) float32, not clamped.  It changes to its precision inside.
    """

    ref: ModelRef
    net: Callable[[Tensor], Tensor]
    scale: int
    multiple_of: int
    receptive_radius_px: int | None
    """How far an input pixel's influence reaches, in input pixels; None: unknown, or the whole image."""
    device: str
    precision: Precision


def choose_precision(ref: ModelRef, requested: Precision, device: str) -> Precision:
    """What `ref` will run in: `auto` falls back to fp32 for networks that don't bear half precision.

    Raises SetupError when another precision was asked for than the network or the device bears.
    """
    precision = devices.resolve_precision(requested, device)
    facts = store.facts_of(ref.path)
    if precision.value in facts.get("precisions", "fp32 bf16 fp16").split():
        return precision
    if requested is Precision.AUTO:
        return Precision.FP32
    raise SetupError(f"model {ref.name} ({ref.architecture}) can't run in {precision}; use --precision fp32")


def load(ref: ModelRef, device: str, precision: Precision) -> Model:
    """Read `ref` (its sha256 is checked once more) and put it on `device` ("cpu", "cuda:0", "mps", "xpu").

    Raises ModelError when the file changed or its tensors are not those of its architecture.
    """
    if device == "cpu":
        _spare_page_faults()
    import safetensors.torch

    from restore.models import compact, foreign, rrdb

    precision = choose_precision(ref, precision, device)
    data = ref.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != ref.sha256:
        raise ModelError(f"{ref.path}: changed since it was chosen; run again, or: restore models verify")
    state = safetensors.torch.load(data)
    build = {"rrdb": rrdb.build, "compact": compact.build}.get(ref.architecture, foreign.build)
    try:
        built = build(state, ref.scale, device, precision)
    except ModelError as error:
        raise ModelError(f"{ref.path}: {error}") from error
    net = _one_by_one(built.net) if device == "cpu" else built.net
    return Model(ref, net, ref.scale, built.multiple_of, built.receptive_radius_px, device, precision)


def _spare_page_faults() -> None:
    """Keep what torch gives back: it frees each feature map, megabytes to hundreds of them, and takes new ones at once.

    Faulting those in again took a third of a compact network's CPU time.  With one glibc arena that isn't trimmed for
    blocks below 32 MiB (the most that glibc allows) and huge pages above, tiles of 288 px ran 1.4 times as fast, and
    tiles of 608 px 1.6 times.  torch reads its setting when it first allocates.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, value in ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, 32 << 20), (_M_TRIM_THRESHOLD, (1 << 31) - 1)):
            libc.mallopt(option, value)


def _one_by_one(net: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`net`, run on each image of a batch alone.

    A CPU gains nothing from batches, but its libraries add up in another order for other batch sizes: this way what a
    tile becomes doesn't depend, not even in its last bit, on which tiles happened to share its batch.
    """
    import torch

    def run(images: Tensor) -> Tensor:
        return net(images) if images.shape[0] == 1 else torch.cat([net(image) for image in images.split(1)])

    return run
