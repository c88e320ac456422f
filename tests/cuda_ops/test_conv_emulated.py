"""The convolution kernels' own source, run block by block on the CPU: what they promise, on every path."""

from __future__ import annotations

import ctypes
import dataclasses
import itertools

import pytest
import torch
from emulated import GUARD, Case, Emulator, Packing, convolve, expected
from torch import Tensor

from restore.ops import masked_conv

NAN = float("nan")
BOUND = {torch.float16: 5e-4, torch.bfloat16: 4e-3}


def numbers(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def holes(g: torch.Generator, n: int, h: int, w: int) -> Tensor:
    """(N, H, W) uint8: six tenths known, and a corner where whole windows know nothing."""
    known = (torch.rand(n, h, w, generator=g) > 0.4).to(torch.uint8)
    known[:, : h // 2, : w // 3] = 0
    return known


def under(x: Tensor, known: Tensor) -> Tensor:
    """x with NaN under its holes."""
    return x.masked_fill(known[..., None] == 0, NAN)


def check(emulator: Emulator, case: Case, seed: int = 0) -> None:
    y, valid, run = convolve(emulator, case, seed)
    run.assert_clean()
    exact, seen = expected(case)
    inner = y[..., case.before : case.before + exact.shape[3]].double()
    assert (inner - exact).norm() <= BOUND[case.x.dtype] * exact.norm()
    assert (y[..., : case.before] == GUARD).all(), "channels in front of the slice were written"
    assert (y[..., case.before + exact.shape[3] :] == GUARD).all(), "channels behind the slice were written"
    if seen is not None:
        assert valid is not None
        assert torch.equal(valid.bool(), seen)


def case(
    size: tuple[int, int, int] = (1, 17, 33),
    *,
    filters: int = 32,
    channels: int = 32,
    buffer: int | None = None,
    kernel: int = 3,
    masked: bool = False,
    dtype: torch.dtype = torch.float16,
    seed: int = 0,
) -> Case:
    g = numbers(seed)
    x = torch.randn(*size, buffer or channels, generator=g).to(dtype)
    weight = torch.randn(filters, channels, kernel, kernel, generator=g) / (channels * kernel**2) ** 0.5
    known = holes(g, *size) if masked else None
    x = x if known is None else under(x, known)
    bias = torch.randn(filters, generator=g)
    return Case(x, weight, channels, bias, known, padding=kernel // 2, slope=0.2)


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize(
    ("size", "channels", "buffer", "filters"),
    [
        ((1, 17, 33), 16, 64, 32),  # one pixel more than a block, both ways
        ((2, 16, 32), 64, 64, 32),  # exactly a block, two pictures
        ((1, 9, 40), 96, 192, 64),
        ((1, 5, 7), 32, 32, 16),  # less than a block
        ((1, 1, 1), 16, 16, 16),
    ],
)
def test_a_layer_of_a_dense_block_equals_float64(
    emulator: Emulator, size: tuple[int, int, int], channels: int, buffer: int, filters: int, masked: bool
) -> None:
    check(emulator, case(size, filters=filters, channels=channels, buffer=buffer, masked=masked))


@pytest.mark.parametrize("residuals", [1, 2])
def test_residuals_are_added_in_order(emulator: Emulator, residuals: int) -> None:
    layer = case((1, 18, 34), filters=64, channels=32)
    g = numbers(1)
    wide = [torch.randn(1, 18, 34, 96, generator=g).half() for _ in range(residuals)]
    layer.residuals = list(zip(wide, (0.2, 0.5), strict=False))
    check(emulator, layer)


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize(
    ("kernel", "stride", "channels", "filters"),
    [(7, 2, 3, 20), (5, 2, 24, 64), (7, 1, 16, 16), (5, 1, 8, 40), (3, 2, 20, 100), (1, 1, 40, 3), (1, 2, 3, 5)],
)
def test_other_kernels_strides_and_channel_counts_equal_float64(
    emulator: Emulator, kernel: int, stride: int, channels: int, filters: int, masked: bool
) -> None:
    layer = case((2, 13, 37), kernel=kernel, channels=channels, filters=filters, masked=masked)
    layer.stride = stride
    check(emulator, layer)


@pytest.mark.parametrize(("channels", "filters"), [(3, 32), (12, 5), (41, 33), (24, 64)])
def test_three_by_three_takes_any_channel_count(emulator: Emulator, channels: int, filters: int) -> None:
    check(emulator, case((1, 10, 35), channels=channels, filters=filters, masked=True))
    check(emulator, case((1, 10, 35), channels=channels, filters=filters))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("channels", [4, 20, 24])
def test_channels_beside_the_slice_that_is_read_have_no_influence(
    emulator: Emulator, channels: int, masked: bool
) -> None:
    layer = case((1, 9, 34), channels=channels, filters=32, masked=masked)
    beside = torch.full((*layer.x.shape[:3], 40 - channels), torch.nan, dtype=layer.x.dtype)
    layer.x = torch.cat([layer.x, beside], 3).contiguous()  # pixels begin at multiples of 16 bytes
    check(emulator, layer)


@pytest.mark.parametrize("filters", [4, 20, 42])
def test_a_slice_whose_width_is_no_multiple_of_eight_stays_within_itself(emulator: Emulator, filters: int) -> None:
    layer = case((1, 9, 34), filters=filters, channels=16)
    layer.guard = 64 - filters  # pixels of the buffer begin at multiples of 16 bytes all the same
    check(emulator, layer)


def decoder(dtype: torch.dtype = torch.float16, kernel: int = 3) -> Case:
    """A U-Net decoder's layer: x of half the size, and a skip connection with holes of its own."""
    g = numbers(7)
    layer = case((1, 9, 20), channels=32, filters=48, masked=True, dtype=dtype)
    skip_valid = holes(g, 1, 18, 40)
    skip_valid[:, :, 20:] = 1
    layer.skip = under(torch.randn(1, 18, 40, 19, generator=g).to(dtype), skip_valid)
    layer.skip_valid, layer.doubled = skip_valid, True
    layer.weight = torch.randn(48, 51, kernel, kernel, generator=g) / (51 * kernel**2) ** 0.5
    layer.padding = kernel // 2
    return layer


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_decoders_layer_counts_each_source_with_its_channels(emulator: Emulator, kernel: int) -> None:
    check(emulator, decoder(kernel=kernel))


def test_a_decoders_layer_without_validity_is_an_ordinary_convolution(emulator: Emulator) -> None:
    layer = decoder()
    assert layer.skip is not None
    layer.x, layer.skip = layer.x.nan_to_num(0.3), layer.skip.nan_to_num(0.3)
    layer.valid = layer.skip_valid = None
    check(emulator, layer)


def test_enlarging_happens_on_load(emulator: Emulator) -> None:
    layer = case((2, 9, 17), filters=64, channels=64)
    layer.doubled = True
    check(emulator, layer)


def test_bfloat16_has_the_accuracy_of_its_eight_bits(emulator: Emulator) -> None:
    check(emulator, case(masked=True, dtype=torch.bfloat16))
    check(emulator, decoder(torch.bfloat16))


def test_nothing_known_gives_zeros_without_bias(emulator: Emulator) -> None:
    layer = case((1, 6, 9), masked=True)
    assert layer.valid is not None
    layer.valid.zero_()
    layer.x.fill_(NAN)
    y, valid, run = convolve(emulator, layer)
    run.assert_clean()
    assert valid is not None
    assert not valid.any()
    assert (y[..., 16:48] == 0).all()


def test_sums_beyond_half_precision_saturate_and_nan_stays_nan(emulator: Emulator) -> None:
    layer = case((1, 4, 4), channels=16, filters=16)
    layer.x.fill_(60000.0)
    layer.weight.fill_(1.0)
    layer.bias = None
    y, _, run = convolve(emulator, layer)
    run.assert_clean()
    assert (y[..., 16:32] == 65504).all()
    layer.x[0, 2, 2, 5] = NAN
    y, _, _ = convolve(emulator, layer)
    assert torch.isnan(y[0, 2, 2, 16:32]).all()


def test_the_last_layer_can_answer_in_single_precision(emulator: Emulator) -> None:
    layer = dataclasses.replace(case((1, 18, 34), filters=3, channels=64), single=True, guard=2, before=1)
    y, _, run = convolve(emulator, layer)
    run.assert_clean()
    exact, _ = expected(layer)
    assert (y[..., 1:4].double() - exact).abs().max() <= 1e-5 * exact.abs().max()
    assert (y[..., [0, 4]] == GUARD).all()


@pytest.mark.parametrize("filters", [32, 64])
def test_only_listed_blocks_are_computed(emulator: Emulator, filters: int) -> None:
    layer = case((1, 40, 70), filters=filters, channels=16)
    layer.active = torch.tensor([1, 5, 8, 0], dtype=torch.int32)  # of 3 x 3; the last isn't counted
    layer.active_count = 3
    y, _, run = convolve(emulator, layer)
    run.assert_clean()
    exact, _ = expected(layer)
    done = torch.zeros(40, 70, dtype=torch.bool)
    done[:16, 32:64] = done[16:32, 64:] = done[32:, 64:] = True
    inner = y[0, ..., 16 : 16 + filters].double()
    assert (inner[done] - exact[0][done]).abs().max() <= 0.01
    assert (inner[~done] == GUARD).all()


def test_a_list_that_lies_writes_nothing_where_it_should_not(emulator: Emulator) -> None:
    layer = case((1, 20, 40), filters=32, channels=16)
    layer.active = torch.tensor([0, -1, 4, 1 << 30], dtype=torch.int32)  # of 2 x 2
    layer.active_count = 99
    y, _, run = convolve(emulator, layer)
    run.assert_clean()
    assert (y[0, :16, :32, 16:48] != GUARD).any()
    assert (y[0, 16:] == GUARD).all()
    assert (y[0, :, 32:] == GUARD).all()


def test_rows_outside_the_range_stay_as_they_were(emulator: Emulator) -> None:
    layer = case((2, 40, 33), filters=32, channels=16)
    layer.rows = (7, 29)
    y, _, run = convolve(emulator, layer)
    run.assert_clean()
    exact, _ = expected(layer)
    assert (y[:, 7:29, :, 16:48].double() - exact[:, 7:29]).abs().max() <= 0.01
    assert (y[:, :7] == GUARD).all()
    assert (y[:, 29:] == GUARD).all()


def test_the_order_in_which_warps_run_does_not_matter(emulator: Emulator) -> None:
    layer = case((1, 17, 33), masked=True)
    results = [convolve(emulator, layer, seed)[0] for seed in range(4)]
    assert all(torch.equal(result, results[0]) for result in results)


def test_what_cannot_be_done_is_refused_before_anything_is_written(emulator: Emulator) -> None:
    layer = case((1, 6, 9), kernel=3)
    for change, complaint in (
        ({"stride": 3}, "stride"),
        ({"padding": 9}, "padding"),
        ({"rows": (0, 99)}, "rows"),
        ({"residuals": [(torch.zeros(1, 6, 9, 33).half(), 1.0)]}, "pairs"),
    ):
        with pytest.raises(ValueError, match=complaint):
            convolve(emulator, dataclasses.replace(layer, **change))


def check_split(emulator: Emulator, layer: Case, parts: int, seed: int = 0) -> Tensor:
    """`layer` on a device whose multiprocessors want k in `parts` at least: right, and in so many parts."""
    split = dataclasses.replace(layer, multiprocessors=99)
    y, _, run = convolve(emulator, split, seed)
    check(emulator, split, seed + 1)
    _, _, whole = convolve(emulator, layer)
    assert run.counts["products"] == whole.counts["products"]
    joining = run.counts["blocks"] - parts * whole.counts["blocks"]
    assert joining > 0, "k was not split"
    assert joining % 8 == 0, "k was split into another number of parts"
    return y


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "channels", "filters", "parts"),
    [
        ((1, 9, 37), 3, 1, 150, 16, 2),  # 10 chunks, the last one partly there
        ((1, 5, 9), 3, 1, 200, 72, 3),  # 13 chunks in uneven parts, two groups of filters
        ((2, 5, 9), 3, 2, 130, 20, 2),
        ((1, 5, 9), 5, 2, 128, 3, 2),
        ((1, 5, 20), 1, 1, 160, 40, 2),
    ],
)
def test_k_is_split_over_blocks_where_tiles_are_few(
    emulator: Emulator, size: tuple[int, int, int], kernel: int, stride: int, channels: int, filters: int, parts: int
) -> None:
    layer = case(size, kernel=kernel, channels=channels, filters=filters, masked=True)
    layer.stride = stride
    check_split(emulator, layer, parts)


def test_k_is_split_without_validity(emulator: Emulator) -> None:
    check_split(emulator, case((1, 5, 9), channels=130, filters=32), 2)
    check_split(emulator, case((1, 5, 9), kernel=1, channels=128, filters=16), 2)


def test_k_stays_whole_where_there_are_tiles_for_all_multiprocessors(emulator: Emulator) -> None:
    layer = case((1, 9, 37), channels=130, filters=16, masked=True)  # two tiles
    dense = case((1, 9, 37), channels=128, filters=16)  # what networks for large pictures are made of
    for one, multiprocessors in ((layer, 3), (dense, 99)):
        y, _, run = convolve(emulator, dataclasses.replace(one, multiprocessors=multiprocessors))
        whole, _, run_whole = convolve(emulator, one)
        assert run.counts == run_whole.counts
        assert torch.equal(y, whole)


def wide_decoder(channels: tuple[int, int] = (96, 112), filters: int = 40, dtype: torch.dtype = torch.float16) -> Case:
    """A layer deep in a U-Net: few pixels, many channels in two sources."""
    g = numbers(8)
    layer = case((1, 4, 4), channels=channels[0], filters=filters, masked=True, dtype=dtype)
    skip_valid = holes(g, 1, 8, 8)
    skip_valid[:, :, 4:] = 1
    layer.skip = under(torch.randn(1, 8, 8, channels[1], generator=g).to(dtype), skip_valid)
    layer.skip_valid, layer.doubled = skip_valid, True
    layer.weight = torch.randn(filters, sum(channels), 3, 3, generator=g) / (sum(channels) * 9) ** 0.5
    return layer


@pytest.mark.parametrize(
    ("channels", "parts"),
    [
        ((96, 112), 3),  # chunks 0 to 3, 4 to 7 (two of either source), 8 to 12
        ((64, 64), 2),  # a part for each source
        ((61, 61), 2),  # the same, copied number by number
        ((32, 96), 2),  # the second part begins within the second source
    ],
)
def test_parts_begin_in_either_source(emulator: Emulator, channels: tuple[int, int], parts: int) -> None:
    check_split(emulator, wide_decoder(channels), parts)


def test_parts_of_other_kernels_begin_in_either_source(emulator: Emulator) -> None:
    layer = wide_decoder((64, 80), filters=16)
    layer.weight = torch.randn(16, 144, 5, 5, generator=numbers(9)) / 60
    layer.padding = 2
    check_split(emulator, layer, 2)


def test_parts_are_added_in_the_same_order_whatever_runs_first(emulator: Emulator) -> None:
    layer = wide_decoder(dtype=torch.bfloat16)
    y, _, _ = convolve(emulator, dataclasses.replace(layer, multiprocessors=99), seed=5)
    assert torch.equal(check_split(emulator, layer, 3, seed=1), y)


def test_parts_of_listed_blocks_residuals_and_rows(emulator: Emulator) -> None:
    layer = case((1, 20, 40), filters=32, channels=136, masked=True)
    layer.residuals = [(torch.randn(1, 20, 40, 40, generator=numbers(10)).half(), f) for f in (0.2, 0.5)]
    exact, _ = expected(layer)
    split = dataclasses.replace(layer, multiprocessors=200)
    listed = torch.tensor([1, 2, -1, 1 << 30, 0], dtype=torch.int32)  # of 2 x 2; the last isn't counted
    y, _, run = convolve(emulator, dataclasses.replace(split, active=listed, active_count=4))
    run.assert_clean()
    done = torch.zeros(1, 20, 40, dtype=torch.bool)
    done[:, :16, 32:] = done[:, 16:, :32] = True
    inner = y[..., 16:48].double()
    assert (inner[done] - exact[done]).norm() <= BOUND[torch.float16] * exact[done].norm()
    assert (inner[~done] == GUARD).all()
    y, _, run = convolve(emulator, dataclasses.replace(split, rows=(5, 14)))
    run.assert_clean()
    assert (y[:, 5:14, :, 16:48].double() - exact[:, 5:14]).norm() <= BOUND[torch.float16] * exact[:, 5:14].norm()
    assert (y[:, :5] == GUARD).all()
    assert (y[:, 14:] == GUARD).all()


def test_python_knows_beforehand_how_much_memory_a_call_takes(emulator: Emulator) -> None:
    asked = 0
    for n, height, width, channels, filters, kernel, stride in itertools.product(
        (1, 3), (1, 9, 64, 200), (4, 33, 250), (3, 136, 1000), (3, 20, 100, 512), (3, 5), (1, 2)
    ):
        x = torch.empty(n, channels, height, width, dtype=torch.float16, device="meta")
        weight = torch.empty(filters, channels, kernel, kernel, dtype=torch.float16, device="meta")
        _, packed, room = masked_conv.taken_bytes(x, weight, stride, kernel // 2, False)
        packing = Packing(kernel, filters, channels // 2, channels - channels // 2, stride)
        assert 2 * emulator.library.packed_elements(ctypes.byref(packing)) <= packed
        for multiprocessors in (20, 132, 256):
            wanted = emulator.room_bytes(x, weight, stride, multiprocessors)
            assert wanted <= room
            asked += wanted > 0
    assert asked > 100


@pytest.mark.parametrize(("filters", "channels"), [(16, 32), (32, 48), (64, 64)])
def test_blocks_that_take_many_tiles_give_the_same_bytes(emulator: Emulator, filters: int, channels: int) -> None:
    layer = case((1, 20, 70), filters=filters, channels=channels)
    layer.residuals = [(torch.randn(1, 20, 70, filters, generator=numbers(1)).half(), 0.2)]
    one, _, run_one = convolve(emulator, layer)
    y, _, run = convolve(emulator, dataclasses.replace(layer, multiprocessors=2, resident=2), seed=1)
    run.assert_clean()
    assert torch.equal(y, one)
    assert run.counts["blocks"] == 4 < run_one.counts["blocks"]
    assert run.counts["products"] == run_one.counts["products"]


def test_blocks_that_take_many_tiles_keep_to_lists_and_rows(emulator: Emulator) -> None:
    layer = case((1, 40, 70), filters=32, channels=32)
    listed = torch.tensor([1, -1, 5, 8, 1 << 30, 0], dtype=torch.int32)
    for change in ({"active": listed, "active_count": 5}, {"rows": (7, 29)}):
        one = dataclasses.replace(layer, **change)
        y, _, run = convolve(emulator, dataclasses.replace(one, resident=1, multiprocessors=2))
        run.assert_clean()
        assert torch.equal(y, convolve(emulator, one)[0])


def test_a_layer_of_one_chunk_has_a_block_for_each_tile(emulator: Emulator) -> None:
    layer = case((1, 17, 33), filters=32, channels=16)
    one, _, run_one = convolve(emulator, layer)
    y, _, run = convolve(emulator, dataclasses.replace(layer, resident=2))
    assert run.counts == run_one.counts
    assert torch.equal(y, one)
