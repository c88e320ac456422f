"""Tiles of many pictures share batches, and running out of memory never gives a wrong tile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from restore.batcher import Batcher, Request, TileTooLargeError
from restore.models import Model, ModelRef
from restore.recipe import Precision


def nearest_x2(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def model_of(net: Callable[[Tensor], Tensor]) -> Model:
    ref = ModelRef("test", Path("test"), "0" * 64, "test", 2, 3, "none", "made here")
    return Model(ref, net, 2, 1, 0, "cpu", Precision.FP32)


class Collected:
    def __init__(self) -> None:
        self.answers: dict[int, Tensor] = {}
        self.too_large: list[int] = []

    def request(self, number: int, side: int = 8) -> Request:
        tile = torch.full((3, side, side), float(number))
        return Request(
            (side, side),
            lambda: tile,
            lambda answer, source: self.answers.__setitem__(number, answer.clone()),
            lambda error: self.too_large.append(number),
        )


def test_tiles_of_one_shape_run_together_and_each_gets_its_own_answer():
    sizes = []

    def net(x: Tensor) -> Tensor:
        sizes.append(tuple(x.shape))
        return nearest_x2(x)

    seen = Collected()
    batcher = Batcher(model_of(net), batch_px=4 * 64)
    for number in range(10):
        batcher.add(seen.request(number, side=8 if number % 2 else 16))
    batcher.flush()
    assert {n: float(a.mean()) for n, a in seen.answers.items()} == {n: float(n) for n in range(10)}
    assert sizes.count((1, 3, 16, 16)) == 5
    assert sizes.count((4, 3, 8, 8)) == 2


def test_a_part_filled_batch_is_as_large_as_a_full_one():
    """Libraries choose their kernels by shape: a resumed run must not meet another shape and so other roundings."""
    sizes = []

    def net(x: Tensor) -> Tensor:
        sizes.append(x.shape[0])
        return nearest_x2(x)

    seen = Collected()
    batcher = Batcher(model_of(net), batch_px=4 * 64)
    for number in range(5):
        batcher.add(seen.request(number))
    batcher.flush()
    assert sizes == [4, 4]
    assert len(seen.answers) == 5


@pytest.mark.parametrize("fits", [1, 2, 3])
def test_out_of_memory_shrinks_the_batch_and_changes_no_answer(fits):
    def net(x: Tensor) -> Tensor:
        if x.shape[0] > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return nearest_x2(x)

    seen = Collected()
    batcher = Batcher(model_of(net), batch_px=8 * 64)
    for number in range(11):
        batcher.add(seen.request(number))
    batcher.flush()
    assert {n: float(a.mean()) for n, a in seen.answers.items()} == {n: float(n) for n in range(11)}
    assert not seen.too_large
    assert batcher.batch_limit is not None
    assert batcher.batch_limit <= fits


def test_a_tile_that_never_fits_is_handed_back_and_the_others_run():
    def net(x: Tensor) -> Tensor:
        if x.shape[-1] > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return nearest_x2(x)

    seen = Collected()
    batcher = Batcher(model_of(net), batch_px=1)
    for number, side in enumerate([8, 16, 8]):
        batcher.add(seen.request(number, side))
    batcher.flush()
    assert sorted(seen.answers) == [0, 2]
    assert seen.too_large == [1]


def test_an_error_that_is_not_out_of_memory_is_not_taken_for_one():
    def net(x: Tensor) -> Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    batcher = Batcher(model_of(net), batch_px=1)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        batcher.add(Collected().request(0))
    assert issubclass(torch.OutOfMemoryError, RuntimeError)
    assert not issubclass(RuntimeError, TileTooLargeError)
