"""Owns running every other architecture: spandrel's own module, as it is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.errors import ModelError
from restore.models.network import DTYPES, Built
from restore.recipe import Precision


def build(state: Mapping[str, Tensor], scale: int, device: str, precision: Precision) -> Built:
    """Hand `state` to spandrel; ModelError when it can't be run tile by tile on RGB pictures."""
    from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError

    try:
        found = ModelLoader("cpu").load_from_state_dict(dict(state))
    except (UnsupportedModelError, RuntimeError, ValueError, KeyError, IndexError, TypeError, AssertionError) as error:
        raise ModelError(f"no network that spandrel knows: {error}") from error
    if not isinstance(found, ImageModelDescriptor) or (found.input_channels, found.output_channels) != (3, 3):
        raise ModelError(f"{found.architecture.name} doesn't turn one RGB picture into another")
    if found.scale != scale:
        raise ModelError(f"it enlarges by {found.scale}, not by {scale}")
    dtype = DTYPES[precision]
    module = found.model.to(device, dtype).eval()
    needs = found.size_requirements

    @torch.inference_mode()
    def net(image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        padded_height, padded_width = (_padded(side, needs.minimum, needs.multiple_of) for side in (height, width))
        if needs.square:
            padded_height = padded_width = max(padded_height, padded_width)
        margins = (0, padded_width - width, 0, padded_height - height)
        out: Tensor = module(F.pad(image, margins, mode="replicate").to(dtype))
        return out[..., : height * scale, : width * scale].float()

    return Built(net, needs.multiple_of, None)


def _padded(side_px: int, minimum_px: int, multiple_of: int) -> int:
    return max(minimum_px, -(-side_px // multiple_of) * multiple_of)
