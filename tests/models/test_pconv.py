"""Claims about our inpainting network: what it promises untrained, whatever it learns, and what its file keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from restore.errors import ModelError
from restore.models import pconv, store
from restore.models.pconv import (
    DEFAULT_WIDTHS,
    SMALLEST_DEVIATION,
    WEIGHT_LIMIT,
    PconvUnet,
    canonical,
    load,
    local_statistics,
    wanted,
)
from restore.models.push_pull import push_pull

SMALL = (4, 6, 8)


def learned(widths: tuple[int, ...] = SMALL) -> PconvUnet:
    """A network whose last layer says something."""
    net = PconvUnet(widths)
    nn.init.normal_(net.last.get_parameter("weight"), std=0.05)
    nn.init.normal_(net.last.get_parameter("bias"), std=0.05)
    return net


def case(height: int = 24, width: int = 24) -> tuple[Tensor, Tensor]:
    x, valid = torch.rand(2, 3, height, width), torch.rand(2, 1, height, width) > 0.2
    valid[:, :, height // 3 : height // 2, width // 4 : width // 2 + 1] = False
    return x, valid


@pytest.mark.parametrize("size", [(1, 1), (3, 17), (16, 16), (21, 30)])
def test_untrained_it_is_push_pull_exactly_at_any_size(size: tuple[int, int]) -> None:
    x, valid = case(*size)
    filled = PconvUnet(SMALL)(x, valid)
    assert torch.equal(filled.image, push_pull(x, valid))
    assert filled.image.shape == x.shape
    assert filled.deviation.shape == filled.reached.shape == valid.shape


def test_known_pixels_come_back_bit_for_bit_and_holes_are_changed() -> None:
    x, valid = case()
    filled = learned()(x, valid)
    known = valid.expand_as(x)
    assert torch.equal(filled.image[known], x[known])
    assert not torch.equal(filled.image, filled.fill)


def test_nothing_under_a_hole_reaches_results_or_gradients() -> None:
    x, valid = case()
    results, gradients = [], []
    for under in (0.5, torch.nan, torch.inf):
        torch.manual_seed(3)
        net = learned()
        image = net(torch.where(valid, x, under), valid).image
        image.square().sum().backward()
        results.append(image.detach())
        gradients.append([p.grad for p in net.parameters()])
    for image, grads in zip(results[1:], gradients[1:], strict=True):
        assert torch.equal(image, results[0])
        assert all(torch.equal(a, b) for a, b in zip(grads, gradients[0], strict=True))
    assert all(torch.isfinite(grad).all() for grad in gradients[0])


def test_gradients_reach_every_weight() -> None:
    x, valid = case(32, 32)
    net = learned()
    net(x, valid).image.square().sum().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_the_first_step_of_training_moves_the_last_layer() -> None:
    x, valid = case()
    net = PconvUnet(SMALL)
    net(x, valid).image.square().sum().backward()
    assert net.last.get_parameter("weight").grad.abs().sum() > 0


@pytest.mark.parametrize(("contrast", "brightness"), [(0.5, 0.2), (0.25, 0.0), (0.7, -0.1)])
def test_darker_or_fainter_pictures_are_filled_alike(contrast: float, brightness: float) -> None:
    x, valid = case(40, 40)
    net = learned()
    with torch.inference_mode():
        plain = net(x, valid).image
        changed = net(x * contrast + brightness, valid).image
    torch.testing.assert_close(changed, plain * contrast + brightness, atol=2e-5, rtol=0)


def test_a_picture_without_known_pixels_is_finite_and_not_reached() -> None:
    x, valid = case()
    valid[0] = False
    filled = learned()(torch.where(valid, x, torch.nan), valid)
    assert torch.isfinite(filled.image).all()
    assert not filled.reached[0].any()
    assert (filled.deviation[0] == torch.tensor(SMALLEST_DEVIATION)).all()


def test_an_even_picture_stays_even_under_an_untrained_network_and_near_it_under_any() -> None:
    x, valid = case()
    x = torch.full_like(x, 0.3)
    assert torch.equal(PconvUnet(SMALL)(x, valid).image, x)
    assert (learned()(x, valid).image - x).abs().max() < 0.1  # the deviation's floor, times some


def test_local_statistics_are_those_of_known_pixels() -> None:
    """A window wider than the picture sees all of it, so that mean and deviation are nearly the picture's own."""
    x, valid = torch.full((1, 3, 5, 5), 0.25), torch.ones(1, 1, 5, 5, dtype=torch.bool)
    x[..., ::2] = 0.75
    valid[..., 2, 2] = False
    x[..., 2, 2] = torch.nan
    mean, deviation = local_statistics(x, valid)
    known = valid.expand_as(x)
    assert (mean[known] - x[known].mean()).abs().max() < 0.01
    assert (deviation - x[known].std(correction=0)).abs().max() < 0.01


def test_far_from_anything_known_the_deviation_is_the_nearest_and_the_fill_is_smooth() -> None:
    x, valid = torch.rand(1, 3, 16, 160), torch.zeros(1, 1, 16, 160, dtype=torch.bool)
    valid[..., :8] = True
    _, deviation = local_statistics(x, valid)
    assert torch.isfinite(deviation).all()
    assert deviation[..., 80:].min() > 0.2  # rand's own is 0.29


def test_bfloat16_is_near_float32() -> None:
    x, valid = case()
    net = learned()
    with torch.inference_mode():
        difference = net(x, valid, torch.bfloat16).image - net(x, valid).image
    assert difference.abs().max() < 0.03


def test_gradients_in_bfloat16_reach_float32_weights() -> None:
    x, valid = case(32, 32)
    net = learned()
    net(x, valid, torch.bfloat16).image.square().sum().backward()
    for weight in net.parameters():
        assert weight.grad is not None
        assert weight.grad.dtype == torch.float32
        assert torch.isfinite(weight.grad).all()
        assert weight.grad.abs().sum() > 0


def test_the_default_is_small_and_too_large_a_network_is_refused() -> None:
    size = sum(p.numel() for p in PconvUnet().parameters())
    assert 1_000_000 < size < 2_000_000
    assert size == sum(torch.Size(shape).numel() for shape in wanted(DEFAULT_WIDTHS).values())
    with pytest.raises(ValueError, match=str(WEIGHT_LIMIT)):
        PconvUnet((64, 128, 256, 512, 512))
    with pytest.raises(ValueError, match="widths"):
        PconvUnet((8,))


@pytest.mark.parametrize("half", [False, True])
def test_its_file_gives_the_same_network_and_keeps_facts(tmp_path: Path, half: bool) -> None:
    net = learned()
    if half:
        net.half().float()
    path = tmp_path / "net.safetensors"
    path.write_bytes(canonical(net.state_dict(), {"licences": "CC0", "max_width_px": "40"}, half=half))
    back = load(path)
    assert back.widths == SMALL
    assert all(torch.equal(back.state_dict()[name], tensor) for name, tensor in net.state_dict().items())
    assert store.facts_of(path)["licences"] == "CC0"
    assert list(store.read_header(path))[1:] == list(wanted(SMALL))
    assert canonical(back.state_dict(), {}) == canonical(net.state_dict(), {})


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    net = learned()
    path = tmp_path / "net.safetensors"
    path.write_bytes(store.canonical_bytes({}, {"architecture": "rrdb"}))
    with pytest.raises(ModelError, match=r"net\.safetensors.*'rrdb'"):
        load(path)
    state = net.state_dict() | {"last.bias": torch.tensor([0.0, torch.nan, 0.0])}
    with pytest.raises(ModelError, match=r"last\.bias"):
        canonical(state, {})
    del state["down.0.bias"]
    with pytest.raises(ModelError, match=r"down\.0"):
        canonical(state, {})


@pytest.mark.parametrize("wrong", ["type", "channels", "mask"])
def test_wrong_input_is_refused(wrong: str) -> None:
    x, valid = case()
    x = x.double() if wrong == "type" else x[:, :1] if wrong == "channels" else x
    with pytest.raises(ValueError, match="must be"):
        PconvUnet(SMALL)(x, valid.float() if wrong == "mask" else valid)


@pytest.mark.parametrize("side", [48, 64, 70])
@pytest.mark.parametrize("wanted", [(20, 20, 31, 29), (0, 0, 9, 48), (40, 13, 48, 14), (1, 0, 48, 48)])
def test_what_is_wanted_of_an_answer_is_as_in_the_whole_answer(side: int, wanted: tuple[int, int, int, int]) -> None:
    net = PconvUnet((6, 8, 10, 12, 14, 16)).eval()
    torch.nn.init.normal_(net.last.weight, 0, 0.1)
    x, valid = torch.rand(2, 3, side, side), torch.rand(2, 1, side, side) > 0.1
    y0, x0, y1, x1 = wanted
    valid[:, :, y0:y1, x0:x1] = False
    with torch.inference_mode():
        whole, part = net(x, valid), net(x, valid, wanted=wanted)
    inside = (..., slice(y0, y1), slice(x0, x1))
    assert (whole.image[inside] - whole.fill[inside]).abs().max() > 0.01
    torch.testing.assert_close(part.image[inside], whole.image[inside], atol=2e-5, rtol=2e-5)
    assert torch.equal(part.reached[inside], whole.reached[inside])


def test_local_statistics_of_small_and_large_pictures_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, valid = torch.rand(1, 3, 70, 50), torch.rand(1, 1, 70, 50) > 0.4
    small = pconv.local_statistics(x, valid)
    monkeypatch.setattr(pconv, "_SMALL_PX", 0)
    for ours, theirs in zip(small, pconv.local_statistics(x, valid), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
