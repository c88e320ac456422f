"""Owns turning a `ModelRef` into a network that runs: which executor, on which device, in which precision."""

from __future__ import annotations

import hashlib
import os
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
    _use_huge_pages()
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


def _use_huge_pages() -> None:
    """torch returns feature maps, hundreds of megabytes each, to the system at once; faulting them in again took 30 %
    of a compact network's CPU time in pages of 4 KiB, 15 % in huge ones.  torch reads this when it first allocates.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def _one_by_one(net: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`net`, run on each image of a batch alone.

    A CPU gains nothing from batches, but its libraries add up in another order for other batch sizes: this way what a
    tile becomes doesn't depend, not even in its last bit, on which tiles happened to share its batch.
    """
    import torch

    def run(images: Tensor) -> Tensor:
        return net(images) if images.shape[0] == 1 else torch.cat([net(image) for image in images.split(1)])

    return run
