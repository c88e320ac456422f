"""TGA, BMP, PNM, WebP, EXR and DDS as games and film tools read them: origin, bits, blocks, windows, parts."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest
from PIL import Image as PillowImage

from restore.errors import ImageError
from restore.formats import Decoder, cannot_hold, encode
from restore.image import Arrangement, Document

PIXELS = np.random.default_rng(9).integers(0, 256, (6, 5, 4), dtype=np.uint8)
PIXELS[0, 0] = (200, 0, 0, 0)


def a_tga(path: Path, descriptor: int, *, rle: bool = False, identification: bytes = b"", footer: bool = False) -> Path:
    """A 32-bit TGA made by hand, its rows in the order that the descriptor says."""
    rows = PIXELS if descriptor & 0x20 else PIXELS[::-1]
    rows = rows[:, ::-1] if descriptor & 0x10 else rows
    order = rows[..., [2, 1, 0, 3]]
    body = b"".join(bytes([4]) + row.tobytes() for row in order) if rle else order.tobytes()
    header = struct.pack("<BBBHHBHHHHBB", len(identification), 0, 10 if rle else 2, 0, 0, 0, 0, 0, 5, 6, 32, descriptor)
    path.write_bytes(header + identification + body + (bytes(8) + b"TRUEVISION-XFILE.\0" if footer else b""))
    return path


@pytest.mark.parametrize("descriptor", [0x00, 0x08, 0x20, 0x28])
@pytest.mark.parametrize("rle", [False, True])
@pytest.mark.parametrize("footer", [False, True])
def test_tga_goes_back_with_its_origin_attribute_bits_coding_and_id(
    descriptor: int, rle: bool, footer: bool, decoder: Decoder, tmp_path: Path
) -> None:
    source = a_tga(tmp_path / "t.tga", descriptor, rle=rle, identification=b"an id", footer=footer)
    document = decoder.read(source)
    np.testing.assert_array_equal(document.first.pixels, PIXELS)
    with encode(document, "tga") as file:
        data = file.read()
    assert data[:18] == source.read_bytes()[:18]
    assert data[18:23] == b"an id"
    assert data.endswith(b"TRUEVISION-XFILE.\0") == footer
    if not rle:
        assert data == source.read_bytes()
    (tmp_path / "back.tga").write_bytes(data)
    np.testing.assert_array_equal(decoder.read(tmp_path / "back.tga").first.pixels, PIXELS)
    with PillowImage.open(tmp_path / "back.tga") as picture:
        np.testing.assert_array_equal(np.asarray(picture), PIXELS)


def test_a_right_hand_origin_is_turned_round(decoder: Decoder, tmp_path: Path) -> None:
    document = decoder.read(a_tga(tmp_path / "r.tga", 0x38))
    np.testing.assert_array_equal(document.first.pixels, PIXELS)
    with encode(document, "tga") as file:
        assert file.read()[17] == 0x28


def test_a_plain_tga_without_footer_comes_back_byte_for_byte(decoder: Decoder, save: Callable[..., Path]) -> None:
    plain = save(PIXELS[..., :3], "old.tga")
    data = plain.read_bytes()
    plain.write_bytes(data[: 18 + 6 * 5 * 3])  # as the 1990s wrote them
    with encode(decoder.read(plain), "tga") as file:
        assert file.read() == plain.read_bytes()


@pytest.mark.parametrize("lossless", [True, False])
def test_webp_keeps_its_kind_and_all_channels(
    lossless: bool, decoder: Decoder, save: Callable[..., Path], tmp_path: Path
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (24, 24, 4), dtype=np.uint8)
    document = decoder.read(save(pixels, "w.webp", lossless=lossless, exact=True, quality=80))
    with encode(document, "webp") as file:
        data = file.read()
        assert decoder.check(file, "webp")[0].channels == ("R", "G", "B", "A")
    assert (b"VP8L" in data[:64]) == lossless
    if lossless:
        (tmp_path / "back.webp").write_bytes(data)
        np.testing.assert_array_equal(decoder.read(tmp_path / "back.webp").first.pixels, pixels)


def test_an_opaque_alpha_channel_is_not_lost_in_webp(decoder: Decoder, save: Callable[..., Path]) -> None:
    opaque = PIXELS.copy()
    opaque[..., 3] = 255
    with encode(decoder.read(save(opaque, "o.png")), "webp") as file:
        assert decoder.check(file, "webp")[0].channels == ("R", "G", "B", "A")


def test_webp_beyond_its_largest_side_is_refused(decoder: Decoder, save: Callable[..., Path]) -> None:
    header = decoder.probe(save(np.zeros((2, 4096, 3), np.uint8), "wide.webp"))
    assert cannot_hold("webp", header, 3.9) is None
    assert "holds sides up to 16383 px, this would have 16384: use --format png" in (
        cannot_hold("webp", header, 4.0) or ""
    )


def test_bmp_with_alpha_says_where_its_alpha_is(decoder: Decoder, save: Callable[..., Path], tmp_path: Path) -> None:
    with encode(decoder.read(save(PIXELS, "a.png")), "bmp") as file:
        (tmp_path / "b.bmp").write_bytes(file.read())
    with PillowImage.open(tmp_path / "b.bmp") as picture:
        assert picture.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(picture), PIXELS)


def test_pnm_text_stays_text(decoder: Decoder, tmp_path: Path) -> None:
    (tmp_path / "t.pgm").write_bytes(b"P2\n# by hand\n3 2\n255\n0 1 2\n253 254 255\n")
    document = decoder.read(tmp_path / "t.pgm")
    assert document.first.pixels[..., 0].tolist() == [[0, 1, 2], [253, 254, 255]]
    with encode(document, "pnm") as file:
        assert file.read().split() == b"P2 3 2 255 0 1 2 253 254 255".split()


def test_an_odd_largest_value_is_scaled_with_a_note(decoder: Decoder, tmp_path: Path) -> None:
    (tmp_path / "t.pgm").write_bytes(b"P5 3 1 1023\n" + struct.pack(">3H", 0, 512, 1023))
    document = decoder.read(tmp_path / "t.pgm")
    assert document.first.pixels.ravel().tolist() == pytest.approx([0, 512 * 65535 / 1023, 65535], abs=1)
    assert any("1023" in note for note in document.first.stored.notes)


def test_several_pnm_pictures_in_one_file_are_refused(decoder: Decoder, tmp_path: Path) -> None:
    (tmp_path / "t.pgm").write_bytes(b"P5 2 1 255\nab" * 2)
    with pytest.raises(ImageError, match="several pictures"):
        decoder.read(tmp_path / "t.pgm")


def test_exr_light_without_cover_survives(decoder: Decoder, save_oiio: Callable[..., Path], tmp_path: Path) -> None:
    glow = np.array([[[4.0, 2.0, 1.0, 0.0], [0.5, 0.25, 0.0, 0.5], [8.0, 1.0, 0.0, 1.0]]], np.float32)
    document = decoder.read(save_oiio(glow, "glow.exr", ("R", "G", "B", "A")))
    assert document.first.pixels[0].tolist() == [[4.0, 2.0, 1.0, 0.0], [1.0, 0.5, 0.0, 0.5], [8.0, 1.0, 0.0, 1.0]]
    with encode(document, "exr") as file:
        (tmp_path / "back.exr").write_bytes(file.read())
    raw = OpenImageIO.ImageInput.open(str(tmp_path / "back.exr"))
    np.testing.assert_array_equal(np.asarray(raw.read_image()), glow)
    raw.close()


def test_exr_colour_bled_under_alpha_zero_is_not_written_as_light(
    decoder: Decoder, save_oiio: Callable[..., Path]
) -> None:
    dark = np.array([[[0.0, 0.0, 0.0, 0.0], [0.5, 0.25, 0.0, 0.5]]], np.float32)
    document = decoder.read(save_oiio(dark, "dark.exr", ("R", "G", "B", "A")))
    bled = document.first.pixels.copy()
    bled[0, 0, :3] = 0.7
    with encode(Document((document.first.with_pixels(bled),)), "exr") as file:
        header, _ = decoder.check(file, "exr")
        raw = OpenImageIO.ImageInput.open(f"/proc/self/fd/{file.fileno()}")
        np.testing.assert_array_equal(np.asarray(raw.read_image())[0, 0], np.zeros(4))
        raw.close()
    assert header.channels == ("R", "G", "B", "A")


def test_exr_keeps_channel_names_types_attributes_and_windows(
    decoder: Decoder, save_oiio: Callable[..., Path], tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).random((4, 6, 4)).astype(np.float32)
    source = save_oiio(pixels, "z.exr", ("R", "G", "B", "Z"), compression="piz", owner="Ann", pixelAspect=2.0)
    document = decoder.read(source)
    assert document.first.stored.channels == ("R", "G", "B", "Z")
    grown = Document((document.first.with_pixels(document.first.pixels.repeat(2, 0).repeat(2, 1)),))
    with encode(grown, "exr") as file, encode(grown, "exr") as again:
        data = file.read()
        assert data == again.read()
        (tmp_path / "back.exr").write_bytes(data)
    raw = OpenImageIO.ImageInput.open(str(tmp_path / "back.exr"))
    spec = raw.spec()
    assert spec.channelnames == ("R", "G", "B", "Z")
    assert (spec.full_width, spec.full_height) == (12, 8)
    assert spec.getattribute("compression") == "piz"
    assert spec.getattribute("owner") == "Ann" or spec.getattribute("Copyright") == "Ann"
    raw.close()


def test_exr_parts_become_pages_and_parts_again(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "parts.exr"
    pixels = np.random.default_rng(0).random((2, 4, 6, 3)).astype(np.float16)
    specs = []
    for name in ("left", "right"):
        spec = OpenImageIO.ImageSpec(6, 4, 3, "half")
        spec.attribute("oiio:subimagename", name)
        specs.append(spec)
    writer = OpenImageIO.ImageOutput.create(str(path))
    assert writer.open(str(path), specs)
    assert writer.write_image(pixels[0])
    assert writer.open(str(path), specs[1], "AppendSubimage")
    assert writer.write_image(pixels[1])
    writer.close()
    document = decoder.read(path)
    assert len(document.pages) == 2
    with encode(document, "exr") as file:
        assert decoder.check(file, "exr")[0].pages == 2
        (tmp_path / "back.exr").write_bytes(file.read())
    back = decoder.read(tmp_path / "back.exr")
    for number in range(2):
        np.testing.assert_array_equal(back.pages[number].pixels, pixels[number])
        assert back.pages[number].stored.extras["exr.part"] == ("left", "right")[number]


def a_dds(path: Path, dxgi: int, body: bytes, *, count: int = 1, dimension: int = 3) -> Path:
    """An 8 x 8 DDS with a DX10 header."""
    header = struct.pack("<4s7I44x", b"DDS ", 124, 0x81007, 8, 8, len(body), 0, 1)
    header += struct.pack("<2I4s5I", 32, 4, b"DX10", 0, 0, 0, 0, 0) + struct.pack("<5I", 0x1000, 0, 0, 0, 0)
    path.write_bytes(header + struct.pack("<5I", dxgi, dimension, 0, count, 0) + body * count)
    return path


@pytest.mark.parametrize(
    ("dxgi", "size", "channels"),
    [
        (71, 32, 4),
        (72, 32, 4),
        (74, 64, 4),
        (77, 64, 4),
        (80, 32, 1),
        (83, 64, 3),
        (98, 64, 4),
        (99, 64, 4),
        (28, 256, 4),
    ],
)
def test_dds_block_formats_are_read(dxgi: int, size: int, channels: int, decoder: Decoder, tmp_path: Path) -> None:
    body = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8).tobytes()
    page = decoder.read(a_dds(tmp_path / "b.dds", dxgi, body)).first
    assert page.pixels.shape == (8, 8, channels)
    assert page.pixels.dtype == np.uint8


def test_bc6_is_read_as_half_floats(decoder: Decoder, tmp_path: Path) -> None:
    page = decoder.read(a_dds(tmp_path / "b.dds", 95, bytes(64))).first
    assert page.pixels.dtype == np.float16


def test_bc5_normal_maps_get_their_third_axis(decoder: Decoder, tmp_path: Path) -> None:
    block = bytes((255, 128)) + bytes(6)  # every texel takes the first end point: x = 1, y = 1
    flat = bytes((128, 128)) + bytes(6)
    page = decoder.read(a_dds(tmp_path / "n.dds", 83, (flat + flat) * 4)).first
    assert page.stored.channels == ("R", "G", "B")
    assert page.pixels[0, 0].tolist() == pytest.approx([128, 128, 255], abs=1)
    edge = decoder.read(a_dds(tmp_path / "e.dds", 83, (block + flat) * 4)).first
    assert edge.pixels[0, 0, 2] in (127, 128)
    assert any("BC5" in note for note in page.stored.notes)


def test_arrays_volumes_and_wide_channels_are_refused(decoder: Decoder, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="array of 2"):
        decoder.read(a_dds(tmp_path / "a.dds", 98, bytes(64), count=2))
    with pytest.raises(ImageError, match="volume"):
        decoder.read(a_dds(tmp_path / "v.dds", 98, bytes(64), dimension=4))
    with pytest.raises(ImageError, match="more than 8 bits"):
        decoder.read(a_dds(tmp_path / "w.dds", 56, bytes(128)))


def test_dds_cannot_be_written_yet_and_says_what_to_do(decoder: Decoder, tmp_path: Path) -> None:
    header = decoder.probe(a_dds(tmp_path / "b.dds", 98, bytes(64)))
    assert cannot_hold("dds", header, 4.0) == "DDS can be read but not written yet: use --format png"


def test_a_cube_map_is_six_faces_and_one_strip_again(decoder: Decoder, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "dds" / "Lobby" / "LobbyCube.dds"
    header = decoder.probe(path)
    assert (header.width, header.height, header.pages) == (256, 256, 6)
    document = decoder.read(path)
    assert document.arrangement is Arrangement.CUBE_STRIP
    raw = OpenImageIO.ImageInput.open(str(path))
    strip: Any = raw.read_image(0, 0, 0, 4, "uint8")
    raw.close()
    with encode(document, "png") as file:
        checked, _ = decoder.check(file, "png")
        assert (checked.width, checked.height, checked.pages) == (256, 1536, 1)
        (tmp_path / "strip.png").write_bytes(file.read())
    np.testing.assert_array_equal(decoder.read(tmp_path / "strip.png").first.pixels, strip)
