"""Pixels change inside a copy of a TIFF file, and nothing else does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from restore.errors import ImageError
from restore.formats import Decoder, tiff_grid, tiff_strips
from restore.formats import encode as encode_document
from restore.formats.tiff_strips import Change
from restore.image import Alpha, Document, Image, Stored, Transfer

KINDS: list[dict[str, Any]] = [
    {"tiff.compression": compression, "tiff.predictor": predictor, "tiff.planar": planar, "tiff.tile": tile}
    for compression, predictor in (("none", 0), ("lzw", 1), ("lzw", 2), ("zip", 2), ("packbits", 0))
    for planar, tile in (("contig", [0, 0]), ("contig", [32, 16]), ("separate", [0, 0]))
]
CHANNELS = {1: ("Y",), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}


def scan(dtype: type, channels: int, extras: dict[str, Any], *, big: bool = False, side: int = 90) -> Image:
    rng = np.random.default_rng(channels)
    pixels = rng.integers(0, np.iinfo(dtype).max, (side, side + 7, channels), dtype)
    alpha = Alpha.STRAIGHT if channels == 4 else Alpha.NONE
    bits = np.dtype(dtype).itemsize * 8
    return Image(
        pixels,
        Stored(
            "tiff", bits, False, Transfer.SRGB, alpha, CHANNELS[channels], {**extras, "tiff.big": big, "icc": b"icc"}
        ),
    )


def write(path: Path, *pages: Image) -> Path:
    with encode_document(Document(pages), "tiff") as data:
        path.write_bytes(data.read())
    return path


def change_of(page: Image, number: int = 0) -> Change:
    touched = np.zeros((30, 40), np.bool_)
    touched[::3, ::2] = True
    before = page.pixels[35:65, 20:60][touched]
    return Change(number, 35, 20, touched, (before ^ 0x5A).astype(before.dtype))


def changed(page: Image, change: Change) -> np.ndarray:
    pixels = page.pixels.copy()
    pixels[35:65, 20:60][change.touched] = change.pixels
    return pixels


def rewrite(source: Path, target: Path, *changes: Change) -> None:
    shutil.copyfile(source, target)
    with Decoder() as decoder, target.open("r+b") as file:
        tiff_strips.rewrite(file, changes, lambda page, top, stop: decoder.rows(source, page, top, stop).pixels)


@pytest.mark.parametrize("extras", KINDS, ids=lambda extras: "-".join(map(str, extras.values())))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_changed_pixels_come_back_and_all_others_are_what_they_were(
    tmp_path: Path, dtype: type, extras: dict[str, Any]
) -> None:
    page = scan(dtype, 3, extras)
    source = write(tmp_path / "scan.tif", page)
    change = change_of(page)
    rewrite(source, tmp_path / "out.tif", change)
    with Decoder() as decoder:
        after = decoder.read(tmp_path / "out.tif").first
        assert after.stored.extras["icc"] == b"icc"
    assert np.array_equal(after.pixels, changed(page, change))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_uncompressed_files_differ_only_where_pixels_do(tmp_path: Path, channels: int) -> None:
    page = scan(np.uint16, channels, {"tiff.compression": "none"}, big=True)
    source = write(tmp_path / "scan.tif", page)
    change = change_of(page)
    rewrite(source, tmp_path / "out.tif", change)
    before, after = (np.fromfile(path, np.uint8) for path in (source, tmp_path / "out.tif"))
    assert len(before) == len(after)
    assert 0 < np.count_nonzero(before != after) <= change.pixels.nbytes


def test_strips_that_nothing_touches_keep_their_bytes(tmp_path: Path) -> None:
    page = scan(np.uint16, 3, {"tiff.compression": "zip"}, side=400)
    source = write(tmp_path / "scan.tif", page)
    rewrite(source, tmp_path / "out.tif", change_of(page))
    before, after = (tiff_grid.grids_of(path)[0] for path in (source, tmp_path / "out.tif"))
    assert after.counts is not None
    assert before.counts is not None
    moved = np.flatnonzero(
        (before.offsets.values != after.offsets.values) | (before.counts.values != after.counts.values)
    )
    first, last = 35 // before.chunk_rows, 64 // before.chunk_rows
    assert set(moved.tolist()) <= set(range(first, last + 1))
    data = [path.read_bytes() for path in (source, tmp_path / "out.tif")]
    for i in set(range(before.down)) - set(range(first, last + 1)):
        at, size = int(before.offsets.values[i]), int(before.counts.values[i])
        assert data[0][at : at + size] == data[1][at : at + size]


def test_only_the_page_that_was_meant_changes(tmp_path: Path) -> None:
    first, second = scan(np.uint8, 3, {"tiff.compression": "lzw"}), scan(np.uint16, 1, {"tiff.compression": "lzw"})
    source = write(tmp_path / "scan.tif", first, second)
    change = change_of(second, 1)
    rewrite(source, tmp_path / "out.tif", change)
    with Decoder() as decoder:
        pages = decoder.read(tmp_path / "out.tif").pages
    assert np.array_equal(pages[0].pixels, first.pixels)
    assert np.array_equal(pages[1].pixels, changed(second, change))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_big_endian_files_stay_big_endian(tmp_path: Path, compression: str | None) -> None:
    tifffile = pytest.importorskip("tifffile")
    page = scan(np.uint16, 3, {})
    source, target = tmp_path / "scan.tif", tmp_path / "out.tif"
    try:
        tifffile.imwrite(source, page.pixels, byteorder=">", compression=compression, photometric="rgb", rowsperstrip=9)
    except (ValueError, KeyError, ImportError) as error:
        pytest.skip(f"tifffile can't write it here: {error}")
    change = change_of(page)
    rewrite(source, target, change)
    assert target.read_bytes()[:2] == b"MM"
    with Decoder() as decoder:
        assert np.array_equal(decoder.read(target).first.pixels, changed(page, change))


@pytest.mark.parametrize(
    ("pixels", "alpha", "words"),
    [
        (np.zeros((8, 8, 3), np.float32), Alpha.NONE, "8 nor 16"),
        (np.zeros((8, 8, 4), np.uint8), Alpha.PREMULTIPLIED, "premul"),
    ],
)
def test_files_that_are_read_otherwise_than_they_stand_are_refused_with_a_way_out(
    tmp_path: Path, pixels: np.ndarray, alpha: Alpha, words: str
) -> None:
    is_float = pixels.dtype.kind == "f"
    stored = Stored("tiff", pixels.dtype.itemsize * 8, is_float, Transfer.SRGB, alpha, CHANNELS[pixels.shape[2]])
    source = write(tmp_path / "scan.tif", Image(pixels, stored))
    with pytest.raises(ImageError, match=words) as caught:
        tiff_grid.grids_of(source)
    assert "LZW or ZIP" in str(caught.value)


@pytest.mark.parametrize("extras", [{"tiff.compression": "zip"}, {"tiff.tile": [32, 16]}], ids=["strips", "tiles"])
def test_rows_are_those_of_the_whole_picture(tmp_path: Path, extras: dict[str, Any]) -> None:
    page = scan(np.uint16, 3, extras, side=150)
    source = write(tmp_path / "scan.tif", page)
    with Decoder() as decoder:
        for top, stop in ((0, 150), (0, 1), (149, 150), (33, 77)):
            assert np.array_equal(decoder.rows(source, 0, top, stop).pixels, page.pixels[top:stop])
        with pytest.raises(ImageError, match="150 rows"):
            decoder.rows(source, 0, 100, 151)
        with pytest.raises(ImageError, match="no page 2"):
            decoder.rows(source, 1, 0, 1)
