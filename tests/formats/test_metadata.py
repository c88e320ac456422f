"""What stands beside the pixels goes from source to output and follows the new size; nothing is added."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageCms, PngImagePlugin, TiffImagePlugin

from restore.errors import ImageError
from restore.formats import FORMATS, Decoder, encode, target_suffix
from restore.image import Document, Image, Transfer

SCALE = 3
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>'


def an_exif(orientation: int = 6) -> PillowImage.Exif:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "A maker"
    exif[0x0132] = "2001:02:03 04:05:06"
    exif[0x011A] = TiffImagePlugin.IFDRational(72, 1)
    exif[0x011B] = TiffImagePlugin.IFDRational(144, 2)
    inner = exif.get_ifd(0x8769)
    inner[0xA002], inner[0xA003] = 12, 10
    inner[0x927C] = b"maker note \x00\x01\x02"
    return exif


def grown(document: Document, scale: int = SCALE) -> Document:
    """What an upscaler returns: larger pixels, the same `stored`."""
    pages = tuple(page.with_pixels(page.pixels.repeat(scale, axis=0).repeat(scale, axis=1)) for page in document.pages)
    return Document(pages, document.arrangement)


def through(source: Path, decoder: Decoder, tmp_path: Path, target: str = "") -> Path:
    """Reads, grows, encodes and stores; the output's path."""
    document = grown(decoder.read(source))
    name = target or document.first.stored.format
    with encode(document, name) as file, encode(document, name) as again:
        data = file.read()
        assert data == again.read(), "the same document must give the same bytes"
        decoder.check(file, name)
    path = tmp_path / f"out{target_suffix(name)}"
    path.write_bytes(data)
    return path


@pytest.fixture
def colours() -> np.ndarray[Any, Any]:
    return np.random.default_rng(8).integers(0, 256, (10, 12, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", [name for name, held in FORMATS.items() if held.can_write])
def test_no_date_gets_into_a_file(
    name: str, colours: np.ndarray[Any, Any], save: Callable[..., Path], decoder: Decoder
) -> None:
    """A resumed run gives the same bytes tomorrow; the library's clock would stand in TIFF and EXR."""
    page = decoder.read(save(colours, "plain.png")).first
    if not FORMATS[name].bits:
        stored = replace(page.stored, bits=32, is_float=True, transfer=Transfer.LINEAR)
        page = Image((page.pixels / np.float32(255)).astype(np.float32), stored)
    with encode(Document((page,)), name) as file:
        data = file.read()
    year = datetime.now(tz=UTC).year
    assert not re.search(rb"(%d|%d)[:-]\d\d" % (year, year + 1), data)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_profile_exif_and_xmp_survive_upscaling(
    name: str, decoder: Decoder, save: Callable[..., Path], colours: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"exif": an_exif(), "icc_profile": ICC}
    if name in ("a.jpg", "a.webp"):
        options["xmp"] = XMP
    if name == "a.tif":
        del options["exif"]
        inside = {0xA002: 12, 0xA003: 10, 0x927C: b"maker note \x00\x01\x02"}
        top = {0x0112: 6, 0x010F: "A maker", 0x0132: "2001:02:03 04:05:06", 0x8769: inside}
        options["tiffinfo"] = {**top, 700: XMP, 33723: b"\x1c\x02\x05\x00\x05title"}
    source = save(colours, name, **options)
    assert decoder.probe(source).orientation == 6
    assert decoder.probe(source).width == 12  # stored orientation: nothing is turned
    with PillowImage.open(through(source, decoder, tmp_path)) as output:
        assert output.size == ((30, 36) if name == "a.tif" else (36, 30))  # Pillow turns TIFF pictures by their tag
        assert output.info["icc_profile"] == ICC
        exif = output.getexif()
        assert exif[0x0112] == 6
        assert exif[0x010F] == "A maker"
        assert exif[0x0132] == "2001:02:03 04:05:06"
        inner = exif.get_ifd(0x8769)
        assert (inner[0xA002], inner[0xA003]) == (36, 30)
        assert inner[0x927C] == b"maker note \x00\x01\x02"
        if name != "a.tif":
            assert (exif[0x011A], exif[0x011B]) == (72 * SCALE, 72 * SCALE)
        if "xmp" in options:
            assert output.info["xmp"] == XMP
        if name == "a.tif":
            assert output.tag_v2[700] == XMP
            assert bytes(output.tag_v2[33723]).startswith(b"\x1c\x02\x05\x00\x05title")


@pytest.mark.parametrize("name", ["d.png", "d.jpg", "d.tif", "d.bmp"])
def test_pixel_density_grows_so_that_the_physical_size_stays(
    name: str, decoder: Decoder, save: Callable[..., Path], colours: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    source = save(colours, name, dpi=(96, 48))
    with PillowImage.open(through(source, decoder, tmp_path)) as output:
        assert output.info["dpi"] == pytest.approx((96 * SCALE, 48 * SCALE), rel=0.002)


@pytest.mark.parametrize("source_name", ["c.png", "c.jpg", "c.webp", "c.tif"])
@pytest.mark.parametrize("target", ["png", "jpeg", "webp", "tiff"])
def test_another_format_gets_all_that_it_can_hold(
    source_name: str,
    target: str,
    decoder: Decoder,
    save: Callable[..., Path],
    colours: np.ndarray[Any, Any],
    tmp_path: Path,
) -> None:
    source = save(colours, source_name, exif=an_exif().tobytes(), icc_profile=ICC, dpi=(96, 96))
    with PillowImage.open(through(source, decoder, tmp_path, target)) as output:
        assert output.info["icc_profile"] == ICC
        exif = output.getexif()
        assert exif[0x0112] == 6
        assert exif[0x010F] == "A maker"
        assert exif.get_ifd(0x8769)[0x927C] == b"maker note \x00\x01\x02"
        if source_name in ("c.png", "c.jpg", "c.tif") and target in ("png", "jpeg", "tiff"):
            assert output.info["dpi"] == pytest.approx((96 * SCALE, 96 * SCALE), rel=0.01)


def test_an_orientation_without_a_place_is_refused(
    decoder: Decoder, save: Callable[..., Path], colours: np.ndarray[Any, Any]
) -> None:
    document = decoder.read(save(colours, "o.png", exif=an_exif()))
    with pytest.raises(ImageError, match="EXIF orientation 6: use --format png"):
        encode(document, "tga")


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_keeps_tables_and_subsampling(
    sampling: str,
    progressive: bool,
    decoder: Decoder,
    save: Callable[..., Path],
    colours: np.ndarray[Any, Any],
    tmp_path: Path,
) -> None:
    source = save(colours, "q.jpg", quality=61, subsampling=sampling, progressive=progressive, comment=b"a comment")
    output = through(source, decoder, tmp_path)
    with PillowImage.open(source) as before, PillowImage.open(output) as after:
        assert before.quantization == after.quantization
        assert before.layer == after.layer  # sampling factors and table numbers of each component
        assert before.info.get("progressive") == after.info.get("progressive")
        assert after.info["comment"] == b"a comment"


def test_a_grey_jpeg_stays_grey_with_its_table(decoder: Decoder, save: Callable[..., Path], tmp_path: Path) -> None:
    source = save(np.random.default_rng(0).integers(0, 256, (16, 16, 1), dtype=np.uint8), "g.jpg", quality=40)
    with PillowImage.open(source) as before, PillowImage.open(through(source, decoder, tmp_path)) as after:
        assert after.mode == "L"
        assert before.quantization == after.quantization


def test_png_text_gamma_and_time_chunks_survive_as_they_are(
    decoder: Decoder, save: Callable[..., Path], colours: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Author", "Ann")
    chunks.add_itxt("Titel", "Mauer – 壁", "de", "Titel")
    chunks.add(b"gAMA", struct.pack(">I", 100000))
    chunks.add(b"tIME", bytes((7, 209, 2, 3, 4, 5, 6)))
    chunks.add(b"prVt", b"safe to copy")
    chunks.add(b"prVT", b"not safe to copy")
    document = decoder.read(save(colours, "t.png", pnginfo=chunks))
    np.testing.assert_array_equal(document.first.pixels, colours)  # gamma changes no value
    assert document.first.stored.transfer == "linear"
    assert any("prVT" in note for note in document.first.stored.notes)
    output = through(tmp_path / "t.png", decoder, tmp_path).read_bytes()
    for name in (b"tEXtAuthor\0Ann", b"iTXtTitel", b"gAMA\0\1\x86\xa0", b"tIME\7\xd1\2\3\4\5\6", b"prVtsafe to copy"):
        assert output.count(name) == 1
    for name in (b"prVT", b"sRGB", b"Software"):
        assert name not in output
    np.testing.assert_array_equal(decoder.read(tmp_path / "out.png").first.pixels[::SCALE, ::SCALE], colours)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiff_keeps_its_compression(
    compression: str, decoder: Decoder, save: Callable[..., Path], colours: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    source = save(colours, "z.tif", compression=compression)
    with PillowImage.open(source) as before, PillowImage.open(through(source, decoder, tmp_path)) as after:
        assert after.info["compression"] == before.info["compression"]
        assert 306 not in after.tag_v2  # no date
        assert 305 not in after.tag_v2  # no name of ours


def test_tiff_pages_are_all_kept_with_their_own_tags(decoder: Decoder, tmp_path: Path) -> None:
    shades = [np.full((5, 4 + number), 40 * number, np.uint8) for number in range(4)]
    pages = [PillowImage.fromarray(shade) for shade in shades]
    pages[0].save(tmp_path / "p.tif", save_all=True, append_images=pages[1:], tiffinfo={285: "a page"})
    header = decoder.probe(tmp_path / "p.tif")
    assert header.pages == 4
    with PillowImage.open(through(tmp_path / "p.tif", decoder, tmp_path)) as output:
        assert output.n_frames == 4
        for number in range(4):
            output.seek(number)
            assert output.size == ((4 + number) * SCALE, 5 * SCALE)
            assert np.asarray(output)[0, 0] == 40 * number
        output.seek(0)
        assert output.tag_v2[285] == "a page"


def test_pages_are_refused_where_they_cannot_be_held(decoder: Decoder, tmp_path: Path) -> None:
    pages = [PillowImage.new("L", (4, 4), shade) for shade in (1, 2)]
    pages[0].save(tmp_path / "p.tif", save_all=True, append_images=pages[1:])
    document = decoder.read(tmp_path / "p.tif")
    for target in ("png", "jpeg", "tga"):
        with pytest.raises(ImageError, match="use --format tiff"):
            encode(document, target)


def test_bigtiff_stays_bigtiff(
    decoder: Decoder, save: Callable[..., Path], colours: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    source = save(colours, "b.tif", big_tiff=True, dpi=(96, 96))
    assert source.read_bytes()[:3] == b"II+"
    output = through(source, decoder, tmp_path)
    assert output.read_bytes()[:3] == b"II+"
    with PillowImage.open(output) as picture:
        assert picture.info["dpi"] == (96 * SCALE, 96 * SCALE)


def test_tiff_keeps_further_channels_and_tiles(
    decoder: Decoder, save_oiio: Callable[..., Path], tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (32, 48, 5), dtype=np.uint16)
    source = save_oiio(pixels, "x.tif", ("R", "G", "B", "A", "ir"), tile=(16, 16), compression="zip")
    document = decoder.read(source)
    assert document.first.stored.channels[:4] == ("R", "G", "B", "A")
    assert len(document.first.stored.channels) == 5
    back = decoder.read(through(source, decoder, tmp_path))
    np.testing.assert_array_equal(back.first.pixels[::SCALE, ::SCALE], pixels)
    assert back.first.stored.extras["tiff.tile"] == [16, 16]


def test_premultiplied_tiff_is_straight_in_memory_and_premultiplied_again(
    decoder: Decoder, save_oiio: Callable[..., Path], tmp_path: Path
) -> None:
    premultiplied = np.array([[[100, 50, 0, 200], [0, 0, 0, 0], [255, 255, 255, 255]]], np.uint8)
    source = save_oiio(premultiplied, "m.tif", ("R", "G", "B", "A"), oiio__UnassociatedAlpha=0)
    document = decoder.read(source)
    assert document.first.stored.alpha == "premultiplied"
    assert document.first.pixels[0].tolist() == [[128, 64, 0, 200], [0, 0, 0, 0], [255, 255, 255, 255]]
    back = decoder.read(through(source, decoder, tmp_path))
    assert back.first.stored.alpha == "premultiplied"
    np.testing.assert_array_equal(back.first.pixels[::SCALE, ::SCALE], document.first.pixels)
    with encode(document, "png") as file:  # a format that holds straight alpha gets it straight
        (tmp_path / "m.png").write_bytes(file.read())
    np.testing.assert_array_equal(decoder.read(tmp_path / "m.png").first.pixels, document.first.pixels)
