"""The golden table: every pixel mode in every format is kept exactly, or refused with an error saying the way out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest
from PIL import Image as PillowImage

from restore.errors import ImageError
from restore.formats import FORMATS, Decoder, cannot_hold, encode, target_suffix, written_size
from restore.image import Document

PIXELS = np.random.default_rng(3).integers(0, 256, (5, 7, 4), dtype=np.uint8)
PIXELS[0, 0] = (200, 0, 0, 0)
SIXTEEN = np.random.default_rng(4).integers(0, 65536, (5, 7, 4), dtype=np.uint16)
SIXTEEN[0, 0] = (200, 0, 0, 0)  # dark: a depth guessed from values would be wrong
FLOATS = np.random.default_rng(5).random((5, 7, 4)).astype(np.float32)

MODES = {
    "grey": (PIXELS[..., :1], ("Y",)),
    "grey+alpha": (PIXELS[..., [0, 3]], ("Y", "A")),
    "RGB": (PIXELS[..., :3], ("R", "G", "B")),
    "RGBA": (PIXELS, ("R", "G", "B", "A")),
    "grey 16": (SIXTEEN[..., :1], ("Y",)),
    "grey+alpha 16": (SIXTEEN[..., [0, 3]], ("Y", "A")),
    "RGB 16": (SIXTEEN[..., :3], ("R", "G", "B")),
    "RGBA 16": (SIXTEEN, ("R", "G", "B", "A")),
    "RGB half": (FLOATS[..., :3].astype(np.float16), ("R", "G", "B")),
    "RGB float": (FLOATS[..., :3], ("R", "G", "B")),
    "grey float": (FLOATS[..., :1], ("Y",)),
}
KEPT = {
    "png": {"grey", "grey+alpha", "RGB", "RGBA", "grey 16", "grey+alpha 16", "RGB 16", "RGBA 16"},
    "tga": {"grey", "grey+alpha", "RGB", "RGBA"},
    "bmp": {"grey", "RGB", "RGBA"},
    "jpeg": {"grey", "RGB"},
    "tiff": set(MODES),
    "webp": {"RGB", "RGBA"},
    "pnm": {"grey", "RGB", "grey 16", "RGB 16", "RGB float", "grey float"},
    "exr": {"RGB half", "RGB float", "grey float"},
    "dds": set(),
}


def a_source(mode: str, save: Callable[..., Path], save_oiio: Callable[..., Path]) -> Path:
    """A file of that mode, in a format that others wrote."""
    pixels, names = MODES[mode]
    if pixels.dtype == np.uint8:
        return save(pixels, "source.png")
    return save_oiio(pixels, "source.png" if pixels.dtype == np.uint16 else "source.exr", names)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("target", FORMATS)
def test_each_mode_is_kept_exactly_or_refused_with_the_way_out(
    mode: str, target: str, decoder: Decoder, save: Callable[..., Path], save_oiio: Callable[..., Path], tmp_path: Path
) -> None:
    source = a_source(mode, save, save_oiio)
    header, document = decoder.probe(source), decoder.read(source)
    pixels, names = MODES[mode]
    assert document.first.stored.channels == names == header.channels
    assert document.first.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(document.first.pixels, pixels)

    reason = cannot_hold(target, header, 4.0)
    assert (reason is None) == (mode in KEPT[target]), reason
    if reason is not None:
        assert "use --format" in reason
        with pytest.raises(ImageError, match="use --format"):
            encode(document, target)
        return
    with encode(document, target) as file:
        checked, facts = decoder.check(file, target)
        assert (checked.channels, checked.bits, checked.is_float) == (header.channels, header.bits, header.is_float)
        assert (checked.width, checked.height, checked.pages) == written_size(document) == (7, 5, 1)
        assert facts.finite
        assert not facts.constant
        path = tmp_path / f"back{target_suffix(target)}"
        path.write_bytes(file.read())
    back = decoder.read(path)
    assert back.first.pixels.dtype == pixels.dtype
    if target != "jpeg":
        np.testing.assert_array_equal(back.first.pixels, pixels)


REFUSED = {
    "cmyk.jpg": ("CMYK", {}),
    "cmyk.tif": ("CMYK", {}),
    "lab.tif": ("LAB", {}),
    "integers.tif": ("I", {}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_kept_is_refused_by_name(name: str, decoder: Decoder, tmp_path: Path) -> None:
    mode, options = REFUSED[name]
    with PillowImage.fromarray(PIXELS[..., :3]) as picture:
        source = picture.convert("L").convert("I") if mode == "I" else picture.convert(mode)
        source.save(tmp_path / name, **options)
    for ask in (decoder.probe, decoder.read):
        with pytest.raises(ImageError, match=rf"{name}.*not supported.*convert it"):
            ask(tmp_path / name)


@pytest.mark.parametrize("compression", ["lzma", "zstd"])
def test_a_compression_that_the_library_lacks_is_named_and_never_called_damage(
    compression: str, decoder: Decoder, save: Callable[..., Path]
) -> None:
    source = save(PIXELS, "odd.tif", compression=compression)
    reader = OpenImageIO.ImageInput.open(str(source))
    built_in = reader.read_image(0, 0, 0, 4, "uint8") is not None
    reader.close()
    if built_in:
        np.testing.assert_array_equal(decoder.read(source).first.pixels, PIXELS)
        return
    with pytest.raises(ImageError, match=r"odd\.tif: its compression can't be read by this build"):
        decoder.read(source)


@pytest.mark.parametrize("target", ["exr", "tiff"])
def test_no_file_is_dated_so_that_two_runs_give_the_same_bytes(
    target: str, decoder: Decoder, save_oiio: Callable[..., Path], tmp_path: Path
) -> None:
    document = decoder.read(save_oiio(FLOATS[..., :3], "source.pfm", ("R", "G", "B")))
    path = tmp_path / f"undated{target_suffix(target)}"
    with encode(Document((document.first, document.first)), target) as file:
        path.write_bytes(file.read())
    assert time.strftime("%Y:%m:").encode() not in path.read_bytes()


def test_signed_integers_are_refused(decoder: Decoder, save_oiio: Callable[..., Path]) -> None:
    for dtype in (np.int16, np.int8):
        path = save_oiio(PIXELS[..., :3].astype(dtype), "odd.tif", ("R", "G", "B"))
        with pytest.raises(ImageError, match="not supported: convert it"):
            decoder.read(path)


@pytest.mark.parametrize("name", ["palette.png", "palette.tga", "palette.bmp", "palette.tif"])
def test_palettes_are_expanded_with_a_note(name: str, decoder: Decoder, tmp_path: Path) -> None:
    with PillowImage.fromarray(PIXELS[..., :3]).quantize(16) as picture:
        picture.save(tmp_path / name)
        wanted = np.asarray(picture.convert("RGB"))
    document = decoder.read(tmp_path / name)
    assert document.first.stored.channels == ("R", "G", "B")
    assert any("palette" in note for note in document.first.stored.notes)
    worst = np.abs(document.first.pixels.astype(int) - wanted.astype(int)).max()
    assert worst <= (1 if name.endswith("tif") else 0)  # TIFF palettes have 16 bits, which readers round differently


def test_a_palette_with_transparency_becomes_straight_rgba(decoder: Decoder, tmp_path: Path) -> None:
    with PillowImage.fromarray(PIXELS[..., :3]).quantize(16) as picture:
        clear = int(np.asarray(picture)[0, 0])
        picture.save(tmp_path / "p.png", transparency=clear)
        colour = np.asarray(picture.convert("RGB"))[0, 0]
    document = decoder.read(tmp_path / "p.png")
    assert document.first.stored.channels == ("R", "G", "B", "A")
    assert document.first.pixels[0, 0].tolist() == [*colour.tolist(), 0]
    assert any("transparency" in note for note in document.first.stored.notes)


@pytest.mark.parametrize("name", ["bits.png", "bits.tif", "bits.pbm"])
def test_one_bit_pictures_become_8_bit_grey_with_a_note(name: str, decoder: Decoder, tmp_path: Path) -> None:
    with PillowImage.fromarray(PIXELS[..., 0]).convert("1") as picture:
        picture.save(tmp_path / name)
        wanted = np.asarray(picture.convert("L"))
    document = decoder.read(tmp_path / name)
    assert document.first.stored.channels == ("Y",)
    np.testing.assert_array_equal(document.first.pixels[..., 0], wanted)
    assert any("1-bit" in note for note in document.first.stored.notes)


@pytest.mark.parametrize("name", ["film.png", "film.webp"])
def test_animations_are_refused(name: str, decoder: Decoder, tmp_path: Path) -> None:
    frames = [PillowImage.fromarray(PIXELS[..., :3]), PillowImage.fromarray(255 - PIXELS[..., :3])]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=40)
    with pytest.raises(ImageError, match="animated"):
        decoder.probe(tmp_path / name)


def test_a_gif_is_refused_whatever_its_name(decoder: Decoder, tmp_path: Path) -> None:
    PillowImage.fromarray(PIXELS[..., 0]).save(tmp_path / "x.gif")
    named = (tmp_path / "x.gif").rename(tmp_path / "x.png")
    with pytest.raises(ImageError, match="GIF"):
        decoder.read(named)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (13, 17)])
@pytest.mark.parametrize("target", ["png", "tga", "bmp", "tiff", "webp", "pnm"])
def test_odd_sizes_survive(
    shape: tuple[int, int], target: str, decoder: Decoder, save: Callable[..., Path], tmp_path: Path
) -> None:
    pixels: np.ndarray[Any, Any] = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    document = decoder.read(save(pixels, "odd.png"))
    path = tmp_path / f"back{target_suffix(target)}"
    with encode(document, target) as file:
        path.write_bytes(file.read())
    np.testing.assert_array_equal(decoder.read(path).first.pixels, pixels)
