"""Owns how a name is shown to a person: on one line, in order, with nothing that steers a terminal.

File names are bytes: they may hold newlines, escape sequences, right-to-left overrides, or bytes that are no UTF-8.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable


def visible(text: str, can_show: Callable[[str], bool] | None = None) -> str:
    r"""`text` with everything that isn't plainly visible written as an escape: "a\nb" -> r"a\nb".

    Bytes that were no UTF-8 (surrogates, as `os.fsdecode` gives them) come out as \xNN.  `can_show` names further
    characters to escape, such as those a font lacks.
    """
    return "".join(c if _is_plain(c) and (can_show is None or can_show(c)) else _escaped(c) for c in text)


def _is_plain(character: str) -> bool:
    # isprintable() refuses every space but the ASCII one; the others (no-break, ideographic) steer nothing.
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
