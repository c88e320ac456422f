"""Claims about colour in fills: where there is none around, there is none in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from restore.image import Image
from restore.inpaint.chroma import Chroma
from restore.inpaint.engine import inpaint
from restore.models.inpainting import InpaintModel
from restore.recipe import Grain, Wrap

Make = Callable[..., Image]


def holes_of(height: int, width: int) -> np.ndarray:
    holes = np.zeros((height, width), bool)
    holes[10:70, 20:90] = True  # wider than the network knows: its inside is filled at half the size
    holes[80:86, 30:34] = holes[90:110, 100:101] = True
    return holes


@pytest.mark.parametrize("grain", list(Grain))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_grey_picture_with_coloured_dirt_comes_back_grey_to_the_last_bit(
    model: InpaintModel, picture: Make, dtype: Any, grain: Grain
) -> None:
    grey, colour = picture(112, 128, 1, dtype), picture(112, 128, 3, dtype, seed=1)
    holes = holes_of(112, 128)
    pixels = np.where(holes[..., None], colour.pixels, grey.pixels.repeat(3, 2))
    done = inpaint(colour.with_pixels(pixels), holes, model, wrap=Wrap.NONE, grain=grain).page.pixels
    assert (done == done[..., :1]).all()
    assert np.array_equal(done[~holes], pixels[~holes])


def test_a_hole_in_a_grey_part_of_a_coloured_picture_is_filled_grey(model: InpaintModel, picture: Make) -> None:
    image = picture(112, 256, 3)
    pixels = image.pixels.copy()
    pixels[:, :160] = pixels[:, :160, 1:2]
    holes = np.zeros((112, 256), bool)
    holes[40:60, 40:70] = holes[40:60, 190:220] = True
    done = inpaint(image.with_pixels(pixels), holes, model, wrap=Wrap.NONE).page.pixels
    assert (done[:, :160] == done[:, :160, :1]).all()
    assert np.ptp(done[40:60, 190:220].astype(int), axis=2).max() > 0


def test_a_nearly_grey_picture_gets_no_more_colour_than_it_has(model: InpaintModel, picture: Make) -> None:
    grey = picture(112, 128, 1).pixels.astype(int)
    pixels = np.clip(grey + np.random.default_rng(2).integers(-2, 3, (112, 128, 3)), 0, 255).astype(np.uint8)
    holes = holes_of(112, 128)
    done = inpaint(picture(112, 128, 3).with_pixels(pixels), holes, model, wrap=Wrap.NONE, grain=Grain.OFF)
    filled = done.page.pixels[holes].astype(int)
    assert np.abs(filled[:, ::2] - filled[:, 1:2]).max() <= 5, "4 around, and rounding"


def test_brightness_stays_where_colour_is_taken_away() -> None:
    around = Chroma(np.array([-0.1, 0], np.float32), np.array([0.1, 0.2], np.float32))
    values = np.array([[0.9, 0.3, 0.3], [0.35, 0.3, 0.4]], np.float32)
    kept = around.kept(values)
    assert np.allclose(kept.mean(1), values.mean(1))
    assert np.allclose(kept[0, 0] - kept[0, 1], 0.1)
    assert np.array_equal(kept[1], values[1])
