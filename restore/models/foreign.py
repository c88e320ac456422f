"""Owns running every other architecture: spandrel's own module, as it is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
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
    requirements = found.size_requirements
    multiple_of = max(1, requirements.multiple_of, requirements.minimum if requirements.square else 1)

    @torch.inference_mode()
    def net(image: Tensor) -> Tensor:
        out: Tensor = module(image.to(dtype))
        return out.float()

    return Built(net, multiple_of, None)
