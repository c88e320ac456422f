"""Owns what RRDB networks (ESRGAN, Real-ESRGAN) look like as tensors; `ops.rrdb_forward` runs them.

Architecture: Real-ESRGAN and BasicSR, basicsr/archs/rrdbnet_arch.py (Apache-2.0); canonical names are BasicSR's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from math import isqrt

from torch import Tensor

from restore import ops
from restore.errors import ModelError
from restore.models.network import DTYPES, Built, check_state, convolution_shapes
from restore.ops import RrdbShape
from restore.recipe import Precision


def receptive_radius_px(shape: RrdbShape) -> int:
    """Exact: 15 a block and 4 for two doublings (94 for 6 blocks, 349 for 23), `fold` times as much when folded."""
    reach = 2  # conv_hr and conv_last, in output pixels
    for _ in range(shape.doublings):
        reach = (reach + 2) // 2  # conv_up, then half of it, rounded up
    return shape.fold * (15 * shape.blocks + 2 + reach)  # 2: conv_first and conv_body


def build(state: Mapping[str, Tensor], scale: int, device: str, precision: Precision) -> Built:
    """Check `state` against the architecture and set it up; ModelError says what doesn't fit."""
    shape = shape_of(state, scale)
    check_state(state, wanted(shape))
    network = ops.pack_rrdb(state, shape, device, DTYPES[precision])
    return Built(partial(ops.rrdb_forward, network=network), shape.fold, receptive_radius_px(shape))


def shape_of(state: Mapping[str, Tensor], scale: int) -> RrdbShape:
    """The structure that `state` has under canonical names, enlarging by `scale`."""
    numbers = [int(m[1]) for name in state if (m := re.fullmatch(r"body\.(\d{1,3})\.rdb1\.conv1\.weight", name))]
    ups = [name for name in state if re.fullmatch(r"conv_up\d\.weight", name)]
    try:
        first, last = state["conv_first.weight"], state["conv_last.weight"]
        growth = int(state["body.0.rdb1.conv1.weight"].shape[0])
    except KeyError as error:
        raise ModelError(f"no RRDB network: it has no {error}") from error
    if first.ndim != 4 or last.ndim != 4:
        raise ModelError("no RRDB network: its first or last layer is no convolution")
    channels, inputs = int(last.shape[0]), int(first.shape[1])
    fold = isqrt(inputs // channels) if channels else 0
    shape = RrdbShape(max(numbers) + 1, int(first.shape[0]), growth, len(ups), fold, channels)
    if fold < 1 or fold**2 * channels != inputs or shape.scale != scale:
        raise ModelError(f"no RRDB network x{scale}: {inputs} channels in, {channels} out, {len(ups)} doublings")
    return shape


def wanted(shape: RrdbShape) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors, in canonical order."""
    tensors: dict[str, tuple[int, ...]] = {}
    for name, outputs, inputs in shape.convolutions():
        tensors |= convolution_shapes(name, outputs, inputs)
    return tensors
