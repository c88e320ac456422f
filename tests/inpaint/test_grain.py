"""Claims about grain in fills: as much as around, never random, and none where there is none."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from restore.image import Image
from restore.inpaint import inpaint
from restore.models.inpainting import InpaintModel
from restore.recipe import Grain, Wrap

Make = Callable[..., Image]


def grainy(sigma: float, seed: int = 0) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Half of the noise is common to all channels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:160, 0:200].astype(np.float64)
    base = 100 + 0.3 * x + 0.2 * y
    noise = rng.normal(0, sigma, (160, 200, 1)) + rng.normal(0, sigma / 2, (160, 200, 3))
    return np.clip(np.rint(base[..., None] + noise), 0, 255).astype(np.uint8)


def fine(
    pixels: np.ndarray[tuple[int, int, int], np.dtype[np.uint8]],
) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
    values = pixels.astype(np.float32)
    return np.asarray(values - cv2.GaussianBlur(values, (7, 7), 1.6), np.float32)


HOLES = np.zeros((160, 200), np.bool_)
HOLES[60:80, 50:74] = True
HOLES[100:112, 130:142] = True


@pytest.mark.parametrize("sigma", [3.0, 8.0])
def test_a_fill_has_the_grain_of_its_neighbourhood(untrained: InpaintModel, image: Make, sigma: float) -> None:
    page = image(grainy(sigma))
    inner = np.s_[64:76, 54:70]
    around = fine(page.pixels)[30:55, 40:90].std()
    without = inpaint(page, HOLES, untrained, grain=Grain.OFF, wrap=Wrap.NONE).page.pixels
    with_grain = inpaint(page, HOLES, untrained, wrap=Wrap.NONE).page.pixels
    assert fine(without)[inner].std() < 0.5 * around
    assert 0.75 * around < fine(with_grain)[inner].std() < 1.25 * around


def test_grain_keeps_what_channels_have_in_common(untrained: InpaintModel, image: Make) -> None:
    page = image(grainy(8.0))
    done = fine(inpaint(page, HOLES, untrained, wrap=Wrap.NONE).page.pixels)
    here, there = (
        np.corrcoef(done[part].reshape(-1, 3).T)[0, 1] for part in (np.s_[62:78, 52:72], np.s_[20:50, 20:90])
    )
    assert here == pytest.approx(there, abs=0.12)


def test_grain_does_not_shift_a_fill(untrained: InpaintModel, image: Make) -> None:
    page = image(grainy(8.0))
    done = [inpaint(page, HOLES, untrained, grain=g, wrap=Wrap.NONE).page.pixels[HOLES] for g in Grain]
    assert abs(done[0].mean() - done[1].mean()) < 0.3


def test_the_same_picture_gets_the_same_grain_and_another_one_other_grain(untrained: InpaintModel, image: Make) -> None:
    first, again, other = (
        inpaint(image(grainy(6.0, seed)), HOLES, untrained, wrap=Wrap.NONE).page.pixels for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first[HOLES], other[HOLES])


def test_a_picture_without_grain_gets_none(untrained: InpaintModel, image: Make) -> None:
    page = image(grainy(0.0))
    done = [inpaint(page, HOLES, untrained, grain=g, wrap=Wrap.NONE).page.pixels for g in Grain]
    assert np.array_equal(*done)


def test_an_even_part_of_a_textured_picture_gets_none(untrained: InpaintModel, image: Make) -> None:
    """One hole over both: grain is what squares of the same colour have."""
    pixels = grainy(12.0)
    pixels[:, :100] = (60, 90, 120)
    pixels[::9, :100:7] = (61, 90, 120)  # steps of rounding
    holes = np.zeros(pixels.shape[:2], np.bool_)
    holes[70:84, 20:180] = True
    page = image(pixels)
    off, on = (inpaint(page, holes, untrained, grain=g, wrap=Wrap.NONE).page.pixels for g in (Grain.OFF, Grain.AUTO))
    difference = np.abs(on.astype(int) - off)
    assert difference[70:84, 20:90].max() <= 2
    assert difference[70:84, 110:180].std() > 4


def test_lines_are_not_taken_for_grain(untrained: InpaintModel, image: Make) -> None:
    pixels = np.full((160, 200, 3), 120, np.uint8)
    pixels[::8] = (20, 40, 60)
    pixels[:, ::11] = (220, 200, 90)
    holes = np.zeros(pixels.shape[:2], np.bool_)
    holes[60:90, 60:100] = True
    page = image(pixels)
    done = [inpaint(page, holes, untrained, grain=g, wrap=Wrap.NONE).page.pixels for g in Grain]
    assert np.array_equal(*done)
