"""Compiles the emulated kernels once a session."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from emulated import Emulator, build


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    if shutil.which("g++") is None and shutil.which("c++") is None:
        if os.environ.get("RESTORE_REQUIRE_OPS") == "1":
            pytest.fail("RESTORE_REQUIRE_OPS=1, but there is no C++ compiler", pytrace=False)
        pytest.skip("no C++ compiler to build the emulated kernels with")
    return Emulator(build(tmp_path_factory.mktemp("emulated")))
