"""What a network is given of a picture, and how its answer becomes pixels again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from restore.errors import ImageError
from restore.image import Alpha, Image, Stored, Transfer
from restore.planes import Kind, fill_source, from_network, needed, split, to_network
from restore.recipe import ColorFix, Precision, TraitRules, Upscale
from restore.tiling import Box, gather
from restore.traits import AlphaUse, Content, Traits, classify

STEP = Upscale("test", "0" * 64, Precision.FP32, tile_px=64, halo_px=0, color_fix=ColorFix.OFF)


def picture(pixels: np.ndarray, channels: str | tuple[str, ...], transfer: Transfer = Transfer.SRGB) -> Image:
    floats = pixels.dtype.kind == "f"
    alpha = Alpha.STRAIGHT if "A" in channels else Alpha.NONE
    return Image(
        pixels, Stored("exr" if floats else "png", pixels.itemsize * 8, floats, transfer, alpha, tuple(channels))
    )


def traits(**changes: object) -> Traits:
    values = {"content": Content.COLOR, "alpha": AlphaUse.NONE, "wraps": (False, False), "grey": False, "because": ""}
    return Traits(**(values | changes))  # type: ignore[arg-type]


def enlarged(image: Image, kinds: Traits, network=lambda x: x.repeat_interleave(2, 1).repeat_interleave(2, 2)):
    """Each plane through a nearest-neighbour network of scale 2."""
    results = []
    for plane in split(image, kinds).planes:
        source = to_network(plane.pixels, plane)
        results.append((plane, from_network(network(source), source, plane.pixels, plane.weight, plane, STEP)))
    return results


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
def test_values_come_back_exactly_in_their_own_type(dtype):
    rng = np.random.default_rng(1)
    values = (
        rng.integers(0, np.iinfo(dtype).max, (9, 7, 3), endpoint=True)
        if dtype in (np.uint8, np.uint16)
        else rng.random((9, 7, 3))
    )
    pixels = values.astype(dtype)
    ((_, result),) = enlarged(picture(pixels, "RGB"), traits())
    assert result.dtype == dtype
    np.testing.assert_allclose(
        result[::2, ::2].astype(float), pixels.astype(float), atol=0 if dtype != np.float32 else 1e-6
    )


def test_light_above_one_and_below_zero_survives():
    pixels = np.array([[[-0.5, 0.0, 0.18], [1.0, 40.0, 900.0]]], np.float32)
    ((_, result),) = enlarged(picture(pixels, "RGB", Transfer.LINEAR), traits())
    np.testing.assert_allclose(result[::2, ::2], pixels, rtol=2e-4, atol=2e-3)


def test_nan_and_infinity_stay_where_they_were():
    pixels = np.full((4, 4, 1), 0.25, np.float32)
    pixels[1, 2], pixels[3, 0] = np.nan, np.inf
    ((_, result),) = enlarged(picture(pixels, "Y", Transfer.LINEAR), traits(grey=True))
    assert np.isnan(result[2:4, 4:6]).all()
    assert np.isposinf(result[6:8, 0:2]).all()
    assert np.isfinite(result).sum() == 64 - 8


def test_alpha_of_a_flat_area_stays_exactly_flat_whatever_the_network_answers():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[0, 0, 3] = 17
    noisy = lambda x: (x + 0.1 * torch.randn_like(x)).repeat_interleave(2, 1).repeat_interleave(2, 2)  # noqa: E731
    ((plane, result),) = enlarged(picture(pixels, "RGBA"), traits(alpha=AlphaUse.BLEND), noisy)
    assert plane.channels == (3,)
    assert (result[4:, 4:] == 255).all()


def blurred_and_shifted(x: torch.Tensor) -> torch.Tensor:
    """A network that shifts levels, as real ones do."""
    return torch.nn.functional.interpolate(x[None], scale_factor=2, mode="bilinear")[0] * 0.9 + 0.08


def test_soft_alpha_keeps_its_local_mean_whatever_the_network_shifts():
    pixels = np.zeros((24, 24, 4), np.uint8)
    pixels[..., 3] = np.linspace(20, 230, 24).round().astype(np.uint8)
    ((_, result),) = enlarged(picture(pixels, "RGBA"), traits(alpha=AlphaUse.BLEND), blurred_and_shifted)
    averaged = result.reshape(24, 2, 24, 2).mean((1, 3))
    assert np.abs(averaged - pixels[..., 3])[:, 2:-2].max() <= 1


def test_a_flat_normal_map_area_is_not_tilted_by_a_network_that_shifts_colour():
    pixels = np.full((16, 16, 3), (128, 128, 255), np.uint8)
    pixels[:4, :4, 0] = 150
    shifting = lambda x: blurred_and_shifted(x) + torch.tensor([0.02, -0.03, 0.0])[:, None, None]  # noqa: E731
    ((_, result),) = enlarged(picture(pixels, "RGB"), traits(content=Content.NORMAL), shifting)
    assert (result[12:, 12:] == (128, 128, 255)).all()


def test_dark_light_is_shown_to_the_network_as_a_display_would_show_it():
    bright = np.random.default_rng(4).random((32, 32, 3)).astype(np.float32)
    seen = []
    for exposure in (1.0, 0.02):
        (plane,) = split(picture(bright * np.float32(exposure), "RGB", Transfer.LINEAR), traits()).planes
        assert not plane.linear
        seen.append(to_network(plane.pixels, plane))
    torch.testing.assert_close(seen[0], seen[1], atol=1e-4, rtol=0)
    assert float(seen[0].median()) > 0.6


def test_flat_depth_stays_bit_for_bit_flat_beside_a_far_plane():
    pixels = np.full((12, 12, 1), 3.7, np.float32)
    pixels[:4] = 1e10
    pixels[10:, 10:] = 5.0
    image = picture(np.concatenate([np.zeros((12, 12, 1), np.float32), pixels], 2), ("Y", "Z"), Transfer.LINEAR)
    ((plane, result),) = enlarged(image, traits(grey=True), blurred_and_shifted)
    assert plane.channels == (1,)
    assert (result[:6] == np.float32(1e10)).all()
    assert (result[10:18] == np.float32(3.7)).all()


def test_a_nan_does_not_darken_what_is_beside_it():
    pixels = np.full((9, 9, 1), 0.25, np.float32)
    pixels[0, 0], pixels[4, 4] = 0.5, np.nan
    (plane,) = split(picture(pixels, "Y", Transfer.LINEAR), traits(grey=True)).planes
    seen = to_network(plane.pixels, plane)
    assert seen[0, 4, 4] == seen[0, 4, 5]


def test_cut_out_alpha_stays_binary():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[2:6, 2:6] = 255
    soft = lambda x: torch.nn.functional.interpolate(x[None], scale_factor=2, mode="bilinear")[0]  # noqa: E731
    image = picture(pixels, "RGBA")
    found = {plane.kind: result for plane, result in enlarged(image, classify(image, "leaf.png", TraitRules()), soft)}
    assert set(np.unique(found[Kind.CUTOUT])) == {0, 255}
    assert abs(int((found[Kind.CUTOUT] > 0).sum()) - 4 * 16) <= 16


def test_colour_under_alpha_zero_never_reaches_the_network():
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[..., 1] = 255  # green junk where nothing is seen
    pixels[4:12, 4:12] = (200, 40, 40, 255)
    (plane, *_) = split(picture(pixels, "RGBA"), traits(alpha=AlphaUse.CUTOUT)).planes
    assert (plane.pixels == (200, 40, 40)).all()


def test_normal_vectors_come_back_with_unit_length():
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    ((_, result),) = enlarged(picture(pixels, "RGB"), traits(content=Content.NORMAL))
    vectors = result.astype(float) / 255 * 2 - 1
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=2), 1, atol=0.015)


def test_two_channel_normal_map_keeps_its_empty_blue():
    rng = np.random.default_rng(2)
    pixels = rng.integers(60, 200, (8, 8, 3), dtype=np.uint8)
    pixels[..., 2] = 0
    parts = split(picture(pixels, "RGB"), traits(content=Content.NORMAL))
    assert parts.planes[0].channels == (0, 1)
    assert [(c.channel, c.value) for c in parts.constants] == [(2, 0)]


def test_one_even_colour_needs_no_network():
    pixels = np.full((5, 5, 4), (10, 20, 30, 255), np.uint8)
    parts = split(picture(pixels, "RGBA"), traits(alpha=AlphaUse.CONSTANT))
    assert not parts.planes
    assert sorted((c.channel, c.value) for c in parts.constants) == [(0, 10), (1, 20), (2, 30), (3, 255)]


def test_further_channels_are_carried_through():
    pixels = np.random.default_rng(3).random((6, 6, 5)).astype(np.float32)
    parts = split(picture(pixels, ("R", "G", "B", "A", "depth.Z"), Transfer.LINEAR), traits(alpha=AlphaUse.BLEND))
    assert [plane.channels for plane in parts.planes] == [(0, 1, 2), (3,), (4,)]


def test_nan_from_the_network_fails_the_picture_with_a_way_out():
    pixels = np.random.default_rng(3).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    with pytest.raises(ImageError, match="--precision fp32"):
        enlarged(picture(pixels, "RGB"), traits(), lambda x: torch.full((3, 8, 8), torch.nan))


WRAPS = [(False, False), (True, False), (True, True)]


@pytest.mark.parametrize("wraps", WRAPS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
def test_data_that_needs_no_network_is_byte_for_byte_what_came_through_one(dtype, wraps):
    rng = np.random.default_rng(5)
    levels = rng.integers(0, 4, (6, 5)).repeat(9, 0).repeat(11, 1)[..., None] / 3
    data = (levels * (1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max)).astype(dtype)
    if dtype is np.float32:
        data[20:40, 3:30] = np.nan
        data[5, 40] = np.inf
    kinds = traits(wraps=wraps)
    image = picture(np.concatenate([np.zeros((*data.shape[:2], 3), dtype), data], 2), ("R", "G", "B", "depth"))
    (plane,) = split(image, kinds).planes
    assert plane.kind is Kind.DATA
    patch = gather(data, Box(-2, -2, 56, 57), wraps)
    source = to_network(patch, plane)
    answer = (source + 0.1 * torch.randn_like(source)).repeat_interleave(2, 1).repeat_interleave(2, 2)
    through = from_network(answer, source, patch, None, plane, STEP)[4:-4, 4:-4]
    filled = np.zeros((108, 110, 4), dtype)
    fill_source(filled, plane, wraps)
    need = needed(plane, wraps).everywhere(wraps)
    assert 0.1 < need.mean() < 0.9
    free = ~need.repeat(2, 0).repeat(2, 1)
    assert through[free].tobytes() == filled[..., 3:][free].tobytes()
    assert (filled[..., :3] == 0).all()


def test_colour_is_needed_around_what_is_visible_and_vectors_and_plain_colour_everywhere():
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 4), dtype=np.uint8)
    pixels[..., 3] = 0
    pixels[20, 0, 3] = 1
    color, alpha = split(picture(pixels, "RGBA"), traits(alpha=AlphaUse.BLEND)).planes
    assert needed(color, (False, False)).everywhere((False, False)).sum() == 9 * 5
    assert needed(color, (False, True)).everywhere((False, True)).sum() == 9 * 9
    assert needed(alpha, (False, False)).everywhere((False, False)).sum() == 3 * 2
    for kinds in (traits(alpha=AlphaUse.PACKED), traits(content=Content.NORMAL)):
        assert needed(split(picture(pixels, "RGBA"), kinds).planes[0], (False, False)) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
def test_filled_colour_is_smooth_and_goes_on_over_edges_that_wrap(dtype):
    top = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    pixels = np.zeros((6, 8, 4), dtype)
    pixels[:, 4:, :3], pixels[2:4, 2:6, 3] = top, top
    kinds = traits(alpha=AlphaUse.CUTOUT, wraps=(False, True))
    plane = split(picture(pixels, "RGBA"), kinds).planes[0]
    canvas = np.full((24, 32, 4), 7, dtype)
    fill_source(canvas, plane, kinds.wraps)
    filled = canvas[..., :3].astype(float) / top
    assert (canvas[..., 3] == 7).all()
    np.testing.assert_allclose(filled[12, 14:18, 0], [0.125, 0.375, 0.625, 0.875], atol=0.01)
    assert abs(filled[0, 0, 0] - filled[0, -1, 0]) <= 0.3
    assert (np.abs(np.diff(filled, axis=1)) <= 0.26).all()


def test_filled_colour_beside_nan_is_the_source_s_own():
    pixels = np.random.default_rng(0).random((6, 8, 4), np.float32)
    pixels[..., 3] = 0
    pixels[2, 2] = (np.nan, 0.5, 0.5, 1)
    plane = split(picture(pixels, "RGBA"), traits(alpha=AlphaUse.BLEND)).planes[0]
    canvas = np.zeros((12, 16, 4), np.float32)
    fill_source(canvas, plane, (False, False))
    np.testing.assert_array_equal(canvas[::2, 1::2, :3], plane.pixels)
