"""Claims about push-pull, the fill that everything learned starts from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restore.models.push_pull import push_pull


def case(height: int, width: int, channels: int = 3, known: float = 0.3) -> tuple[Tensor, Tensor]:
    return torch.rand(2, channels, height, width), torch.rand(2, 1, height, width) < known


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (7, 5), (16, 16), (33, 20)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_known_pixels_come_back_and_holes_stay_within_their_range(size: tuple[int, int], channels: int) -> None:
    x, valid = case(*size, channels=channels)
    valid[:, :, 0, 0] = True
    filled = push_pull(x, valid)
    assert torch.equal(torch.where(valid, filled, 0), torch.where(valid, x, 0))
    lowest = torch.where(valid, x, 2).amin((2, 3), keepdim=True)
    highest = torch.where(valid, x, -1).amax((2, 3), keepdim=True)
    assert (filled >= lowest - 1e-6).all()
    assert (filled <= highest + 1e-6).all()


@pytest.mark.parametrize("colour", [0.1, 0.3, 1 / 3, 0.7, 254 / 255, -3.3])
def test_one_even_colour_comes_back_exactly(colour: float) -> None:
    x, valid = case(37, 23)
    x = torch.full_like(x, colour)
    assert torch.equal(push_pull(x, valid), x)


def test_nothing_under_a_hole_has_influence() -> None:
    x, valid = case(20, 20)
    dirty = torch.where(valid, x, torch.nan)
    dirty[:, :, ::2] = torch.where(valid, x, torch.inf)[:, :, ::2]
    assert torch.equal(push_pull(dirty, valid), push_pull(x, valid))


def test_without_any_known_pixel_the_result_is_zero() -> None:
    x, valid = case(9, 6)
    valid[0] = False
    filled = push_pull(torch.where(valid, x, torch.nan), valid)
    assert (filled[0] == 0).all()
    assert torch.isfinite(filled).all()


def test_nothing_is_carried_round_an_edge() -> None:
    x = torch.zeros(1, 1, 16, 64)
    x[..., 0] = 1.0  # a bright left edge
    valid = torch.ones(1, 1, 16, 64, dtype=torch.bool)
    valid[..., -8:] = False
    assert (push_pull(x, valid)[..., -8:] == 0).all()


def test_mirrored_pictures_of_even_sides_are_filled_mirrored() -> None:
    x, valid = case(32, 16)
    torch.testing.assert_close(push_pull(x.flip(3), valid.flip(3)), push_pull(x, valid).flip(3))


def test_wrong_shapes_are_refused() -> None:
    x, valid = case(4, 4)
    with pytest.raises(ValueError, match="valid"):
        push_pull(x, valid.float())
    with pytest.raises(ValueError, match="valid"):
        push_pull(x, valid[..., 1:])
