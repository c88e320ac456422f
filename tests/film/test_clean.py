"""Claims about cleaning a shot: dirt goes, all else stays, and segments change nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from moving import pan, specks, texture

from restore.film.clean import (
    CONTEXT_FRAMES,
    CleanLaw,
    Window,
    calibrate,
    clean_shot,
    find,
    repair,
    repair_holes,
    sampled,
    windows,
)
from restore.film.dirt import DirtLaw
from restore.film.planted import Planted, Planting, plant
from restore.recipe import Polarity
from restore.trust.ledger import Fill

FRAMES = pan(7)
OTHER = texture(9, 180, 240)
LAW = CleanLaw(bar=0.0)
LARGE = CleanLaw(DirtLaw(max_size_px=9), bar=0.0)


@pytest.fixture(scope="module")
def damaged() -> list[Planted]:
    return list(plant(FRAMES, Planting(lines=900, flicker=0.02), specks(), seed=5))


def in_16_bits(frames: list[Planted]) -> list[np.ndarray]:
    return [np.rint(one.frame * 65535).astype(np.uint16) for one in frames]


def window_of(frames: list[np.ndarray], at: int) -> Window:
    near = range(max(0, at - CONTEXT_FRAMES), min(len(frames), at + CONTEXT_FRAMES + 1))
    return Window({number: frames[number] for number in near}, at, len(frames))


def test_most_specks_are_found_at_the_ends_of_a_shot_too(damaged: list[Planted]) -> None:
    frames = [one.frame for one in damaged]
    for at in (0, 3, 6):
        found = find(window_of(frames, at), LARGE)
        specks_there = np.unique(damaged[at].labels)[1:]
        hit = np.unique(damaged[at].labels[found.holes])
        assert np.isin(specks_there, hit).mean() > 0.6, f"frame {at}"


def test_a_clean_shot_has_next_to_no_false_objects() -> None:
    counts = [int(find(window_of(FRAMES, at), LAW).kept.sum()) for at in range(len(FRAMES))]
    assert np.mean(counts) <= 2


def test_a_hair_that_is_longer_than_what_is_looked_for_at_full_size_is_found() -> None:
    frames = pan(5, size=(720, 960))
    hair = np.zeros((720, 960), np.uint8)
    cv2.polylines(hair, [np.int32([[180, 150], [230, 185], [260, 240], [310, 250]])], isClosed=False, color=1)
    frames[2] = np.where(hair[..., None] > 0, np.float32(0.02), frames[2])
    found = find(window_of(frames, 2), LAW)
    assert found.holes[hair > 0].mean() > 0.9
    assert found.holes.sum() < 6 * hair.sum()


def crossed(frames: list[np.ndarray]) -> list[np.ndarray]:
    """A textured disc crosses the frames, quicker than the ground: parts of it and of the ground come and go."""
    y, x = np.mgrid[: frames[0].shape[0], : frames[0].shape[1]]
    made = []
    for number, frame in enumerate(frames):
        inside = (np.hypot(x - 60 - 14 * number, y - 90) < 30)[..., None]
        made.append(np.where(inside, np.roll(OTHER, 14 * number, axis=1), frame).astype(np.float32))
    return made


def test_what_comes_into_sight_at_a_shots_ends_is_no_dirt() -> None:
    frames = crossed(pan(5, step_px=(-6.0, 4.0), grain=0.004))
    assert [int(find(window_of(frames, at), LARGE).kept.sum()) for at in (0, 4)] == [0, 0]


def test_specks_that_differ_in_colour_alone_are_found_by_their_colour() -> None:
    frames = [frame.copy() for frame in FRAMES]
    places = [(40, 50), (70, 120), (110, 60), (140, 180)]
    for y, x in places:
        frames[3][y : y + 4, x : x + 4] = frames[3][y : y + 4, x : x + 4].mean(axis=2, keepdims=True) + np.float32(
            [-0.2, 0.0, 0.2]
        )
    frames = [frame.clip(0, 1) for frame in frames]
    grey = [frame.mean(axis=2, keepdims=True) for frame in frames]
    for some, wanted in ((frames, True), (grey, False)):
        holes = find(window_of(some, 3), LAW).holes
        assert [bool(holes[y + 1 : y + 3, x + 1 : x + 3].all()) for y, x in places] == [wanted] * len(places)


def test_what_flashes_in_one_patch_all_the_time_is_scene() -> None:
    rng = np.random.default_rng(5)

    def with_specks(frame: np.ndarray, count: int, columns: tuple[int, int]) -> np.ndarray:
        frame = frame.copy()
        for _ in range(count):
            y, x = int(rng.integers(10, 170)), int(rng.integers(*columns))
            frame[y : y + 2, x : x + 3] = 0.98
        return frame

    # Few specks anywhere on the left; many, always there, on the right.
    frames = [with_specks(with_specks(frame, 3, (5, 110)), 40, (150, 230)) for frame in FRAMES]
    found = find(window_of(frames, 3), LAW)
    left = np.array([box.x1 < 120 for box in found.candidates.boxes])
    assert found.candidates.flashing[~left].mean() > 0.5
    assert found.kept[~left].mean() < 0.1
    assert found.kept[left].mean() > 0.6


def test_a_hole_ends_where_a_speck_does() -> None:
    frames = [frame.copy() for frame in pan(5, grain=0.004)]
    speck = cv2.GaussianBlur(np.pad(np.ones((4, 4), np.float32), 8), (0, 0), 0.9)[..., None]
    place = np.s_[76:96, 96:116]
    frames[2][place] = frames[2][place] * (1 - speck) + speck
    found = find(window_of(frames, 2), LARGE)
    grown = found.candidates.holes(found.kept)
    assert grown[place][speck[..., 0] > 0.3].all()
    assert grown[66:106, 86:126].sum() < 1.6 * (speck > 0.1).sum()


def test_a_cleaned_frame_is_nearer_to_the_clean_one_and_elsewhere_bit_identical(damaged: list[Planted]) -> None:
    frames = in_16_bits(damaged)
    for number, (filled, found) in enumerate(clean_shot(frames, len(frames), LARGE)):
        assert filled.frame.dtype == np.uint16
        assert np.array_equal(filled.frame[~found.holes], frames[number][~found.holes])
        clean = damaged[number].clean * 65535
        before = ((frames[number][found.holes] - clean[found.holes]) ** 2).mean()
        after = ((filled.frame[found.holes] - clean[found.holes]) ** 2).mean()
        assert after < before / 20
    assert number == len(frames) - 1


def test_a_stretch_with_context_gives_the_same_pixels_as_the_whole_shot(damaged: list[Planted]) -> None:
    frames = in_16_bits(damaged)
    whole = {w.at: repair(w, find(w, LAW), LAW).frame for w in windows(frames, len(frames))}
    part = {w.at: repair(w, find(w, LAW), LAW).frame for w in windows(frames[1:], len(frames), first=1)}
    assert sorted(whole) == list(range(7))
    assert sorted(part) == [3, 4, 5, 6]
    assert all(np.array_equal(part[at], whole[at]) for at in part)


def test_memory_of_earlier_windows_changes_nothing(damaged: list[Planted]) -> None:
    frames = in_16_bits(damaged[:5])
    alone = [repair(w, find(w, LAW), LAW).frame for w in windows(frames, len(frames))]
    together = [filled.frame for filled, _ in clean_shot(frames, len(frames), LAW)]
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_nothing_is_copied_from_the_neighbours_own_holes() -> None:
    holes = np.zeros(FRAMES[0].shape[:2], bool)
    holes[20:160, 100:104] = True
    frames = [frame.copy() for frame in pan(7, step_px=(0.0, 0.0))]
    for frame in frames:
        frame[holes] = 1.0
    window = window_of(frames, 3)
    filled = repair_holes(window, holes, LAW, kind="scratch", others=dict.fromkeys(range(7), holes))
    assert [one.fill for one in filled.repairs] == [Fill.NAVIER_STOKES]
    assert filled.frame[holes].max() < 0.95


def test_the_ledger_says_where_and_what_each_repair_is(damaged: list[Planted]) -> None:
    window = window_of([one.frame for one in damaged], 3)
    found = find(window, LARGE)
    repairs = repair(window, found, LARGE).repairs
    assert [one.blob for one in repairs] == list(range(len(repairs)))
    assert sum(one.area_px for one in repairs) == found.holes.sum()
    assert {one.fill for one in repairs} <= {Fill.TEMPORAL, Fill.NAVIER_STOKES}
    assert sum(one.fill is Fill.TEMPORAL for one in repairs) > 0.8 * len(repairs)
    for one in repairs:
        assert one.page == 3
        assert 0 <= one.confidence <= 1
        assert one.score is not None
        assert one.score > LARGE.dirt.seed_sigmas
        assert found.holes[one.box.y0 : one.box.y1, one.box.x0 : one.box.x1].any()


def test_polarity_leaves_the_other_kind_alone(damaged: list[Planted]) -> None:
    window = window_of([one.frame for one in damaged], 3)
    light = find(window, CleanLaw(DirtLaw(polarity=Polarity.LIGHT, max_size_px=9), bar=0.0))
    dark = find(window, CleanLaw(DirtLaw(polarity=Polarity.DARK, max_size_px=9), bar=0.0))
    off = (damaged[3].frame - damaged[3].clean).mean(axis=2)
    assert light.kept.any()
    assert dark.kept.any()
    assert off[light.candidates.holes(light.kept)].mean() > 0.05
    assert off[dark.candidates.holes(dark.kept)].mean() < -0.05
    assert light.candidates.vetoed["polarity"] > 0


def test_holes_that_a_person_drew_are_filled_from_the_neighbours() -> None:
    holes = np.zeros(FRAMES[0].shape[:2], bool)
    holes[80:90, 100:112] = True
    frames = [frame.copy() for frame in FRAMES]
    frames[3][holes] = 1.0
    filled = repair_holes(window_of(frames, 3), holes, LAW)
    assert [one.kind for one in filled.repairs] == ["mask"]
    assert np.array_equal(filled.frame[~holes], frames[3][~holes])
    assert np.abs(filled.frame - FRAMES[3])[holes].mean() < 0.03


def test_a_dirty_shot_gets_a_lower_bar_than_a_clean_one(damaged: list[Planted]) -> None:
    dirty = [one.frame for one in damaged]
    _, about_dirty = calibrate((window_of(dirty, at) for at in (1, 3, 5)), LARGE)
    _, about_clean = calibrate((window_of(FRAMES, at) for at in (1, 3, 5)), LARGE)
    assert about_dirty.dirt_share > about_clean.dirt_share
    assert about_dirty.expected_false <= 2


def test_a_window_without_its_context_is_refused() -> None:
    with pytest.raises(ValueError, match="needs frames"):
        Window({0: FRAMES[0]}, 0, 7)


def test_a_shot_of_one_frame_loses_only_what_is_plainly_dirt() -> None:
    frame = np.full((200, 260, 1), 0.5, np.float32)
    frame += 0.01 * np.random.default_rng(1).standard_normal(frame.shape, np.float32)
    frame[100:103, 50:54] = 1.0
    filled = repair(Window({0: frame}, 0, 1), found := find(Window({0: frame}, 0, 1), LAW), LAW)
    assert found.holes[101, 52]
    assert found.holes.sum() < 60
    assert abs(float(filled.frame[101, 52, 0]) - 0.5) < 0.1
    assert [one.fill for one in filled.repairs] == [Fill.NAVIER_STOKES]


def test_samples_are_spread_over_the_shot() -> None:
    assert sampled(3) == [0, 1, 2]
    assert len(sampled(1000)) == 12
    assert sampled(1000)[0] < 50 < 900 < sampled(1000)[-1]
