"""Claims about DPX with Y'CbCr: samples are found as FFmpeg finds them, repaired in place, and the rest is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from restore.errors import ImageError
from restore.film.native import Scan, changed, native_of, resized, spliced, working_of
from restore.film.proof import Untouched
from restore.formats import Decoder, dpx, dpx_ycbcr

from .film_files import dpx_file

HEIGHT, WIDTH = 10, 36
KINDS = {100: 2, 102: 3, 103: 4}
"""Descriptor -> datums a pixel."""


def some_codes(bits: int, count: int, seed: int = 3) -> np.ndarray:
    low, high = 40 << (bits - 8), 200 << (bits - 8)
    return np.random.default_rng(seed).integers(low, high, (HEIGHT, WIDTH, count), dtype=np.uint16)


def scan_of(path: Path, bits: int, descriptor: int, codes: np.ndarray | None = None) -> Scan:
    some = some_codes(bits, KINDS[descriptor]) if codes is None else codes
    path.write_bytes(dpx_file(some, bits, 1 if bits == 10 else 0, big=True, descriptor=descriptor))
    with Decoder() as decoder:
        native = native_of(path, decoder)
    assert isinstance(native, Scan)
    return native


@pytest.mark.parametrize("descriptor", [100, 102])
def test_ffmpeg_finds_the_same_samples(descriptor: int, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="video needs PyAV: pip install av")
    native = scan_of(tmp_path / "one.dpx", 8, descriptor)
    assert native.sampled is not None
    with av.open(str(tmp_path / "one.dpx"), format="dpx_pipe") as container:
        frame = next(container.decode(video=0))
    planar = frame.reformat(format=native.sampled.signal.layout.name)
    for plane, mine in zip(planar.planes, native.sampled.planes, strict=True):
        theirs = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        assert np.array_equal(theirs, mine)


@pytest.mark.parametrize("descriptor", KINDS)
@pytest.mark.parametrize("bits", [8, 10, 16])
def test_a_repair_changes_the_samples_that_it_reaches_and_no_other_bit(
    bits: int, descriptor: int, tmp_path: Path
) -> None:
    before = scan_of(tmp_path / "one.dpx", bits, descriptor)
    assert before.sampled is not None
    layout = before.sampled.signal.layout
    assert np.array_equal(dpx_ycbcr.codes_of(before.sampled.planes, layout), before.codes)
    holes = np.zeros((HEIGHT, WIDTH), np.bool_)
    holes[3:6, 7:12] = True
    picture = working_of(before)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    after = spliced(before, 65535 - picture, holes)
    assert isinstance(after, Scan)
    assert after.data[:2048] == before.data[:2048]
    assert np.array_equal(dpx.read(after.data, after.header), after.codes)
    differs = changed(before, after)
    assert differs[holes].mean() > 0.9
    differs[3:6, 6:14] = False
    assert not differs.any(), "nothing beside the hole and the colour that it shares"
    digests = [Untouched(), Untouched()]
    for digest, one in zip(digests, (before, after), strict=True):
        digest.add(1, one, holes)
    assert digests[0].hexdigest() == digests[1].hexdigest()


def test_a_grey_picture_looks_grey_and_grows(tmp_path: Path) -> None:
    codes = np.full((HEIGHT, WIDTH, 2), 512, np.uint16)
    codes[..., 1] = np.linspace(64, 940, WIDTH).round()
    native = scan_of(tmp_path / "one.dpx", 10, 100, codes)
    shown = working_of(native)
    assert (shown == shown[..., :1]).all()
    assert shown[0, 0, 0] == 0
    assert shown[0, -1, 0] == 65535
    larger = resized(native, shown.repeat(2, 0).repeat(2, 1))
    assert isinstance(larger, Scan)
    assert (dpx.read(larger.data, dpx.parse(larger.data))[::2, ::2, 1] == codes[..., 1]).all()
    with pytest.raises(ImageError, match="even width, not 35"):
        resized(native, shown[:, :-1])


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (800, 101, r"descriptor 101 \(CbYACrYA, 4:2:2:4\).*convert it to RGB"),
        (800, 9, "composite video"),
        (800, 153, "user defined"),
        (803, 1, r"\(descriptor 100\) has 1 bit a channel: convert it to 8, 10, 12 or 16"),
    ],
)
def test_what_is_not_read_is_named(where: int, value: int, words: str, tmp_path: Path) -> None:
    data = bytearray(dpx_file(some_codes(8, 2), 8, 0, big=True, descriptor=100))
    data[where] = value
    path = tmp_path / "odd.dpx"
    path.write_bytes(data)
    with Decoder() as decoder, pytest.raises(ImageError, match=rf"odd\.dpx: its picture.*{words}"):
        native_of(path, decoder)


def test_colours_in_elements_of_their_own_are_not_taken_for_grey() -> None:
    data = bytearray(dpx_file(some_codes(8, 1), 8, 0, big=True))
    data[770:772] = struct.pack(">H", 2)
    data[852:924] = data[780:852]
    data[872] = 7
    with pytest.raises(ImageError, match="elements of their own"):
        dpx.parse(data)
