"""Claims about holes wider than the network was trained for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import torch

from restore.holes.found import one_kind
from restore.image import Image
from restore.inpaint import inpaint
from restore.inpaint.coarse import depths
from restore.inpaint.surface import surface_of
from restore.models.inpainting import InpaintModel
from restore.recipe import Grain, HolesFrom, TraitRules, Wrap
from restore.traits import classify

Make = Callable[..., Image]


def test_the_network_never_sees_a_hole_wider_than_it_was_trained_for(model: InpaintModel, picture: Make) -> None:
    widest = []

    def watched(planes: torch.Tensor) -> torch.Tensor:
        for one in planes:
            unseen = (one[3] == 0).numpy().astype(np.uint8)
            distance = cv2.distanceTransform(unseen, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            widest.append(float(distance.max(where=one[4].numpy() > 0, initial=0.0)))
        return model.net(planes)

    image = picture(300, 320)
    holes = np.zeros((300, 320), np.bool_)
    holes[40:240, 60:260] = True
    inpaint(image, holes, replace(model, net=watched), wrap=Wrap.NONE)
    assert 0 < max(widest) <= model.max_width_px / 2 + 1


def test_a_wide_hole_in_a_ramp_is_a_ramp_without_rings(untrained: InpaintModel, image: Make) -> None:
    y, x = np.mgrid[0:260, 0:260].astype(np.float32)
    pixels = np.repeat((20 + 0.4 * x + 0.4 * y)[..., None], 3, 2).round().astype(np.uint8)
    holes = np.zeros((260, 260), np.bool_)
    holes[70:190, 70:190] = True
    broken = pixels.copy()
    broken[holes] = 0
    done = inpaint(image(broken), holes, untrained, grain=Grain.OFF, wrap=Wrap.NONE).page.pixels.astype(float)
    error = np.abs(done - pixels)[holes]
    assert error.mean() < 6
    steps = np.abs(np.diff(done[130, 60:200, 0]))
    assert steps.max() <= 6, "no edge where the rim meets the middle"


def test_a_wide_hole_with_nothing_visible_near_still_finds_colour(untrained: InpaintModel, picture: Make) -> None:
    pixels = picture(400, 400, 4).pixels.copy()
    pixels[..., 3] = 0
    pixels[:20, :20, 3] = 255
    pixels[:20, :20, :3] = (200, 100, 50)
    pixels[..., :3] = np.where(pixels[..., 3:] > 0, pixels[..., :3], 0)
    holes = np.zeros((400, 400), np.bool_)
    holes[300:310, 300:310] = True
    done = inpaint(picture(400, 400, 4).with_pixels(pixels), holes, untrained, wrap=Wrap.NONE).page.pixels
    assert np.abs(done[300:310, 300:310, :3].astype(int) - (200, 100, 50)).max() <= 2
    assert (done[300:310, 300:310, 3] == 0).all()


def test_a_wide_hole_keeps_the_rest_bit_for_bit_in_floats(model: InpaintModel, picture: Make) -> None:
    image = picture(200, 220, 3, np.float32)
    holes = np.zeros((200, 220), np.bool_)
    holes[:, 60:160] = True
    done = inpaint(image, holes, model, wrap=Wrap.NONE).page.pixels
    assert np.array_equal(done[~holes], image.pixels[~holes])
    assert np.isfinite(done).all()


def test_the_rim_of_a_wide_hole_is_filled_where_at_half_the_size_all_is_even(model: InpaintModel, image: Make) -> None:
    board = np.indices((240, 240)).sum(0) % 2
    pixels = np.repeat((100 + 40 * board)[..., None], 3, 2).astype(np.uint8)
    holes = np.zeros((240, 240), np.bool_)
    holes[60:180, 60:180] = True
    broken = np.where(holes[..., None], np.uint8(255), pixels)
    done = inpaint(image(broken), holes, model, grain=Grain.OFF, wrap=Wrap.NONE).page.pixels
    assert done[holes].max() < 200
    assert np.abs(done[100:140, 100:140].astype(int) - 120).max() <= 1


def test_how_deep_a_hole_is_does_not_depend_on_how_many_threads_are_free(picture: Callable[..., Image]) -> None:
    image = picture(700, 600)
    holes = np.zeros((700, 600), np.bool_)
    holes[100:600, 80:500] = True
    holes[300:310, 200:220] = False
    found = one_kind(holes, image, "mask")
    surface = surface_of(image, found, classify(image, "", TraitRules(Wrap.NONE)), HolesFrom.MASKS)
    box = found.blobs[0].box
    own = holes[box.y0 : box.y1, box.x0 : box.x1]
    usual = cv2.getNumThreads()
    told = []
    try:
        for threads in (1, 2, 3, 4):
            cv2.setNumThreads(threads)
            told.append(depths(surface, box, own, 40))
    finally:
        cv2.setNumThreads(usual)
    assert all(np.array_equal(told[0], other) for other in told[1:])
    assert np.isclose(told[0].max(), np.sqrt(np.rint(told[0].max() ** 2)))
