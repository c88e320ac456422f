"""masked_conv2d: what it promises, for the plain-torch reference and for whatever kernel is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from restore import ops
from restore.ops import masked_conv

ROOT = Path(__file__).resolve().parents[2]
Op = Callable[..., tuple[Tensor, Tensor]]


def reference(
    x: Tensor,
    valid: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    return ops.masked_conv2d_reference(x, valid, weight, bias, stride, padding, **options)


@pytest.fixture(params=[reference, ops.masked_conv2d], ids=["reference", "serving"])
def op(request: pytest.FixtureRequest) -> Op:
    function: Op = request.param
    return function


@pytest.fixture
def compiled() -> ops.CompiledLibrary:
    if ops.LIBRARY.path is None:
        if os.environ.get("RESTORE_REQUIRE_OPS") == "1":
            pytest.fail(f"RESTORE_REQUIRE_OPS=1, but {ops.LIBRARY.why_not}", pytrace=False)
        pytest.skip(ops.LIBRARY.why_not)
    return ops.LIBRARY


def formula(
    x: Tensor, valid: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The paper's equations 1 and 2, window by window in float64, from nothing but NumPy sums."""
    pixels, known = x.double().numpy(), valid.numpy()[:, 0]
    filters = weight.double().numpy()
    offsets = np.zeros(len(filters)) if bias is None else bias.double().numpy()
    n, _, h, w = pixels.shape
    k, _, kh, kw = filters.shape
    out_h, out_w = (h + 2 * padding - kh) // stride + 1, (w + 2 * padding - kw) // stride + 1
    y, seen = np.zeros((n, k, out_h, out_w)), np.zeros((n, 1, out_h, out_w), bool)
    for i, oy, ox in np.ndindex(n, out_h, out_w):
        total, count = np.zeros(k), 0
        for r, s in np.ndindex(kh, kw):
            iy, ix = oy * stride + r - padding, ox * stride + s - padding
            if 0 <= iy < h and 0 <= ix < w and known[i, iy, ix]:
                total += filters[:, :, r, s] @ pixels[i, :, iy, ix]
                count += 1
        if count:
            y[i, :, oy, ox] = total * (kh * kw / count) + offsets
            seen[i, 0, oy, ox] = True
    return y, seen


def case(
    *,
    channels: int = 5,
    filters: int = 6,
    kernel: tuple[int, int] = (3, 3),
    size: tuple[int, int] = (11, 13),
    n: int = 2,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random x, valid (half of it holes, one corner empty), weight, bias."""
    x = torch.randn(n, channels, *size).contiguous(memory_format=torch.channels_last)
    valid = torch.rand(n, 1, *size) > 0.5
    valid[:, :, :6, :6] = False
    return x, valid, torch.randn(filters, channels, *kernel) * 0.2, torch.randn(filters)


def with_skip() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A decoder's layer: x of half the size, a skip connection, and validity of both."""
    x, valid, _, bias = case(channels=5, filters=6)
    skip, skip_valid, weight, _ = case(channels=3, filters=6, size=(22, 26))
    weight = torch.randn(6, 8, 3, 3) * 0.2
    return x, valid, weight, bias, skip, skip_valid


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "channels", "filters"),
    [
        ((3, 3), 1, 1, 5, 6),
        ((3, 3), 1, 0, 1, 1),
        ((3, 3), 2, 1, 8, 3),
        ((5, 5), 2, 2, 3, 16),
        ((7, 7), 2, 3, 3, 64),
        ((7, 7), 1, 3, 4, 5),
        ((1, 1), 1, 0, 16, 4),
        ((3, 5), 1, 2, 3, 4),
        ((2, 2), 3, 4, 2, 2),  # windows that lie wholly in the padding
    ],
)
@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no bias"])
def test_equals_the_papers_formula(
    op: Op, kernel: tuple[int, int], stride: int, padding: int, channels: int, filters: int, with_bias: bool
) -> None:
    x, valid, weight, bias = case(channels=channels, filters=filters, kernel=kernel)
    given = bias if with_bias else None
    y, seen = op(x, valid, weight, given, stride=stride, padding=padding)
    expected_y, expected_seen = formula(x, valid, weight, given, stride, padding)
    np.testing.assert_allclose(y.numpy(), expected_y, atol=1e-5, rtol=1e-5)
    np.testing.assert_array_equal(seen.numpy(), expected_seen)


def joined_formula(
    x: Tensor, valid: Tensor, weight: Tensor, bias: Tensor, skip: Tensor, skip_valid: Tensor, slope: float
) -> tuple[Tensor, Tensor]:
    """NVIDIA's partial convolution with a mask for each channel, from its formula, in float64: what a decoder's layer
    computes from torch.cat([enlarged x, skip], 1) and the masks joined in the same way."""
    parts = ((x, valid, True), (skip, skip_valid, False))
    values, masks = [], []
    for part, known, enlarged in parts:
        value, mask = torch.where(known, part, 0).double(), known.double().expand(-1, part.shape[1], -1, -1)
        if enlarged:
            value, mask = (torch.nn.functional.interpolate(t, scale_factor=2, mode="nearest") for t in (value, mask))
        values.append(value)
        masks.append(mask)
    mask = torch.cat(masks, 1)
    total = torch.nn.functional.conv2d(mask, torch.ones_like(weight[:1]).double(), None, 1, 1)
    raw = torch.nn.functional.conv2d(torch.cat(values, 1), weight.double(), None, 1, 1)
    y = torch.where(total > 0, raw * (weight[0].numel() / total.clamp_min(1)) + bias.double().view(1, -1, 1, 1), 0.0)
    return torch.nn.functional.leaky_relu(y, slope), total > 0


@pytest.mark.parametrize("slope", [1.0, 0.2, 0.0])
def test_a_decoders_layer_equals_the_formula_with_a_mask_for_each_channel(op: Op, slope: float) -> None:
    x, valid, weight, bias, skip, skip_valid = with_skip()
    valid[1], skip_valid[1, :, :9] = False, False  # windows that know the skip only, and windows that know nothing
    nan = float("nan")
    dirty_x, dirty_skip = x.masked_fill(~valid, nan), skip.masked_fill(~skip_valid, nan)
    options = {"padding": 1, "skip": dirty_skip, "skip_valid": skip_valid, "doubled": True, "slope": slope}
    y, seen = op(dirty_x, valid, weight, bias, **options)
    expected_y, expected_seen = joined_formula(x, valid, weight, bias, skip, skip_valid, slope)
    torch.testing.assert_close(y.double(), expected_y, atol=1e-5, rtol=1e-5)
    assert torch.equal(seen, expected_seen)
    assert not seen.all()


def test_garbage_under_holes_has_no_influence(op: Op) -> None:
    x, valid, weight, bias = case()
    clean = op(x, valid, weight, bias, padding=1)
    for garbage in (float("nan"), float("inf"), 3.0e38):
        dirty = op(x.masked_fill(~valid, garbage), valid, weight, bias, padding=1)
        assert torch.equal(dirty[0], clean[0])
        assert torch.equal(dirty[1], clean[1])


def test_all_hole_gives_zeros_without_bias_and_stays_a_hole(op: Op) -> None:
    x, valid, weight, bias = case()
    y, seen = op(x * float("nan"), torch.zeros_like(valid), weight, bias, padding=1)
    assert torch.equal(y, torch.zeros_like(y))
    assert not seen.any()


def test_without_holes_only_the_border_is_reweighted(op: Op) -> None:
    x, valid, weight, bias = case()
    everywhere = torch.ones_like(valid)
    y, seen = op(x, everywhere, weight, bias, padding=1)
    plain = torch.nn.functional.conv2d(x, weight, None, 1, 1)
    ratio = torch.ones_like(plain)
    ratio[:, :, [0, -1]] *= 1.5
    ratio[:, :, :, [0, -1]] *= 1.5
    torch.testing.assert_close(y, plain * ratio + bias.view(1, -1, 1, 1), atol=1e-5, rtol=1e-5)
    assert seen.all()


def test_a_second_call_remembers_nothing_of_the_first(op: Op) -> None:
    x, valid, weight, bias = case()
    first = op(x, valid, weight, bias, padding=1)[0]
    op(x, ~valid, weight, bias, padding=1)
    assert torch.equal(op(x, valid, weight, bias, padding=1)[0], first)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
def test_sixteen_bit_storage_stays_finite_and_close(op: Op, dtype: torch.dtype, bound: float) -> None:
    x, valid, weight, bias = (t if t.dtype == torch.bool else t.to(dtype) for t in case(channels=32))
    y, _ = op(x, valid, weight, bias, padding=1)
    expected, _ = formula(x, valid, weight, bias, 1, 1)
    assert y.dtype == dtype
    assert torch.isfinite(y).all()
    assert np.abs(y.double().numpy() - expected).max() <= bound * np.abs(expected).max()


def test_memory_form_of_x_does_not_change_the_result(op: Op) -> None:
    x, valid, weight, bias = case()
    forms = [x, x.contiguous(), x.transpose(2, 3).contiguous().transpose(2, 3), torch.cat([x, x], 1)[:, :5]]
    results = [op(form, valid, weight, bias, padding=1) for form in forms]
    for y, seen in results:
        assert y.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(y, results[0][0], atol=1e-6, rtol=1e-6)
        assert torch.equal(seen, results[0][1])


def test_inputs_are_left_as_they_were(op: Op) -> None:
    inputs = case()
    copies = [t.clone() for t in inputs]
    op(*inputs, padding=1)
    assert all(torch.equal(now, before) for now, before in zip(inputs, copies, strict=True))


def test_an_empty_batch_is_no_error(op: Op) -> None:
    x, valid, weight, bias = case()
    y, seen = op(x[:0], valid[:0], weight, bias, padding=1)
    assert y.shape == (0, 6, 11, 13)
    assert seen.shape == (0, 1, 11, 13)


def test_autocast_does_not_change_the_type_of_the_result(op: Op) -> None:
    x, valid, weight, bias = case()
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = op(x, valid, weight, bias, padding=1)
    assert y.dtype == torch.float32
    np.testing.assert_allclose(y.numpy(), formula(x, valid, weight, bias, 1, 1)[0], atol=0.1)


@pytest.mark.parametrize("with_validity", [True, False], ids=["masked", "plain"])
def test_writing_into_a_buffer_gives_the_same_numbers_and_touches_nothing_else(with_validity: bool) -> None:
    x, valid, weight, bias, skip, skip_valid = with_skip()
    first, second = torch.randn(2, 6, 22, 26), torch.randn(2, 6, 22, 26)
    y = torch.full((2, 11, 22, 26), 7.0).contiguous(memory_format=torch.channels_last)
    seen = torch.zeros(2, 1, 22, 26, dtype=torch.bool)
    known = {"valid_out": seen, "skip_valid": skip_valid} if with_validity else {}
    ops.masked_conv2d_into(
        *(y, x, valid if with_validity else None, weight, bias),
        **{"padding": 1, "at_channel": 3, "skip": skip, "doubled": True, "slope": 0.2, **known},
        residuals=((first, 0.2), (second, 0.5)),
    )
    if with_validity:
        inner, expected_seen = joined_formula(x, valid, weight, bias, skip, skip_valid, 0.2)
        assert torch.equal(seen, expected_seen)
    else:
        enlarged = torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")
        inner = torch.nn.functional.conv2d(torch.cat([enlarged, skip], 1), weight, bias, 1, 1)
        inner = torch.nn.functional.leaky_relu(inner, 0.2).double()
    torch.testing.assert_close(y[:, 3:9].double(), second + 0.5 * (first + 0.2 * inner), atol=1e-5, rtol=1e-5)
    assert (y[:, :3] == 7).all()
    assert (y[:, 9:] == 7).all()


def test_only_active_blocks_are_written() -> None:
    x, valid, weight, bias = case(n=1, size=(40, 70))
    whole, seen = ops.masked_conv2d(x, valid, weight, bias, padding=1)
    y, known = torch.full_like(whole, 7.0), torch.zeros_like(seen)
    blocks = torch.tensor([1, 5, 8, 0], dtype=torch.int32)  # 3 x 3 blocks of 16 x 32 pixels; the last isn't counted
    count = torch.tensor([3], dtype=torch.int32)
    ops.masked_conv2d_into(y, x, valid, weight, bias, padding=1, valid_out=known, active=(blocks, count))
    expected = torch.full_like(whole, 7.0)
    for rows, columns in (
        (slice(0, 16), slice(32, 64)),
        (slice(16, 32), slice(64, 70)),
        (slice(32, 40), slice(64, 70)),
    ):
        expected[..., rows, columns] = whole[..., rows, columns]
        assert torch.equal(known[..., rows, columns], seen[..., rows, columns])
    assert torch.equal(y == 7, expected == 7)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
    assert not known[..., :16, :32].any()


def test_inputs_that_do_not_fit_are_refused_with_their_shapes() -> None:
    x, valid, weight, bias = case()
    wrong: list[tuple[str, tuple[Tensor, Tensor, Tensor, Tensor], dict[str, Any]]] = [
        ("soft mask", (x, valid.float(), weight, bias), {}),
        ("valid must be", (x, valid[:, :, 1:], weight, bias), {}),
        ("valid must be", (x, valid.expand(-1, 5, -1, -1), weight, bias), {}),
        ("weight", (x, valid, weight[:, 1:], bias), {}),
        ("weight", (x, valid, weight.double(), bias), {}),
        ("bias", (x, valid, weight, bias[1:]), {}),
        ("x must be", (x.int(), valid, weight, bias), {}),
        ("stride", (x, valid, weight, bias), {"stride": 0}),
        ("slope", (x, valid, weight, bias), {"slope": float("nan")}),
        ("skip_valid comes", (x, valid, weight, bias), {"skip": x}),
        ("padding", (x, valid, weight, bias), {"padding": -1}),
        ("larger than", (x[:, :, :2], valid[:, :, :2], weight, bias), {}),
    ]
    for message, arguments, options in wrong:
        with pytest.raises(ValueError, match=message):
            ops.masked_conv2d(*arguments, **options)


def test_a_buffer_that_does_not_fit_is_refused() -> None:
    x, valid, weight, bias = case()
    y = torch.zeros(2, 8, 11, 13).contiguous(memory_format=torch.channels_last)
    seen = torch.zeros(2, 1, 11, 13, dtype=torch.bool)
    for message, target, options in (
        ("no room", y, {"at_channel": 3}),
        ("channels_last", y.contiguous(), {}),
        ("type", y.double(), {}),
        ("residual", y, {"residuals": ((y, 1.0),)}),
        ("int32", y, {"active": (torch.zeros(3), torch.zeros(1))}),
        ("valid_out must", y, {"valid_out": seen[:1]}),
    ):
        with pytest.raises(ValueError, match=message):
            ops.masked_conv2d_into(target, x, valid, weight, bias, padding=1, **options)
    with pytest.raises(ValueError, match="valid_out comes of valid"):
        ops.masked_conv2d_into(y, x, None, weight, bias, padding=1, valid_out=seen)


def test_the_compiled_kernel_checks_what_python_did_not(compiled: ops.CompiledLibrary) -> None:
    assert compiled.path is not None
    x, valid, weight, bias = case()
    rest = (1, 1, None, None, False, 1.0)
    with pytest.raises(RuntimeError, match="valid must be"):
        torch.ops.restore.masked_conv2d(x, valid[:, :, 1:], weight, bias, *rest)
    with pytest.raises(RuntimeError, match="bias must have"):
        torch.ops.restore.masked_conv2d(x, valid, weight, bias[1:], *rest)


def test_opcheck_finds_schema_fake_and_gradient_consistent() -> None:
    x, valid, weight, bias = case()
    rest = (2, 1, None, None, False, 1.0)
    for tensors in ((x, valid, weight, bias), (x.contiguous(), valid, weight, None)):
        torch.library.opcheck(torch.ops.restore.masked_conv2d.default, (*tensors, *rest))
    x, valid, weight, bias, skip, skip_valid = with_skip()
    with_gradient = (t.requires_grad_() if t.is_floating_point() else t for t in (x, valid, weight, bias, skip))
    arguments = (*with_gradient, skip_valid, True, 0.2)
    arguments = (*arguments[:4], 1, 1, *arguments[4:])
    torch.library.opcheck(torch.ops.restore.masked_conv2d.default, arguments)


def test_opcheck_finds_the_form_that_writes_into_a_buffer_consistent() -> None:
    x, valid, weight, bias, skip, skip_valid = with_skip()
    y = torch.zeros(2, 9, 22, 26).contiguous(memory_format=torch.channels_last)
    addend = torch.randn(2, 6, 22, 26)
    seen = torch.zeros(2, 1, 22, 26, dtype=torch.bool)
    lists = (torch.tensor([1, 2], dtype=torch.int32), torch.tensor([1], dtype=torch.int32))
    arguments = (y, seen, 2, x, valid, weight, bias, 1, 1, skip, skip_valid, True, 0.2, addend, 0.5, None, 1.0, *lists)
    torch.library.opcheck(torch.ops.restore.masked_conv2d_into.default, arguments)


def test_compiles_into_one_graph() -> None:
    x, valid, weight, bias = case()

    def two_layers(x: Tensor, valid: Tensor) -> Tensor:
        y, seen = ops.masked_conv2d(x, valid, weight, bias, stride=2, padding=1)
        return ops.masked_conv2d(y, seen, weight[:, [0, 1, 2, 3, 4, 0]], bias, padding=1)[0].relu()

    together = torch.compile(two_layers, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(together(x, valid), two_layers(x, valid))


def test_gradients_are_those_of_the_formula_with_holes() -> None:
    x, valid, weight, bias = case(channels=2, filters=2, size=(7, 6), n=1)
    doubles = tuple(t.double().requires_grad_() if t.is_floating_point() else t for t in (x, valid, weight, bias))
    for stride in (1, 2):
        assert torch.autograd.gradcheck(
            lambda *t, stride=stride: ops.masked_conv2d(*t, stride=stride, padding=1)[0], doubles
        )


def test_gradients_of_a_decoders_layer_are_those_of_the_formula() -> None:
    x, valid, _, bias = case(channels=2, filters=2, size=(4, 3), n=1)
    skip, skip_valid, _, _ = case(channels=1, size=(8, 6), n=1)
    skip_valid[..., :3] = False
    inputs = tuple(t.double().requires_grad_() for t in (x, torch.randn(2, 3, 3, 3), bias, skip))

    def layer(x: Tensor, weight: Tensor, bias: Tensor, skip: Tensor) -> Tensor:
        options = {"skip": skip, "skip_valid": skip_valid, "doubled": True, "slope": 0.2}
        return ops.masked_conv2d(x, valid, weight, bias, padding=1, **options)[0]

    assert torch.autograd.gradcheck(layer, inputs)


def test_no_gradient_reaches_what_lies_under_a_hole() -> None:
    x, valid, weight, bias = case()
    x = x.masked_fill(~valid, float("nan")).requires_grad_()
    ops.masked_conv2d(x, valid, weight.requires_grad_(), bias, padding=1)[0].sum().backward()
    assert x.grad is not None
    assert weight.grad is not None
    assert (x.grad.masked_select(~valid) == 0).all()
    assert torch.isfinite(weight.grad).all()


def test_the_installed_library_serves_the_cpu(compiled: ops.CompiledLibrary) -> None:
    assert compiled.facts["compiler"]
    assert ops.kernels("cpu")["masked_conv2d"] == "passes of our own around torch's convolution"
    assert torch._C._dispatch_has_kernel_for_dispatch_key("restore::masked_conv2d", "CPU")


@pytest.mark.parametrize(
    ("setting", "reason"),
    [("off", "RESTORE_OPS=off"), ("/nowhere/_ops.so", "which is not there"), (__file__, "does not load")],
)
def test_without_the_library_the_reference_serves_and_says_why(setting: str, reason: str) -> None:
    program = (
        "import torch; from restore import ops; print(ops.kernels()['masked_conv2d']); "
        "v = torch.ones(1, 1, 4, 4, dtype=torch.bool); x = torch.ones(1, 1, 4, 4);"
        "print(ops.masked_conv2d(x, v, torch.ones(1, 1, 3, 3))[0].sum().item())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "RESTORE_OPS": setting, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    says, total = done.stdout.splitlines()
    assert says.startswith("torch reference: ")
    assert reason in says
    assert float(total) == 36.0


@pytest.mark.needs_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_cuda_equals_the_papers_formula(dtype: torch.dtype) -> None:
    for channels, kernel, stride in ((5, 3, 1), (16, 5, 2), (3, 7, 2)):
        x, valid, weight, bias = case(channels=channels, kernel=(kernel, kernel), size=(33, 41))
        x, weight, bias = (t.to(dtype) for t in (x.masked_fill(~valid, float("nan")), weight, bias))
        on_gpu = (t.cuda() for t in (x, valid, weight, bias))
        y, seen = ops.masked_conv2d(*on_gpu, stride=stride, padding=kernel // 2)
        expected_y, expected_seen = formula(x, valid, weight, bias, stride, kernel // 2)
        bound = {torch.float32: 2e-3, torch.float16: 4e-3, torch.bfloat16: 3e-2, torch.float64: 1e-9}[dtype]
        assert np.abs(y.cpu().double().numpy() - expected_y).max() <= bound * np.abs(expected_y).max()
        np.testing.assert_array_equal(seen.cpu().numpy(), expected_seen)


@pytest.mark.needs_cuda
def test_cuda_runs_on_the_current_stream(compiled: ops.CompiledLibrary) -> None:
    assert compiled.path is not None
    x, valid, weight, bias = (t.cuda() for t in case(channels=64, filters=64, size=(256, 256)))
    expected = ops.masked_conv2d(x, valid, weight, bias, padding=1)[0]
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(10_000_000)
        late = torch.zeros_like(x).copy_(x)
        y = ops.masked_conv2d(late, valid, weight, bias, padding=1)[0]
    torch.cuda.synchronize()
    torch.testing.assert_close(y, expected)


def test_what_a_call_takes_in_single_precision_is_known_beforehand() -> None:
    """On CUDA an allocation that fails within the library loses its kind: Python asks for the memory first."""
    x, weight = torch.empty(2, 5, 9, 12, device="meta"), torch.empty(20, 8, 5, 3, device="meta")
    y, sources = masked_conv.taken_bytes(x, weight, 2, 1, doubled=True)  # beside a skip connection of three channels
    assert sources == 4 * 2 * 8 * 18 * 24
    assert y == 4 * 2 * 20 * 8 * 12  # kernel 5 x 3, stride 2, padding 1
    assert masked_conv.taken_bytes(x.double(), weight.double(), 2, 1, doubled=True) == (2 * y, 2 * sources)
