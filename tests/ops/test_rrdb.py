"""rrdb_forward: every layout of the weights runs the same network."""

from __future__ import annotations

from dataclasses import astuple

import pytest
import torch
from torch import Tensor

from restore import cpu, ops
from restore.ops import RrdbShape, fragments, rrdb

CPU = torch.device("cpu")
SHAPE = RrdbShape(blocks=2, features=16, growth=16, doublings=2, fold=1, channels=3)


def state_of(shape: RrdbShape) -> dict[str, Tensor]:
    state = {}
    for name, outputs, inputs in shape.convolutions():
        state[f"{name}.weight"] = torch.randn(outputs, inputs, 3, 3) / (9 * inputs) ** 0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(outputs)
    return state


def arguments(image: Tensor, network: ops.PackedRrdb) -> tuple[Tensor, Tensor, Tensor, list[int], int, int, int]:
    return image, network.weights, network.singles, list(astuple(network.shape)), int(network.layout), 0, 0


@pytest.mark.parametrize("fold", [1, 2])
def test_every_layout_computes_the_same_network(fold: int) -> None:
    shape = RrdbShape(blocks=2, features=16, growth=16, doublings=2, fold=fold, channels=3)
    state, image = state_of(shape), torch.rand(2, 3, 20, 26)
    results = [rrdb.rrdb_forward(image, rrdb.pack(state, shape, layout, torch.float32, CPU)) for layout in rrdb.Layout]
    assert results[0].shape == (2, 3, 20 * shape.scale, 26 * shape.scale)
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("outputs", "inputs", "kernel"), [(64, 192, 3), (3, 64, 3), (32, 3, 3), (100, 20, 5)])
def test_packing_as_fragments_loses_nothing(outputs: int, inputs: int, kernel: int) -> None:
    weight = torch.randn(outputs, inputs, kernel, kernel)
    packed = fragments.pack(weight)
    assert packed.numel() == fragments.elements(outputs, inputs, kernel)
    assert torch.equal(fragments.unpack(packed, outputs, inputs, kernel), weight)
    assert (packed != 0).sum() == weight.numel()


@pytest.mark.parametrize("layout", list(rrdb.Layout))
def test_opcheck_finds_schema_and_fake_consistent(layout: rrdb.Layout) -> None:
    dtype = torch.float16 if layout is rrdb.Layout.FRAGMENTS else torch.float32
    network = rrdb.pack(state_of(SHAPE), SHAPE, layout, dtype, CPU)
    torch.library.opcheck(torch.ops.restore.rrdb_forward.default, arguments(torch.rand(1, 3, 8, 9), network))


def test_compiles_into_one_graph() -> None:
    network = rrdb.pack(state_of(SHAPE), SHAPE, rrdb.Layout.FLAT, torch.float32, CPU)

    def twice(image: Tensor) -> Tensor:
        return ops.rrdb_forward(image, network) * 2

    image = torch.rand(1, 3, 8, 9)
    compiled = torch.compile(twice, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(image), twice(image))


@pytest.mark.parametrize(
    ("lags", "layout", "words"),
    [(False, rrdb.Layout.WINOGRAD, "Winograd"), (True, rrdb.Layout.FLAT, "MKL's fp32 products don't use AVX-512")],
)
def test_the_cpu_gets_the_layout_that_suits_it_and_says_so(
    monkeypatch: pytest.MonkeyPatch, lags: bool, layout: rrdb.Layout, words: str
) -> None:
    monkeypatch.setattr(cpu, "convolves_quicker_than_mkl_multiplies", lambda: lags)
    state = state_of(SHAPE)
    assert ops.pack_rrdb(state, SHAPE, "cpu", torch.float32).layout is layout
    assert ops.pack_rrdb(state, SHAPE, "cpu", torch.bfloat16).layout is rrdb.Layout.FLAT
    assert words in ops.kernels("cpu")["rrdb_forward"]


def test_an_image_that_does_not_fit_is_refused_with_its_shape() -> None:
    network = rrdb.pack(state_of(SHAPE), SHAPE, rrdb.Layout.FLAT, torch.float32, CPU)
    for image in (torch.rand(1, 1, 8, 8), torch.rand(1, 3, 8, 8).double()):
        with pytest.raises(ValueError, match="an image must be"):
            ops.rrdb_forward(image, network)


@pytest.mark.needs_cuda
@pytest.mark.parametrize(("strip_rows", "resident"), [(0, 0), (24, 0), (0, 2)])
def test_cuda_equals_the_reference(strip_rows: int, resident: int) -> None:
    state, image = state_of(SHAPE), torch.rand(2, 3, 40, 70)
    network = ops.pack_rrdb(state, SHAPE, "cuda", torch.float16)
    assert network.layout is rrdb.Layout.FRAGMENTS
    y = ops.rrdb_forward(image.cuda(), network, strip_rows=strip_rows, resident=resident).cpu()
    stored = {name: t.half().float() if name.endswith("weight") else t for name, t in state.items()}
    expected = ops.rrdb_forward(image, rrdb.pack(stored, SHAPE, rrdb.Layout.FLAT, torch.float32, CPU))
    assert (y - expected).norm() <= 2e-3 * expected.norm()
