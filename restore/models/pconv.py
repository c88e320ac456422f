"""Owns our inpainting network: a partial-convolution U-Net that corrects a push-pull fill, and its file.

Liu et al., "Image Inpainting for Irregular Holes Using Partial Convolutions", ECCV 2018, with four changes that make a
small network worth having:

* It predicts a residual over `push_pull`, and its last layer starts at zero: training starts at the classical fill.
* It sees (x - local mean) / local deviation, and its answer is multiplied by that deviation: a faint texture in shade
  and a strong one in light are the same task.
* No batch normalisation: statistics over holes are wrong, which is why the paper freezes it halfway.
* Two sources at each skip connection, each with its own validity, instead of one plane a channel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore import ops
from restore.errors import ModelError
from restore.models import store
from restore.models.network import check_state
from restore.models.push_pull import push_pull

Region = tuple[int, int, int, int]
"""(y0, x0, y1, x1), half-open, in pixels of the map that it is a part of."""

ARCHITECTURE = "pconv"
DEFAULT_WIDTHS = (32, 48, 64, 96, 144, 192)
"""1.3 M weights.  Channels at full size, then after each halving."""
WEIGHT_LIMIT = 8_000_000
"""In fp16 that is the 16 MB that a package may carry."""
SLOPE = 0.2
SMALLEST_DEVIATION = 0.01
"""2.5 steps of 255: below it noise would be blown up to the height of a texture."""
_SMALL_PX = 256
_WINDOW_PX, _PASSES = 15, 3
"""Three boxes come near a Gaussian of 7.5 px; 15^6 = 11 million pixels at most are counted exactly in float32."""


@dataclass(frozen=True)
class Filled:
    """What the network makes of a batch.  All are float32, on the input's device."""

    image: Tensor
    """(N, 3, H, W): the input, bit for bit, where it is known; fill and residual in holes.  Not clamped."""
    fill: Tensor
    """(N, 3, H, W): what push-pull alone gives."""
    deviation: Tensor
    """(N, 1, H, W): the local standard deviation that the residual was multiplied by; never below its floor."""
    reached: Tensor
    """(N, 1, H, W) bool: the network saw something known; elsewhere `image` is `fill`."""


class PconvUnet(nn.Module):
    """The network; `widths` are channels at full size and after each halving.

    Canonical names: first, down.0 (to half size), down.1, ..., up.0 (back to full size), up.1, ..., last; each with
    .weight and .bias.
    """

    def __init__(self, widths: Sequence[int] = DEFAULT_WIDTHS) -> None:
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(f"widths must be two or more positive numbers, got {tuple(widths)}")
        self.widths = tuple(int(width) for width in widths)
        tensors = wanted(self.widths)
        size = sum(torch.Size(shape).numel() for shape in tensors.values())
        if size > WEIGHT_LIMIT:
            raise ValueError(f"widths {self.widths} make {size} weights, more than {WEIGHT_LIMIT}")
        pairs = list(pairwise(self.widths))
        kernels = [5, *[3] * (len(pairs) - 1)]
        self.first = _layer(3, self.widths[0], 5)
        self.down = nn.ModuleList(_layer(a, b, kernel) for (a, b), kernel in zip(pairs, kernels, strict=True))
        self.up = nn.ModuleList(_layer(b + a, a, 3) for a, b in pairs)
        self.last = _layer(self.widths[0], 3, 3)
        nn.init.zeros_(self.last.weight)

    @property
    def multiple_of(self) -> int:
        """Sides that are multiples of this need no extension with holes on the way down."""
        return 1 << len(self.down)

    def forward(
        self, x: Tensor, valid: Tensor, dtype: torch.dtype = torch.float32, wanted: Region | None = None
    ) -> Filled:
        """Fill the holes of `x`.

        Args:
            x: (N, 3, H, W) float32 in [0, 1], any size.  What stands under holes, NaN included, has no influence.
            valid: (N, 1, H, W) bool, True = known.
            dtype: of the network's feature maps; fill, statistics and counts are float32 whatever it is.
            wanted: (y0, x0, y1, x1): elsewhere `image` may be no more than `fill`.  The way back up, which is three
                quarters of the work, is then gone for that part alone; what is there stays the same.
        """
        if x.dim() != 4 or x.shape[1] != 3 or x.dtype != torch.float32:
            raise ValueError(f"x must be (N, 3, H, W) float32, got {tuple(x.shape)} {x.dtype}")
        fill = push_pull(x, valid)
        mean, deviation = local_statistics(x, valid)
        normal = torch.where(valid, (x - mean) / deviation, 0)
        residual, reached = self._residual(normal, valid, dtype, wanted)
        image = torch.where(valid, x, fill + residual * deviation)
        return Filled(image, fill, deviation, reached)

    def _residual(
        self, normal: Tensor, valid: Tensor, dtype: torch.dtype, wanted: Region | None
    ) -> tuple[Tensor, Tensor]:
        height, width = normal.shape[2:]
        y, seen = normal.to(dtype).contiguous(memory_format=torch.channels_last), valid
        levels = []
        y, seen = _apply(self.first, y, seen)
        for layer in self.down:
            y, seen = _evened(y), _evened(seen)  # where it is odd, the row beyond the edge is a hole
            levels.append((y, seen))
            y, seen = _apply(layer, y, seen, stride=2)
        regions = _regions(wanted or (0, 0, height, width), [tuple(skip.shape[2:]) for skip, _ in levels])
        held = (0, 0, *y.shape[2:])
        for layer, region, (skip, skip_valid) in zip(
            reversed(self.up), reversed(regions), reversed(levels), strict=True
        ):
            half = (
                region[0] // 2 - held[0],
                region[1] // 2 - held[1],
                region[2] // 2 - held[0],
                region[3] // 2 - held[1],
            )
            y, seen = _part(y, half), _part(seen, half)
            y, seen = _apply(layer, y, seen, skip=_part(skip, region), skip_valid=_part(skip_valid, region))
            held = region
        y, seen = _apply(self.last, y, seen, slope=1.0)
        if y.shape[2:] != levels[0][0].shape[2:]:
            y0, x0, y1, x1 = held
            back = (x0, levels[0][0].shape[3] - x1, y0, levels[0][0].shape[2] - y1)
            y, seen = F.pad(y, back), F.pad(seen, back)
        return y[..., :height, :width].float(), seen[..., :height, :width]


def _regions(wanted: Region, sizes: Sequence[tuple[int, ...]]) -> list[Region]:
    """What must be computed of each level's map, from full size down, so that `wanted` comes out right.

    Each is one pixel more all round than what the layer above reads: a 3 x 3 window at its rim lacks neighbours.
    """
    y0, x0, y1, x1 = wanted[0] - 1, wanted[1] - 1, wanted[2] + 1, wanted[3] + 1
    regions = []
    for height, width in sizes:  # even, as all sides are multiples of the network's
        y0, x0 = max(0, (y0 - 1) // 2 * 2), max(0, (x0 - 1) // 2 * 2)
        y1, x1 = min(height, (y1 + 2) // 2 * 2), min(width, (x1 + 2) // 2 * 2)
        regions.append((y0, x0, y1, x1))
        y0, x0, y1, x1 = y0 // 2, x0 // 2, y1 // 2, x1 // 2
    return regions


def _evened(y: Tensor) -> Tensor:
    odd = (0, y.shape[3] % 2, 0, y.shape[2] % 2)
    return F.pad(y, odd).contiguous(memory_format=torch.channels_last) if any(odd) else y


def _part(y: Tensor, region: Region) -> Tensor:
    """`y` itself where that is all of it."""
    y0, x0, y1, x1 = region
    if (y1 - y0, x1 - x0) == tuple(y.shape[2:]):
        return y
    part = y[..., y0:y1, x0:x1]
    return part.contiguous(memory_format=torch.channels_last)


def _layer(inputs: int, outputs: int, kernel_px: int) -> nn.Conv2d:
    """Only the holder of weight and bias under their usual names: `ops.masked_conv2d` convolves."""
    layer = nn.Conv2d(inputs, outputs, kernel_px)
    nn.init.kaiming_normal_(layer.weight, a=SLOPE)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # a bias is there unless one asks for none
    return layer


def _apply(
    layer: nn.Module,
    x: Tensor,
    valid: Tensor,
    *,
    stride: int = 1,
    skip: Tensor | None = None,
    skip_valid: Tensor | None = None,
    slope: float = SLOPE,
) -> tuple[Tensor, Tensor]:
    weight, bias = layer.get_parameter("weight").to(x.dtype), layer.get_parameter("bias").to(x.dtype)
    return ops.masked_conv2d(
        *(x, valid, weight, bias),
        stride=stride,
        padding=weight.shape[2] // 2,
        skip=skip,
        skip_valid=skip_valid,
        doubled=skip is not None,
        slope=slope,
    )


@torch.no_grad()
def local_statistics(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (N, C, H, W) and standard deviation (N, 1, H, W) of the known pixels around each.

    Where no known pixel is near (21 px), the mean is 0 and the deviation that of the nearest places that have one.
    The deviation is over all channels together, so that grey stays grey, and at least `SMALLEST_DEVIATION`.
    """
    known = torch.where(valid, x, 0)
    # Around the picture's own mean: squares of small numbers lose nothing when they are subtracted.
    count = valid.sum((2, 3), keepdim=True).clamp_min(1)
    centre = known.sum((2, 3), keepdim=True) / count
    known = torch.where(valid, x - centre, 0)
    near = _box_sums(valid.to(x.dtype))
    somewhere = near > 0
    divisor = near.clamp_min(1)
    mean = _box_sums(known) / divisor
    square = _box_sums((known * known).mean(1, keepdim=True)) / divisor
    variance = square - (mean * mean).mean(1, keepdim=True)
    deviation = push_pull(variance.clamp_min(SMALLEST_DEVIATION**2).sqrt(), somewhere)
    return torch.where(somewhere, mean + centre, 0), deviation.clamp_min(SMALLEST_DEVIATION)


def _box_sums(plane: Tensor) -> Tensor:
    """Sums over windows, three times, by rows and by columns; beyond the edge is 0."""
    if max(plane.shape[2:]) <= _SMALL_PX:  # then one product a side is several times as fast
        rows, columns = (_three_boxes(side, plane) for side in plane.shape[2:])
        return rows @ plane @ columns
    half = _WINDOW_PX // 2
    for _ in range(_PASSES):
        plane = F.avg_pool2d(plane, (1, _WINDOW_PX), 1, (0, half), divisor_override=1)
        plane = F.avg_pool2d(plane, (_WINDOW_PX, 1), 1, (half, 0), divisor_override=1)
    return plane


def _three_boxes(side: int, like: Tensor) -> Tensor:
    """(side, side), symmetric: what three windows along an axis of that length add up to."""
    at = torch.arange(side, device=like.device)
    one = ((at[:, None] - at).abs() <= _WINDOW_PX // 2).to(like.dtype)
    return one @ one @ one


def wanted(widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors, in canonical order."""
    pairs = list(pairwise(widths))
    layers = {"first": (widths[0], 3, 5)}
    layers |= {f"down.{i}": (b, a, 5 if i == 0 else 3) for i, (a, b) in enumerate(pairs)}
    layers |= {f"up.{i}": (a, b + a, 3) for i, (a, b) in enumerate(pairs)}
    layers["last"] = (3, widths[0], 3)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (outputs, inputs, kernel_px) in layers.items():
        shapes |= {f"{name}.weight": (outputs, inputs, kernel_px, kernel_px), f"{name}.bias": (outputs,)}
    return shapes


def widths_of(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """The widths that `state` has under canonical names; ModelError when it is another network's."""
    numbers = [int(m[1]) for name in state if (m := re.fullmatch(r"down\.(\d{1,2})\.bias", name))]
    if not numbers or "first.bias" not in state or any(f"down.{i}.bias" not in state for i in range(max(numbers))):
        raise ModelError("no inpainting network of ours: layers called first, down.0, down.1, ... are missing")
    return tuple(int(state[name].numel()) for name in ("first.bias", *(f"down.{i}.bias" for i in sorted(numbers))))


def canonical(state: Mapping[str, Tensor], facts: Mapping[str, str], *, half: bool = False) -> bytes:
    """The bytes of a safetensors file: tensors in canonical order, `facts` as metadata, in fp16 if `half`."""
    widths = widths_of(state)
    check_state(state, wanted(widths))
    kept = torch.float16 if half else torch.float32
    arrays = {name: state[name].detach().to("cpu", kept).numpy() for name in wanted(widths)}
    own = {"architecture": ARCHITECTURE, "widths": " ".join(map(str, widths))}
    return store.canonical_bytes(arrays, {**facts, **own})


def load(path: Path) -> PconvUnet:
    """The network of a file that `canonical` made, in float32, ready to run; `store.facts_of` has its facts.

    Raises ModelError when the file is no such network.
    """
    import safetensors.torch

    architecture = store.facts_of(path).get("architecture")
    if architecture != ARCHITECTURE:
        raise ModelError(f"{path}: no inpainting network of ours: its architecture is {architecture!r}")
    try:
        state = {name: tensor.float() for name, tensor in safetensors.torch.load_file(path).items()}
        widths = widths_of(state)
        check_state(state, wanted(widths))
        net = PconvUnet(widths)
    except (ModelError, ValueError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path}: {error}") from error
    net.load_state_dict(state)
    return net.eval()
