"""Claims about DDS files that are changed in place: what is touched, and nothing else, is encoded anew."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from restore.errors import ImageError
from restore.formats import Decoder
from restore.formats.dds_blocks import BLOCK_BYTES, ENCODERS
from restore.formats.dds_patch import HEAD_BYTES, layout_of, patched, widened
from restore.image import Document
from restore.trust.untouched import first_difference

FOURCC = {"BC1": b"DXT1", "BC2": b"DXT3", "BC3": b"DXT5", "BC4": b"ATI1", "BC5": b"ATI2", "BC7": b"DX10"}
LEAST_PSNR_DB = {"BC1": 34, "BC2": 34, "BC3": 34, "BC4": 38, "BC5": 38, "BC7": 38}
"""Of colour, on a picture with an edge and gradients of one tint, as most of a texture's blocks are."""


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as decoder:
        yield decoder


def painted(height: int = 50, width: int = 62) -> np.ndarray:
    """(H, W, 4) float: a smooth picture with an edge, and alpha that is clear on the left."""
    noise = np.random.default_rng(1).random((height // 8 + 2, width // 8 + 2), np.float32)
    light = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1) * 200.0 + 20
    colour = np.stack([light, 0.8 * light + 10, 0.5 * light + 30], axis=2)
    colour[:, width // 2 :] *= 0.6
    alpha = np.where(np.arange(width) < 9, 0.0, 255.0)[None, :].repeat(height, axis=0)
    return np.dstack([colour, alpha]).astype(np.float64)


def blocks_of(pixels: np.ndarray) -> np.ndarray:
    height, width, channels = pixels.shape
    whole = np.pad(pixels, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="edge")
    cut = whole.reshape(whole.shape[0] // 4, 4, whole.shape[1] // 4, 4, channels).swapaxes(1, 2)
    return cut.reshape(-1, 16, channels)


def compressed(kind: str, pixels: np.ndarray, mips: int = 1) -> bytes:
    """A DDS file of that kind, encoded from nothing."""
    levels = []
    for mip in range(mips):
        size = max(1, pixels.shape[1] >> mip), max(1, pixels.shape[0] >> mip)
        level = blocks_of(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
        levels.append(ENCODERS[kind](level, np.zeros((len(level), BLOCK_BYTES[kind]), np.uint8)).tobytes())
    caps = 0x401008 if mips > 1 else 0x1000
    head = struct.pack("<4s7I44x", b"DDS ", 124, 0x21007, *pixels.shape[:2], len(levels[0]), 0, mips)
    head += struct.pack("<2I4s5I", 32, 4, FOURCC[kind], 0, 0, 0, 0, 0) + struct.pack("<5I", caps, 0, 0, 0, 0)
    if kind == "BC7":
        head += struct.pack("<5I", 98, 3, 0, 1, 0)
    return head + b"".join(levels)


def plain(pixels: np.ndarray, bits: int, masks: tuple[int, ...]) -> bytes:
    height, width = pixels.shape[:2]
    places = np.zeros((height, width, bits // 8), np.uint8)
    for channel, mask in enumerate(masks):
        if mask:
            places[..., (mask.bit_length() - 1) // 8] = np.rint(pixels[..., channel])
    flags = 0x41 if masks[3] else 0x40
    head = struct.pack("<4s7I44x", b"DDS ", 124, 0x100F, height, width, width * bits // 8, 0, 1)
    return (
        head
        + struct.pack("<2I4s5I", 32, flags, b"", bits, *masks)
        + struct.pack("<5I", 0x1000, 0, 0, 0, 0)
        + (places.tobytes())
    )


def read(data: bytes, folder: Path, decoder: Decoder) -> Document:
    path = folder / "a.dds"
    path.write_bytes(data)
    return decoder.read(path)


def repaired(document: Document) -> tuple[Document, list[np.ndarray]]:
    """A hole over several blocks filled with something near."""
    page = document.first
    touched = np.zeros((page.height, page.width), np.bool_)
    touched[13:19, 30:41] = True
    pixels = page.pixels.copy()
    colour = pixels[..., list(page.color_channels)].astype(np.float32)
    smooth = cv2.blur(colour, (9, 9)).reshape(colour.shape)
    for i, channel in enumerate(page.color_channels):
        pixels[..., channel][touched] = np.rint(smooth[..., i][touched]).astype(np.uint8)
    return replace(document, pages=(page.with_pixels(pixels), *document.pages[1:])), [touched]


@pytest.mark.parametrize("kind", list(FOURCC))
def test_encoded_blocks_are_near_what_was_meant(kind: str, tmp_path: Path, decoder: Decoder) -> None:
    pixels = painted()
    found = read(compressed(kind, pixels), tmp_path, decoder).first.pixels.astype(np.float64)
    colours = {"BC4": 1, "BC5": 2}.get(kind, 3)
    seen = pixels[..., 3] > 0 if kind == "BC1" else np.ones(pixels.shape[:2], np.bool_)
    error = ((found[..., :colours] - pixels[..., :colours])[seen] ** 2).mean()
    assert 10 * np.log10(255**2 / error) > LEAST_PSNR_DB[kind]
    if found.shape[2] == 4:
        assert np.abs(found[..., 3] - pixels[..., 3]).max() <= (16 if kind == "BC7" else 1)
        inside = blocks_of(pixels)[..., 3].min(axis=1) == 255
        assert (blocks_of(found)[inside][..., 3] == 255).all(), "opaque stays opaque"


@pytest.mark.parametrize("kind", list(FOURCC))
def test_blocks_that_no_hole_touches_are_copied_byte_for_byte(kind: str, tmp_path: Path, decoder: Decoder) -> None:
    source = compressed(kind, painted(64, 64), mips=4)
    layout = layout_of(source[:HEAD_BYTES], len(source))
    result, touched = repaired(read(source, tmp_path, decoder))
    with patched(source, result, touched) as file:
        made = file.read()
        back = decoder.read_back(file, "dds")
    assert len(made) == len(source)
    at, per_level = layout.start, []
    for mip in range(4):
        length = layout.level_bytes(mip)
        old, new = (np.frombuffer(data[at : at + length], np.uint8) for data in (source, made))
        changed = (old != new).reshape(-1, BLOCK_BYTES[kind]).any(axis=1)
        per_level.append(int(changed.sum()))
        at += length
    assert made[: layout.start] == source[: layout.start]
    holes = widened(touched, layout)
    assert 0 < per_level[0] <= holes[0].sum() / 16
    assert all(0 < count <= 6 for count in per_level[1:]), "further mip levels follow"
    assert first_difference(read(source, tmp_path, decoder), back, holes) is None
    wanted, found = (d.first.pixels[touched[0]].astype(np.float64) for d in (result, back))
    assert np.abs(wanted - found).mean() < 8


@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
        (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
        (32, (0xFF0000, 0xFF00, 0xFF, 0)),
        (24, (0xFF0000, 0xFF00, 0xFF, 0)),
    ],
)
def test_uncompressed_pixels_are_exact(bits: int, masks: tuple[int, ...], tmp_path: Path, decoder: Decoder) -> None:
    source = plain(painted(), bits, masks)
    result, touched = repaired(read(source, tmp_path, decoder))
    with patched(source, result, touched) as file:
        assert first_difference(decoder.read_back(file, "dds"), result) is None


def test_where_the_old_endpoints_serve_pixels_beside_the_hole_stay_as_they_were(
    tmp_path: Path, decoder: Decoder
) -> None:
    """A hole filled with a colour that its block holds already."""
    source = compressed("BC1", painted())
    document = read(source, tmp_path, decoder)
    pixels, touched = document.first.pixels.copy(), np.zeros((50, 62), np.bool_)
    touched[21, 33] = True
    pixels[21, 33] = pixels[21, 34]
    result = replace(document, pages=(document.first.with_pixels(pixels),))
    with patched(source, result, [touched]) as file:
        assert first_difference(decoder.read_back(file, "dds"), result) is None


@pytest.mark.parametrize(
    ("at", "value", "fact"),
    [
        (84, b"RXGB", "can't be written"),
        (84, b"DX10", "DXGI format 0"),
        (28, struct.pack("<I", 9), "cut short"),
        (0, b"PNG!", "no DDS file"),
    ],
)
def test_kinds_that_cannot_be_changed_in_place_say_the_way_out(at: int, value: bytes, fact: str) -> None:
    data = bytearray(compressed("BC1", painted()) + bytes(20))[:-20]
    data[at : at + len(value)] = value
    if value == b"DX10":
        data[128:148] = bytes(20)
    with pytest.raises(ImageError, match=fact):
        layout_of(bytes(data[:HEAD_BYTES]), len(data))


def test_real_textures_change_only_where_they_are_touched(shared_data: Path, decoder: Decoder) -> None:
    tried = 0
    for path in sorted((shared_data / "dds").rglob("*.dds"))[::6]:
        source = path.read_bytes()
        document = decoder.read(path)
        touched = [np.zeros((page.height, page.width), np.bool_) for page in document.pages]
        touched[0][: min(5, touched[0].shape[0]), 1:4] = True
        pixels = document.first.pixels.copy()
        pixels[..., :3][touched[0]] = pixels[..., :3].mean(axis=(0, 1)).astype(np.uint8)
        result = replace(document, pages=(document.first.with_pixels(pixels), *document.pages[1:]))
        with patched(source, result, touched) as file:
            back = decoder.read_back(file, "dds")
        holes = widened(touched, layout_of(source[:HEAD_BYTES], len(source)))
        assert first_difference(document, back, holes) is None, path.name
        tried += 1
    assert tried >= 10
