"""What a texture is: told from pixels and name, with a reason."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from restore.formats import Decoder
from restore.image import Alpha, Image, Stored, Transfer
from restore.recipe import TraitRules, Wrap
from restore.traits import AlphaUse, Content, Traits, classify

LABELS = Path(__file__).parent / "data" / "wrap_labels.csv"
Pixels = NDArray[np.uint8]


def image(pixels: NDArray[np.generic]) -> Image:
    channels = {1: "Y", 2: "YA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    alpha = Alpha.STRAIGHT if "A" in channels else Alpha.NONE
    stored = Stored("png", 8 * pixels.dtype.itemsize, pixels.dtype.kind == "f", Transfer.SRGB, alpha, tuple(channels))
    return Image(pixels, stored)


def told(pixels: NDArray[np.generic], name: str = "wall.png", wrap: Wrap = Wrap.AUTO) -> Traits:
    return classify(image(pixels), name, TraitRules(wrap))


def blobs(side: int, seed: int, sigma: float = 2.0) -> Pixels:
    """Random brightness, and a little random colour, that goes on across its own borders."""
    noise = np.random.default_rng(seed).normal(size=(side, side, 4)).astype(np.float32)
    margin = 4 * int(sigma + 1)
    wide = cv2.GaussianBlur(np.pad(noise, ((margin, margin), (margin, margin), (0, 0)), mode="wrap"), (0, 0), sigma)
    inner = wide[margin:-margin, margin:-margin]
    mixed = inner[..., :1] + 0.3 * inner[..., 1:]
    return np.clip(128 + 50 * mixed / mixed.std(), 0, 255).astype(np.uint8)


def bricks(side: int, seed: int) -> Pixels:
    """Courses of bricks of uneven colour, half a brick offset, that tile on both axes (no mortar at the seam)."""
    rng = np.random.default_rng(seed)
    wall = np.full((side, side, 3), 90.0)
    course, length = side // 8, side // 4
    for row in range(8):
        for brick in range(4):
            left = brick * length + (row % 2) * length // 2
            columns = np.arange(left + 2, left + length) % side
            wall[row * course + 2 : (row + 1) * course, columns] = rng.uniform(60, 200, 3)
    rough = blobs(side, seed + 1, 1.5).astype(float) - 128
    return np.roll(np.clip(wall + 0.3 * rough, 0, 255).astype(np.uint8), (side // 20, side // 10), (0, 1))


def jpeg(pixels: Pixels, quality: int = 75) -> Pixels:
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


# --- wrap ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("make", [blobs, bricks])
@pytest.mark.parametrize("side", [64, 128, 200])
def test_generated_seamless_texture_repeats(make: object, side: int, seed: int) -> None:
    assert told(jpeg(make(side, seed))).wraps == (True, True)  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("side", [64, 128, 200])
def test_crop_of_it_does_not(side: int, seed: int) -> None:
    texture = blobs(side * 2, seed)[:side, :side]
    assert told(jpeg(texture)).wraps == (False, False)


@pytest.mark.parametrize("seed", range(4))
def test_each_axis_is_told_on_its_own(seed: int) -> None:
    texture = blobs(128, seed)
    assert told(texture[:90]).wraps == (False, True)
    assert told(texture[:, :90]).wraps == (True, False)


def test_flat_or_empty_borders_are_no_evidence() -> None:
    framed = blobs(128, 1)
    framed[:12], framed[-12:], framed[:, :12], framed[:, -12:] = 0, 0, 0, 0
    sprite = np.dstack([blobs(128, 2), np.zeros((128, 128), np.uint8)])
    cv2.circle(sprite, (64, 64), 40, (200, 100, 50, 255), -1)
    gradient = np.linspace(0, 255, 128).astype(np.uint8)[:, None, None].repeat(128, 1).repeat(3, 2)
    for pixels in (framed, sprite, np.full((64, 64, 3), 77, np.uint8)):
        assert told(pixels).wraps == (False, False)
    assert not told(gradient).wraps[0]
    assert "flat border" in told(framed).because


def test_symmetric_emblem_that_touches_its_borders_does_not_repeat() -> None:
    emblem = np.zeros((128, 128, 3), np.uint8)
    for radius in range(64, 0, -1):
        cv2.circle(emblem, (64, 64), radius, (radius * 3, 255 - radius * 3, 40), -1)
    assert told(emblem).wraps == (False, False)


def test_hidden_colour_does_not_vote() -> None:
    texture = np.dstack([blobs(128, 3), np.zeros((128, 128), np.uint8)])
    texture[30:90, 30:90, 3] = 255
    texture[30:90, 30:90, :3] = (10, 200, 30)
    assert told(texture).alpha is AlphaUse.CUTOUT
    assert told(texture).wraps == (False, False)


@pytest.mark.parametrize("dtype", [np.uint16, np.float16, np.float32])
def test_every_pixel_type_is_told_alike(dtype: type) -> None:
    texture = blobs(96, 4)
    for pixels, expected in ((texture, (True, True)), (texture[:70, :70], (False, False))):
        scaled = pixels.astype(np.float64) * (257 if dtype == np.uint16 else 1 / 255)
        assert told(scaled.astype(dtype)).wraps == expected


@pytest.mark.parametrize("size", [(1, 1), (8, 300), (15, 15), (17, 16)])
def test_too_small_to_tell_is_no(size: tuple[int, int]) -> None:
    assert told(np.zeros((*size, 3), np.uint8)).wraps == (False, False)


@pytest.mark.parametrize(
    ("wrap", "expected"),
    [(Wrap.NONE, (False, False)), (Wrap.X, (False, True)), (Wrap.Y, (True, False)), (Wrap.BOTH, (True, True))],
)
def test_the_user_has_the_last_word(wrap: Wrap, expected: tuple[bool, bool]) -> None:
    traits = told(blobs(64, 5)[:50], wrap=wrap)
    assert traits.wraps == expected
    assert "by request" in traits.because


@pytest.fixture(scope="module")
def labelled(shared_data: Path) -> list[tuple[dict[str, str], Image]]:
    folders = {"dds": shared_data / "dds", "sr": shared_data / "sr"}
    with LABELS.open(newline="") as file, Decoder() as decoder:
        rows = [row for row in csv.DictReader(file) if row["dataset"] in folders]
        found = [(row, folders[row["dataset"]] / row["path"]) for row in rows]
        return [(row, decoder.read(path).first) for row, path in found if path.exists()]


def test_real_textures_and_photos_are_told_as_labelled(labelled: list[tuple[dict[str, str], Image]]) -> None:
    """The half that the limits were not set on, and the other; benchmarks/wrap_detector.py has all the figures."""
    if not labelled:
        pytest.skip("none of the labelled pictures is here")
    counts: Counter[tuple[str, bool]] = Counter()
    for row, page in labelled:
        for axis, wraps in zip("yx", classify(page, row["path"], TraitRules()).wraps, strict=True):
            counts[row[axis], wraps] += 1
    assert counts["no", False] >= 120
    assert counts["no", True] == 0
    assert counts["yes", True] >= 0.6 * (counts["yes", True] + counts["yes", False])


def test_labels_hold_enough_of_both_kinds_in_both_halves() -> None:
    with LABELS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 150
    assert len({(row["dataset"], row["path"]) for row in rows}) == len(rows)
    for split in ("tune", "held-out"):
        for axis in "yx":
            kinds = Counter(row[axis] for row in rows if row["split"] == split)
            assert min(kinds["yes"], kinds["no"]) >= 50


# --- alpha -----------------------------------------------------------------------------------------------------------


def with_alpha(alpha: Pixels, color: Pixels | None = None) -> Pixels:
    return np.dstack([blobs(len(alpha), 6) if color is None else color, alpha])


def disc(side: int = 96) -> Pixels:
    return cv2.circle(np.zeros((side, side), np.uint8), (side // 2, side // 2), side // 3, 255, -1)


def test_no_alpha_and_constant_alpha() -> None:
    assert told(blobs(32, 7)).alpha is AlphaUse.NONE
    for value in (0, 128, 255):
        assert told(with_alpha(np.full((32, 32), value, np.uint8))).alpha is AlphaUse.CONSTANT


def test_one_pixel_of_another_alpha_is_seen() -> None:
    alpha = np.full((300, 200), 255, np.uint8)
    alpha[217, 133] = 254
    assert told(np.dstack([np.zeros((300, 200, 3), np.uint8), alpha])).alpha is AlphaUse.BLEND


def test_cutout_has_only_the_two_ends() -> None:
    color = np.zeros((96, 96, 3), np.uint8)
    color[disc() > 0] = blobs(96, 8)[disc() > 0]
    assert told(with_alpha(disc(), color)).alpha is AlphaUse.CUTOUT
    soft = cv2.GaussianBlur(disc(), (0, 0), 2)
    assert told(with_alpha(soft, color)).alpha is AlphaUse.BLEND


def test_picture_that_goes_on_under_alpha_zero_has_data_in_alpha() -> None:
    gloss = np.where(blobs(128, 9, 6.0)[..., 0] > 128, 200, 0).astype(np.uint8)
    traits = told(with_alpha(gloss, blobs(128, 10)))
    assert traits.alpha is AlphaUse.PACKED
    assert "alpha is data" in traits.because


def test_smeared_or_other_colour_under_alpha_zero_is_opacity() -> None:
    smeared = blobs(96, 11)
    smeared[disc() == 0] = cv2.GaussianBlur(smeared, (0, 0), 9)[disc() == 0]
    assert told(with_alpha(disc(), smeared)).alpha is AlphaUse.CUTOUT
    cut_out = blobs(96, 12) // 4
    cut_out[disc() > 0] += 180
    assert told(with_alpha(disc(), cut_out)).alpha is AlphaUse.CUTOUT


# --- normal maps, grey ------------------------------------------------------------------------------------------------


def normal_map(side: int, seed: int, slope: float = 0.5) -> Pixels:
    height = blobs(side, seed)[..., 0].astype(np.float32) / 255 * slope * 20
    dy, dx = np.gradient(height)
    vectors = np.dstack([-dx, -dy, np.ones_like(height)])
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    return np.rint((vectors + 1) * 127.5).astype(np.uint8)


@pytest.mark.parametrize(
    "name", ["wall_n.png", "a/Wall_Norm512.dds", "x-normal_512.tga", "brickNormal.png", "p_nrm.TGA"]
)
def test_named_normal_map_is_told(name: str) -> None:
    assert told(jpeg(normal_map(64, 13)), name).content is Content.NORMAL


def test_unnamed_normal_map_is_told_by_its_vectors_alone() -> None:
    traits = told(normal_map(64, 14))
    assert traits.content is Content.NORMAL
    assert "unit vectors" in traits.because


def test_name_alone_makes_no_normal_map() -> None:
    grey_height = blobs(64, 15)[..., :1].repeat(3, 2)
    for name, pixels in (("wall_bump.png", grey_height), ("brick_n.png", blobs(64, 16))):
        assert told(pixels, name).content is Content.COLOR


def test_sky_and_flat_blue_are_no_normal_maps() -> None:
    sky = np.clip(blobs(64, 17).astype(int) // 6 + (90, 130, 215), 0, 255).astype(np.uint8)
    assert told(sky).content is Content.COLOR
    assert told(np.full((32, 32, 3), (128, 128, 255), np.uint8), "blue.png").content is Content.COLOR


def test_red_and_green_alone_are_a_normal_map_if_the_name_says_so() -> None:
    pixels = normal_map(64, 18, slope=1.5)
    pixels[..., 2] = 0
    assert told(pixels, "wall_n.dds").content is Content.NORMAL
    assert told(pixels, "wall.dds").content is Content.COLOR


def test_alpha_beside_vectors_is_data() -> None:
    pixels = np.dstack([normal_map(96, 19), disc()])
    assert told(pixels, "wall_n.dds").alpha is AlphaUse.PACKED


def test_real_normal_maps_are_told_and_nothing_else_is(shared_data: Path) -> None:
    def read() -> Iterator[tuple[str, Image]]:
        with Decoder() as decoder:
            for path in sorted((shared_data / "dds").rglob("*.dds")):
                yield path.name, decoder.read(path).first

    found = {name for name, page in read() if classify(page, name, TraitRules()).content is Content.NORMAL}
    named = {path.name for path in (shared_data / "dds").rglob("*.dds") if "norm" in path.name.lower()}
    assert found == named | {"RifleStock1Bump.dds"}


def test_grey_is_exact() -> None:
    grey = blobs(70, 20)[..., :1].repeat(3, 2)
    assert told(grey).grey
    assert told(grey[..., :1]).grey
    grey[69, 69, 2] ^= 1
    assert not told(grey).grey
