"""gather_tiles and scatter_tiles: what they promise, for the plain-torch references and for installed kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from restore.ops.tiles import gather_tiles, scatter_tiles
from restore.tiling import Box, Tile, cut, gather, sew

PEAK = {torch.uint8: 255, torch.uint16: 65535}
TYPES = (torch.float16, torch.bfloat16, torch.float32)


def picture_of(height: int, width: int, channels: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    return torch.randint(0, PEAK[dtype] + 1, (height, width, channels), dtype=torch.int32).to(dtype)


def ints(*rows: tuple[int, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.int32)


def places_of(tiles: tuple[Tile, ...], scale: int = 1) -> tuple[Tensor, Tensor]:
    """Corners and keeps in an enlarged canvas."""
    corners = [(t.read.y0 * scale, t.read.x0 * scale) for t in tiles]
    keeps = [tuple(v * scale for v in (k.y0, k.x0, k.y1, k.x1)) for t in tiles for k in t.keeps]
    return ints(*corners), ints(*keeps)


@pytest.mark.parametrize("wraps", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_gathers_what_tiling_gathers_at_any_distance(wraps: tuple[bool, bool], dtype: torch.dtype) -> None:
    for height, width, channels in ((13, 9, 3), (1, 7, 1), (2, 1, 4), (40, 50, 3)):
        picture = picture_of(height, width, channels, dtype)
        corners = ints((0, 0), (-5, -3), (height - 2, width - 1), (-100, 77), (1000, -1000), (2**31 - 1, -(2**31)))
        tiles = gather_tiles(picture, corners, size=(11, 6), wraps=wraps, dtype=torch.float32)
        for tile, (y, x) in zip(tiles, corners.tolist(), strict=True):
            expected = gather(picture.numpy(), Box(y, x, y + 11, x + 6), wraps).astype(np.float32) / PEAK[dtype]
            np.testing.assert_array_equal(tile.permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("dtype", TYPES)
def test_tiles_are_stored_as_networks_want_them(dtype: torch.dtype) -> None:
    picture = picture_of(20, 30, 3)
    corners = ints((2, 3), (-1, 25))
    exact = gather_tiles(picture, corners, size=(8, 8), wraps=(False, False), dtype=torch.float32)
    tiles = gather_tiles(picture, corners, size=(8, 8), wraps=(False, False), channels=16, dtype=dtype)
    assert (tiles.shape, tiles.dtype) == ((2, 16, 8, 8), dtype)
    assert tiles.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(tiles[:, :3], exact.to(dtype))
    assert (tiles[:, 3:] == 0).all()


def test_grey_fills_three_channels_where_that_is_asked_for() -> None:
    grey, corners = picture_of(6, 7, 1, torch.uint16), ints((0, 0))
    plane = gather_tiles(grey, corners, size=(6, 7), wraps=(False, False), dtype=torch.float32)
    rgb = gather_tiles(
        grey, corners, size=(6, 7), wraps=(False, False), channels=8, dtype=torch.float32, grey_as_rgb=True
    )
    assert torch.equal(rgb[:, :3], plane.expand(-1, 3, -1, -1))
    assert (rgb[:, 3:] == 0).all()
    assert gather_tiles(grey, corners, size=(6, 7), wraps=(False, False), grey_as_rgb=True).shape[1] == 3
    color = picture_of(6, 7, 3)
    options = {"size": (6, 7), "wraps": (False, False)}
    with_it, without = (gather_tiles(color, corners, **options, grey_as_rgb=asked) for asked in (True, False))
    assert torch.equal(with_it, without)


def test_some_channels_of_a_wider_picture_are_taken_and_written_in_place() -> None:
    rgba = picture_of(10, 12, 4)
    before = rgba.clone()
    tiles = gather_tiles(rgba[..., 3:], ints((0, 0)), size=(10, 12), wraps=(False, False), dtype=torch.float32)
    assert torch.equal(tiles[0, 0], rgba[..., 3].float() / 255)
    scatter_tiles(rgba[..., 1:3], 1 - tiles.expand(-1, 2, -1, -1), ints((0, 0)), ints((0, 0, 10, 12)))
    assert torch.equal(rgba[..., [0, 3]], before[..., [0, 3]])
    assert torch.equal(rgba[..., 1], 255 - before[..., 3])
    assert torch.equal(rgba[..., 2], 255 - before[..., 3])


@pytest.mark.parametrize("feather_px", [0, 3])
@pytest.mark.parametrize(
    ("stored", "dtype"),
    [(torch.uint8, torch.float16), (torch.uint8, torch.float32), (torch.uint16, torch.float32)],
)
def test_a_round_trip_is_the_identity(feather_px: int, stored: torch.dtype, dtype: torch.dtype) -> None:
    picture = picture_of(37, 53, 3, stored)
    cuts = cut(37, 53, tile_px=24, halo_px=4, wraps=(False, True))
    assert len(cuts) > 4
    corners, keeps = places_of(cuts)
    size = (cuts[0].read.height, cuts[0].read.width)
    tiles = gather_tiles(picture, corners, size=size, wraps=(False, True), channels=8, dtype=dtype)
    canvas = torch.zeros_like(picture)
    scatter_tiles(canvas, tiles, corners, keeps, feather_px=feather_px)
    assert torch.equal(canvas.int(), picture.int())


@pytest.mark.parametrize("stored", [torch.uint8, torch.uint16])
def test_every_number_of_a_picture_survives(stored: torch.dtype) -> None:
    numbers = torch.arange(PEAK[stored] + 1, dtype=torch.int32).to(stored).view(-1, 256, 1)
    everything = ints((0, 0, len(numbers), 256))
    for dtype in (torch.float16, torch.float32) if stored == torch.uint8 else (torch.float32,):
        tiles = gather_tiles(numbers, ints((0, 0)), size=(len(numbers), 256), wraps=(False, False), dtype=dtype)
        canvas = torch.zeros_like(numbers)
        scatter_tiles(canvas, tiles, ints((0, 0)), everything)
        assert torch.equal(canvas.int(), numbers.int())


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_lays_what_tiling_sews(scale: int) -> None:
    cuts = cut(30, 41, tile_px=24, halo_px=4, wraps=(True, False))
    results = torch.rand(len(cuts), 3, cuts[0].read.height * scale, cuts[0].read.width * scale)
    expected: NDArray[np.uint8] = np.zeros((30 * scale, 41 * scale, 3), np.uint8)
    for tile, result in zip(cuts, results, strict=True):
        whole = (result * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        sew(expected, whole, tile, scale, (0, 1, 2))
    canvas = torch.full(expected.shape, 7, dtype=torch.uint8)
    scatter_tiles(canvas, results, *places_of(cuts, scale))
    np.testing.assert_array_equal(canvas.numpy(), expected)


@pytest.mark.parametrize("dtype", TYPES)
def test_memory_form_of_tiles_does_not_change_the_canvas(dtype: torch.dtype) -> None:
    tiles = torch.rand(2, 3, 8, 9).to(dtype)
    corners, keeps = ints((0, 0), (0, 9)), ints((0, 0, 8, 9), (1, 9, 7, 18))
    canvases = []
    for form in (tiles, tiles.contiguous(memory_format=torch.channels_last), torch.cat([tiles, tiles], 1)[:, :3]):
        canvas = torch.zeros(8, 18, 3, dtype=torch.uint8)
        scatter_tiles(canvas, form, corners, keeps)
        canvases.append(canvas)
    assert all(torch.equal(canvas, canvases[0]) for canvas in canvases)
    assert canvases[0].any()


def test_halves_are_rounded_to_even_and_what_is_outside_0_to_1_is_clamped() -> None:
    values = [0.5 / 255, 1.5 / 255, 2.5 / 255, -0.1, 1.1, float("inf"), -float("inf"), float("nan")]
    tiles = torch.tensor(values).view(1, 1, 1, -1)
    exact = (tiles * 255).flatten().tolist()[:3]
    assert exact == [0.5, 1.5, 2.5]
    for feather_px in (0, 2):
        canvas = torch.full((1, 8, 1), 9, dtype=torch.uint8)
        scatter_tiles(canvas, tiles, ints((0, 0)), ints((0, 0, 1, 8)), feather_px=feather_px)
        assert canvas.flatten().tolist() == [0, 2, 2, 0, 255, 255, 0, 0]


def ramp(at: int, keep0: int, keep1: int, size: int, feather_px: int) -> float:
    """The promise along one axis, at the centre of a pixel."""
    rise = 1.0 if keep0 <= 0 else (at + 0.5 - keep0) / (2 * feather_px) + 0.5
    fall = 1.0 if keep1 >= size else (keep1 - at - 0.5) / (2 * feather_px) + 0.5
    return float(np.clip(min(rise, fall), 0, 1))


def blended(canvas: Tensor, tiles: Tensor, corners: Tensor, keeps: Tensor, feather_px: int) -> NDArray[np.float64]:
    """The promise, pixel by pixel in float64: the exact mean, not rounded; NaN where no tile counts."""
    height, width, channels = canvas.shape
    result = np.full((height, width, channels), np.nan)
    for y, x in np.ndindex(height, width):
        total, weights = np.zeros(channels), 0.0
        for tile, (cy, cx), (y0, x0, y1, x1) in zip(tiles, corners.tolist(), keeps.tolist(), strict=True):
            if cy <= y < cy + tile.shape[1] and cx <= x < cx + tile.shape[2]:
                weight = ramp(y, y0, y1, height, feather_px) * ramp(x, x0, x1, width, feather_px)
                total += weight * tile[:channels, y - cy, x - cx].double().numpy()
                weights += weight
        if weights:
            result[y, x] = total / weights * PEAK[canvas.dtype]
    return result


@pytest.mark.parametrize("stored", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("feather_px", [1, 2, 4])
def test_feathering_gives_the_exact_mean(stored: torch.dtype, feather_px: int) -> None:
    cuts = cut(30, 41, tile_px=20, halo_px=4, wraps=(False, True))
    corners, keeps = places_of(cuts)
    tiles = torch.rand(len(cuts), 3, cuts[0].read.height, cuts[0].read.width)
    canvas = torch.zeros(30, 41, 2, dtype=stored)
    scatter_tiles(canvas, tiles, corners, keeps, feather_px=feather_px)
    expected = blended(canvas, tiles, corners, keeps, feather_px)
    assert not np.isnan(expected).any()
    assert np.abs(canvas.int().numpy() - expected).max() <= 0.5 + 0.01


def test_feathering_between_two_tiles_is_a_straight_ramp() -> None:
    tiles = torch.stack([torch.zeros(1, 1, 20), torch.ones(1, 1, 20)])
    canvas = torch.zeros(1, 24, 1, dtype=torch.uint8)
    scatter_tiles(canvas, tiles, ints((0, 0), (0, 4)), ints((0, 0, 1, 12), (0, 12, 1, 24)), feather_px=2)
    expected = [0] * 10 + [round(255 * part / 8) for part in (1, 3, 5, 7)] + [255] * 10
    assert canvas.flatten().tolist() == expected


def test_tiles_that_agree_are_laid_as_they_are() -> None:
    value = torch.rand(1, 3, 1, 1)
    tiles = value.expand(3, 3, 16, 16).contiguous()
    expected = (value.flatten() * 65535).round().int()
    canvas = torch.zeros(16, 40, 3, dtype=torch.uint16)
    corners, keeps = ints((0, 0), (0, 12), (0, 24)), ints((0, 0, 16, 14), (0, 14, 16, 26), (0, 26, 16, 40))
    scatter_tiles(canvas, tiles, corners, keeps, feather_px=3)
    assert (canvas.int() == expected).all()


@pytest.mark.parametrize("feather_px", [0, 2])
def test_where_no_tile_counts_the_canvas_stays(feather_px: int) -> None:
    canvas = picture_of(20, 20, 3)
    before = canvas.clone()
    scatter_tiles(canvas, torch.rand(1, 3, 12, 12), ints((4, 4)), ints((8, 8, 12, 12)), feather_px=feather_px)
    reach = slice(8 - feather_px, 12 + feather_px)
    outside = torch.ones(20, 20, dtype=torch.bool)
    outside[reach, reach] = False
    assert torch.equal(canvas[outside], before[outside])
    assert not torch.equal(canvas[reach, reach], before[reach, reach])


@pytest.mark.parametrize("feather_px", [0, 2, 65536])
def test_places_outside_everything_are_cut_off(feather_px: int) -> None:
    low, high = -(2**31), 2**31 - 1
    canvas = torch.full((9, 9, 1), 7, dtype=torch.uint8)
    tiles = torch.ones(6, 1, 4, 4)
    corners = ints((low, low), (high, high), (0, 0), (0, 0), (-2, 7), (low, 0))
    keeps = ints(
        (low, low, high, high),
        (low, low, high, high),
        (5, 5, 2, 2),
        (0, 20, 9, 30),
        (low, low, high, high),
        (0, 0, 9, 9),
    )
    scatter_tiles(canvas, tiles, corners, keeps, feather_px=feather_px)
    expected = torch.full((9, 9, 1), 7, dtype=torch.uint8)
    expected[:2, 7:] = 255
    assert torch.equal(canvas, expected)


def test_overlapping_keeps_are_averaged() -> None:
    tiles = torch.tensor([0.0, 0.2, 0.4]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    canvas = torch.zeros(2, 2, 1, dtype=torch.uint8)
    scatter_tiles(canvas, tiles, ints((0, 0), (0, 0), (0, 0)), ints((0, 0, 2, 2), (0, 0, 2, 2), (0, 0, 2, 1)))
    assert canvas[..., 0].tolist() == [[51, 26], [51, 26]]  # 25.5: half to even


def test_no_tiles_are_no_error() -> None:
    none = torch.zeros(0, 2, dtype=torch.int32)
    assert gather_tiles(picture_of(4, 4, 3), none, size=(5, 6), wraps=(True, True)).shape == (0, 3, 5, 6)
    canvas = picture_of(4, 4, 3)
    before = canvas.clone()
    scatter_tiles(canvas, torch.zeros(0, 3, 5, 6), none, torch.zeros(0, 4, dtype=torch.int32), feather_px=1)
    assert torch.equal(canvas, before)


def test_what_does_not_fit_is_refused_with_its_shape() -> None:
    picture, corners = picture_of(4, 4, 3), ints((0, 0))
    options = {"size": (2, 2), "wraps": (True, True)}
    for message, arguments, more in (
        ("picture must be", (picture.float(), corners), {}),
        ("picture must be", (picture[0], corners), {}),
        ("picture must be", (picture[:0], corners), {}),
        ("corners must be", (picture, corners.long()), {}),
        ("corners must be", (picture, corners[0]), {}),
        ("no room", (picture, corners), {"channels": 2}),
        ("no room", (picture[..., :1], corners), {"channels": 2, "grey_as_rgb": True}),
        ("at least one pixel", (picture, corners), {"size": (0, 2)}),
        ("tiles must be", (picture, corners), {"dtype": torch.float64}),
        ("corners are on", (picture, corners.to("meta")), {}),
    ):
        with pytest.raises(ValueError, match=message):
            gather_tiles(*arguments, **{**options, **more})
    tiles, keeps = torch.rand(1, 3, 2, 2), ints((0, 0, 2, 2))
    for message, arguments, more in (
        ("canvas must be", (picture.int(), tiles, corners, keeps), {}),
        ("tiles must be", (picture, tiles[:, :2], corners, keeps), {}),
        ("tiles must be", (picture, tiles.double(), corners, keeps), {}),
        ("at least one pixel", (picture, tiles[..., :0], corners, keeps), {}),
        ("corners must be", (picture, tiles, keeps, keeps), {}),
        ("keeps must be", (picture, tiles, corners, keeps.long()), {}),
        ("1 tiles, but 2", (picture, tiles, ints((0, 0), (0, 0)), keeps), {}),
        ("tiles are on", (picture, tiles.to("meta"), corners, keeps), {}),
        ("feather_px", (picture, tiles, corners, keeps), {"feather_px": -1}),
        ("feather_px", (picture, tiles, corners, keeps), {"feather_px": 1 << 20}),
    ):
        with pytest.raises(ValueError, match=message):
            scatter_tiles(*arguments, **more)


def test_opcheck_finds_gathering_consistent() -> None:
    for picture, channels, grey in ((picture_of(9, 8, 3, torch.uint16), 8, False), (picture_of(9, 8, 1), 3, True)):
        arguments = (picture, ints((-3, 2), (5, 6)), 6, 7, True, False, channels, torch.float16, grey)
        torch.library.opcheck(torch.ops.restore.gather_tiles.default, arguments)


@pytest.mark.parametrize("stored", [torch.uint8, torch.uint16])
def test_opcheck_finds_scattering_consistent(stored: torch.dtype) -> None:
    tiles = torch.rand(2, 4, 6, 7).contiguous(memory_format=torch.channels_last)
    for feather_px in (0, 2):
        arguments = (
            picture_of(9, 8, 3, stored),
            tiles,
            ints((0, 0), (3, 1)),
            ints((0, 0, 4, 8), (4, 0, 9, 8)),
            feather_px,
        )
        torch.library.opcheck(torch.ops.restore.scatter_tiles.default, arguments)


def test_shapes_are_known_without_running() -> None:
    picture = torch.empty(9, 8, 3, dtype=torch.uint8, device="meta")
    corners = torch.empty(4, 2, dtype=torch.int32, device="meta")
    tiles = gather_tiles(picture, corners, size=(6, 7), wraps=(True, True), channels=16, dtype=torch.bfloat16)
    assert (tiles.shape, tiles.dtype) == ((4, 16, 6, 7), torch.bfloat16)
    assert tiles.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.needs_cuda
@pytest.mark.parametrize("stored", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("dtype", TYPES)
def test_cuda_equals_the_references_bit_for_bit(stored: torch.dtype, dtype: torch.dtype) -> None:
    for channels, wanted, size in ((3, 3, (33, 41)), (1, 8, (64, 200)), (4, 16, (7, 1)), (3, 8, (16, 256))):
        picture = picture_of(90, 70, channels, stored)
        corners = ints((0, 0), (-40, 30), (60, 55), (2000, -3000), (2**31 - 1, -(2**31)))
        options = {"size": size, "wraps": (True, False), "channels": wanted, "dtype": dtype, "grey_as_rgb": True}
        tiles = gather_tiles(picture, corners, **options)
        assert torch.equal(gather_tiles(picture.cuda(), corners.cuda(), **options).cpu(), tiles)
        tiles = torch.where(tiles > 0.9, float("nan"), tiles * 1.2 - 0.1)
        keeps = ints((0, 0, 20, 70), (-40, 20, 9, 66), (65, 55, 90, 70), (-9, -9, 2**31 - 1, 2**31 - 1), (9, 9, 3, 3))
        for feather_px in (0, 1, 5, 400):
            canvas = picture.clone()
            on_gpu = canvas.cuda()
            scatter_tiles(canvas, tiles, corners, keeps, feather_px=feather_px)
            scatter_tiles(on_gpu, tiles.cuda(), corners.cuda(), keeps.cuda(), feather_px=feather_px)
            assert torch.equal(on_gpu.cpu().int(), canvas.int())


@pytest.mark.needs_cuda
def test_cuda_writes_some_channels_of_a_wider_canvas_and_no_others() -> None:
    rgba = picture_of(40, 50, 4)
    on_gpu = rgba.cuda()
    tiles = torch.rand(1, 8, 40, 50)
    scatter_tiles(rgba[..., :3], tiles, ints((0, 0)), ints((3, 4, 37, 50)), feather_px=2)
    scatter_tiles(on_gpu[..., :3], tiles.cuda(), ints((0, 0)).cuda(), ints((3, 4, 37, 50)).cuda(), feather_px=2)
    assert torch.equal(on_gpu.cpu(), rgba)
