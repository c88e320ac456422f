"""Words between plan, workers and driver: names that can be shown, messages without this machine's folders."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from restore.batch.job import printable, without_place


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("d\u00e9j\u00e0 vu.png", "d\u00e9j\u00e0 vu.png"),
        (os.fsdecode(b"wall\xff.png"), r"wall\xff.png"),
        ("a\nb\x1b[2J.png", r"a\nb\x1b[2J.png"),
        ("lone\ud800.png", r"lone\ud800.png"),  # Windows allows such names
        ("lone\udfff\udc7f.png", r"lone\udfff\udc7f.png"),
        ("right-to-left\u202e.png", r"right-to-left\u202e.png"),
    ],
)
def test_any_name_can_be_printed_logged_and_sent_as_json(name: str, shown: str) -> None:
    assert printable(Path(name)) == shown
    assert json.loads(json.dumps(shown, ensure_ascii=False).encode()) == shown


@pytest.mark.parametrize("name", ["a.png", os.fsdecode(b"\xff.png"), "sub/a\n.png"])
def test_a_message_keeps_the_fact_and_loses_the_folder(name: str) -> None:
    source = Path("/home/somebody/in") / name
    for shown in (str(source), printable(source)):
        assert without_place(f"{shown}: is truncated", source, Path(name)) == "is truncated"
    assert without_place(f"no reader for {source}", source, Path(name)) == f"no reader for {printable(Path(name))}"
