"""Owns the films that the tests of reels share: a video with sound, and a folder of DPX frames."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent.parent / "film"), str(Path(__file__).parent)]

from small_films import pictures, write_dpx  # noqa: E402

from tests.formats.video_files import save_clip  # noqa: E402


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "reel.mkv"
    return save_clip(path, pictures(), "ffv1", "yuv422p10le", audio_s=0.9, colorspace=1)


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames") / "scan"
    write_dpx(folder)
    return folder
