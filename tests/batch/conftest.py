"""Owns what the tests of a run share: a small tree, and the fakes beside this file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from batch_fakes import Sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """An empty input folder, an output folder that doesn't exist yet, and ways to plan and run between them."""
    return Sandbox(tmp_path)
