"""Claims on real pictures: clean clips stay clean, and real damage is found and filled."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from restore.film.clean import CleanLaw, Window, find, repair
from restore.film.planted import Planting, Stamp, plant, stamps_of
from restore.train.overlays import is_held_out


def frames_of(shared_data: Path, name: str, first: int) -> list[np.ndarray]:
    path = shared_data / "clips" / name
    if not path.is_file():
        pytest.skip(f"no real clip: {path} is missing")
    clip = cv2.VideoCapture(str(path))
    frames = [clip.read()[1] for _ in range(first + 5)]
    return frames[first:]


def window_of(frames: list[np.ndarray]) -> Window:
    return Window(dict(enumerate(frames)), 2, 5)


@pytest.mark.parametrize(("name", "first"), [("bigbuckbunny.mp4", 20), ("carphone_pristine.mp4", 30)])
def test_clean_clips_have_at_most_two_false_objects_a_frame(shared_data: Path, name: str, first: int) -> None:
    assert find(window_of(frames_of(shared_data, name, first)), CleanLaw()).kept.sum() <= 2


def test_real_dust_planted_on_a_real_clip_is_found_and_filled(shared_data: Path) -> None:
    folder = shared_data / "film-damage" / "spots"
    if not folder.is_dir():
        pytest.skip(f"no real damage: {folder} is missing")
    stamps: list[Stamp] = []
    for path in sorted(folder.iterdir()):
        if is_held_out(path.name):
            alpha = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., 3].astype(np.float32) / 255
            stamps += stamps_of(alpha, "dust")
    frames = frames_of(shared_data, "bigbuckbunny.mp4", 20)
    damaged = list(plant(frames, Planting(density=0.3, flicker=0.02), stamps, seed=1))
    window = window_of([one.frame for one in damaged])
    found = find(window, CleanLaw())
    truth = damaged[2]
    planted = np.unique(truth.labels)[1:]
    assert np.isin(planted, np.unique(truth.labels[found.holes])).mean() > 0.7
    result = repair(window, found, CleanLaw()).frame
    here = truth.specks & found.holes
    before, after = (((frame - truth.clean)[here] ** 2).mean() for frame in (truth.frame, result))
    assert after < before / 30
