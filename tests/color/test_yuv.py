"""Video samples as colour and back: round trips, and repairs that leave every other sample alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from restore.color.yuv import Signal, from_rgb, signal_of, splice, to_rgb, to_working, touched
from restore.errors import ImageError
from restore.formats.video_pixels import Planes, layout_of

pytest.importorskip("av", reason="video needs PyAV: pip install av")

HEIGHT, WIDTH = 38, 54
FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv410p", "yuv440p", "gbrp", "gray"]
FORMATS += ["yuv420p10le", "yuv422p10le", "yuv444p12le", "yuv420p16le", "gbrp10le", "gbrp16le", "gray10le", "yuva420p"]


def signal(name: str, matrix: int = 1, *, full: bool = False) -> Signal:
    return signal_of(layout_of(name), matrix, 1080, full_range=full)


def any_planes(name: str, seed: int = 1) -> Planes:
    """Every code there is, legal or not."""
    layout = layout_of(name)
    rng = np.random.default_rng(seed)
    return tuple(
        rng.integers(0, 1 << layout.bits, shape).astype(layout.dtype) for shape in layout.shapes(HEIGHT, WIDTH)
    )


def equal(one: Planes, other: Planes) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [1, 5, 7, 9])
@pytest.mark.parametrize("name", ["yuv444p", "yuv444p10le", "yuv444p12le", "gbrp", "gbrp12le", "gbrp16le", "gray10le"])
def test_colour_at_full_size_survives_the_round_trip_code_for_code(name: str, matrix: int, full: bool) -> None:
    planes = any_planes(name)
    meaning = signal(name, matrix, full=full)
    assert equal(from_rgb(to_rgb(planes, meaning), meaning), planes), "illegal codes too"


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_the_working_picture_keeps_every_legal_code(bits: int) -> None:
    """Of 16 bits: colours inside R'G'B' come back as the same Y'CbCr."""
    name = "yuv444p" if bits == 8 else f"yuv444p{bits}le"
    meaning = signal(name)
    rgb = np.random.default_rng(2).integers(0, 65536, (HEIGHT, WIDTH, 3)).astype(np.uint16)
    planes = from_rgb(rgb, meaning)
    again = from_rgb(to_working(planes, meaning), meaning)
    worst = max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(planes, again, strict=True))
    inside = np.all((to_rgb(planes, meaning) >= 0) & (to_rgb(planes, meaning) <= 1), -1)
    assert all(np.array_equal(a[inside], b[inside]) for a, b in zip(planes, again, strict=True))
    assert worst <= 1, "at the gamut's edge, rounding to codes leaves it by at most one"


def test_codes_and_colours_are_those_of_the_recommendations() -> None:
    one = np.ones((1, 1), np.uint8)
    for matrix, rgb, expected in (
        (1, (1, 1, 1), (235, 128, 128)),
        (1, (0, 0, 0), (16, 128, 128)),
        (5, (1, 0, 0), (81, 90, 240)),
        (5, (0, 0, 1), (41, 240, 110)),
        (1, (1, 0, 0), (63, 102, 240)),
        (9, (0, 1, 0), (164, 47, 25)),
    ):
        planes = from_rgb(np.array([[rgb]], np.float32), signal("yuv444p", matrix))
        assert tuple(int(plane[0, 0]) for plane in planes) == expected
    white = to_rgb((one * 235, one * 128, one * 128), signal("yuv444p"))
    assert np.allclose(white, 1, atol=1e-6)


@pytest.mark.parametrize("name", ["yuv444p16le", "gbrp10le"])
@pytest.mark.parametrize("matrix", [1, 5, 9])
def test_colours_agree_with_ffmpegs_converter(name: str, matrix: int) -> None:
    import av

    from restore.formats.video_pixels import frame_of

    rgb = np.random.default_rng(3).integers(0, 65536, (HEIGHT, WIDTH, 3)).astype(np.uint16)
    meaning = signal(name, matrix, full=name.startswith("gbr"))
    planes = from_rgb(rgb, meaning)
    frame = frame_of(planes, meaning.layout, name)
    theirs = frame.reformat(
        format="rgb48le",
        src_colorspace=matrix,
        src_color_range=2 if meaning.full_range else 1,
        dst_color_range=2,
        interpolation=av.video.reformatter.Interpolation.BICUBIC,
    ).to_ndarray()
    difference = np.abs(theirs.astype(int) - to_working(planes, meaning))
    assert np.percentile(difference, 99) <= 257, "one code of 8 bits, the precision of its tables"


@pytest.mark.parametrize("name", FORMATS)
def test_a_repair_changes_no_sample_that_no_hole_reaches(name: str) -> None:
    planes = any_planes(name)
    meaning = signal(name)
    holes = np.zeros((HEIGHT, WIDTH), bool)
    holes[0, 0] = holes[9:14, 20:27] = holes[HEIGHT - 1, WIDTH - 1] = True
    fresh = np.random.default_rng(5).integers(0, 65536, (HEIGHT, WIDTH, 1 if "gray" in name else 3)).astype(np.uint16)
    result = splice(planes, fresh, holes, meaning)
    for before, after, may in zip(planes, result, touched(holes, meaning), strict=False):
        assert np.array_equal(before[~may], after[~may])
        assert before.dtype == after.dtype
    assert (result[0] != planes[0])[holes].mean() > 0.9
    if len(planes) == 4:
        assert result[3] is planes[3], "alpha is nobody's repair"


@pytest.mark.parametrize("name", FORMATS)
def test_no_holes_give_the_very_same_planes(name: str) -> None:
    planes = any_planes(name)
    rgb = to_working(planes, signal(name))
    assert splice(planes, rgb, np.zeros((HEIGHT, WIDTH), bool), signal(name)) is planes


@pytest.mark.parametrize("name", FORMATS)
def test_a_flat_repair_has_the_colour_asked_for(name: str) -> None:
    """Chroma that damage had tinted is replaced, not mixed."""
    planes = any_planes(name)
    meaning = signal(name)
    holes = np.zeros((HEIGHT, WIDTH), bool)
    holes[8:21, 12:33] = True
    colour = np.array([0.3] if "gray" in name else [0.6, 0.4, 0.3], np.float32)
    flat = np.broadcast_to(colour, (HEIGHT, WIDTH, len(colour)))
    result = splice(planes, flat, holes, meaning)
    expected = from_rgb(np.ascontiguousarray(flat), meaning)
    for after, wanted, may in zip(result, expected, touched(holes, meaning), strict=False):
        assert np.all(after[may] == wanted[0, 0])


def test_chroma_lies_beside_the_left_luma_sample() -> None:
    """A ramp across stays a ramp: no shift between luma and chroma."""
    meaning = signal("yuv422p16le")
    ramp = np.broadcast_to(np.linspace(0.3, 0.6, WIDTH, dtype=np.float32)[None, :, None], (HEIGHT, WIDTH, 3)).copy()
    ramp[..., 1] = 0.45
    again = to_rgb(from_rgb(ramp, meaning), meaning)
    assert np.abs(again - ramp)[:, 2:-2].max() < 1e-3


def test_untagged_video_is_settled_by_its_lines_and_says_so() -> None:
    layout = layout_of("yuv420p")
    assert signal_of(layout, 2, 576, full_range=False).matrix == 6
    assert signal_of(layout, 2, 720, full_range=False).matrix == 1
    assert "untagged, 576 lines" in signal_of(layout, 2, 576, full_range=False).because
    with pytest.raises(ImageError, match=r"H\.273 code 8"):
        signal_of(layout, 8, 576, full_range=False)


def test_pictures_of_other_channels_are_refused() -> None:
    rgb: Any = np.zeros((HEIGHT, WIDTH, 3), np.uint16)
    with pytest.raises(ValueError, match="does not match gray"):
        from_rgb(rgb, signal("gray"))
