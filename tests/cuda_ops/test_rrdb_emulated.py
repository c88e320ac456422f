"""A whole RRDB network through the kernels' own source and its list of launches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from emulated import CUDA_OPS, Emulator, build, compiler
from torch import Tensor

from restore.errors import ModelError
from restore.models import resolve
from restore.ops import PackedRrdb, RrdbShape, rrdb

CPU = torch.device("cpu")


def random_state(shape: RrdbShape) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(3)
    state = {}
    for name, outputs, inputs in shape.convolutions():
        state[f"{name}.weight"] = torch.randn(outputs, inputs, 3, 3, generator=g) / (9 * inputs) ** 0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(outputs, generator=g)
    return state


def packed(state: dict[str, Tensor], shape: RrdbShape, dtype: torch.dtype) -> PackedRrdb:
    return rrdb.pack(state, shape, rrdb.Layout.FRAGMENTS, dtype, CPU)


def exact(state: dict[str, Tensor], shape: RrdbShape, dtype: torch.dtype, image: Tensor) -> Tensor:
    """In fp32, with weights as the kernels store them."""
    stored = {name: t.to(dtype).float() if name.endswith("weight") else t for name, t in state.items()}
    return rrdb.rrdb_forward(image, rrdb.pack(stored, shape, rrdb.Layout.FLAT, torch.float32, CPU))


@pytest.mark.parametrize(
    ("shape", "dtype", "bound"),
    [
        (RrdbShape(1, 16, 16, 2, 1, 3), torch.float16, 1e-3),
        (RrdbShape(2, 32, 16, 1, 2, 3), torch.float16, 2e-3),  # folded input, two groups of blocks
        (RrdbShape(1, 16, 16, 0, 1, 1), torch.bfloat16, 1e-2),  # grey, not enlarged
    ],
    ids=["x4", "folded", "grey bf16"],
)
def test_a_network_equals_the_reference(emulator: Emulator, shape: RrdbShape, dtype: torch.dtype, bound: float) -> None:
    state, image = random_state(shape), torch.rand(2, shape.channels, 18, 34)
    y, run = emulator.rrdb(image, packed(state, shape, dtype))
    run.assert_clean()
    expected = exact(state, shape, dtype, image)
    assert y.shape == expected.shape
    assert (y - expected).norm() / expected.norm() <= bound


@pytest.mark.parametrize(("strip_rows", "band_rows"), [(8, 0), (1, 5), (21, 7)])
def test_strips_and_bands_change_no_byte(emulator: Emulator, strip_rows: int, band_rows: int) -> None:
    shape = RrdbShape(1, 16, 16, 2, 1, 3)
    network, image = packed(random_state(shape), shape, torch.float16), torch.rand(1, 3, 19, 20)
    whole, _ = emulator.rrdb(image, network)
    parts, run = emulator.rrdb(image, network, strip_rows, band_rows)
    run.assert_clean()
    assert torch.equal(parts, whole)


def test_blocks_that_take_many_tiles_change_no_byte(emulator: Emulator) -> None:
    shape = RrdbShape(1, 32, 16, 1, 1, 3)
    network, image = packed(random_state(shape), shape, torch.float16), torch.rand(1, 3, 19, 34)
    one, _ = emulator.rrdb(image, network)
    many, run = emulator.rrdb(image, network, resident=1)
    run.assert_clean()
    assert torch.equal(many, one)


@pytest.fixture(scope="module")
def x4plus() -> dict[str, Tensor]:
    """The real 23-block network, canonical names -> fp32 tensors."""
    from safetensors.torch import load_file

    try:
        ref = resolve("x4plus")
    except ModelError as error:
        pytest.skip(f"no weights of x4plus: {error}")
    return {name: tensor.float() for name, tensor in load_file(ref.path).items()}


def test_the_first_group_of_real_weights_stays_within_half_precision(
    emulator: Emulator, x4plus: dict[str, Tensor]
) -> None:
    shape = RrdbShape(1, 64, 32, 2, 1, 3)
    names = [f"{name}.{part}" for name, _, _ in shape.convolutions() for part in ("weight", "bias")]
    state = {name: x4plus[name] for name in names}
    image = torch.rand(1, 3, 10, 16)
    y, run = emulator.rrdb(image, packed(state, shape, torch.float16))
    run.assert_clean()
    expected = exact(state, shape, torch.float16, image)
    assert (y - expected).norm() / expected.norm() <= 1e-3


def test_address_and_undefined_behaviour_sanitizers_find_nothing(tmp_path: Path) -> None:
    # The C++ runtime is loaded with it: the sanitizer wants to know at its start who throws exceptions.
    names = [f"-print-file-name={name}" for name in ("libasan.so", "libstdc++.so.6")]
    preload = [
        subprocess.run([compiler(), n], capture_output=True, text=True, check=True).stdout.strip() for n in names
    ]
    library = build(tmp_path, "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program = (
        "import sys; sys.path[:0] = sys.argv[1:3]; from pathlib import Path; import torch; import emulated;"
        "from test_conv_emulated import case, check, decoder; import test_rrdb_emulated as whole;"
        "emulator = emulated.Emulator(Path(sys.argv[3]));"
        "check(emulator, case((1, 3, 9), channels=16, masked=True)); check(emulator, decoder());"
        "check(emulator, case((1, 5, 9), channels=3, filters=5, kernel=5, masked=True));"
        # Bands: the last tile of one reaches beyond what its source holds.
        "shape = whole.RrdbShape(1, 16, 16, 1, 1, 3); state = whole.random_state(shape);"
        "network = whole.packed(state, shape, torch.float16);"
        "emulator.rrdb(torch.rand(1, 3, 11, 8), network, 3, 4)[1].assert_clean(); print('clean')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent), str(CUDA_OPS.parent), str(library)],
        env={
            **os.environ,
            "LD_PRELOAD": ":".join(preload),
            "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
            "RESTORE_OPS": "off",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "clean", done.stderr[-3000:]
