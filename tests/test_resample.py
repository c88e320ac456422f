"""Any size: light is kept, edges stay clean, seams stay seams."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from restore import resample as module
from restore.recipe import Pow2, Precision, Upscale
from restore.resample import resample, target_size

NOWHERE = (False, False)
PLAIN = {"linear_light": False, "alpha_channel": None, "wraps": NOWHERE}


def step(**changes: object) -> Upscale:
    return Upscale("m", "0" * 64, Precision.FP32, 256, 16, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "changes", "expected"),
    [
        ((100, 60), {}, (400, 240)),
        ((100, 60), {"scale": 2.0}, (200, 120)),
        ((101, 61), {"scale": 1.5}, (152, 92)),  # halves go up
        ((3, 1), {"scale": 0.1}, (1, 1)),
        ((1024, 512), {"max_size_px": 2048}, (2048, 1024)),
        ((100, 60), {"max_size_px": 2048}, (400, 240)),
        ((96, 40), {"pow2": Pow2.NEAREST}, (512, 128)),  # 384 lies halfway by ratio only above 362
        ((96, 40), {"pow2": Pow2.UP}, (512, 256)),
        ((96, 40), {"pow2": Pow2.DOWN}, (256, 128)),
        ((64, 32), {"pow2": Pow2.UP}, (256, 128)),
        ((300, 10), {"pow2": Pow2.UP, "max_size_px": 1000}, (512, 64)),
        ((33, 1), {"scale": 2.0, "multiple_of_px": 4}, (68, 4)),
        ((250, 10), {"max_size_px": 999, "multiple_of_px": 4}, (996, 40)),
    ],
)
def test_size_follows_the_guard_rails(
    size: tuple[int, int], changes: dict[str, object], expected: tuple[int, int]
) -> None:
    assert target_size(*size, 4, step(**changes)) == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("size", [(20, 12), (31, 45), (64, 100), (17, 90)])
def test_flat_picture_stays_exactly_flat_and_keeps_its_type(dtype: type, size: tuple[int, int]) -> None:
    value = 0.25 if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max // 3
    pixels = np.full((40, 32, 4), value, dtype)
    for linear_light, alpha in ((False, None), (True, None), (True, 3)):
        result = resample(pixels, size, linear_light=linear_light, alpha_channel=alpha, wraps=(True, False))
        assert result.dtype == dtype
        assert result.shape == (*size, 4)
        assert np.abs(result.astype(float) - value).max() <= (1e-3 if dtype in (np.float16, np.float32) else 0)


def test_same_size_is_the_picture_itself() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert resample(pixels, (4, 4), **PLAIN) is pixels


def test_halving_is_the_rounded_mean_of_four() -> None:
    pixels = np.random.default_rng(1).integers(0, 65536, (30, 22, 3), dtype=np.uint16)
    mean = pixels.reshape(15, 2, 11, 2, 3).astype(np.float64).mean(axis=(1, 3))
    assert np.abs(resample(pixels, (15, 11), **PLAIN) - mean).max() <= 0.51


def test_shrinking_by_any_ratio_keeps_the_mean() -> None:
    pixels = np.random.default_rng(2).random((50, 70, 3)).astype(np.float32)
    assert np.allclose(resample(pixels, (13, 29), **PLAIN).mean(axis=(0, 1)), pixels.mean(axis=(0, 1)), atol=1e-5)


def test_enlarging_is_cubic_convolution() -> None:
    """OpenCV's cubic has a = -3/4, so compare on a ramp and a parabola, which a = -1/2 alone reproduces."""
    x = np.arange(32, dtype=np.float32)
    pixels = np.repeat((x**2)[None, :, None], 8, 0)
    result = resample(pixels, (8, 96), **PLAIN)[4, :, 0]
    at = (np.arange(96) + 0.5) / 3 - 0.5
    inside = (at > 2) & (at < 29)
    assert np.allclose(result[inside], at[inside] ** 2, atol=0.01)


def test_black_and_white_mix_to_the_grey_of_half_the_light() -> None:
    board = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    mixed = resample(board, (8, 8), linear_light=True, alpha_channel=None, wraps=NOWHERE)
    assert (mixed == 188).all()
    assert (resample(board, (8, 8), **PLAIN) == 128).all()


def test_hidden_colour_does_not_leak_into_the_visible_edge() -> None:
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[..., :3] = (0, 255, 0)
    pixels[:, :15] = (180, 60, 20, 255)
    for size in ((32, 16), (32, 77)):
        result = resample(pixels, size, linear_light=True, alpha_channel=3, wraps=NOWHERE)
        visible = result[..., 3] > 8
        assert np.abs(result[visible][:, :3].astype(int) - (180, 60, 20)).max() <= 2
        assert 0 < result[..., 3].mean() < 255


def test_alpha_itself_is_mixed_as_it_is_not_as_light() -> None:
    pixels = np.full((8, 8, 4), 100, np.uint8)
    pixels[:, ::2, 3], pixels[:, 1::2, 3] = 0, 255
    result = resample(pixels, (8, 4), linear_light=True, alpha_channel=3, wraps=NOWHERE)
    assert (result[..., 3] == 128).all()
    assert (result[..., :3] == 100).all()


def test_data_channels_are_mixed_as_they_are_whatever_alpha_says() -> None:
    pixels = np.full((8, 8, 5), 100, np.uint8)
    pixels[:, ::2, 3:], pixels[:, 1::2, 3:] = 0, 255
    result = resample(pixels, (8, 4), linear_light=True, alpha_channel=3, wraps=NOWHERE, data_channels=(4,))
    assert (result[..., 3:] == 128).all()
    result = resample(pixels, (8, 4), linear_light=True, alpha_channel=None, wraps=NOWHERE, data_channels=(3, 4))
    assert (result[..., 3:] == 128).all()
    assert (result[..., :3] == 100).all()


@pytest.mark.parametrize(("size", "seam_matters"), [((36, 60), True), ((16, 10), False), ((17, 30), True)])
def test_seamless_texture_is_still_seamless_at_its_new_size(size: tuple[int, int], seam_matters: bool) -> None:
    pixels = np.random.default_rng(3).random((24, 24, 3)).astype(np.float32)
    wide = resample(np.tile(pixels, (3, 3, 1)), (size[0] * 3, size[1] * 3), **PLAIN)
    middle = wide[size[0] : 2 * size[0], size[1] : 2 * size[1]]
    both = resample(pixels, size, linear_light=False, alpha_channel=None, wraps=(True, True))
    assert np.allclose(both, middle, atol=1e-5)
    differs = np.abs(resample(pixels, size, **PLAIN) - middle).max() > 1e-2
    assert differs == seam_matters


def test_normal_map_keeps_unit_vectors() -> None:
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(40, 40, 3)) * 0.4 + (0, 0, 1)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    pixels = np.rint((vectors + 1) / 2 * 65535).astype(np.uint16)
    for size in ((20, 25), (64, 64)):
        result = resample(pixels, size, linear_light=True, alpha_channel=None, wraps=NOWHERE, normal=True)
        lengths = np.linalg.norm(result / 65535 * 2.0 - 1, axis=2)
        assert np.abs(lengths - 1).max() < 1e-3


def test_two_channel_normal_map_keeps_its_constant_blue() -> None:
    pixels = np.random.default_rng(5).integers(60, 200, (16, 16, 3), dtype=np.uint8)
    pixels[..., 2] = 0
    result = resample(pixels, (8, 8), linear_light=False, alpha_channel=None, wraps=NOWHERE, normal=True)
    assert (result[..., 2] == 0).all()
    assert abs(result[..., 0].mean() - pixels[..., 0].mean()) < 1


def test_strips_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(6).integers(0, 256, (75, 40, 4), dtype=np.uint8)
    for size in ((31, 20), (160, 90)):
        for wraps in (NOWHERE, (True, True)):
            whole = resample(pixels, size, linear_light=True, alpha_channel=3, wraps=wraps)
            monkeypatch.setattr(module, "_STRIP_BYTES", 1)
            assert np.array_equal(resample(pixels, size, linear_light=True, alpha_channel=3, wraps=wraps), whole)
            monkeypatch.undo()


def test_close_to_opencv_area_on_a_smooth_picture() -> None:
    pixels = cv2.GaussianBlur(np.random.default_rng(7).integers(0, 256, (96, 96, 3), dtype=np.uint8), (0, 0), 3)
    ours = resample(pixels, (37, 41), **PLAIN).astype(int)
    assert np.abs(ours - cv2.resize(pixels, (41, 37), interpolation=cv2.INTER_AREA)).max() <= 1
