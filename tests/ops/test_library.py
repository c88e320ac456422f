"""Which kernels serve a device, also where torch.compile asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from restore.ops import library

OLD, NEW = torch.device("cuda", 5), torch.device("cuda", 6)


@pytest.fixture
def an_old_device_and_a_new_one(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(library, "_why_not_on", lambda index: "too old" if index == OLD.index else "")
    yield
    torch.compiler.reset()


@pytest.mark.usefixtures("an_old_device_and_a_new_one")
@pytest.mark.parametrize("fullgraph", [True, False])
def test_what_torch_compiles_takes_the_reference_where_the_kernels_do_not_run(fullgraph: bool) -> None:
    def serves(x: torch.Tensor, device: torch.device) -> torch.Tensor:
        return x + 1 if library.kernels_run_on(device) else x - 1

    for device, expected in ((OLD, -1.0), (NEW, 1.0), (torch.device("cpu"), -1.0)):
        compiled = torch.compile(lambda x, device=device: serves(x, device), backend="eager", fullgraph=fullgraph)
        assert compiled(torch.zeros(1)).item() == expected
        assert serves(torch.zeros(1), device).item() == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_cuda_device_no_cuda_kernel_serves() -> None:
    assert not library.kernels_run_on(torch.device("cuda", 0))
