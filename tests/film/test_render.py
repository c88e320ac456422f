"""Claims about a stretch of a reel: any division gives the same frames, and only what is asked for changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from moving import pan, specks
from reels import MemoryReel, in_16_bits, plan_of

from restore.film.blobs import ALL
from restore.film.planted import Planted, Planting, Scratch, plant
from restore.film.reel import Fault
from restore.film.render import Rendered, Tools, render
from restore.film.scan import judge_shot, scan
from restore.film.settings import FilmSettings, InputColour, ShotSettings
from restore.recipe import Polarity
from restore.tiling import Box

SIZE = (120, 160)
SETTINGS = FilmSettings()
WITH = ShotSettings(bar=0.0, max_size_px=9)


@pytest.fixture(scope="module")
def damaged() -> list[Planted]:
    planting = Planting(lines=900, density=0.5, scratches=(Scratch(0.4, 0.15),))
    return list(plant(pan(14, size=SIZE), planting, specks(), seed=5))


@pytest.fixture(scope="module")
def reel(damaged: list[Planted]) -> MemoryReel:
    return MemoryReel(in_16_bits([one.frame for one in damaged]), first=100)


def restored(reel: MemoryReel, settings: ShotSettings = WITH, tools: Tools | None = None) -> list[Rendered]:
    plan = plan_of(reel, {reel.first: settings})
    made = list(render(reel, plan, SETTINGS, 0, len(reel.frames), tools or Tools()))
    assert all(isinstance(one, Rendered) for one in made)
    return made  # type: ignore[return-value]


@pytest.fixture(scope="module")
def whole(reel: MemoryReel) -> list[Rendered]:
    return restored(reel)


def test_dirt_and_the_scratch_go_and_all_else_is_bit_identical(whole: list[Rendered], damaged: list[Planted]) -> None:
    kinds = {repair.kind for one in whole for repair, _ in one.repairs}
    assert {"dust", "scratch"} <= kinds
    for one, truth in zip(whole, damaged, strict=True):
        assert np.array_equal(one.old[~one.touched], one.new[~one.touched])
        assert one.after.first.pixels is not one.before.first.pixels  # type: ignore[union-attr]
        assert np.array_equal(one.after.first.pixels, one.new)  # type: ignore[union-attr]
        harmed = truth.specks | truth.scratched
        before, after = (np.abs(p / 65535 - truth.clean)[harmed].mean() for p in (one.old, one.new))
        assert after < before / 2


def test_each_touched_pixel_is_one_repairs_own(whole: list[Rendered]) -> None:
    for one in whole:
        owned = np.zeros(one.touched.shape, int)
        for repair, mine in one.repairs:
            assert repair.page == one.number
            assert repair.area_px == mine.sum() > 0
            owned[repair.box.y0 : repair.box.y1, repair.box.x0 : repair.box.x1] += mine
        assert np.array_equal(owned, one.touched.astype(int))


@pytest.mark.parametrize("settings", [WITH, replace(WITH, flicker=True, steady=True)], ids=["clean", "all"])
def test_any_division_gives_the_same_frames(reel: MemoryReel, settings: ShotSettings) -> None:
    plan = plan_of(reel, {100: settings})
    at_once = [one.new for one in restored(reel, settings)]
    parts = []
    for start, stop in ((0, 3), (3, 4), (4, 11), (11, 14)):
        parts += [one.new for one in render(reel, plan, SETTINGS, start, stop, Tools())]  # type: ignore[union-attr]
    assert len(parts) == 14
    assert all(np.array_equal(a, b) for a, b in zip(at_once, parts, strict=True))


def test_a_stretch_reads_no_more_than_its_context(reel: MemoryReel) -> None:
    reel.reads.clear()
    list(render(reel, plan_of(reel), SETTINGS, 6, 8, Tools()))
    assert reel.reads == [(2, 12)]


def test_nothing_crosses_a_cut(reel: MemoryReel) -> None:
    other = MemoryReel([*reel.frames[:7], *(65535 - frame for frame in reel.frames[7:])], first=100)  # type: ignore[operator]
    plan = plan_of(other, {100: WITH, 107: WITH})
    other.reads.clear()
    made = list(render(other, plan, SETTINGS, 4, 10, Tools()))
    assert other.reads == [(0, 7), (7, 14)]
    first = list(
        render(
            MemoryReel(reel.frames[:7], 100),
            plan_of(MemoryReel(reel.frames[:7], 100), {100: WITH}),
            SETTINGS,
            4,
            7,
            Tools(),
        )
    )
    for a, b in zip(made[:3], first, strict=True):
        assert np.array_equal(a.new, b.new)  # type: ignore[union-attr]


def test_a_shot_in_which_nothing_is_wanted_stays_as_it_is(reel: MemoryReel) -> None:
    made = restored(reel, ShotSettings(dirt=False, scratches=False))
    assert all(one.after is one.before and not one.repairs for one in made)


def test_missing_frames_get_a_verdict_and_the_rest_is_restored(reel: MemoryReel) -> None:
    frames = [None if at in (5, 6) else frame for at, frame in enumerate(reel.frames)]
    torn = MemoryReel(frames, 100)
    made = list(render(torn, plan_of(torn, {100: WITH}), SETTINGS, 0, 14, Tools()))
    assert [one.number for one in made] == list(range(100, 114))
    assert [one.number for one in made if isinstance(one, Fault)] == [105, 106]
    assert all(one.repairs for one in made if isinstance(one, Rendered))


def test_undone_repairs_leave_the_sources_own_pixels(reel: MemoryReel, whole: list[Rendered]) -> None:
    frame = whole[4]
    gone, mine = frame.repairs[2]
    tools = Tools(undone={frame.number: [gone.blob], frame.number + 1: ALL})
    made = restored(reel, tools=tools)
    place = np.s_[gone.box.y0 : gone.box.y1, gone.box.x0 : gone.box.x1]
    assert np.array_equal(made[4].new[place][mine], made[4].old[place][mine])
    assert [repair.blob for repair, _ in made[4].repairs] == [r.blob for r, _ in frame.repairs if r.blob != gone.blob]
    others = frame.touched.copy()
    others[place][mine] = False
    assert np.array_equal(made[4].new[others], frame.new[others])
    assert made[5].after is made[5].before
    assert np.array_equal(made[6].new, whole[6].new)


def test_excluded_regions_stay_as_they_are(reel: MemoryReel) -> None:
    box = Box(0, 0, 60, 160)
    made = restored(reel, replace(WITH, exclude=(box,)))
    for one in made:
        assert not one.touched[:60].any()
        assert np.array_equal(one.new[:60], one.old[:60])
    assert any(one.touched[60:].any() for one in made)


class _Drawn:
    """A mask for one frame."""

    def __init__(self, number: int) -> None:
        self.number = number

    def holes(self, number: int) -> np.ndarray | None:
        holes = np.zeros(SIZE, bool)
        holes[30:40, 50:61] = True
        return holes if number == self.number else None


def test_with_masks_only_what_they_say_is_repaired(reel: MemoryReel) -> None:
    made = list(render(reel, plan_of(reel, {100: WITH}), FilmSettings(masks=True), 0, 14, Tools(masks=_Drawn(104))))
    for one in made:
        assert isinstance(one, Rendered)
        assert one.touched.sum() == (110 if one.number == 104 else 0)
    assert [repair.kind for repair, _ in made[4].repairs] == ["mask"]  # type: ignore[union-attr]


def test_a_scan_sees_the_cut_and_what_is_missing() -> None:
    frames = in_16_bits([*pan(40, size=SIZE), *(1 - frame[::-1] for frame in pan(40, size=SIZE))])
    torn = MemoryReel([None if at == 50 else frame for at, frame in enumerate(frames)], 1001)
    plan = scan(torn, plan_of(torn).fields, InputColour.SRGB, ShotSettings(polarity=Polarity.DARK))
    assert [(shot.first, shot.last) for shot in plan.shots] == [(1001, 1040), (1041, 1080)]
    assert plan.damage == {1051: "it is missing"}
    assert plan.shots[1].settings.polarity is Polarity.DARK
    part = scan(torn, plan.fields, InputColour.SRGB, ShotSettings(), (1035, 1060))
    assert [(shot.first, shot.last) for shot in part.shots] == [(1035, 1040), (1041, 1060)]


def test_a_shots_bar_is_found_from_some_of_its_frames(reel: MemoryReel) -> None:
    plan = plan_of(reel, {100: replace(WITH, bar=None)})
    assert judge_shot(reel, plan, plan.shots[0]).dirt_share > 0.3
    clean = MemoryReel(in_16_bits(pan(14, size=SIZE)), 100)
    assert judge_shot(clean, plan_of(clean), plan.shots[0]).dirt_share < 0.3


def test_grain_is_taken_out_of_whole_frames_after_repair_and_any_division_gives_the_same(
    reel: MemoryReel, damaged: list[Planted]
) -> None:
    plan = plan_of(reel, {reel.first: replace(WITH, degrain=True)})
    made = list(render(reel, plan, SETTINGS, 5, 8, Tools()))
    clean = pan(14, grain=0, size=SIZE)
    for one, truth, wanted in zip(made, damaged[5:8], clean[5:8], strict=True):
        assert isinstance(one, Rendered)
        before, after = (np.abs(values - wanted).mean() for values in (truth.frame, one.new / 65535))
        assert one.touched.all()
        assert one.grain is not None
        assert after < before / 2
    alone = next(render(reel, plan, SETTINGS, 7, 8, Tools()))
    assert isinstance(alone, Rendered)
    assert isinstance(made[2], Rendered)
    assert np.array_equal(alone.new, made[2].new)
