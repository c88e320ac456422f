"""What mask files say, however they were painted and stored."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from holes_pictures import PLAIN, disc, image
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.formats import Decoder, encode
from restore.holes import DoubtKind, as_mask, doubts, find, read_marks
from restore.image import Document
from restore.recipe import FindHoles, HolesFrom

MASKS = FindHoles(HolesFrom.MASKS, grow_px=0)


def painted(side: int = 64) -> NDArray[np.bool_]:
    return disc(side, side, 20, 30, 9) >= 0.5


def grey(holes: NDArray[np.bool_], white: int = 255, black: int = 0, dtype: type = np.uint8) -> NDArray[np.generic]:
    return np.where(holes, white, black).astype(dtype)


def tinted(rgb: tuple[int, int, int]) -> NDArray[np.uint8]:
    return (painted()[..., None] * np.array(rgb)).astype(np.uint8)


def on_a_layer(rgb: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.dstack([np.full((64, 64, 3), rgb, np.uint8), grey(painted())])


@pytest.mark.parametrize(
    "pixels",
    [
        grey(painted()),
        grey(painted(), white=254, black=1),
        grey(painted(), white=235, black=16),
        grey(painted(), white=65535, dtype=np.uint16),
        grey(painted(), white=255, dtype=np.uint16),
        grey(painted(), white=1),
        painted().astype(np.float32),
        255.0 * painted().astype(np.float32),
        tinted((255, 0, 0)),
        tinted((0, 0, 200)),
        on_a_layer((0, 0, 0)),
        on_a_layer((255, 0, 255)),
    ],
    ids=[
        "black and white", "1 and 254", "16 and 235", "16 bit", "8-bit values in 16 bit", "0 and 1", "floats",
        "floats to 255", "red", "blue", "black strokes on a layer", "pink strokes on a layer",
    ],
)  # fmt: skip
def test_the_same_holes_are_read_from_every_kind_of_mask(pixels: NDArray[np.generic]) -> None:
    assert np.array_equal(read_marks(image(pixels)).holes, painted())
    assert np.array_equal(read_marks(image(pixels), invert=True).holes, ~painted())


def test_a_smooth_rim_is_cut_in_the_middle() -> None:
    smooth = np.rint(255 * disc(64, 64, 20, 30, 9)).astype(np.uint8)
    assert np.array_equal(read_marks(image(smooth)).holes, smooth >= 128)


def test_jpeg_ringing_makes_no_dots() -> None:
    stored = cv2.imdecode(
        cv2.imencode(".jpg", grey(painted()), [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_GRAYSCALE
    )
    assert stored.max() != 255 or set(np.unique(stored)) != {0, 255}
    holes = read_marks(image(stored)).holes
    assert cv2.connectedComponents(holes.astype(np.uint8))[0] == 2
    assert np.count_nonzero(holes != painted()) < 30


@pytest.mark.parametrize("level", [0, 1, 16])
def test_an_even_dark_mask_marks_nothing(level: int) -> None:
    assert not read_marks(image(np.full((8, 8), level, np.uint8))).holes.any()


def test_what_was_saved_as_a_mask_is_read_back_exactly() -> None:
    rng = np.random.default_rng(0)
    for holes in (rng.random((33, 57)) < 0.2, np.zeros((5, 4), np.bool_), np.ones((1, 1), np.bool_)):
        saved = as_mask(holes)
        assert saved.pixels.dtype == np.uint8
        assert not saved.stored.extras
        assert np.array_equal(read_marks(saved).holes, holes)


def test_a_saved_mask_survives_its_png_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    holes = np.random.default_rng(0).random((40, 30)) < 0.1
    path = tmp_path / "mask.png"
    path.write_bytes(encode(Document((as_mask(holes),)), "png").read())
    with Decoder() as decoder:
        assert np.array_equal(read_marks(decoder.read(path).first).holes, holes)


def test_a_mask_of_another_size_is_refused_with_both_sizes() -> None:
    page = image(np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(ImageError, match=r"64x64.*50x40"):
        find(page, MASKS, PLAIN, marked=image(grey(painted())))


def test_holes_from_a_mask_carry_one_blob_for_each_place() -> None:
    holes = np.zeros((30, 40), np.bool_)
    holes[20:25, 2:6] = holes[3:5, 30:33] = holes[3, 10] = True
    found = find(image(np.zeros((30, 40, 3), np.uint8)), MASKS, PLAIN, marked=as_mask(holes))
    assert [(b.box.y0, b.box.x0, b.area_px, b.kind, b.score) for b in found.blobs] == [
        (3, 10, 1, "mask", None), (3, 30, 6, "mask", None), (20, 2, 20, "mask", None),
    ]  # fmt: skip
    assert np.array_equal(found.holes, holes)
    assert np.array_equal(found.labels > 0, holes)
    assert all((found.labels == k + 1).sum() == blob.area_px for k, blob in enumerate(found.blobs))


def kinds(pixels: NDArray[np.generic], width: int = 64, height: int = 64, invert: bool = False) -> list[DoubtKind]:
    return [d.kind for d in doubts(image(pixels), width_px=width, height_px=height, invert=invert)]


def test_a_good_mask_raises_no_doubt() -> None:
    assert kinds(grey(painted())) == []
    assert kinds(cv2.GaussianBlur(grey(painted()), (0, 0), 1.0)) == [], "smooth rims are usual"


def test_doubts_name_what_is_wrong() -> None:
    assert kinds(grey(~painted())) == [DoubtKind.INVERTED]
    assert kinds(grey(~painted()), invert=True) == []
    assert kinds(grey(painted() & False)) == [DoubtKind.EMPTY]
    assert kinds(grey(painted() | True)) == [DoubtKind.EVERYTHING]
    photo = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    assert DoubtKind.GREY in kinds(cv2.GaussianBlur(photo, (0, 0), 3.0))


@pytest.mark.parametrize(
    ("width", "height", "word"), [(64, 64, ""), (128, 128, "scaled by 0.5"), (68, 64, "cropped or padded"),
                                  (900, 64, "another picture")]
)  # fmt: skip
def test_a_wrong_size_is_explained_and_fatal(width: int, height: int, word: str) -> None:
    told = [d for d in doubts(image(grey(painted())), width_px=width, height_px=height) if d.fatal]
    assert [word in d.words and f"{width}x{height}" in d.words for d in told] == ([True] if word else [])


def test_swapped_sides_are_recognised() -> None:
    [doubt] = doubts(image(grey(painted())[:40]), width_px=40, height_px=64)
    assert doubt.fatal
    assert "swapped" in doubt.words


def test_only_what_stops_the_work_is_fatal() -> None:
    assert [d.fatal for d in doubts(image(grey(painted() & False)), width_px=64, height_px=64)] == [False]
    assert [d.fatal for d in doubts(image(grey(painted() | True)), width_px=64, height_px=64)] == [True]
