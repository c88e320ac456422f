"""Claims about one surface on its way through the network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from restore.batcher import Request
from restore.holes.found import one_kind
from restore.image import Image
from restore.inpaint.arbiter import Evidence, arbiter_for
from restore.inpaint.filling import At, Filling, Means
from restore.inpaint.fills import Planes
from restore.inpaint.surface import surface_of
from restore.models.inpainting import InpaintModel
from restore.recipe import HolesFrom, TraitRules, Wrap
from restore.traits import classify


class Held:
    """Takes requests as a batcher does, and runs them when and in which order it is told."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def add(self, request: Request) -> None:
        self.requests.append(request)

    def run(self, model: InpaintModel, order: list[int]) -> None:
        for i in order:
            given = self.requests[i].load()
            with torch.inference_mode():
                self.requests[i].deliver(model.net(given[None])[0].float(), given)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_known_of_a_hole_in_many_crops_is_the_same_in_whichever_order_they_come_back(
    model: InpaintModel, picture: Callable[..., Image], seed: int
) -> None:
    image = picture(260, 1400)
    holes = np.zeros((260, 1400), np.bool_)
    rows = (130 + 90 * np.sin(np.arange(1380) / 60)).astype(int)
    for thick in range(3):
        holes[rows + thick, np.arange(10, 1390)] = True
    found = one_kind(holes, image, "mask")
    told: list[tuple[Evidence, bytes]] = []

    def witness(seen: Evidence, at: At, fills: Planes) -> None:
        told.append((seen, fills.tobytes()))

    canvases = []
    for shuffled in (False, True):
        surface = surface_of(image, found, classify(image, "", TraitRules(Wrap.NONE)), HolesFrom.MASKS)
        held = Held()
        means = Means(model, arbiter_for(model.sha256), 32, held, witness)  # type: ignore[arg-type]
        filling = Filling(surface, found.labels, tuple(blob.box for blob in found.blobs), means)
        filling.begin(held)  # type: ignore[arg-type]
        assert len(held.requests) > 5
        order = list(range(len(held.requests)))
        if shuffled:
            np.random.default_rng(seed).shuffle(order)
        held.run(model, order)
        assert filling.finished
        canvases.append(surface.canvas)
    half = len(told) // 2
    for (one, fills), (other, again) in zip(told[:half], told[half:], strict=True):
        assert one.deviation == other.deviation, "to the last bit"
        assert np.array_equal(one.apart, other.apart)
        assert fills == again
    assert np.array_equal(*canvases)
