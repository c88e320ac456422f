"""Claims about filling holes of pictures: the rest stays bit for bit, and what a hole becomes is its own alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from restore.errors import ImageError
from restore.holes.found import Blob, one_kind
from restore.image import Image, Transfer
from restore.inpaint import Damaged, Inpainter, Repaired, inpaint
from restore.models.inpainting import InpaintModel, of_net
from restore.models.pconv import PconvUnet
from restore.recipe import FindHoles, Grain, HolesFrom, Inpaint, Precision, TraitRules, Wrap
from restore.tiling import Box
from restore.traits import AlphaUse, Content, Traits, classify
from restore.trust.ledger import Fill

Make = Callable[..., Image]
STEP = Inpaint("test", "0" * 64, Precision.FP32, FindHoles(HolesFrom.MASKS), 16, Grain.AUTO)


def holes_in(image: Image, *boxes: tuple[int, int, int, int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    holes = np.zeros((image.height, image.width), np.bool_)
    for y0, x0, y1, x1 in boxes:
        holes[y0:y1, x0:x1] = True
    return holes


def damaged(image: Image, *boxes: tuple[int, int, int, int], traits: Traits | None = None) -> Damaged:
    found = one_kind(holes_in(image, *boxes), image, "mask")
    return Damaged(image, found, traits or classify(image, "", TraitRules(Wrap.NONE)), 0)


def bits(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """NaN equals itself here."""
    return pixels.view(f"u{pixels.itemsize}")


SPECKS = ((5, 7, 12, 15), (40, 60, 43, 90), (70, 20, 80, 26))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_outside_holes_every_pixel_is_the_original_in_every_type(
    model: InpaintModel, picture: Make, dtype: Any, channels: int
) -> None:
    image = picture(96, 112, channels, dtype)
    holes = holes_in(image, *SPECKS)
    done = inpaint(image, holes, model, wrap=Wrap.NONE)
    assert done.page.pixels.dtype == image.pixels.dtype
    assert np.array_equal(bits(done.page.pixels)[~holes], bits(image.pixels)[~holes])
    assert not np.array_equal(bits(done.page.pixels)[holes], bits(image.pixels)[holes])


def test_what_stood_in_holes_has_no_influence(model: InpaintModel, picture: Make) -> None:
    for dtype, junk in ((np.uint8, 255), (np.float32, np.nan), (np.float32, 1e9)):
        image = picture(96, 112, 3, dtype)
        holes = holes_in(image, *SPECKS)
        other = image.pixels.copy()
        other[holes] = junk
        fills = [inpaint(one, holes, model, wrap=Wrap.NONE).page.pixels for one in (image, image.with_pixels(other))]
        assert np.array_equal(*fills)


def test_highlights_above_1_and_nan_outside_holes_are_kept_and_not_spread(model: InpaintModel, picture: Make) -> None:
    pixels = picture(96, 112, 3, np.float32).pixels.copy()
    pixels[30:60, 30:60] *= 40.0
    pixels[20, 20] = np.nan
    pixels[21, 22, 1] = np.inf
    image = picture(96, 112, 3, np.float32).with_pixels(pixels)
    holes = holes_in(image, (22, 18, 28, 26), (40, 40, 48, 48))
    done = inpaint(image, holes, model, wrap=Wrap.NONE).page.pixels
    assert np.array_equal(bits(done)[~holes], bits(pixels)[~holes])
    assert np.isfinite(done[holes]).all()
    assert 5.0 < done[44, 44].mean() < 60.0, "a highlight is filled with light as bright as around"


def test_sixteen_bits_are_filled_in_sixteen_bits(untrained: InpaintModel, picture: Make) -> None:
    image = picture(96, 112, 3, np.uint16)
    done = inpaint(image, holes_in(image, *SPECKS), untrained, grain=Grain.OFF, wrap=Wrap.NONE).page.pixels
    filled = done[holes_in(image, *SPECKS)]
    assert len(np.unique(filled % 257)) > 100


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_one_even_colour_is_filled_exactly_and_surely(model: InpaintModel, image: Make, dtype: Any) -> None:
    color = np.array([7, 201, 33]) if np.dtype(dtype).kind == "u" else np.array([0.1, 3.3, 0.0123])
    pixels = np.broadcast_to(color.astype(dtype), (80, 90, 3)).copy()
    broken = pixels.copy()
    broken[30:38, 30:40] = 0
    done = inpaint(image(broken), holes_in(image(broken), (30, 30, 38, 40)), model)
    if np.dtype(dtype).kind == "u":
        assert np.array_equal(done.page.pixels, pixels)
    else:  # through the display's curve and back
        np.testing.assert_allclose(done.page.pixels, pixels, rtol=1e-5)
    assert done.repairs[0].fill is Fill.NAVIER_STOKES
    assert done.repairs[0].confidence > 0.95


def test_a_hole_in_an_even_part_of_a_picture_gets_its_colour_exactly(model: InpaintModel, picture: Make) -> None:
    pixels = picture(96, 112).pixels.copy()
    pixels[20:60, 20:60] = (12, 34, 56)
    image = picture(96, 112).with_pixels(pixels)
    done = inpaint(image, holes_in(image, (30, 30, 45, 45)), model, wrap=Wrap.NONE).page.pixels
    assert (done[30:45, 30:45] == (12, 34, 56)).all()


def test_grey_stays_grey_and_extra_channels_stay_as_they_are(model: InpaintModel, picture: Make) -> None:
    grey = picture(96, 112, 1)
    image = grey.with_pixels(grey.pixels)
    three = replace(image, pixels=np.repeat(grey.pixels, 3, 2), stored=picture(8, 8, 3).stored)
    done = inpaint(three, holes_in(three, *SPECKS), model, wrap=Wrap.NONE).page.pixels
    assert (done[..., 0] == done[..., 1]).all()
    assert (done[..., 0] == done[..., 2]).all()
    infrared = picture(96, 112, 4, names=("R", "G", "B", "ir"))
    done = inpaint(infrared, holes_in(infrared, *SPECKS), model, wrap=Wrap.NONE).page.pixels
    assert np.array_equal(done[..., 3], infrared.pixels[..., 3])


def test_opaque_stays_exactly_opaque_and_a_cut_out_stays_one(model: InpaintModel, picture: Make) -> None:
    pixels = picture(96, 112, 4).pixels.copy()
    pixels[..., 3] = 255
    pixels[:, :40, 3] = 0
    holes = holes_in(picture(96, 112, 4), (20, 60, 30, 80), (40, 34, 52, 47))
    broken = pixels.copy()
    broken[holes] = 128  # half transparent there, by accident
    traits = Traits(Content.COLOR, AlphaUse.CUTOUT, (False, False), False, "")
    image = picture(96, 112, 4).with_pixels(broken)
    done = Inpainter(model, STEP, batch_px=1)(Damaged(image, one_kind(holes, image, "mask"), traits, 0)).page.pixels
    assert (done[20:30, 60:80, 3] == 255).all()
    assert set(np.unique(done[40:52, 34:47, 3])) == {0, 255}


def test_colour_under_alpha_0_is_never_context(model: InpaintModel, picture: Make) -> None:
    pixels = picture(96, 112, 4).pixels.copy()
    pixels[..., 3] = 255
    pixels[:, :50, 3] = 0
    traits = Traits(Content.COLOR, AlphaUse.CUTOUT, (False, False), False, "")
    results = []
    for junk in (0, 255):
        pixels[:, :50, :3] = junk
        image = picture(96, 112, 4).with_pixels(pixels.copy())
        one = damaged(image, (30, 44, 40, 60), traits=traits)
        results.append(Inpainter(model, STEP, batch_px=1)(one).page.pixels[30:40, 44:60])
    assert np.array_equal(*results)


def test_with_holes_from_alpha_colour_is_filled_and_alpha_left_alone(model: InpaintModel, picture: Make) -> None:
    pixels = picture(96, 112, 4).pixels.copy()
    pixels[..., 3] = 255
    pixels[30:50, 30:60, 3] = 0
    pixels[30:50, 30:60, :3] = (255, 0, 255)
    image = picture(96, 112, 4).with_pixels(pixels)
    step = replace(STEP, holes=FindHoles(HolesFrom.ALPHA))
    found = one_kind(pixels[..., 3] == 0, image, "alpha")
    done = Inpainter(model, step, batch_px=1)(Damaged(image, found, classify(image, "", TraitRules(Wrap.NONE)), 0))
    assert np.array_equal(done.page.pixels[..., 3], pixels[..., 3])
    assert not (done.page.pixels[30:50, 30:60, :3] == (255, 0, 255)).all(2).any()


def test_colour_under_alpha_0_gets_no_grain(model: InpaintModel, picture: Make) -> None:
    rng = np.random.default_rng(1)
    pixels = np.full((96, 112, 4), 128, np.uint8)
    pixels[..., :3] += rng.integers(0, 24, (96, 112, 1), np.uint8)
    pixels[..., 3] = 255
    pixels[30:60, 30:70, 3] = 0
    image = picture(96, 112, 4).with_pixels(pixels)
    found = one_kind(pixels[..., 3] == 0, image, "alpha")
    one = Damaged(image, found, classify(image, "", TraitRules(Wrap.NONE)), 0)
    alpha = replace(STEP, holes=FindHoles(HolesFrom.ALPHA))
    results = [
        Inpainter(model, step, batch_px=1)(one).page.pixels
        for step in (alpha, replace(alpha, grain=Grain.OFF), replace(STEP, grain=Grain.AUTO))
    ]
    assert np.array_equal(*results[:2])
    assert not np.array_equal(results[0], results[2]), "elsewhere it does"


def test_a_normal_map_has_unit_vectors_in_holes(model: InpaintModel, image: Make) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:96, 0:96] / 8.0
    vectors = np.dstack([np.sin(x) * 0.5, np.cos(y) * 0.5, np.ones_like(x)]) + rng.normal(0, 0.02, (96, 96, 3))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    page = image(np.rint((vectors + 1) / 2 * 255).astype(np.uint8))
    traits = Traits(Content.NORMAL, AlphaUse.NONE, (False, False), False, "")
    done = Inpainter(model, STEP, batch_px=1)(damaged(page, (30, 30, 42, 44), traits=traits)).page.pixels
    length = np.linalg.norm(done[30:42, 30:44] / 255 * 2 - 1, axis=2)
    assert np.abs(length - 1).max() < 0.015, "one step of 255 is 0.008 in each of three directions"


def test_on_a_repeating_texture_a_hole_at_an_edge_sees_the_other_side(untrained: InpaintModel, image: Make) -> None:
    x = np.arange(128)
    row = (127.5 + 100 * np.sin(2 * np.pi * (x - 32) / 128)).astype(np.uint8)  # far from its mean at both edges
    pixels = np.repeat(np.repeat(row[None, :, None], 96, 0), 3, 2)
    pixels[:, 122:] = pixels[:, :6][:, ::-1]
    broken = image(pixels)
    boxes = ((30, 116, 60, 128),)
    errors = []
    for wraps in (True, False):
        traits = Traits(Content.COLOR, AlphaUse.NONE, (False, wraps), False, "")
        done = Inpainter(untrained, STEP, batch_px=1)(damaged(broken, *boxes, traits=traits)).page.pixels
        assert np.array_equal(done[~holes_in(broken, *boxes)], pixels[~holes_in(broken, *boxes)])
        errors.append(np.abs(done[30:60, 124:128].astype(int) - pixels[30:60, 124:128]).mean())
    assert errors[0] < 0.6 * errors[1]


def test_a_texture_smaller_than_a_crop_is_filled_over_its_edges(model: InpaintModel, picture: Make) -> None:
    image = picture(20, 24)
    traits = Traits(Content.COLOR, AlphaUse.NONE, (True, True), False, "")
    one = damaged(image, (0, 0, 5, 4), (15, 20, 20, 24), traits=traits)
    done = Inpainter(model, STEP, batch_px=1)(one)
    assert np.array_equal(done.page.pixels[~one.found.holes], image.pixels[~one.found.holes])
    assert len(done.repairs) == 2


def test_no_hole_gives_the_same_page_and_an_empty_ledger(model: InpaintModel, picture: Make) -> None:
    image = picture(30, 40)
    done = inpaint(image, np.zeros((30, 40), np.bool_), model)
    assert done.page is image
    assert done.repairs == ()


def test_a_picture_that_is_all_hole_says_so(model: InpaintModel, picture: Make) -> None:
    for side in (1, 40):
        with pytest.raises(ImageError, match="every pixel is missing"):
            inpaint(picture(side, side), np.ones((side, side), np.bool_), model)


def test_holes_of_another_size_are_refused(model: InpaintModel, picture: Make) -> None:
    with pytest.raises(ImageError, match="holes are 40 x 31 px, the picture is 40 x 30 px"):
        inpaint(picture(30, 40), np.zeros((31, 40), np.bool_), model)


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (1, 40), (3, 3), (17, 5)])
def test_tiny_pictures_are_filled(model: InpaintModel, picture: Make, shape: tuple[int, int]) -> None:
    image = picture(*shape)
    holes = np.ones(shape, np.bool_)
    holes[0, 0] = False
    done = inpaint(image, holes, model, wrap=Wrap.NONE).page.pixels
    assert (done == image.pixels[0, 0]).all(), "one pixel is known, and it is everywhere"


def test_holes_at_corners_and_borders_and_half_a_picture_are_filled(model: InpaintModel, picture: Make) -> None:
    image = picture(150, 170)
    boxes = ((0, 0, 9, 12), (140, 160, 150, 170), (0, 60, 3, 90), (30, 0, 150, 85))
    holes = holes_in(image, *boxes)
    junk = image.pixels.copy()
    junk[holes] = (255, 0, 255)
    done = inpaint(image.with_pixels(junk), holes, model, wrap=Wrap.NONE)
    assert np.array_equal(done.page.pixels[~holes], image.pixels[~holes])
    assert not (done.page.pixels[holes] == (255, 0, 255)).all(1).any(), "nothing is left"
    assert [r.area_px for r in done.repairs] == [108, 90, 10200, 100]


def test_a_long_hole_is_filled_without_a_gap(model: InpaintModel, picture: Make) -> None:
    image = picture(60, 1300)
    holes = holes_in(image, (30, 0, 33, 1300))
    junk = image.pixels.copy()
    junk[holes] = (255, 0, 255)
    done = inpaint(image.with_pixels(junk), holes, model, wrap=Wrap.NONE)
    assert not (done.page.pixels[holes] == (255, 0, 255)).all(1).any()
    assert len(done.repairs) == 1


def test_what_a_hole_becomes_does_not_depend_on_other_pictures(model: InpaintModel, picture: Make) -> None:
    pictures = [damaged(picture(96, 112, seed=i), *SPECKS[i % 2 :]) for i in range(5)]
    alone = [Inpainter(model, STEP, batch_px=1 << 16)(one).page.pixels for one in pictures]
    for order in (range(5), reversed(range(5))):
        together = Inpainter(model, STEP, batch_px=1 << 16).stream([(i, pictures[i]) for i in order])
        for i, done in together:
            assert isinstance(done, Repaired)
            assert np.array_equal(done.page.pixels, alone[i])


def test_pictures_are_pulled_lazily_and_none_lets_out_what_waits(model: InpaintModel, picture: Make) -> None:
    pulled = []

    def source() -> Iterator[tuple[int, Damaged] | None]:
        for i in range(3):
            pulled.append(i)
            yield i, damaged(picture(96, 112, seed=i), *SPECKS)
            yield None

    stream = Inpainter(model, STEP, batch_px=1 << 20).stream(source())
    assert next(stream)[0] == 0
    assert pulled == [0]
    assert [key for key, _ in stream] == [1, 2]


def test_a_broken_picture_does_not_stop_the_others(model: InpaintModel, picture: Make) -> None:
    bad = picture(20, 20)
    pictures = [(0, damaged(picture(96, 112), *SPECKS)), (1, damaged(bad, (0, 0, 20, 20)))]
    results = dict(Inpainter(model, STEP, batch_px=1).stream(pictures))
    assert isinstance(results[0], Repaired)
    assert isinstance(results[1], ImageError)


def test_an_answer_that_is_no_number_fails_its_picture(model: InpaintModel, picture: Make) -> None:
    broken = replace(model, net=lambda planes: torch.full((len(planes), 7, *planes.shape[2:]), torch.nan))
    with pytest.raises(ImageError, match="--precision fp32"):
        inpaint(picture(96, 112), holes_in(picture(96, 112), *SPECKS), broken, wrap=Wrap.NONE)


def test_memory_that_runs_out_makes_smaller_batches_and_then_fails_one_picture(
    model: InpaintModel, picture: Make
) -> None:
    sizes = []

    def small(planes: torch.Tensor) -> torch.Tensor:
        sizes.append(len(planes))
        if len(planes) > 2:
            raise torch.OutOfMemoryError("no")
        return model.net(planes)

    one = damaged(picture(300, 300), *[(y, x, y + 4, x + 4) for y in (20, 150, 280) for x in (20, 150, 280)])
    wanted = Inpainter(model, STEP, batch_px=1)(one).page.pixels
    inpainter = Inpainter(replace(model, net=small), STEP, batch_px=1 << 15)
    assert np.array_equal(inpainter(one).page.pixels, wanted)
    assert max(sizes) > 2
    assert inpainter.batch_limit == 1, "halved from 14"

    def none(planes: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("no")

    with pytest.raises(ImageError, match="out of memory on cpu even for one crop"):
        Inpainter(replace(model, net=none), STEP, batch_px=1)(one)


def test_what_goes_through_the_network_grows_with_damage_and_not_with_the_picture(
    model: InpaintModel, picture: Make
) -> None:
    small, large = picture(100, 100), picture(700, 900)
    boxes = ((50, 50, 56, 56),)
    costs = [inpaint(p, holes_in(p, *boxes), model, wrap=Wrap.NONE, context_px=16).network_px for p in (small, large)]
    assert costs[0] == costs[1] == 48 * 48


def test_divided_dirt_is_in_the_ledger_in_its_place_and_its_page_is_the_result(
    model: InpaintModel, picture: Make
) -> None:
    image = picture(96, 112)
    one = damaged(image, *SPECKS)
    cleaned = image.pixels.copy()
    cleaned[20:24, 50:58] += 1
    divided = holes_in(image, (20, 50, 24, 58))
    found = replace(
        one.found,
        page=image.with_pixels(cleaned),
        divided=divided,
        divided_blobs=(Blob(Box(20, 50, 24, 58), 32, "infrared", 9.0),),
    )
    done = Inpainter(model, STEP, batch_px=1)(replace(one, found=found))
    assert [(r.blob, r.fill is Fill.DIVIDED) for r in done.repairs] == [(0, False), (1, True), (2, False), (3, False)]
    assert np.array_equal(done.page.pixels[~one.found.holes], cleaned[~one.found.holes])
    assert all(0 <= r.confidence <= 1 for r in done.repairs)


def test_light_is_filled_as_it_is_seen(untrained: InpaintModel, image: Make) -> None:
    """Halfway between 0.01 and 1 lies 0.2 for the eye, not 0.5."""
    pixels = np.full((80, 80, 3), 0.01, np.float32)
    pixels[:, 40:] = 1.0
    page = image(pixels, None, Transfer.LINEAR)
    done = inpaint(page, holes_in(page, (20, 30, 60, 50)), untrained, grain=Grain.OFF, wrap=Wrap.NONE).page.pixels
    assert 0.1 < np.median(done[30:50, 38:42]) < 0.4


def test_a_thin_line_costs_little_however_large_the_rectangle_around_it(model: InpaintModel, picture: Make) -> None:
    image = picture(420, 420)
    holes = np.eye(420, dtype=np.bool_)
    holes[:, 1:] |= holes[:, :-1]
    done = inpaint(image, holes, model, wrap=Wrap.NONE, context_px=16)
    assert len(done.repairs) == 1
    assert done.network_px < 0.5 * holes.size


@pytest.mark.needs_cuda
def test_on_cuda_a_hole_becomes_the_same_bytes_whatever_shares_its_batch(picture: Make) -> None:
    torch.manual_seed(0)
    net = PconvUnet((32, 48, 64, 96)).eval()
    torch.nn.init.normal_(net.last.weight, 0, 0.02)
    planes = of_net(net, max_width_px=24.0, device="cuda:0")
    pictures = [damaged(picture(96, 112, seed=i), *SPECKS[i % 2 :]) for i in range(5)]
    alone = [Inpainter(planes, STEP, batch_px=1 << 15)(one).page.pixels for one in pictures]
    for i, done in Inpainter(planes, STEP, batch_px=1 << 15).stream(list(enumerate(pictures))):
        assert isinstance(done, Repaired)
        assert np.array_equal(done.page.pixels, alone[i])
    net.to("cpu")
    exact = Inpainter(of_net(net, max_width_px=24.0), STEP, batch_px=1)(pictures[0]).page.pixels
    assert np.abs(exact.astype(int) - alone[0]).max() <= 1
