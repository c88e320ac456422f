"""What is promised of the bridge to basicsr."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from restore.errors import SetupError
from restore.train.basicsr_shim import import_basicsr


def test_basicsr_with_its_losses_and_archs_imports_beside_todays_torchvision() -> None:
    if importlib.util.find_spec("basicsr") is None:
        pytest.skip("basicsr, the extra `train`, is not installed")
    assert import_basicsr() is sys.modules["basicsr"]
    from basicsr.archs.rrdbnet_arch import RRDBNet
    from basicsr.data.degradations import rgb_to_grayscale

    assert callable(rgb_to_grayscale)
    assert sum(p.numel() for p in RRDBNet(3, 3, num_block=1).parameters()) > 0


def test_without_basicsr_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SetupError, match=r"pip install 'restore-sr\[train\]'"):
        import_basicsr()
