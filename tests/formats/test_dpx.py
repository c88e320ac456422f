"""DPX and Cineon: every packing reads as OpenImageIO and FFmpeg read it, and patching touches nothing else."""

from __future__ import annotations

import itertools
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest

from restore.errors import ImageError
from restore.formats import cineon, dpx
from restore.formats.film_raster import pack_all

from .film_files import cineon_file, dpx_file

PACKINGS = ["Packed", "Filled, method A", "Filled, method B"]
HEIGHT, WIDTH = 11, 37


def some_codes(bits: int, channels: int, seed: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 1 << bits, (HEIGHT, WIDTH, channels)).astype(np.uint16)


def as_full_range(codes: np.ndarray[Any, Any], bits: int) -> np.ndarray[Any, Any]:
    """How OpenImageIO widens codes to its uint8 or uint16: the high bits repeat below."""
    if bits == 8:
        return codes.astype(np.uint8)
    return codes if bits == 16 else codes << (16 - bits) | codes >> (2 * bits - 16)


@pytest.mark.parametrize("big", [True, False], ids=["big", "little"])
@pytest.mark.parametrize("packing", [0, 1, 2])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_every_packing_reads_exactly(bits: int, channels: int, packing: int, big: bool) -> None:
    codes = some_codes(bits, channels)
    data = dpx_file(codes, bits, packing, big=big)
    header = dpx.parse(data)
    assert np.array_equal(dpx.read(data, header), codes)
    raster = header.elements[0].raster
    assert pack_all(codes, raster) == data[raster.offset :], "packing it again gives the file's bytes"
    larger = codes.repeat(2, 0).repeat(3, 1)
    upscaled = dpx.resized(data, header, larger)
    again = dpx.parse(upscaled)
    assert np.array_equal(dpx.read(upscaled, again), larger)
    other = {"file.offset", "file.size", "image.width", "image.height"}
    assert {k: v for k, v in again.fields.items() if k not in other} == {
        k: v for k, v in header.fields.items() if k not in other
    }
    assert (again.width, again.height, again.fields["file.size"]) == (3 * WIDTH, 2 * HEIGHT, len(upscaled))


@pytest.mark.parametrize(
    ("bits", "channels", "packing", "endian"),
    [*itertools.product([8, 10, 12, 16], [1, 3, 4], PACKINGS, ["big", "little"])],
)
def test_files_that_openimageio_wrote_read_as_it_meant(
    bits: int, channels: int, packing: str, endian: str, tmp_path: Path
) -> None:
    codes = some_codes(bits, channels)
    path = tmp_path / "made.dpx"
    spec = OpenImageIO.ImageSpec(WIDTH, HEIGHT, channels, "uint8" if bits == 8 else "uint16")
    spec.attribute("oiio:BitsPerSample", bits)
    spec.attribute("oiio:Endian", endian)
    spec.attribute("dpx:Packing", packing)
    writer = OpenImageIO.ImageOutput.create(str(path))
    assert writer.open(str(path), spec), writer.geterror()
    assert writer.write_image(as_full_range(codes, bits))
    writer.close()
    data = path.read_bytes()
    assert np.array_equal(dpx.read(data, dpx.parse(data)), codes)


@pytest.mark.parametrize(
    ("bits", "channels", "packing", "big"),
    [
        *itertools.product([10], [1, 3], [1, 2], [True, False]),
        *itertools.product([12], [1, 3], [0, 1, 2], [True, False]),
        *itertools.product([16], [1, 3, 4], [0], [True, False]),
    ],
)
def test_openimageio_and_ffmpeg_read_our_test_files_alike(
    bits: int, channels: int, packing: int, big: bool, tmp_path: Path
) -> None:
    av = pytest.importorskip("av", reason="video needs PyAV: pip install av")
    codes = some_codes(bits, channels)
    path = tmp_path / "made.dpx"
    path.write_bytes(dpx_file(codes, bits, packing, big=big))
    reader = OpenImageIO.ImageInput.open(str(path))
    whole = WIDTH // 3 * 3 if (bits, channels) == (10, 1) else WIDTH  # its last word of one channel comes out as 0
    shown = reader.read_image("uint16") >> (16 - bits)  # how it fills the low bits varies
    assert np.array_equal(shown[:, :whole], codes[:, :whole])
    with av.open(str(path), format="dpx_pipe") as container:
        frame = next(container.decode(video=0))
    assert np.array_equal(frame.to_ndarray().reshape(codes.shape), codes)


@pytest.mark.parametrize("big", [True, False], ids=["big", "little"])
@pytest.mark.parametrize("packing", [0, 1, 2])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_patching_changes_the_pixels_asked_for_and_no_other_bit(
    bits: int, channels: int, packing: int, big: bool
) -> None:
    codes, wanted = some_codes(bits, channels), some_codes(bits, channels, seed=4)
    changed = np.random.default_rng(5).random((HEIGHT, WIDTH)) < 0.1
    user = b"vendor".ljust(32, b"\0") + bytes(range(200))
    spare = {1: 3, 2: 3 << 30}.get(packing, 0) if bits == 10 else 0
    data = dpx_file(codes, bits, packing, big=big, user=user, row_padding=b"\xa5\x5a\xa5\x5a", spare=spare)
    header = dpx.parse(data)
    result = dpx.patched(data, header, wanted, changed)
    expected = np.where(changed[..., None], wanted, codes)
    assert result == dpx_file(expected, bits, packing, big=big, user=user, row_padding=b"\xa5\x5a\xa5\x5a", spare=spare)
    assert dpx.patched(data, header, wanted, np.zeros_like(changed)) == data


def test_an_enlarged_scan_is_read_by_others_and_keeps_its_user_data(tmp_path: Path) -> None:
    codes = some_codes(10, 3)
    data = dpx_file(codes, 10, 1, big=True, user=b"vendor".ljust(32, b"\0") + b"secret")
    larger = codes.repeat(2, 0).repeat(2, 1)
    path = tmp_path / "made.dpx"
    path.write_bytes(dpx.resized(data, dpx.parse(data), larger))
    assert np.array_equal(OpenImageIO.ImageInput.open(str(path)).read_image("uint16") >> 6, larger)
    header = dpx.parse(path.read_bytes())
    assert (header.user_id, header.user_data, header.timecode) == ("vendor", b"secret", "01:23:45:12")
    with pytest.raises(ValueError, match="does not fit 10 bits"):
        dpx.resized(data, dpx.parse(data), larger + 1023)


def test_the_header_gives_timecode_film_and_user_data() -> None:
    data = dpx_file(some_codes(10, 3), 10, 1, big=True, user=b"vendor".ljust(32, b"\0") + b"secret")
    header = dpx.parse(data)
    assert header.timecode == "01:23:45:12"
    assert header.fields["film.frame_position"] == 86400
    assert header.fields["film.frame_rate"] == 24.0
    assert header.fields["film.frame_id"] == "KJ 12 3456"
    assert header.fields["file.name"] == "reel.1001.dpx"
    assert "tv.gamma" not in header.fields, "undefined fields are left out"
    assert (header.user_id, header.user_data) == ("vendor", b"secret")
    assert (header.elements[0].low_code, header.elements[0].high_code) == (95, 685)


@pytest.mark.parametrize("bits", [1, 8])
def test_a_second_element_is_read_if_it_can_be_and_never_touched(bits: int) -> None:
    """Scanners write an infrared map of the dirt behind the picture."""
    codes = some_codes(10, 3)
    plain = dpx_file(codes, 10, 1, big=True)
    infrared = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    data = bytearray(plain + infrared.tobytes())
    data[770:772] = b"\0\2"
    data[852:924] = data[780:852]
    data[872:876] = bytes([6, 0, 0, bits])
    data[876:888] = struct.pack(">HHII", 0, 0, len(plain), 0xFFFFFFFF)
    header = dpx.parse(data)
    assert len(header.elements) == (2 if bits == 8 else 1)
    if bits == 8:
        assert np.array_equal(dpx.read(data, header, 1)[..., 0], infrared)
    result = dpx.patched(data, header, codes ^ 1, np.ones((HEIGHT, WIDTH), bool))
    assert np.array_equal(dpx.read(result, header), codes ^ 1)
    assert result[len(plain) :] == infrared.tobytes()


def test_rows_padded_to_32_bits_and_rows_that_are_not_are_told_apart() -> None:
    codes = some_codes(8, 3)
    tight = dpx_file(codes, 8, 0, big=True)
    padded = bytearray(tight[:2048])
    for row in codes.astype(np.uint8):
        padded += row.tobytes() + b"\0" * (-row.size % 4)
    for data in (tight, bytes(padded)):
        assert np.array_equal(dpx.read(data, dpx.parse(data)), codes)


def test_truncated_and_foreign_files_get_a_verdict() -> None:
    data = dpx_file(some_codes(10, 3), 10, 1, big=True)
    with pytest.raises(ImageError, match="truncated: its header promises 37 x 11 pixels"):
        dpx.read(data[:-100], dpx.parse(data[:-100]))
    with pytest.raises(ImageError, match="truncated: a DPX header"):
        dpx.parse(data[:1000])
    with pytest.raises(ImageError, match="not those of a DPX"):
        dpx.parse(b"\x89PNG" + data[4:])
    run_length = bytearray(data)
    run_length[806:808] = b"\0\1"
    with pytest.raises(ImageError, match="run-length"):
        dpx.parse(run_length)
    huge = bytearray(data)
    huge[772:776] = b"\x7f\xff\xff\xff"
    with pytest.raises(ImageError, match="damaged header"):
        dpx.parse(huge)


def test_random_damage_of_the_header_never_crashes() -> None:
    data = dpx_file(some_codes(10, 3), 10, 1, big=True)
    rng = np.random.default_rng(6)
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(4):
            damaged[rng.integers(4, 900)] = rng.integers(256)
        with suppress(ImageError):
            assert dpx.read(bytes(damaged), dpx.parse(damaged)).dtype == np.uint16


def test_a_code_beyond_the_depth_is_refused() -> None:
    codes = some_codes(10, 3)
    data = dpx_file(codes, 10, 1, big=True)
    with pytest.raises(ValueError, match="does not fit 10 bits"):
        dpx.patched(data, dpx.parse(data), codes + 1023, np.ones((HEIGHT, WIDTH), bool))


@pytest.mark.parametrize("channels", [1, 3])
def test_cineon_reads_as_openimageio_does_and_is_patched_like_dpx(channels: int, tmp_path: Path) -> None:
    codes, wanted = some_codes(10, channels), some_codes(10, channels, seed=4)
    data = cineon_file(codes)
    header = cineon.parse(data)
    assert np.array_equal(dpx.read(data, header), codes)
    assert header.fields["film.frame_id"] == "KJ 12 3456"
    path = tmp_path / "made.cin"
    path.write_bytes(data)
    if channels == 3:  # OpenImageIO reads three datums of a word as one pixel whatever the channels
        back = OpenImageIO.ImageInput.open(str(path)).read_image("uint16")
        assert np.array_equal(back, as_full_range(codes, 10))
    larger = codes.repeat(2, 0).repeat(3, 1)
    upscaled = cineon.resized(data, header, larger)
    assert np.array_equal(dpx.read(upscaled, cineon.parse(upscaled)), larger)
    changed = np.random.default_rng(5).random((HEIGHT, WIDTH)) < 0.1
    assert dpx.patched(data, header, wanted, changed) == cineon_file(np.where(changed[..., None], wanted, codes))
    with pytest.raises(ImageError, match="truncated"):
        dpx.read(data[:-20], cineon.parse(data[:-20]))
