"""What is promised of crops that run side by side."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from restore.models import inpainting
from restore.models.pconv import PconvUnet
from restore.models.side_by_side import side_by_side


@pytest.fixture
def threads() -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def test_answers_come_in_order_and_each_crop_has_one_thread(threads: int) -> None:
    def run(crop: Tensor) -> Tensor:
        return crop * 10 + torch.get_num_threads()

    found = side_by_side(run, [torch.tensor([float(i)]) for i in range(20)])
    assert [float(answer) for answer in found] == [10.0 * i + 1 for i in range(20)]
    assert torch.get_num_threads() == threads


def test_whether_gradients_are_wanted_is_the_caller_s_choice(threads: int) -> None:
    crops = [torch.zeros(1), torch.zeros(1)]
    assert not any(answer.is_inference() for answer in side_by_side(lambda crop: crop + 1, crops))
    with torch.inference_mode():
        assert all(answer.is_inference() for answer in side_by_side(lambda crop: crop + 1, crops))


def test_a_crop_that_fails_fails_the_call(threads: int) -> None:
    def run(_crop: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        side_by_side(run, [torch.zeros(1)] * 4)


def test_a_crop_becomes_the_same_bits_whatever_the_number_of_threads(threads: int) -> None:
    torch.manual_seed(5)
    model = inpainting.of_net(PconvUnet(), max_width_px=64)
    planes = torch.rand(6, inpainting.INPUTS, 48, 64)
    planes[:, 3:] = (planes[:, 3:] > 0.3).float()
    planes[4, 4] = 0  # nothing is wanted of it
    with torch.inference_mode():
        several = model.net(planes)
        torch.set_num_threads(1)
        assert torch.equal(model.net(planes), several)
    assert not several[4].any()
