"""Claims about scanned damage: how holes are read from it, and what is held out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from restore.errors import SetupError
from restore.train.overlays import is_held_out, read_overlays

Save = Callable[..., Path]


def test_damage_is_alpha_or_ink_or_light(save: Save, tmp_path: Path) -> None:
    blot = np.zeros((20, 30), bool)
    blot[5:9, 10:20] = True
    names = [name for name in (f"{i}.png" for i in range(50)) if not is_held_out(name)][:3]
    rgba = np.full((20, 30, 4), 200, np.uint8)
    rgba[..., 3] = np.where(blot, 90, 0)
    save(rgba, names[0])
    save(np.where(blot, 30, 250).astype(np.uint8), names[1])
    save(np.where(blot, 250, 10).astype(np.uint8)[..., None].repeat(3, 2), names[2])
    found = read_overlays(tmp_path)
    assert len(found.training) == 3
    assert all(np.array_equal(holes, blot) for holes in found.training)


def test_one_in_five_is_held_out_by_its_name_alone() -> None:
    share = np.mean([is_held_out(f"dirt-{i:03}.png") for i in range(1000)])
    assert 0.15 < share < 0.25


def test_empty_and_broken_overlays_are_skipped_with_a_reason(save: Save, tmp_path: Path) -> None:
    name = next(name for name in (f"{i}.png" for i in range(50)) if not is_held_out(name))
    ink = np.full((9, 9), 255, np.uint8)
    ink[4] = 0
    save(ink, name)
    save(np.full((9, 9), 255, np.uint8), "even.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    found = read_overlays(tmp_path)
    assert len(found.training) == 1
    assert len(found.skipped) == 2
    assert any("broken.png" in reason for reason in found.skipped)


def test_a_folder_without_overlays_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no overlay"):
        read_overlays(tmp_path)


def test_real_overlays_are_read(shared_data: Path) -> None:
    folder = shared_data / "film-damage" / "hair-short"
    if not folder.is_dir():
        pytest.skip(f"no overlays: {folder} is not a directory")
    found = read_overlays(folder)
    assert not found.skipped
    assert found.held_out
    assert all(0 < holes.mean() < 0.05 for holes in found.training)
