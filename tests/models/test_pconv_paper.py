"""Claims about the paper's layout: all three spellings of its layers mean what their own code computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restore.errors import ModelError
from restore.models.pconv_paper import from_state, load

LEVELS = 4
KERNELS = (7, 5, 5, 3)


def checkpoint(spelling: str) -> dict[str, Tensor]:
    """Random weights as that code saves them."""
    state: dict[str, Tensor] = {}
    outputs = [64, 128, 256, 512]
    inputs = [3, *outputs[:-1]]
    for i in range(LEVELS):
        for part, k, c, px in (
            ("enc", outputs[i], inputs[i], KERNELS[i]),
            ("dec", inputs[i], outputs[i] + inputs[i], 3),
        ):
            name = f"{part}_{i + 1}"
            weight = torch.randn(k, c, px, px)
            state[f"{name}.{spelling}.weight"] = weight * (c * px * px) ** (-0.5 if spelling == "conv" else 0.5)
            if name == "dec_1":
                state[f"{name}.{spelling}.bias"] = torch.randn(k) * 0.1
            if spelling != "conv":
                mask = spelling.replace("input_conv", "mask_conv").replace("conv2d", "mask2d")
                state[f"{name}.{mask}.weight"] = torch.ones(k, c, px, px)
            if name not in ("enc_1", "dec_1"):
                state |= {
                    f"{name}.bn.weight": torch.rand(k) + 0.5,
                    f"{name}.bn.bias": torch.randn(k) * 0.1,
                    f"{name}.bn.running_mean": torch.randn(k) * 0.1,
                    f"{name}.bn.running_var": torch.rand(k) + 0.5,
                    f"{name}.bn.num_batches_tracked": torch.tensor(7),
                }
    return state


def by_the_book(state: dict[str, Tensor], spelling: str, x: Tensor, valid: Tensor) -> Tensor:
    """One mask plane a channel, batch normalisation apart, division by what that code divides by."""
    mean, deviation = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    mean, deviation = mean.view(1, 3, 1, 1), deviation.view(1, 3, 1, 1)

    def layer(name: str, h: Tensor, m: Tensor, stride: int, slope: float | None) -> tuple[Tensor, Tensor]:
        weight, bias = state[f"{name}.{spelling}.weight"], state.get(f"{name}.{spelling}.bias")
        padding = weight.shape[2] // 2
        known = F.conv2d(m, torch.ones_like(weight), None, stride, padding)
        window = weight[0].numel() if spelling == "conv" else 1
        y = F.conv2d(h * m, weight, None, stride, padding) * window / known.clamp_min(1)
        y = y if bias is None else y + bias.view(1, -1, 1, 1)
        y = y * (known > 0)
        if f"{name}.bn.weight" in state:
            bn = [state[f"{name}.bn.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias")]
            y = F.batch_norm(y, *bn)
        return y if slope is None else F.leaky_relu(y, slope), (known > 0).float()

    h, m = (x - mean) / deviation, valid.float().expand_as(x)
    kept = []
    for i in range(LEVELS):
        kept.append((h, m))
        h, m = layer(f"enc_{i + 1}", h, m, 2, 0.0)
    for i in reversed(range(LEVELS)):
        h = torch.cat([F.interpolate(h, scale_factor=2), kept[i][0]], 1)
        m = torch.cat([F.interpolate(m, scale_factor=2), kept[i][1]], 1)
        h, m = layer(f"dec_{i + 1}", h, m, 1, 0.2 if i else None)
    return torch.where(valid, x, h * deviation + mean)


@pytest.mark.parametrize("spelling", ["conv", "conv.input_conv", "conv.conv2d"])
def test_each_spelling_gives_what_its_own_code_computes(spelling: str) -> None:
    state = checkpoint(spelling)
    x, valid = torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32) > 0.3
    valid[..., 8:24, 8:24] = False
    with torch.inference_mode():
        filled = from_state(state)(x, valid)
    torch.testing.assert_close(filled, by_the_book(state, spelling, x, valid), rtol=1e-3, atol=1e-3)
    assert torch.equal(filled[valid.expand_as(x)], x[valid.expand_as(x)])


def test_any_size_is_filled_and_nothing_under_holes_has_influence() -> None:
    net = from_state(checkpoint("conv"))
    x, valid = torch.rand(1, 3, 19, 33), torch.rand(1, 1, 19, 33) > 0.3
    with torch.inference_mode():
        filled = net(x, valid)
        assert torch.equal(net(torch.where(valid, x, torch.nan), valid), filled)
    assert filled.shape == x.shape
    assert torch.isfinite(filled).all()


def test_a_wrapped_pth_is_read_without_running_it(tmp_path: Path) -> None:
    path = tmp_path / "paper.pth"
    torch.save({"model": {f"module.{k}": v for k, v in checkpoint("conv.input_conv").items()}, "n_iter": 5}, path)
    assert len(load(path).enc) == LEVELS
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ModelError, match=r"paper\.pth"):
        load(path)


def test_what_does_not_fit_is_named() -> None:
    state = checkpoint("conv")
    with pytest.raises(ModelError, match="enc_1"):
        from_state({})
    with pytest.raises(ModelError, match="extra"):
        from_state(state | {"extra": torch.zeros(1)})
    with pytest.raises(ModelError, match="running_var"):
        from_state({k: v for k, v in state.items() if k != "enc_2.bn.running_var"})
    with pytest.raises(ModelError, match="dec_3"):
        from_state({k: v for k, v in state.items() if k != "dec_3.conv.weight"})
    with pytest.raises(ModelError, match=r"dec\.0\.bias"):
        from_state(state | {"dec_1.conv.bias": torch.zeros(4)})
