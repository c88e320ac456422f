"""kill -9 at any point: no partial file under a final name, and the resumed tree is the uninterrupted one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes, and this system has no fork")


def outcomes(*arguments: str) -> list[dict[str, Any]]:
    script = Path(__file__).with_name("kill_loop.py")
    done = subprocess.run([sys.executable, script, *arguments], check=False, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    trials: list[dict[str, Any]] = json.loads(done.stdout)
    return trials


def assert_promises_kept(trials: list[dict[str, Any]]) -> None:
    for trial in trials:
        assert trial["torn"] == 0, "a partial file stood under a final name"
        assert trial["code"] == 0
        assert trial["same_tree"]
        assert trial["left_temporaries"] == 0
        assert trial["starts"] <= trial["files"] + trial["kills"], "finished work was done again"
        assert trial["second_run_starts"] == 0
        assert trial["second_run_code"] == 0
        assert not trial["second_run_touched"]


def test_killed_run_resumes_to_the_same_tree(tmp_path: Path) -> None:
    trials = outcomes("random", str(tmp_path), "48")
    assert sum(trial["kills"] for trial in trials) >= 48
    assert_promises_kept(trials)


def test_kill_before_or_after_any_writing_step_is_understood_by_the_next_run(tmp_path: Path) -> None:
    trials = outcomes("steps", str(tmp_path))
    assert len(trials) > 40
    assert_promises_kept(trials)
