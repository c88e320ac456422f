"""Compiles the emulated kernels once a session."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from emulated import Emulator, build


@pytest.fixture(scope="session", params=["mma.sync", "wgmma"])
def emulator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    """Once with the products of a warp, once with those of four warps, which compute capability 9.0 has."""
    flags = ["-DRESTORE_WGMMA"] if request.param == "wgmma" else []
    return Emulator(build(tmp_path_factory.mktemp("emulated"), *flags))
