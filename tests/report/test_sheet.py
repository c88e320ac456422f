"""Claims about the contact sheet: it can be read, it shows truthfully, and no file name or pixel type breaks it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from restore.image import Alpha, Image, Stored, Transfer
from restore.report.sheet import CELL_PX, After, Row, Window, brightest, detail_window, sheet, to_shown


def picture(pixels: np.ndarray, channels: tuple[str, ...]) -> Image:
    is_float = pixels.dtype.kind == "f"
    return Image(
        pixels,
        Stored(
            format="exr" if is_float else "png",
            bits=pixels.dtype.itemsize * 8,
            is_float=is_float,
            transfer=Transfer.LINEAR if is_float else Transfer.SRGB,
            alpha=Alpha.STRAIGHT if "A" in channels else Alpha.NONE,
            channels=channels,
        ),
    )


def flat(height: int, width: int, color: tuple[int, ...]) -> Image:
    return picture(np.full((height, width, len(color)), color, np.uint8), tuple("RGBA"[: len(color)]))


def pixels_of(path: Path) -> np.ndarray:
    with Pillow.open(path) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened.convert("RGB"))


def has_color(pixels: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((pixels == np.array(color, np.uint8)).all(axis=2).any())


def test_sheet_shows_the_source_and_every_result(tmp_path: Path) -> None:
    row = Row(
        "wall.png",
        flat(40, 40, (200, 10, 10)),
        (After("a", flat(160, 160, (10, 200, 10))), After("b", flat(160, 160, (10, 10, 200)))),
        ("color; wraps nowhere",),
    )
    assert sheet([row], tmp_path / "sheet.png") == 1
    seen = pixels_of(tmp_path / "sheet.png")
    for color in ((200, 10, 10), (10, 200, 10), (10, 10, 200)):
        assert has_color(seen, color)


def test_result_is_shown_pixel_for_pixel(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (900, 700, 3), np.uint8)
    sheet([Row("n", flat(225, 175, (9, 9, 9)), (After("m", picture(noise, ("R", "G", "B"))),))], tmp_path / "sheet.png")
    seen = pixels_of(tmp_path / "sheet.png")
    # A flat source: its first window is taken, so the result's top left corner is what is shown.
    corner = noise[:CELL_PX, :CELL_PX]
    starts = np.argwhere((seen == corner[0, 0]).all(axis=2))
    assert any(np.array_equal(seen[y : y + CELL_PX, x : x + CELL_PX], corner) for y, x in starts)


def test_rows_are_drawn_one_at_a_time(tmp_path: Path) -> None:
    alive: list[int] = []

    def rows():  # type: ignore[no-untyped-def]
        for number in range(3):
            alive.append(number)
            yield Row(str(number), flat(8, 8, (1, 2, 3)), (After("m", flat(32, 32, (4, 5, 6))),))

    assert sheet(rows(), tmp_path / "sheet.png", title="three") == 3
    assert alive == [0, 1, 2]


@pytest.mark.parametrize(
    "name", ["стена.png", "壁.png", "a\nb\x1b[31m.png", "\udcff\udcfe.tga", "e\u202egnp.x", "", "x" * 4000]
)
def test_no_file_name_breaks_the_sheet(tmp_path: Path, name: str) -> None:
    row = Row(name, flat(8, 8, (1, 2, 3)), (After("m", flat(32, 32, (4, 5, 6))),), (name,))
    assert sheet([row], tmp_path / "sheet.png") == 1
    assert has_color(pixels_of(tmp_path / "sheet.png"), (4, 5, 6))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 1), (7, 383), (97, 16)])
def test_any_shape_fits(tmp_path: Path, height: int, width: int) -> None:
    row = Row("odd", flat(height, width, (1, 2, 3)), (After("m", flat(height * 3, width * 3, (4, 5, 6))),))
    assert sheet([row], tmp_path / "sheet.png") == 1
    assert has_color(pixels_of(tmp_path / "sheet.png"), (4, 5, 6))


def test_results_of_different_scale_share_a_row(tmp_path: Path) -> None:
    afters = (After("x2", flat(60, 60, (10, 200, 10))), After("x4", flat(120, 120, (10, 10, 200))))
    sheet([Row("w", flat(30, 30, (200, 10, 10)), afters)], tmp_path / "sheet.png")
    seen = pixels_of(tmp_path / "sheet.png")
    assert has_color(seen, (10, 200, 10))
    assert has_color(seen, (10, 10, 200))


def test_a_row_without_a_result_still_shows_its_source(tmp_path: Path) -> None:
    sheet([Row("w", flat(30, 30, (200, 10, 10)), (), ("x4plus: failed",))], tmp_path / "sheet.png")
    assert has_color(pixels_of(tmp_path / "sheet.png"), (200, 10, 10))


def test_an_empty_sheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one row"):
        sheet([], tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()


def test_transparent_pixels_show_a_checkerboard_not_their_hidden_color() -> None:
    shown = to_shown(flat(32, 32, (255, 0, 255, 0)))
    assert {tuple(int(v) for v in c) for c in shown.reshape(-1, 3)} == {(102, 102, 102), (153, 153, 153)}


def test_grey_with_alpha_and_further_channels_can_be_shown() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = 77, 255, 9
    assert (to_shown(picture(pixels, ("Y", "A", "depth"))) == 77).all()


def test_sixteen_bits_are_rounded_not_wrapped() -> None:
    pixels = np.array([0, 257 * 100, 257 * 100 + 200, 65535], np.uint16).reshape(1, 4, 1)
    assert to_shown(picture(pixels, ("Y",)))[0, :, 0].tolist() == [0, 100, 101, 255]


def test_linear_light_is_encoded_and_bright_floats_share_one_white() -> None:
    middle = picture(np.full((2, 2, 3), 0.2140, np.float32), ("R", "G", "B"))
    assert (to_shown(middle) == 127).all() or (to_shown(middle) == 128).all()
    bright = picture(np.full((8, 8, 3), 4.0, np.float32), ("R", "G", "B"))
    assert brightest(bright) == 4.0
    assert (to_shown(bright, brightest(bright)) == 255).all()


def test_non_finite_floats_are_shown_not_raised() -> None:
    pixels = np.array([np.nan, np.inf, -np.inf, 0.5], np.float32).reshape(2, 2, 1)
    assert to_shown(picture(pixels, ("Y",))).shape == (2, 2, 3)


def test_the_window_is_where_the_detail_is() -> None:
    shown = np.zeros((100, 200, 3), np.uint8)
    shown[60:80, 150:170] = np.random.default_rng(0).integers(0, 256, (20, 20, 3))
    window = detail_window(picture(shown, ("R", "G", "B")), 30, 30)
    assert window.top * 100 <= 60
    assert window.bottom * 100 >= 80
    assert window.left * 200 <= 150
    assert window.right * 200 >= 170
    assert isinstance(window, Window)
    assert window.cut(shown).shape[:2] == (30, 30)


def test_transparent_areas_are_no_detail() -> None:
    pixels = np.zeros((100, 100, 4), np.uint8)
    pixels[:50, :50, :3] = np.random.default_rng(0).integers(0, 256, (50, 50, 3))  # hidden under alpha 0
    pixels[70:80, 70:80] = 255
    window = detail_window(picture(pixels, ("R", "G", "B", "A")), 20, 20)
    assert round(window.top * 100) <= 70
    assert round(window.left * 100) <= 70
    assert round(window.bottom * 100) >= 80
    assert round(window.right * 100) >= 80
