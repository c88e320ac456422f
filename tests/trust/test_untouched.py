"""Claims about the proof that nothing changed outside repairs."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from restore.image import Alpha, Document, Image, Stored, Transfer
from restore.trust.untouched import first_difference, touched_digest, untouched_digest


def document(pixels: np.ndarray) -> Document:
    floats = pixels.dtype.kind == "f"
    names = {1: ("Y",), 3: ("R", "G", "B"), 4: ("R", "G", "B", "ir")}[pixels.shape[2]]
    stored = Stored("tiff", pixels.itemsize * 8, floats, Transfer.SRGB, Alpha.NONE, names)
    return Document((Image(pixels, stored),))


@pytest.fixture(params=[np.uint8, np.uint16, np.float16, np.float32])
def pixels(request: pytest.FixtureRequest) -> np.ndarray:
    rng = np.random.default_rng(1)
    if np.dtype(request.param).kind == "f":
        return rng.normal(0, 3, (300, 7, 4)).astype(request.param)
    return rng.integers(0, np.iinfo(request.param).max, (300, 7, 4), request.param, endpoint=True)


def with_hole(height: int, width: int) -> np.ndarray:
    touched = np.zeros((height, width), np.bool_)
    touched[250:260, 2:5] = True
    return touched


def test_changes_inside_repairs_leave_the_digest_and_any_other_changes_it(pixels: np.ndarray) -> None:
    touched = with_hole(*pixels.shape[:2])
    before = untouched_digest(document(pixels), [touched])
    repaired = pixels.copy()
    repaired[255, 3] = 0
    assert untouched_digest(document(repaired), [touched]) == before
    for channel in range(4):
        changed = repaired.copy()
        changed.view(f"u{changed.itemsize}")[10, 1, channel] ^= 1
        assert untouched_digest(document(changed), [touched]) != before


def test_the_digest_is_the_one_that_its_definition_gives() -> None:
    pixels = np.arange(24, dtype=np.uint16).reshape(2, 4, 3)
    touched = np.zeros((2, 4), np.bool_)
    touched[1, 3] = True
    blanked = pixels.copy()
    blanked[1, 3] = 0
    told = hashlib.sha256(b"2x4 uint16 R,G,B\n" + blanked.astype("<u2").tobytes()).hexdigest()
    assert untouched_digest(document(pixels), [touched]) == told
    assert touched_digest([touched]) == hashlib.sha256(b"2x4\n" + bytes([0, 0b00010000])).hexdigest()


def test_which_pixels_were_touched_is_in_a_digest_of_its_own() -> None:
    touched = with_hole(300, 7)
    moved = np.roll(touched, 1, axis=1)
    assert touched_digest([touched]) != touched_digest([moved])
    assert touched_digest([np.zeros((2, 8), np.bool_)]) != touched_digest([np.zeros((8, 2), np.bool_)])


def test_the_first_difference_is_told_by_place_and_value(pixels: np.ndarray) -> None:
    touched = with_hole(*pixels.shape[:2])
    changed = pixels.copy()
    changed.view(f"u{changed.itemsize}")[[12, 255], 3, 2] ^= 1
    told = first_difference(document(pixels), document(changed), [touched])
    assert told is not None
    assert told.startswith("1 pixels, the first at x 3, y 12: ")
    assert first_difference(document(pixels), document(changed)) is not None
    repaired = pixels.copy()
    repaired[255, 3] = 1
    assert first_difference(document(pixels), document(repaired), [touched]) is None
    assert first_difference(document(pixels), document(repaired)) is not None


def test_nan_equals_itself_and_minus_zero_is_not_zero() -> None:
    pixels = np.array([[[np.nan], [0.0]]], np.float32)
    assert first_difference(document(pixels), document(pixels.copy())) is None
    other = pixels.copy()
    other[0, 1] = -0.0
    assert first_difference(document(pixels), document(other)) is not None


def test_other_sizes_kinds_and_channels_are_differences(pixels: np.ndarray) -> None:
    one = document(pixels)
    assert "against" in str(first_difference(one, document(pixels[:-1])))
    renamed = replace(one.first, stored=replace(one.first.stored, channels=("R", "G", "B", "A")))
    assert "channels" in str(first_difference(one, Document((renamed,))))
    assert "pages" in str(first_difference(one, Document((one.first, one.first))))
