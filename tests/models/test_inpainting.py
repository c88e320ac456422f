"""Claims about finding and loading networks that fill holes."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from restore.errors import ModelError
from restore.models import inpainting, pconv, store
from restore.models.inpainting import INPUTS, OUTPUTS, load, of_net
from restore.models.pconv import PconvUnet
from restore.models.pconv_paper import PaperUnet
from restore.recipe import Precision

FACTS = {"max_width_px": "40", "licence": "Apache-2.0"}


def trained(seed: int = 0) -> PconvUnet:
    torch.manual_seed(seed)
    net = PconvUnet((6, 8, 10)).eval()
    torch.nn.init.normal_(net.last.weight, 0, 0.05)
    return net


def saved(path: Path, facts: dict[str, str] = FACTS) -> Path:
    path.write_bytes(pconv.canonical(trained().state_dict(), facts))
    return path


def planes(count: int = 1, side: int = 48) -> torch.Tensor:
    torch.manual_seed(1)
    made = torch.rand(count, INPUTS, side, side)
    made[:, 3] = 1
    made[:, 3, 18:27, 20:30] = 0
    made[:, 4] = 1 - made[:, 3]
    return made


def test_a_file_of_ours_is_the_network_with_its_facts(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.safetensors")
    model = load(path)
    assert (model.name, model.sha256, model.licence) == ("mine", store.sha256_of(path), "Apache-2.0")
    assert (model.max_width_px, model.precision, model.multiple_of) == (40.0, Precision.FP32, 4)
    x = planes()
    with torch.inference_mode():
        answer = model.net(x)
        expected = trained()(x[:, :3], x[:, 3:4] > 0)
    assert answer.shape == (1, OUTPUTS, 48, 48)
    hole = hole_of(x)
    torch.testing.assert_close(answer[:, :3, hole], expected.image[..., hole], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(answer[:, 3:6], expected.fill)
    torch.testing.assert_close(answer[:, 6:], expected.deviation)
    assert (answer[:, :3, hole] - answer[:, 3:6, hole]).abs().max() > 0.01


def hole_of(x: torch.Tensor) -> torch.Tensor:
    return x[0, 4] > 0


def test_what_a_crop_becomes_on_a_cpu_does_not_depend_on_its_batch() -> None:
    model = of_net(trained(), max_width_px=40)
    batch = planes(5)
    with torch.inference_mode():
        together = model.net(batch)
        alone = torch.cat([model.net(one) for one in batch.split(1)])
    assert torch.equal(together, alone)


def test_crops_that_only_fill_a_batch_up_are_not_computed() -> None:
    model = of_net(trained(), max_width_px=40)
    with torch.inference_mode():
        assert not model.net(torch.zeros(3, INPUTS, 32, 32)).any()


def test_a_file_of_the_papers_layout_is_taken_with_its_own_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = PaperUnet(4).eval()
    state = {}
    for name, tensor in net.state_dict().items():
        part, index, kind = name.split(".")
        state[f"{part}_{int(index) + 1}.conv.{kind}"] = tensor.clone()
    path = tmp_path / "paper.safetensors"
    safetensors.torch.save_file(state, path)
    model = load(path)
    assert (model.multiple_of, model.licence, model.max_width_px) == (16, "unknown", 128.0)
    x = planes()
    with torch.inference_mode():
        torch.testing.assert_close(model.net(x)[:, :3], net(x[:, :3], x[:, 3:4] > 0))


def test_without_shipped_weights_the_default_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inpainting, "SHIPPED", tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match=r"--model FILE\.safetensors"):
        load()


def test_the_shipped_network_is_called_pconv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inpainting, "SHIPPED", saved(tmp_path / "inpainter.safetensors"))
    assert load("pconv").name == "pconv"


def test_a_name_that_is_no_file_names_what_there_is() -> None:
    with pytest.raises(ModelError, match=r"'pcnov'.*known is pconv"):
        load("pcnov")


@pytest.mark.parametrize("facts", [{}, {"max_width_px": "many"}, {"max_width_px": "0"}])
def test_a_file_that_does_not_say_how_wide_its_holes_were_is_refused(tmp_path: Path, facts: dict[str, str]) -> None:
    with pytest.raises(ModelError, match=r"mine\.safetensors"):
        load(saved(tmp_path / "mine.safetensors", facts))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"a.weight": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match=r"other\.safetensors.*layers enc_1"):
        load(path)
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ModelError, match=r"text\.safetensors"):
        load(tmp_path / "text.safetensors")


@pytest.mark.needs_cuda
def test_on_cuda_half_precision_answers_nearly_the_same(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.safetensors")
    exact, half = load(path), load(path, "cuda:0")
    assert half.precision is Precision.FP16
    x = planes(3)
    with torch.inference_mode():
        hole = hole_of(x)
        torch.testing.assert_close(half.net(x.cuda()).cpu()[..., hole], exact.net(x)[..., hole], atol=0.02, rtol=0.02)
