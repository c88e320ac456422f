"""Claims about frames two away: they show what both near ones hide, and their own dirt isn't copied."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from moving import pan

from restore.film.flow import flow_between
from restore.film.further import further_versions
from restore.film.temporal import Version, temporal_fill, version_of
from restore.film.working import grey_of

FRAMES = pan(5, step_px=(2.0, 1.0), grain=0.004)
CLEAN = pan(5, step_px=(2.0, 1.0), grain=0)
HOLES = np.zeros(FRAMES[0].shape[:2], bool)
HOLES[80:90, 100:112] = True
NONE = np.zeros_like(HOLES)


def near() -> tuple[Version, Version]:
    first, second = (
        version_of(FRAMES[2], FRAMES[n], NONE, flow_between(grey_of(FRAMES[2]), grey_of(FRAMES[n]))) for n in (1, 3)
    )
    return first, second


def further(frames: dict[int, np.ndarray]) -> list[Version]:
    dirty = FRAMES[2].copy()
    dirty[HOLES] = 1.0
    flow = np.zeros((*HOLES.shape, 2), np.float32)
    flow[...] = (-2.0, -1.0)
    about = [(frame, NONE, np.float32(n - 2) * flow) for n, frame in frames.items()]
    return further_versions(dirty, HOLES, near(), about)


def error(versions: list[Version]) -> float:
    dirty = FRAMES[2].copy()
    dirty[HOLES] = 1.0
    filled = temporal_fill(dirty, HOLES, versions).values
    return float(np.sqrt(((filled - CLEAN[2])[HOLES] ** 2).mean()))


def test_what_both_near_frames_hide_is_filled_from_further_ones() -> None:
    hidden = [replace(one, valid=one.valid & ~HOLES) for one in near()]
    assert not temporal_fill(FRAMES[2], HOLES, hidden).known[HOLES].any()
    assert error([*hidden, *further({0: FRAMES[0], 4: FRAMES[4]})]) < 0.02


def test_further_frames_make_fills_better() -> None:
    assert error([*near(), *further({0: FRAMES[0], 4: FRAMES[4]})]) < error([*near()])


def test_dirt_on_a_further_frame_is_not_copied() -> None:
    spoiled = FRAMES[4].copy()
    spoiled[82:94, 104:116] = 0.0
    (version,) = further({4: spoiled})
    assert not version.valid[HOLES].all()
    assert np.abs(version.values - CLEAN[2])[HOLES & version.valid].max() < 0.1
