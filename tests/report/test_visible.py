"""Claims about how names are shown."""

import pytest

from restore.report.visible import visible


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("wall 01.TGA", "wall 01.TGA"),
        ("стена 壁 é.png", "стена 壁 é.png"),
        ("a\nb", r"a\nb"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\udcff.png", r"\xff.png"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("a\u2028b", r"a\u2028b"),
        ("a\u00a0b\u3000c", "a\u00a0b\u3000c"),
    ],
)
def test_names_are_shown_on_one_line_with_nothing_that_steers_a_terminal(name: str, shown: str) -> None:
    assert visible(name) == shown


def test_what_is_shown_can_always_be_written_as_utf_8() -> None:
    everything = "".join(map(chr, (*range(0x3000), *range(0xD800, 0xE000), 0x10FFFF)))
    visible(everything).encode("utf-8")


def test_letters_a_font_lacks_can_be_escaped() -> None:
    assert visible("aя", can_show=str.isascii) == r"a\u044f"
