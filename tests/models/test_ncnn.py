"""What is promised of weights that come in ncnn's form."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from restore.errors import ModelError
from restore.models import ncnn

NAME = "REALESRGAN_ANIMAVIDEOV3_UP4X"


@pytest.fixture
def pair(weights_folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the real compact network that a test may spoil."""
    for suffix in (".param", ".bin"):
        (tmp_path / f"net{suffix}").write_bytes((weights_folder / f"{NAME}{suffix}").read_bytes())
    return tmp_path / "net.param", tmp_path / "net.bin"


def test_every_byte_of_the_weights_file_comes_back_unchanged(weights_folder: Path) -> None:
    weights = weights_folder / "REALESRGAN_X4PLUSANIME_UP4X.bin"
    converted = ncnn.convert(weights.with_suffix(".param"), weights)
    parts = []
    for name, array in converted.tensors.items():
        if name.endswith(".weight"):
            assert array.dtype == np.float16
            parts.append(struct.pack("<I", 0x01306B47))
        parts.append(array.tobytes())
    assert hashlib.sha256(b"".join(parts)).digest() == hashlib.sha256(weights.read_bytes()).digest()


def test_names_and_shapes_are_those_of_the_official_networks(weights_folder: Path) -> None:
    weights = weights_folder / "REALESRGAN_X4PLUS_UP4X.bin"
    converted = ncnn.convert(weights.with_suffix(".param"), weights)
    assert (converted.architecture, converted.scale, len(converted.tensors)) == ("rrdb", 4, 2 * 351)
    assert converted.tensors["body.22.rdb3.conv5.weight"].shape == (64, 192, 3, 3)
    assert list(converted.tensors)[-1] == "conv_last.bias"


@pytest.mark.parametrize(("times", "scale"), [("2X", 2), ("3X", 3), ("4X", 4)])
def test_a_final_resize_counts_into_the_scale(weights_folder: Path, times: str, scale: int) -> None:
    weights = weights_folder / f"REALESRGAN_ANIMAVIDEOV3_UP{times}.bin"
    assert ncnn.convert(weights.with_suffix(".param"), weights).scale == scale


@pytest.mark.parametrize("size", [0, 3, 4, 1000, 1_247_367])
def test_a_truncated_weights_file_is_refused(pair: tuple[Path, Path], size: int) -> None:
    pair[1].write_bytes(pair[1].read_bytes()[:size])
    with pytest.raises(ModelError, match=r"net\.bin: truncated"):
        ncnn.convert(*pair)


def test_a_weights_file_with_a_byte_too_many_is_refused(pair: tuple[Path, Path]) -> None:
    pair[1].write_bytes(pair[1].read_bytes() + b"\0")
    with pytest.raises(ModelError, match="the network takes 1247368"):
        ncnn.convert(*pair)


def test_an_unknown_storage_tag_is_refused(pair: tuple[Path, Path]) -> None:
    pair[1].write_bytes(b"\x01\x02\x03\x04" + pair[1].read_bytes()[4:])
    with pytest.raises(ModelError, match="unknown storage 0x04030201"):
        ncnn.convert(*pair)


def test_weights_that_are_not_finite_are_refused(pair: tuple[Path, Path]) -> None:
    pair[1].write_bytes(pair[1].read_bytes()[:4] + b"\x00\x7e" + pair[1].read_bytes()[6:])
    with pytest.raises(ModelError, match="not finite"):
        ncnn.convert(*pair)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("7767517", "7767518"),
        ("40 41", "41 41"),
        ("0=64 1=3", "0=0 1=3"),
        ("6=36864", "6=999999999999"),
        ("1=3 4=1", "1=5 4=1"),
        ("Conv_2 ", "Conv_0 "),
        ("1 1 56 57", "1 1 54 57"),
        ("0=1 1=4.000000e+00", "0=2 1=4.000000e+00"),
        ("PixelShuffle", "Softmax"),
        ("1 1 105 106 0=4", "1 1 105 106"),
        ("2 1 106 111 output", "99 1 106 111 output"),
        ("0=64", "0=\xe9"),
    ],
)
def test_a_network_description_that_was_changed_is_refused(pair: tuple[Path, Path], old: str, new: str) -> None:
    text = pair[0].read_text()
    assert old in text
    pair[0].write_bytes(text.replace(old, new, 1).encode())
    with pytest.raises(ModelError, match=r"net\.(param|bin): "):
        ncnn.convert(*pair)
