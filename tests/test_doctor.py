"""restore doctor's facts: complete, and honest about what is missing."""

from __future__ import annotations

import sys

import pytest

from restore import __version__, ops
from restore.doctor import examine


def test_every_question_of_a_bug_report_is_answered() -> None:
    facts = examine()
    values = {(fact.section, fact.name): fact.value for fact in facts}
    sections = {"versions", "libraries", "devices", "kernels", "cpu", "models", "colour"}
    assert {fact.section for fact in facts} == sections
    assert values["versions", "restore"] == __version__
    assert values["kernels", "masked_conv2d on cpu"] == ops.kernels("cpu")["masked_conv2d"]
    assert values["devices", "cpu"].startswith("CPU, ")
    assert ("models", "x4plus") in values


def test_a_library_that_does_not_load_is_named_and_the_rest_still_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)  # makes `import cv2` raise ImportError
    facts = examine()
    broken = [fact for fact in facts if not fact.ok]
    assert [(fact.section, fact.name) for fact in broken] == [("libraries", "cv2")]
    assert isinstance(broken[0].error, ImportError)
    assert any(fact.section == "models" for fact in facts)


def test_without_torch_there_is_still_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    sections = [fact.section for fact in examine()]
    assert "libraries" in sections
    assert "devices" not in sections
