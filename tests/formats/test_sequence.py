"""Frame sequences: names stay, gaps are told, nothing is renumbered."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore.errors import ImageError, SetupError
from restore.formats.sequence import Sequence, find, group, parse_ranges


def one(*names: str | bytes) -> Sequence:
    found = group(Path("x"), [name if isinstance(name, bytes) else name.encode() for name in names])
    assert len(found) == 1, [sequence.label for sequence in found]
    return found[0]


def test_numbers_without_padding_roll_over_from_999_to_1000() -> None:
    sequence = one("f.999.dpx", "f.1000.dpx", "f.998.dpx")
    assert list(sequence.names.items()) == [(998, b"f.998.dpx"), (999, b"f.999.dpx"), (1000, b"f.1000.dpx")]
    assert not sequence.gaps


def test_padding_stays_and_rolls_over_too() -> None:
    sequence = one("f.0999.dpx", "f.1000.dpx", "f.9999.dpx", "f.10000.dpx")
    assert list(sequence.names.values()) == [b"f.0999.dpx", b"f.1000.dpx", b"f.9999.dpx", b"f.10000.dpx"]


def test_a_reel_may_start_at_an_hour_of_timecode() -> None:
    sequence = one(*(f"reel_{number:07d}.cin" for number in range(86400, 86403)))
    assert (sequence.first, sequence.last) == (86400, 86402)
    assert sequence.label == "reel_[86400-86402].cin"


def test_several_stems_and_suffixes_in_one_folder_are_several_sequences(tmp_path: Path) -> None:
    for name in ("a.0001.dpx", "a.0002.dpx", "b.0001.dpx", "a.0001.tif", "notes.txt", "poster.png", "0007.PNG"):
        (tmp_path / name).touch()
    (tmp_path / "c.0001.dpx").mkdir()
    labels = [sequence.label for sequence in find(tmp_path)]
    assert labels == ["[7].PNG", "a.[1-2].dpx", "a.[1].tif", "b.[1].dpx"]


def test_the_same_number_in_two_paddings_is_told() -> None:
    sequence = one("f.1.dpx", "f.0001.dpx", "f.2.dpx")
    assert sequence.clashes == ((b"f.1.dpx", b"f.0001.dpx"),)
    assert "f.1.dpx and f.0001.dpx are the same frame number" in sequence.notes[0]


def test_gaps_are_told_with_their_numbers() -> None:
    sequence = one("f.1001.dpx", "f.1003.dpx", "f.1007.dpx")
    assert sequence.gaps == (range(1002, 1003), range(1004, 1007))
    assert "4 missing: 1002, 1004-1006" in sequence.notes[0]
    with pytest.raises(ImageError, match="frame 1005 is missing"):
        sequence.path(1005)


def test_the_number_is_the_one_that_differs() -> None:
    sequence = one("reel_1001_v02.dpx", "reel_1002_v02.dpx")
    assert (sequence.before, sequence.after) == (b"reel_", b"_v02.dpx")
    versions = group(Path("x"), [b"s1_0001.dpx", b"s1_0002.dpx", b"s2_0001.dpx"])
    assert [sequence.before for sequence in versions] == [b"s1_", b"s2_"]


def test_names_that_are_no_text_stay_byte_for_byte(tmp_path: Path) -> None:
    name = b"film\xff.0001.dpx"
    (tmp_path / Path(name.decode("utf-8", "surrogateescape"))).touch()
    sequence = find(tmp_path)[0]
    assert sequence.names[1] == name
    assert sequence.path(1).exists()


def test_ranges_select_and_never_renumber() -> None:
    sequence = one("f.1.dpx", "f.3.dpx", "f.5.dpx", "f.9.dpx")
    assert sequence.selected(parse_ranges("2-5")) == (3, 5)
    assert sequence.selected(parse_ranges("1, 5-")) == (1, 5, 9)
    for wrong in ("", "a-b", "5-1", "1..4"):
        with pytest.raises(SetupError):
            parse_ranges(wrong)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="give a folder of frames"):
        find(tmp_path / "none")
