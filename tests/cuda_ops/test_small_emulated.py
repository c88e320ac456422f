"""The kernels of blocks.h and tiles.h, run from their own source on the CPU: the references' bytes, and no error."""

from __future__ import annotations

import emulated_small
import pytest
import torch
from emulated import Emulator
from torch import Tensor

from restore.ops import blocks, tiles

LOW, HIGH = -(2**31), 2**31 - 1
TYPES = (torch.float16, torch.bfloat16, torch.float32)


@pytest.fixture(autouse=True, scope="module")
def structures_are_those_of_the_library(emulator: Emulator) -> None:
    emulated_small.check_structures(emulator)


def random_int(low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, ()))


def picture_of(height: int, width: int, channels: int, dtype: torch.dtype) -> Tensor:
    peak = 65535 if dtype == torch.uint16 else 255
    return torch.randint(0, peak + 1, (height, width, channels), dtype=torch.int32).to(dtype)


@pytest.mark.parametrize("seed", range(6))
def test_lists_of_blocks_equal_the_references(emulator: Emulator, seed: int) -> None:
    torch.manual_seed(seed)
    for scale, pad_px in ((1, 0), (1, 3), (2, 17), (3, 5), (4, 0), (1, HIGH)):
        n, height, width = random_int(1, 3), random_int(1, 90), random_int(1, 150)
        share = (0.0, 0.0005, 0.01, 1.0)[random_int(0, 3)]
        valid = (torch.rand(n, 1, height, width) < share).to(torch.uint8) * random_int(1, 255)
        found, count, run = emulated_small.active_blocks(emulator, valid, pad_px=pad_px, scale=scale, seed=seed)
        expected = blocks.active_blocks(valid, pad_px=pad_px, scale=scale)
        run.assert_clean()
        assert torch.equal(found, expected[0])
        assert torch.equal(count, expected[1])


def test_lists_longer_than_one_round_of_all_warps_are_in_order(emulator: Emulator) -> None:
    for share in (0.0, 0.3, 1.0):
        valid = torch.rand(5, 1, 21, 23) < share  # 5 * 21 * 12 blocks; 32 warps take 1024 a round
        found, count, run = emulated_small.active_blocks(emulator, valid.byte(), pad_px=0, scale=16)
        expected = blocks.active_blocks(valid, scale=16)
        run.assert_clean()
        assert len(found) > 1024
        assert torch.equal(found, expected[0])
        assert torch.equal(count, expected[1])


def test_no_blocks_have_the_count_0(emulator: Emulator) -> None:
    for shape in ((0, 1, 9, 9), (1, 1, 0, 9), (1, 1, 9, 0)):
        found, count, run = emulated_small.active_blocks(
            emulator, torch.zeros(shape, dtype=torch.uint8), pad_px=1, scale=1
        )
        run.assert_clean()
        assert (len(found), count.tolist()) == (0, [0])


@pytest.mark.parametrize("stored", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("dtype", TYPES)
def test_gathered_tiles_equal_the_references_bit_for_bit(
    emulator: Emulator, stored: torch.dtype, dtype: torch.dtype
) -> None:
    sizes = ((1, 1), (5, 9), (3, 140))
    for case, (channels, wanted) in enumerate(((3, 3), (3, 8), (3, 16), (1, 1), (1, 4), (4, 12), (5, 5), (1, 8))):
        height, width = random_int(1, 12), random_int(1, 12)
        wide = picture_of(height, width, channels + 2, stored)
        picture = wide[..., 1 : 1 + channels] if case % 2 else wide[..., :channels].contiguous()
        rows = [[random_int(-40, 40), random_int(-40, 40)] for _ in range(2)]
        corners = torch.tensor([*rows, [0, 0], [LOW, HIGH], [HIGH, LOW]], dtype=torch.int32)
        options = {
            "size": sizes[case % 3],
            "wraps": (case % 4 >= 2, case % 2 == 1),
            "channels": wanted,
            "dtype": dtype,
            "grey_as_rgb": case == 7,
        }
        found, run = emulated_small.gather_tiles(emulator, picture, corners, **options, seed=case)
        run.assert_clean()
        assert torch.equal(found, tiles.gather_tiles(picture, corners, **options))


def random_tiles(count: int, channels: int, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Mostly in [0, 1], some beyond, some NaN or infinite."""
    values = torch.rand(count, channels, *size) * 1.2 - 0.1
    for broken in (float("nan"), float("inf"), -float("inf")):
        values = torch.where(torch.rand(values.shape) < 0.02, broken, values)
    return values.to(dtype)


def random_places(count: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Overlapping, some half outside, some nonsense."""
    corners, keeps = [], []
    for i in range(count):
        y, x = random_int(-8, height), random_int(-8, width)
        corners.append([y, x])
        keeps.append([y + random_int(-2, 4), x + random_int(-2, 4), y + random_int(5, 14), x + random_int(5, 14)])
        if i % 5 == 4:
            corners[i] = [(LOW, HIGH, y)[random_int(0, 2)], (LOW, HIGH, x)[random_int(0, 2)]]
            keeps[i] = [(LOW, HIGH, v)[random_int(0, 2)] for v in keeps[i]]
    return torch.tensor(corners, dtype=torch.int32), torch.tensor(keeps, dtype=torch.int32)


@pytest.mark.parametrize("stored", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("dtype", TYPES)
def test_scattered_tiles_equal_the_references_bit_for_bit(
    emulator: Emulator, stored: torch.dtype, dtype: torch.dtype
) -> None:
    for case, feather_px in enumerate((0, 1, 2, 5, 65536, 0, 3)):
        channels = (3, 1, 4, 2, 6, 3, 3)[case]
        count, height, width = random_int(4, 9), random_int(1, 30), random_int(1, 40)
        size = ((12, 13), (1, 1), (7, 140))[case % 3]
        wide = picture_of(height, width, channels + 2, stored)
        expected = wide.clone()
        corners, keeps = random_places(count, height, width)
        numbers = random_tiles(count, channels + case % 2 * 5, size, dtype)
        part = slice(1, 1 + channels)
        run = emulated_small.scatter_tiles(
            emulator, wide[..., part], numbers, corners, keeps, feather_px=feather_px, seed=case
        )
        tiles.scatter_tiles(expected[..., part], numbers, corners, keeps, feather_px=feather_px)
        run.assert_clean()
        assert torch.equal(wide.int(), expected.int())


def test_a_partition_is_laid_whole(emulator: Emulator) -> None:
    numbers = torch.rand(4, 3, 20, 30)
    corners = torch.tensor([[-2, -3], [-2, 17], [8, -3], [8, 17]], dtype=torch.int32)
    keeps = torch.tensor([[0, 0, 13, 22], [0, 22, 13, 44], [13, 0, 25, 22], [13, 22, 25, 44]], dtype=torch.int32)
    for feather_px in (0, 4):
        canvas = torch.full((25, 44, 3), 7, dtype=torch.uint8)
        expected = canvas.clone()
        run = emulated_small.scatter_tiles(emulator, canvas, numbers, corners, keeps, feather_px=feather_px)
        tiles.scatter_tiles(expected, numbers, corners, keeps, feather_px=feather_px)
        run.assert_clean()
        assert torch.equal(canvas, expected)


def test_more_tiles_than_a_word_has_bits_are_added_in_order(emulator: Emulator) -> None:
    torch.manual_seed(5)
    corners = torch.tensor([[random_int(-9, 20), random_int(-9, 150)] for _ in range(70)], dtype=torch.int32)
    keeps = torch.cat([corners + 1, corners + torch.tensor([11, 13], dtype=torch.int32)], 1)
    numbers = random_tiles(70, 3, (12, 14), torch.float16)
    for feather_px in (0, 3):
        canvas = picture_of(24, 160, 3, torch.uint8)
        expected = canvas.clone()
        run = emulated_small.scatter_tiles(emulator, canvas, numbers, corners, keeps, feather_px=feather_px, seed=2)
        tiles.scatter_tiles(expected, numbers, corners, keeps, feather_px=feather_px)
        run.assert_clean()
        assert torch.equal(canvas, expected)


def test_no_tiles_launch_nothing(emulator: Emulator) -> None:
    none, canvas = torch.zeros(0, 2, dtype=torch.int32), torch.full((4, 4, 3), 7, dtype=torch.uint8)
    _, gathered = emulated_small.gather_tiles(
        emulator, canvas, none, size=(2, 2), wraps=(True, True), channels=3, dtype=torch.float16
    )
    laid = emulated_small.scatter_tiles(
        emulator, canvas, torch.zeros(0, 3, 2, 2), none, torch.zeros(0, 4, dtype=torch.int32), feather_px=0
    )
    assert gathered.counts["blocks"] == laid.counts["blocks"] == 0
    assert (canvas == 7).all()


def test_sizes_that_a_kernel_cannot_count_are_refused(emulator: Emulator) -> None:
    canvas = torch.zeros(4, 4, 3, dtype=torch.uint8)
    place = torch.zeros(1, 2, dtype=torch.int32)
    with pytest.raises(ValueError, match="fewer channels"):
        emulated_small.scatter_tiles(
            emulator, canvas, torch.zeros(1, 2, 2, 2), place, torch.zeros(1, 4, dtype=torch.int32), feather_px=0
        )
    with pytest.raises(ValueError, match="too many tiles"):
        emulated_small.scatter_tiles(
            emulator, canvas, torch.zeros(100_000, 3, 1, 1), place, torch.zeros(1, 4, dtype=torch.int32), feather_px=0
        )
    with pytest.raises(ValueError, match="an empty picture"):
        emulated_small.gather_tiles(
            emulator, canvas[:0], place, size=(2, 2), wraps=(True, True), channels=3, dtype=torch.float16
        )
