"""Colour of the result: the source's, wherever the tiles are cut; and a number for how far it strayed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from restore.color import FIX_REACH_PX, correct, drift, light_of, linear_to_srgb, srgb_to_linear, stored_of
from restore.image import Alpha, Image, Stored, Transfer


def smooth(channels: int, side: int, seed: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    """Random blobs a few pixels wide."""
    noise = torch.rand(1, channels, side // 4 + 2, side // 4 + 2, generator=torch.Generator().manual_seed(seed))
    blobs = functional.interpolate(noise, size=(side, side), mode="bicubic", align_corners=False)[0].clamp(0, 1)
    return low + (high - low) * blobs


def enlarged(picture: torch.Tensor, scale: int = 4) -> torch.Tensor:
    return functional.interpolate(picture[None], scale_factor=scale, mode="bicubic", align_corners=False)[0].clamp(0, 1)


def cells(picture: torch.Tensor, side: int) -> torch.Tensor:
    return functional.avg_pool2d(srgb_to_linear(picture)[None], side)[0]


def image(pixels: np.ndarray, channels: str = "RGB", transfer: Transfer = Transfer.SRGB) -> Image:
    alpha = Alpha.STRAIGHT if "A" in channels else Alpha.NONE
    is_float = pixels.dtype.kind == "f"
    return Image(pixels, Stored("png", 8 * pixels.dtype.itemsize, is_float, transfer, alpha, tuple(channels)))


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_a_colour_cast_is_taken_back(scale: int) -> None:
    source = smooth(3, 48, 1, 0.1, 0.9)
    cast = (enlarged(source, scale) * torch.tensor([0.75, 0.95, 1.1]).view(3, 1, 1)).clamp(0, 1)
    fixed = correct(source, cast)
    before = (cells(cast, 8 * scale) - cells(source, 8)).abs()
    after = (cells(fixed, 8 * scale) - cells(source, 8)).abs()
    assert after.max() < 0.02
    assert after.mean() < min(0.004, float(before.mean()) / 15)


def test_detail_that_the_network_drew_stays() -> None:
    source = torch.full((3, 32, 32), 0.5)
    detail = torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(2)) * 0.2 - 0.1
    fixed = correct(source, (0.4 + detail).clamp(0, 1))
    assert fixed.std() > 0.9 * detail.std()
    assert abs(float(srgb_to_linear(fixed).mean() - srgb_to_linear(source).mean())) < 0.002


def test_no_glow_beside_a_bright_object_that_lost_light() -> None:
    source = torch.zeros(3, 40, 40)
    source[:, 10:30, 10:30] = 0.9
    fixed = correct(source, enlarged(source) * 0.8 * (functional.interpolate(source[None], scale_factor=4)[0] > 0))
    assert fixed[:, :36].max() == 0.0
    assert abs(float(fixed[0, 80, 80]) - 0.9) < 0.02


def test_grey_picture_stays_exactly_grey() -> None:
    source = smooth(1, 32, 3)
    for keep_grain in (0.0, 0.5):
        fixed = correct(source, enlarged(source) * 0.9, keep_grain=keep_grain)
        assert fixed.shape == (1, 128, 128)
        three = correct(source.expand(3, -1, -1), enlarged(source).expand(3, -1, -1) * 0.9, keep_grain=keep_grain)
        assert float((three - three[:1]).abs().max()) < 1e-6


def test_invisible_pixels_do_not_tint_visible_ones() -> None:
    source = torch.full((3, 32, 32), 0.5)
    output = torch.full((3, 128, 128), 0.5)
    source[1, :, 16:] = 1.0  # junk under alpha = 0, which the output doesn't share
    weight = torch.ones(1, 32, 32)
    weight[:, :, 16:] = 0.0
    visible = correct(source, output, weight=weight)[:, :, :60]
    assert float((visible - 0.5).abs().max()) < 2e-3
    assert float((correct(source, output)[:, :, :60] - 0.5).abs().max()) > 0.05


def test_flat_black_and_flat_white_stay_exact() -> None:
    for value in (0.0, 1.0):
        source = torch.full((3, 16, 16), value)
        fixed = correct(source, torch.full((3, 64, 64), value), keep_grain=1.0)
        assert float((fixed - value).abs().max()) < 1e-6


def test_linear_values_are_mended_as_they_are() -> None:
    source = smooth(3, 48, 4, 0.2, 0.8)
    fixed = correct(source, enlarged(source) * 0.7, linear=True)
    assert float((functional.avg_pool2d(fixed[None], 32) - functional.avg_pool2d(source[None], 8)).abs().max()) < 0.01


def test_lost_grain_comes_back_in_the_share_that_was_asked_for() -> None:
    grain = torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(5)) * 0.3 + 0.35
    smoothed = torch.full((3, 192, 192), 0.5)
    inner = slice(8, 40)

    def strength(share: float) -> float:
        out = functional.avg_pool2d(correct(grain, smoothed, keep_grain=share)[None], 4)[0]
        return float((out - out.mean())[:, inner, inner].std() / (grain - grain.mean())[:, inner, inner].std())

    none, half, full = strength(0.0), strength(0.5), strength(1.0)
    assert none < 0.3
    assert none + 0.1 < half < full
    assert full > 0.6


def test_edges_that_the_network_drew_sharp_get_no_grain() -> None:
    truth = torch.zeros(3, 192, 192)
    truth[:, :, 96:] = 1.0
    source = functional.avg_pool2d(truth[None], 4)[0]
    plain = correct(source, truth, fix=False, keep_grain=0.0)
    assert float((correct(source, truth, fix=False, keep_grain=1.0) - plain).abs().max()) < 1e-3


def test_nothing_asked_for_changes_nothing() -> None:
    output = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(6))
    assert torch.equal(correct(torch.rand(3, 8, 8), output, fix=False, keep_grain=0.0), output)


@pytest.mark.parametrize("scale", [2, 4])
def test_tiled_result_equals_untiled_once_halos_include_the_reach(scale: int) -> None:
    generator = torch.Generator().manual_seed(7)
    source = torch.rand(3, 64, 80, generator=generator)
    output = torch.rand(3, 64 * scale, 80 * scale, generator=generator)
    weight = (torch.rand(1, 64, 80, generator=generator) > 0.3).float()
    whole = correct(source, output, weight=weight, keep_grain=0.7)
    top, left, side, halo = 26, 33, 9, FIX_REACH_PX
    rows, columns = slice(top - halo, top + side + halo), slice(left - halo, left + side + halo)
    big_rows, big_columns = (slice(s.start * scale, s.stop * scale) for s in (rows, columns))
    tile = correct(
        source[:, rows, columns], output[:, big_rows, big_columns], weight=weight[:, rows, columns], keep_grain=0.7
    )
    inner = slice(halo * scale, (halo + side) * scale)
    wanted = whole[:, top * scale : (top + side) * scale, left * scale : (left + side) * scale]
    assert float((tile[:, inner, inner] - wanted).abs().max()) < 1e-5


def test_half_precision_output_keeps_its_type() -> None:
    source = smooth(3, 16, 8)
    assert correct(source, enlarged(source).to(torch.bfloat16), keep_grain=0.5).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("encoded", [True, False])
def test_every_stored_value_survives_light_and_back(dtype: type, encoded: bool) -> None:
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    assert np.array_equal(stored_of(light_of(values, encoded=encoded), np.dtype(dtype), encoded=encoded), values)


def test_torch_and_numpy_agree_on_the_curve() -> None:
    values = torch.linspace(0, 1, 1001)
    light = srgb_to_linear(values)
    assert np.allclose(light.numpy(), light_of(values.numpy(), encoded=True), atol=1e-6)
    assert float((linear_to_srgb(light) - values).abs().max()) < 1e-6
    assert abs(float(srgb_to_linear(torch.tensor(0.5))) - 0.21404) < 1e-5


def test_drift_of_a_perfect_enlargement_is_nothing() -> None:
    pixels = np.random.default_rng(9).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    assert drift(image(pixels), image(pixels.repeat(4, 0).repeat(4, 1))) < 1e-9
    assert drift(image(pixels), image(pixels)) < 1e-9


def test_drift_is_the_lab_distance_of_flat_colours() -> None:
    """White against the grey of half its lightness: L* 100 and 53.59 (sRGB 128)."""
    white, grey = np.full((16, 16, 3), 255, np.uint8), np.full((64, 64, 3), 128, np.uint8)
    assert abs(drift(image(white), image(grey)) - (100 - 53.585)) < 0.02


def test_drift_sees_colour_not_detail() -> None:
    rng = np.random.default_rng(10)
    source = np.full((64, 64, 3), 128, np.uint8)
    noisy = np.clip(128 + rng.normal(0, 10, (256, 256, 3)), 0, 255).astype(np.uint8)
    blue = source.repeat(4, 0).repeat(4, 1) + np.array([0, 0, 12], np.uint8)
    assert drift(image(source), image(noisy)) < 1.0
    assert drift(image(source), image(blue)) > 3.0


def test_drift_ignores_what_is_invisible() -> None:
    source = np.full((32, 32, 4), 200, np.uint8)
    output = source.repeat(2, 0).repeat(2, 1)
    source[:, 16:, 3] = output[:, 32:, 3] = 0
    output[:, 32:, :3] = 0
    assert drift(image(source, "RGBA"), image(output, "RGBA")) < 1e-9
    source[..., 3] = output[..., 3] = 0
    assert drift(image(source, "RGBA"), image(output, "RGBA")) == 0.0


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (33, 7)])
def test_drift_of_any_size_and_any_scale(size: tuple[int, int]) -> None:
    source = np.full((*size, 1), 0.25, np.float32)
    for scaled in ((size[0] * 3 // 2 + 1, size[1] * 3), (1, 2)):
        result = drift(
            image(source, "Y", Transfer.LINEAR), image(np.full((*scaled, 1), 0.25, np.float32), "Y", Transfer.LINEAR)
        )
        assert result < 1e-6
