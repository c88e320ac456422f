"""Pictures come out larger, without seams, whatever their tiles and neighbours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import torch

from restore.color import light_of
from restore.errors import ImageError
from restore.halo import choose
from restore.image import Alpha, Document, Image, Stored, Transfer
from restore.models import Model, load, resolve
from restore.planes import Split
from restore.recipe import ColorFix, Precision, TraitRules, Upscale, Wrap
from restore.traits import AlphaUse, Content, Traits, classify
from restore.upscale import Enlarged, Picture, Upscaler

TEXTURES = Path(__file__).parent.parent / "examples" / "textures"
STEP = 1 / 255


@pytest.fixture(scope="module")
def compact() -> Model:
    return load(resolve("animevideov3-x4"), "cpu", Precision.FP32)


@pytest.fixture(scope="module")
def recipe(compact: Model) -> Upscale:
    tiling = choose("compact", compact.receptive_radius_px)
    return Upscale(
        "animevideov3-x4", compact.ref.sha256, Precision.FP32, tiling.tile_px, tiling.halo_px, keep_grain=0.3
    )


def texture(name: str, dtype: type = np.uint8) -> Image:
    pixels = cv2.cvtColor(cv2.imread(str(TEXTURES / name)), cv2.COLOR_BGR2RGB)
    if dtype is np.float32:
        pixels = (pixels / 255).astype(np.float32)
    floats = dtype is np.float32
    stored = Stored("exr" if floats else "png", 32 if floats else 8, floats, Transfer.SRGB, Alpha.NONE, ("R", "G", "B"))
    return Image(np.ascontiguousarray(pixels), stored)


def enlarge(model: Model, step: Upscale, image: Image, wrap: Wrap = Wrap.NONE) -> np.ndarray:
    document = Document((image,))
    result = Upscaler(model, step, batch_px=1)(document, (classify(image, "test", TraitRules(wrap)),))
    return result.first.pixels


@pytest.mark.parametrize("wrap", [Wrap.NONE, Wrap.X, Wrap.BOTH])
@pytest.mark.parametrize("fix", list(ColorFix))
def test_tiled_output_equals_untiled_output(compact, recipe, wrap, fix):
    image = texture("characters/Tiny_skin.png", np.float32)
    image = image.with_pixels(np.ascontiguousarray(image.pixels[60:140, 40:130]))
    whole = enlarge(compact, replace(recipe, color_fix=fix), image, wrap)
    tiled = enlarge(compact, replace(recipe, color_fix=fix, tile_px=92), image, wrap)
    assert whole.shape == (320, 360, 3)
    assert np.abs(whole - tiled).max() <= 1e-5


def test_seamless_texture_still_wraps_after_upscaling(compact, recipe):
    """The texture rolled by half, enlarged and rolled back is the enlarged texture: no edge is left anywhere."""
    image = texture("ground/seafloor.png", np.float32)
    small = np.ascontiguousarray(cv2.resize(image.pixels, (64, 64), interpolation=cv2.INTER_AREA))
    straight = enlarge(compact, recipe, image.with_pixels(small), Wrap.BOTH)
    rolled = enlarge(compact, recipe, image.with_pixels(np.roll(small, (32, 32), (0, 1))), Wrap.BOTH)
    assert np.abs(np.roll(rolled, (-128, -128), (0, 1)) - straight).max() <= 1e-5


def test_neighbours_in_a_batch_change_nothing(compact, recipe):
    skin, sea = (texture(name) for name in ("characters/Tiny_skin.png", "ground/seafloor.png"))
    crops = [skin.with_pixels(np.ascontiguousarray(skin.pixels[i : i + 40, 60:100])) for i in range(0, 120, 40)]
    crops += [sea.with_pixels(np.ascontiguousarray(sea.pixels[:33, :21]))]
    kinds = [classify(crop, "test", TraitRules(Wrap.NONE)) for crop in crops]
    alone = [enlarge(compact, recipe, crop) for crop in crops]
    upscaler = Upscaler(compact, recipe, batch_px=4 * 72 * 72)
    together = dict(
        upscaler.stream(
            (i, Picture(Document((crop,)), (kind,))) for i, (crop, kind) in enumerate(zip(crops, kinds, strict=True))
        )
    )
    assert sorted(together) == [0, 1, 2, 3]
    for i, expected in enumerate(alone):
        result = together[i]
        assert isinstance(result, Enlarged)
        # kernels may differ by batch size in the last bit of a float, and so by one step of an integer
        assert np.abs(result.canvases[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (2, 3), (13, 7)])
@pytest.mark.parametrize("wrap", [Wrap.NONE, Wrap.BOTH])
def test_odd_sizes_work(compact, recipe, size, wrap):
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    assert enlarge(compact, recipe, texture("ground/seafloor.png").with_pixels(pixels), wrap).shape == (
        size[0] * 4,
        size[1] * 4,
        3,
    )


def test_grey_stays_exactly_grey(compact, recipe):
    grey = texture("ground/seafloor.png").pixels[:48, :48].mean(2, keepdims=True).astype(np.uint8).repeat(3, 2)
    result = enlarge(compact, recipe, texture("ground/seafloor.png").with_pixels(grey))
    assert (result[..., 0] == result[..., 1]).all()
    assert (result[..., 0] == result[..., 2]).all()


def test_colour_stays_the_source_s_own(compact, recipe):
    image = texture("characters/Tiny_skin.png")
    image = image.with_pixels(np.ascontiguousarray(image.pixels[:96, :96]))

    def strays(step: Upscale) -> float:
        result = enlarge(compact, step, image)
        light = [light_of(p, encoded=True) for p in (result, image.pixels)]
        light[0] = cv2.resize(light[0], image.pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
        seen_from_afar = [cv2.GaussianBlur(p, (0, 0), 6) for p in light]
        return float(np.abs(seen_from_afar[0] - seen_from_afar[1]).mean())

    assert strays(recipe) <= 0.002
    assert strays(replace(recipe, color_fix=ColorFix.OFF)) > 3 * strays(recipe)


def failing_above(model: Model, most_px: int, calls: list[int]) -> Model:
    def net(x: torch.Tensor) -> torch.Tensor:
        calls.append(x.shape[-1] * x.shape[-2])
        if calls[-1] > most_px:
            raise torch.OutOfMemoryError("out of memory")
        return model.net(x)

    return replace(model, net=net)


def test_out_of_memory_restarts_the_picture_with_smaller_tiles_and_gives_the_same_pixels(compact, recipe):
    image = texture("characters/Tiny_skin.png")
    image = image.with_pixels(np.ascontiguousarray(image.pixels[:120, :120]))
    expected = enlarge(compact, recipe, image)
    calls: list[int] = []
    told = []
    upscaler = Upscaler(failing_above(compact, 130 * 130, calls), recipe, batch_px=1)
    kinds = (classify(image, "test", TraitRules(Wrap.NONE)),)
    ((_, result),) = upscaler.stream(
        [("a", Picture(Document((image,)), kinds))], lambda key, px: told.append((key, px))
    )
    assert isinstance(result, Enlarged)
    assert told
    assert told[-1] == ("a", result.tile_px)
    assert result.tile_px < recipe.tile_px
    assert np.abs(result.canvases[0].astype(int) - expected).max() <= 1


def test_a_picture_that_never_fits_fails_alone(compact, recipe):
    image = texture("ground/seafloor.png")
    tiny = image.with_pixels(np.ascontiguousarray(image.pixels[:16, :16]))
    upscaler = Upscaler(failing_above(compact, 60 * 60, []), recipe, batch_px=1)
    pictures = [
        (name, Picture(Document((page,)), (classify(page, name, TraitRules(Wrap.NONE)),)))
        for name, page in [("large", image), ("tiny", tiny)]
    ]
    results = dict(upscaler.stream(pictures))
    assert isinstance(results["large"], ImageError)
    assert "out of memory" in str(results["large"])
    assert isinstance(results["tiny"], Enlarged)


def test_a_result_that_memory_cannot_hold_fails_its_picture_alone(compact, recipe):
    image = texture("ground/seafloor.png")
    endless = image.with_pixels(np.broadcast_to(image.pixels[:1, :1], (1 << 24, 1 << 20, 3)))  # takes 3 bytes here
    even = Traits(Content.COLOR, AlphaUse.NONE, (False, False), grey=False, because="made up")
    upscaler = Upscaler(compact, recipe, batch_px=1)
    with patch("restore.upscale.split", return_value=Split((), ())):
        ((_, result),) = upscaler.stream([("endless", Picture(Document((endless,)), (even,)))])
    assert isinstance(result, ImageError)
    assert "no memory for a result of" in str(result)


def test_other_scales_are_resampled_once_from_the_network_s_own(compact, recipe):
    image = texture("characters/Tiny_skin.png")
    image = image.with_pixels(np.ascontiguousarray(image.pixels[:50, :60]))
    assert enlarge(compact, replace(recipe, scale=2.0), image).shape == (100, 120, 3)
    assert enlarge(compact, replace(recipe, max_size_px=64), image).shape == (53, 64, 3)


def with_alpha(image: Image, alpha: np.ndarray) -> Image:
    stored = replace(image.stored, alpha=Alpha.STRAIGHT, channels=("R", "G", "B", "A"))
    return Image(np.dstack([image.pixels, alpha]), stored)


@pytest.mark.parametrize("scale", [1.5, 2.0, 3.0])
def test_cut_out_alpha_is_still_only_0_or_full_at_any_scale(compact, recipe, scale):
    image = texture("characters/Tiny_skin.png")
    image = image.with_pixels(np.ascontiguousarray(image.pixels[:40, :48]))
    rows, columns = np.mgrid[:40, :48]
    alpha = np.where(np.hypot(rows - 20, columns - 22) < 13.3, 255, 0).astype(np.uint8)
    image.pixels[alpha == 0] = 0
    result = enlarge(compact, replace(recipe, scale=scale), with_alpha(image, alpha))
    assert set(np.unique(result[..., 3])) == {0, 255}
    assert abs((result[..., 3] == 255).mean() - (alpha == 255).mean()) < 0.02


def test_a_gloss_map_in_the_alpha_channel_never_weighs_colour(compact, recipe):
    image = texture("ground/seafloor.png")
    image = image.with_pixels(np.ascontiguousarray(image.pixels[:48, :48]))
    gloss = np.tile(np.repeat(np.array([0, 255], np.uint8), 6), (48, 4))
    packed = with_alpha(image, gloss)
    assert classify(packed, "test", TraitRules(Wrap.NONE)).alpha is AlphaUse.PACKED
    step = replace(recipe, scale=2.0)
    assert np.array_equal(enlarge(compact, step, packed)[..., :3], enlarge(compact, step, image))
