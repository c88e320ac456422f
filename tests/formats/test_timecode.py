"""Claims about labels of frames: they count as clocks do, and where labels are dropped, as SMPTE ST 12-1 says."""

from __future__ import annotations

from fractions import Fraction

import pytest

from restore.formats.timecode import Timecode, of_bits, of_tags, parse

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("label", "frames", "rate", "later"),
    [
        ("01:00:00:00", 24, Fraction(24), "01:00:01:00"),
        ("00:59:59:23", 1, Fraction(24000, 1001), "01:00:00:00"),
        ("23:59:59:24", 1, Fraction(25), "00:00:00:00"),
        ("00:00:59;29", 1, NTSC, "00:01:00;02"),
        ("00:09:59;29", 1, NTSC, "00:10:00;00"),
        ("00:00:00;00", 17982, NTSC, "00:10:00;00"),
        ("00:00:00;00", 107892, NTSC, "01:00:00;00"),
        ("00:00:59;59", 1, 2 * NTSC, "00:01:00;04"),
    ],
)
def test_labels_are_counted(label: str, frames: int, rate: Fraction, later: str) -> None:
    assert Timecode(label).moved(frames, rate).text == later
    assert Timecode(later).moved(-frames, rate).text == label


def test_every_label_of_ten_minutes_is_the_one_after_the_other() -> None:
    one = Timecode("00:59:58;00")
    for number in range(1, 18000):
        one, before = one.moved(1, NTSC), one
        assert one.text > before.text
        assert Timecode("00:59:58;00").moved(number, NTSC) == one
        assert not (one.text[6:8] == "00" and one.text[9:] in ("00", "01") and one.text[4] != "0")


def test_labels_pass_through_the_bits_of_a_header() -> None:
    for text in ("01:23:45:12", "23:59:59;29"):
        assert of_bits(Timecode(text).bits) == Timecode(text)
    assert of_bits(0x0123453F) is None
    assert of_bits(0xFFFFFFFF) is None


def test_tags_are_asked_whatever_their_case() -> None:
    assert of_tags({"title": "x"}, {"TIMECODE": "10:00:00:00"}) == Timecode("10:00:00:00")
    assert of_tags({"timecode": "soon"}) is None
    assert parse("1:2:3") is None
