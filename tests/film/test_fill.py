"""Claims about fills: neighbours first, surroundings where they can't know, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
from moving import pan

from restore.film.fill import Hole, fill, navier_stokes
from restore.film.grain import GrainCurve, fine_structure, grain_curve, grain_from
from restore.film.temporal import Version, temporal_fill
from restore.film.working import grey_of
from restore.tiling import Box
from restore.trust.ledger import Fill

STILL = pan(3, step_px=(0, 0), grain=0.004)
ALL = np.ones(STILL[0].shape[:2], bool)
LABELS = np.zeros(ALL.shape, np.int32)
LABELS[40:46, 50:60] = 1
LABELS[100:104, 120:124] = 2
HOLES = LABELS > 0
TWO = [Hole("dust", 7.0), Hole("hair", 9.0)]
SIDES = [Version(STILL[0], ALL), Version(STILL[2], ALL)]


def dirty() -> np.ndarray:
    frame = STILL[1].copy()
    frame[HOLES] = 1.0
    return frame


def error(values: np.ndarray) -> float:
    return float(((values - STILL[1])[HOLES] ** 2).mean())


def test_two_agreeing_neighbours_fill_better_than_the_surroundings() -> None:
    filled = fill(dirty(), LABELS, TWO, SIDES, navier_stokes, Fill.NAVIER_STOKES, 1, grain=False)
    assert [one.fill for one in filled.repairs] == [Fill.TEMPORAL, Fill.TEMPORAL]
    assert [(one.kind, one.score, one.area_px) for one in filled.repairs] == [("dust", 7.0, 60), ("hair", 9.0, 16)]
    assert filled.repairs[0].box == Box(40, 50, 46, 60)
    assert error(filled.frame) < error(navier_stokes(dirty(), HOLES)) / 2
    assert np.array_equal(filled.frame[~HOLES], STILL[1][~HOLES])


def test_where_neighbours_show_something_else_the_given_filler_is_asked() -> None:
    other = [Version(1 - frame, ALL) for frame in STILL[::2]]
    asked = []

    def filler(frame: np.ndarray, holes: np.ndarray) -> np.ndarray:
        asked.append(holes.copy())
        return np.full_like(frame, 0.25)

    filled = fill(dirty(), LABELS, TWO, other, filler, Fill.NET, 1, grain=False)
    assert {one.fill for one in filled.repairs} == {Fill.NET}
    assert np.array_equal(asked[0], HOLES)
    assert np.allclose(filled.frame[HOLES], 0.25)


def test_without_neighbours_everything_is_spatial_and_less_sure() -> None:
    alone = fill(dirty(), LABELS, TWO, [], navier_stokes, Fill.NAVIER_STOKES, 1)
    beside = fill(dirty(), LABELS, TWO, SIDES, navier_stokes, Fill.NAVIER_STOKES, 1)
    assert {one.fill for one in alone.repairs} == {Fill.NAVIER_STOKES}
    for one, other in zip(alone.repairs, beside.repairs, strict=True):
        assert one.confidence < other.confidence


def test_two_versions_of_one_frame_have_its_grain_and_those_of_two_frames_half() -> None:
    same = [Version(STILL[0], ALL, 0), Version(STILL[0], ALL, 0)]
    apart = [Version(STILL[0], ALL, 0), Version(STILL[2], ALL, 1)]
    shares = [float(temporal_fill(dirty(), HOLES, versions).share[HOLES].mean()) for versions in (same, apart)]
    assert shares == pytest.approx([1, 0.5], abs=0.05)


def test_a_neighbours_own_dirt_is_not_copied() -> None:
    spoiled, valid = STILL[0].copy(), ALL.copy()
    spoiled[HOLES] = 0.0
    valid[HOLES] = False
    temporal = temporal_fill(dirty(), HOLES, [Version(spoiled, valid), SIDES[1]])
    assert np.allclose(temporal.values[HOLES], STILL[2][HOLES], atol=1e-5)


def test_a_frame_without_holes_is_the_same_object() -> None:
    frame = dirty()
    assert fill(frame, np.zeros_like(LABELS), [], SIDES, navier_stokes, Fill.NAVIER_STOKES, 1).frame is frame


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_come_back_as_integers_and_untouched_ones_as_they_were(dtype: type) -> None:
    top = np.iinfo(dtype).max
    frames = [np.rint(frame * top).astype(dtype) for frame in (STILL[0], dirty(), STILL[2])]
    sides = [Version(frame.astype(np.float32) / top, ALL) for frame in frames[::2]]
    filled = fill(frames[1], LABELS, TWO, sides, navier_stokes, Fill.NAVIER_STOKES, 1).frame
    assert filled.dtype == dtype
    assert np.array_equal(filled[~HOLES], frames[1][~HOLES])
    assert (filled[HOLES] != frames[1][HOLES]).any()


def test_grain_comes_back_and_is_another_one_in_each_frame() -> None:
    flat = np.full((120, 120, 3), 0.4, np.float32)
    grainy = [flat + 0.03 * np.random.default_rng(i).standard_normal(flat.shape, np.float32) for i in range(3)]
    labels = np.zeros((120, 120), np.int32)
    labels[50:62, 50:62] = 1
    whole = np.ones((120, 120), bool)
    made = [
        fill(grainy[1], labels, [Hole("dust")], [Version(grainy[0], whole)], _flat, Fill.NET, number).frame[
            50:62, 50:62
        ]
        for number in (1, 2)
    ]
    assert 0.02 < made[0].std() < 0.045
    spatial = [
        fill(grainy[1], labels, [Hole("dust")], [], _flat, Fill.NET, number).frame[50:62, 50:62] for number in (1, 2)
    ]
    assert 0.012 < spatial[0].std() < 0.04
    assert not np.allclose(spatial[0], spatial[1], atol=0.005)


def _flat(frame: np.ndarray, holes: np.ndarray) -> np.ndarray:
    return np.full_like(frame, 0.4)


def test_grain_is_measured_by_brightness() -> None:
    ramp = np.linspace(0, 1, 300, dtype=np.float32)[None, :, None].repeat(200, 0)
    strength = 0.01 + 0.03 * ramp
    rng = np.random.default_rng(3)
    a, b = (ramp + strength * rng.standard_normal(ramp.shape, np.float32) for _ in range(2))
    curve = grain_curve(a, [(b, np.ones(ramp.shape[:2], bool))])
    measured = curve.at(np.array([0.2, 0.8], np.float32))
    assert np.allclose(measured, [0.016, 0.034], atol=0.004)


def test_grain_is_never_taken_from_damage() -> None:
    fine = fine_structure(STILL[0])
    unusable = np.ones(ALL.shape, bool)
    piece = grain_from(
        fine, grey_of(STILL[0]), unusable, Box(20, 20, 26, 28), np.full((6, 8), 0.02), np.random.default_rng(0)
    )
    assert piece.shape == (6, 8, 3)
    assert not piece.any()
    assert GrainCurve((0.0,) * 8).at(np.zeros((2, 2), np.float32)).sum() == 0
