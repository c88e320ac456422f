"""Empty space isn't computed, and what can be seen comes out as if it had been."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import torch

from restore.halo import choose
from restore.image import Alpha, Document, Image, Stored, Transfer
from restore.models import Model, load, resolve
from restore.recipe import Precision, TraitRules, Upscale, Wrap
from restore.traits import AlphaUse, Content, Traits, classify
from restore.upscale import Enlarged, Picture, Upscaler

TEXTURES = Path(__file__).parent.parent / "examples" / "textures"


@pytest.fixture(scope="module")
def compact() -> Model:
    return load(resolve("animevideov3-x4"), "cpu", Precision.FP32)


@pytest.fixture(scope="module")
def recipe(compact: Model) -> Upscale:
    tiling = choose("compact", compact.receptive_radius_px)
    return Upscale("animevideov3-x4", compact.ref.sha256, Precision.FP32, tiling.tile_px, tiling.halo_px)


def sheet(dtype: type = np.uint8, *, soft: bool = False, grey: bool = False, radius: int = 14) -> Image:
    """224 x 208 with one round sprite inside and one over the left edge; junk in the empty space."""
    texture = cv2.cvtColor(cv2.imread(str(TEXTURES / "characters/Tiny_skin.png")), cv2.COLOR_BGR2RGB)
    color = texture[:224, :208].astype(np.float32) / 255
    rows, columns = np.mgrid[:224, :208].astype(np.float32)
    inside = np.maximum(radius - np.hypot(rows - 150, columns - 130), 12 - np.hypot(rows - 70, columns - 5))
    alpha = np.clip(inside / 6, 0, 1) if soft else (inside > 0).astype(np.float32)
    color[alpha == 0] = (0, 1, 0)
    color = color[..., 1:2] if grey else color
    values = np.dstack([color, alpha])
    floats = dtype is np.float32
    pixels = values if floats else np.rint(values * np.iinfo(dtype).max).astype(dtype)
    names = ("Y", "A") if grey else ("R", "G", "B", "A")
    bits = np.dtype(dtype).itemsize * 8
    return Image(pixels, Stored("exr" if floats else "png", bits, floats, Transfer.SRGB, Alpha.STRAIGHT, names))


def counting(model: Model, computed_px: list[int]) -> Model:
    def net(x: torch.Tensor) -> torch.Tensor:
        computed_px.append(x.shape[0] * x.shape[-2] * x.shape[-1])
        return model.net(x)

    return replace(model, net=net)


def enlarge(
    model: Model, step: Upscale, image: Image, wrap: Wrap = Wrap.NONE, *, skip: bool = True
) -> tuple[Enlarged, int]:
    """The result, and how many pixels went through the network."""
    computed_px: list[int] = []
    upscaler = Upscaler(counting(model, computed_px), step, batch_px=1)
    picture = Picture(Document((image,)), (classify(image, "test", TraitRules(wrap)),))
    with nullcontext() if skip else patch("restore.upscale.needed", return_value=None):
        ((_, result),) = upscaler.stream([(0, picture)])
    assert isinstance(result, Enlarged)
    return result, sum(computed_px)


def both(model: Model, step: Upscale, image: Image, wrap: Wrap = Wrap.NONE) -> tuple[Enlarged, Enlarged]:
    """The skipped and the full result; something must have been skipped."""
    full, full_px = enlarge(model, step, image, wrap, skip=False)
    skipped, skipped_px = enlarge(model, step, image, wrap)
    assert skipped_px < 0.8 * full_px
    return skipped, full


def compare(model: Model, step: Upscale, image: Image, wrap: Wrap = Wrap.NONE) -> tuple[np.ndarray, np.ndarray]:
    skipped, full = both(model, step, image, wrap)
    return skipped.canvases[0], full.canvases[0]


@pytest.fixture(scope="module", params=["soft", "cutout"])
def enlarged(request: pytest.FixtureRequest, compact: Model, recipe: Upscale) -> tuple[Enlarged, Enlarged]:
    """Skipped and full, before any change of size."""
    return both(compact, recipe, sheet(soft=request.param == "soft"), Wrap.X)


def sized(results: tuple[Enlarged, Enlarged], **changes: float) -> tuple[np.ndarray, np.ndarray]:
    skipped, full = (replace(r, step=replace(r.step, **changes)).document().first.pixels for r in results)
    return skipped, full


def differences(skipped: np.ndarray, full: np.ndarray) -> tuple[float, float]:
    """The largest in colour where alpha > 0, and the largest in alpha; in steps of integers."""
    difference = np.abs(skipped.astype(np.float64) - full)
    visible = full[..., -1] > 0
    assert visible.any()
    return float(difference[visible, :-1].max()), float(difference[..., -1].max())


@pytest.mark.parametrize("wrap", [Wrap.NONE, Wrap.BOTH])
@pytest.mark.parametrize("soft", [True, False], ids=["soft", "cutout"])
def test_what_is_visible_equals_the_full_result_to_1e_5(compact, recipe, wrap, soft):
    skipped, full = compare(compact, recipe, sheet(np.float32, soft=soft), wrap)
    color, alpha = differences(skipped, full)
    assert color <= 1e-5
    assert alpha <= (1e-5 if soft else 0)


def test_eight_bits_differ_by_one_step_at_most(enlarged):
    skipped, full = (result.canvases[0] for result in enlarged)
    color, alpha = differences(skipped, full)
    assert color <= 1
    assert alpha <= (0 if set(np.unique(full[..., 3])) == {0, 255} else 1)


def test_sixteen_bits_differ_by_one_step_at_most(compact, recipe):
    assert max(differences(*compare(compact, recipe, sheet(np.uint16, soft=True)))) <= 1


def test_small_tiles_change_nothing(compact, recipe, enlarged):
    picture = enlarged[1].picture
    ((_, result),) = Upscaler(compact, replace(recipe, tile_px=92), batch_px=1).stream([(0, picture)])
    assert isinstance(result, Enlarged)
    assert result.tiles > enlarged[0].tiles
    assert max(differences(result.canvases[0], enlarged[1].canvases[0])) <= 1


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5, 3.0, 4.0, 5.0])
def test_a_change_of_size_after_the_network_sees_nothing_of_what_was_filled(enlarged, scale):
    assert max(differences(*sized(enlarged, scale=scale))) <= 1


def test_a_result_far_smaller_than_its_source_is_the_same_where_more_than_a_64th_is_visible(enlarged):
    skipped, full = sized(enlarged, max_size_px=14)
    difference = np.abs(skipped.astype(int) - full)
    assert difference[full[..., 3] > 4, :3].max() <= 1
    assert difference[..., 3].max() <= 1


def test_a_model_of_another_scale_skips_as_well(recipe):
    model = load(resolve("animevideov3-x2"), "cpu", Precision.FP32)
    step = replace(recipe, model="animevideov3-x2", model_sha256=model.ref.sha256)
    assert max(differences(*compare(model, step, sheet(np.float32, soft=True)))) <= 1e-5


def test_grey_with_alpha_is_skipped_too(compact, recipe):
    assert max(differences(*compare(compact, recipe, sheet(grey=True, soft=True)))) <= 1


def test_grey_in_three_channels_stays_grey_where_it_was_filled(compact, recipe):
    grey = sheet(grey=True)
    three = Image(grey.pixels[..., [0, 0, 0, 1]], replace(grey.stored, channels=("R", "G", "B", "A")))
    result = enlarge(compact, recipe, three)[0].canvases[0]
    assert (result[..., 0] == result[..., 1]).all()
    assert (result[..., 0] == result[..., 2]).all()


def test_hidden_colour_is_about_what_the_network_would_have_drawn(enlarged):
    """No green junk, no black: neither in what a tile computed nor in what was filled, and no edge
    between them that wasn't in the full result."""
    skipped, full = (result.canvases[0][..., :3].astype(int) for result in enlarged)
    hidden = enlarged[1].canvases[0][..., 3] == 0
    difference = np.abs(skipped - full)[hidden]
    assert difference.mean() < 2
    assert difference.max() <= 16
    for axis, pairs in ((0, hidden[1:] & hidden[:-1]), (1, hidden[:, 1:] & hidden[:, :-1])):
        steps = [np.abs(np.diff(pixels, axis=axis))[pairs].max() for pixels in (skipped, full)]
        assert steps[0] <= steps[1] + 2


def test_without_empty_space_the_bytes_are_those_of_the_plain_cut(compact, recipe):
    image = sheet(soft=True)
    image = image.with_pixels(np.ascontiguousarray(image.pixels[100:180, 80:180]))
    image.pixels[..., 3] = np.random.default_rng(2).integers(1, 256, image.pixels.shape[:2])
    skipped, skipped_px = enlarge(compact, recipe, image)
    full, full_px = enlarge(compact, recipe, image, skip=False)
    assert skipped_px == full_px
    assert skipped.canvases[0].tobytes() == full.canvases[0].tobytes()


def test_an_even_surface_of_alpha_costs_nothing_and_stays_as_it_is(compact, recipe):
    image = sheet()
    image.pixels[..., 3] = 255
    image.pixels[30:34, 30:34, 3] = 100
    full, full_px = enlarge(compact, recipe, image, skip=False)
    skipped, skipped_px = enlarge(compact, recipe, image)
    assert skipped_px < 0.7 * full_px  # colour is computed everywhere
    assert max(differences(skipped.canvases[0], full.canvases[0])) <= 1
    assert (skipped.canvases[0][400:, 400:, 3] == 255).all()


def test_a_plane_that_needs_nothing_takes_no_tile(compact, recipe):
    image = sheet(soft=True)
    image.pixels[..., 3] = 0
    blend = Traits(Content.COLOR, AlphaUse.BLEND, (False, False), grey=False, because="made up")
    ((_, result),) = Upscaler(compact, recipe, batch_px=1).stream([(0, Picture(Document((image,)), (blend,)))])
    assert isinstance(result, Enlarged)
    assert result.tiles == 0
    assert (result.canvases[0][..., 3] == 0).all()


def test_alpha_of_0_everywhere_is_no_opacity_and_skips_nothing(compact, recipe):
    """Old files hold 0 in an alpha channel that nobody reads."""
    image = sheet()
    image = image.with_pixels(np.ascontiguousarray(image.pixels[100:180, 80:180]))
    image.pixels[..., 3] = 0
    (skipped, skipped_px), (full, full_px) = (enlarge(compact, recipe, image, skip=skip) for skip in (True, False))
    assert skipped_px == full_px
    assert np.array_equal(skipped.canvases[0], full.canvases[0])


def test_out_of_memory_restarts_with_smaller_tiles_and_gives_the_same_visible_pixels(compact, recipe):
    image = sheet(soft=True, radius=24)
    step = replace(recipe, tile_px=168)
    expected, _ = enlarge(compact, step, image)

    def net(x: torch.Tensor) -> torch.Tensor:
        if max(x.shape[-2:]) > 126:
            raise torch.OutOfMemoryError("out of memory")
        return compact.net(x)

    result, _ = enlarge(replace(compact, net=net), step, image)
    assert (expected.tile_px, result.tile_px) == (168, 126)
    assert max(differences(result.canvases[0], expected.canvases[0])) <= 1
