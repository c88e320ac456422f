"""Owns the paper's own U-Net (Liu et al., ECCV 2018, appendix) for those who have weights of that layout.

Eight levels (or seven, the usual choice for 256 px): 7x7, 5x5, 5x5, then 3x3, each with stride 2; back up with 3x3 over
[doubled, skip].  Names are those of https://github.com/naoto0804/pytorch-inpainting-with-partial-conv, net.py, which
most checkpoints in public follow: enc_N.conv..., enc_N.bn..., dec_N....  Three spellings of a layer are known:

    enc_1.conv.weight                               NVIDIA's PartialConv2d (a Conv2d): the paper's formula
    enc_1.conv.input_conv.weight, .mask_conv...     naoto0804, commit 71a1154 and later
    enc_1.conv.conv2d.weight, .mask2d...            naoto0804, before

The last two divide by the number of known inputs and never multiply by the window's size, so their weights are divided
by it here.  Batch normalisation becomes weight and bias: behind a partial convolution that is exact wherever the result
is known, and what stands under a hole is never read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore import ops
from restore.errors import ModelError
from restore.models.network import check_state

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BN_EPSILON = 1e-5
_KERNELS_PX = {1: 7, 2: 5, 3: 5}
_SPELLINGS = {"conv": False, "conv.input_conv": True, "conv.conv2d": True}
"""Where a layer's weight is, and whether that code leaves out the window's size."""
_IGNORED = re.compile(r".*\.(mask_conv|mask2d)\.(weight|bias)|.*\.bn\.num_batches_tracked|.*\.weight_maskUpdater")


class PaperUnet(nn.Module):
    """Its layers are enc.0 ... and dec.0 ... (dec.0 is the last to run), without batch normalisation."""

    def __init__(self, levels: int = 8) -> None:
        super().__init__()
        inputs, outputs = _channels(levels)
        self.enc = nn.ModuleList(
            nn.Conv2d(a, b, _KERNELS_PX.get(i + 1, 3)) for i, (a, b) in enumerate(zip(inputs, outputs, strict=True))
        )
        self.dec = nn.ModuleList(
            nn.Conv2d(b + a, 3 if i == 0 else a, 3) for i, (a, b) in enumerate(zip(inputs, outputs, strict=True))
        )

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """`x` (N, 3, H, W) float32 in [0, 1] of any size, its holes filled; known pixels come back bit for bit."""
        mean, deviation = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (_MEAN, _DEVIATION))
        height, width = x.shape[2:]
        multiple = 1 << len(self.enc)
        beyond = (0, -width % multiple, 0, -height % multiple)
        y, seen = F.pad(torch.where(valid, (x - mean) / deviation, 0), beyond), F.pad(valid, beyond)
        levels = []
        for layer in self.enc:
            levels.append((y, seen))
            weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
            y, seen = ops.masked_conv2d(y, seen, weight, bias, stride=2, padding=weight.shape[2] // 2, slope=0.0)
        for i in reversed(range(len(self.dec))):
            weight, bias = self.dec[i].get_parameter("weight"), self.dec[i].get_parameter("bias")
            y, seen = ops.masked_conv2d(
                *(y, seen, weight, bias),
                padding=1,
                skip=levels[i][0],
                skip_valid=levels[i][1],
                doubled=True,
                slope=0.2 if i else 1.0,
            )
        return torch.where(valid, x, y[..., :height, :width] * deviation + mean)


def _channels(levels: int) -> tuple[list[int], list[int]]:
    outputs = [min(64 << i, 512) for i in range(levels)]
    return [3, *outputs[:-1]], outputs


def from_state(state: Mapping[str, Tensor]) -> PaperUnet:
    """The network of a state dict with any of the spellings above; ModelError names the first misfit."""
    numbers = [int(m[1]) for name in state if (m := re.match(r"(?:module\.)?enc_(\d{1,2})\.", name))]
    if not numbers or not 4 <= max(numbers) <= 8:
        raise ModelError("no U-Net of the paper's layout: layers enc_1, enc_2, ... enc_8 (or fewer) are missing")
    left = {name.removeprefix("module."): tensor for name, tensor in state.items() if not _IGNORED.fullmatch(name)}
    net = PaperUnet(max(numbers))
    folded: dict[str, Tensor] = {}
    for name in net.state_dict():
        part, index, kind = name.split(".")
        if kind == "weight":
            weight, bias = _folded(left, f"{part}_{int(index) + 1}")
            folded |= {name: weight, f"{part}.{index}.bias": bias}
    if left:
        raise ModelError(f"{len(left)} tensors don't belong to the network, the first is {next(iter(left))}")
    check_state(folded, {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()})
    net.load_state_dict(folded)
    return net.eval()


def _folded(left: dict[str, Tensor], layer: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of one layer, its batch normalisation folded in; takes what it uses out of `left`."""
    spelling = next((one for one in _SPELLINGS if f"{layer}.{one}.weight" in left), None)
    if spelling is None:
        raise ModelError(f"the weight of layer {layer} is missing")
    weight = left.pop(f"{layer}.{spelling}.weight").double()
    if weight.ndim != 4:
        raise ModelError(f"tensor {layer}.{spelling}.weight has {weight.ndim} dimensions, a convolution has 4")
    bias = left.pop(f"{layer}.{spelling}.bias", torch.zeros(len(weight))).double()
    if _SPELLINGS[spelling]:
        weight = weight / weight[0].numel()
    if f"{layer}.bn.weight" in left:
        try:
            gain, shift, mean, variance = (
                left.pop(f"{layer}.bn.{name}").double() for name in ("weight", "bias", "running_mean", "running_var")
            )
        except KeyError as error:
            raise ModelError(f"the batch normalisation of layer {layer} has no {error}") from error
        gain = gain / (variance + _BN_EPSILON).sqrt()
        weight, bias = weight * gain.view(-1, 1, 1, 1), (bias - mean) * gain + shift
    return weight.float(), bias.float()


def load(path: Path) -> PaperUnet:
    """Read a .safetensors, or a .pth written by `torch.save` (nothing in it is run), and build its network.

    Raises ModelError when it is no such network.
    """
    import pickle

    import safetensors.torch

    try:
        if path.suffix.lower() == ".safetensors":
            held: Any = safetensors.torch.load_file(path)
        else:
            held = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path}: can't be read as weights: {str(error).splitlines()[0]}") from error
    while isinstance(held, dict) and isinstance(inner := held.get("model", held.get("state_dict")), dict):
        held = inner
    if not isinstance(held, dict):
        raise ModelError(f"{path}: holds no table of tensors")
    try:
        return from_state({str(name): tensor for name, tensor in held.items() if isinstance(tensor, Tensor)})
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
