"""Owns what every test may lean on: real data, the GPU question, one cache, and the same random numbers each time."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent

# Models are converted once for all tests and all runs of them.  Set here, before any module of the package is
# imported, and in the environment, so that child processes share it too.
os.environ.setdefault("RESTORE_CACHE", str(Path(tempfile.gettempdir()) / f"restore-tests-{os.getuid()}"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pictures: $RESTORE_TEST_DATA, or ../shared/data beside the repository."""
    named = os.environ.get("RESTORE_TEST_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real pictures: {folder} is not a directory (RESTORE_TEST_DATA=DIR names another one)")
    return folder


@cache
def _cuda_is_there() -> bool:
    import torch

    return torch.cuda.is_available()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The only place that decides whether a test marked `needs_cuda` runs."""
    if item.get_closest_marker("needs_cuda") is None or _cuda_is_there():
        return
    if os.environ.get("RESTORE_REQUIRE_CUDA") == "1":
        pytest.fail("RESTORE_REQUIRE_CUDA=1, but torch finds no CUDA device", pytrace=False)
    pytest.skip("torch finds no CUDA device")


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Each test starts from the same random state, whatever ran before it and in whatever order."""
    random.seed(0)
    np.random.seed(0)  # libraries under test may use the global generator
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)
