"""Claims about measuring on one's own stock, and about the network's part in film."""

from __future__ import annotations

import numpy as np
from moving import pan, specks
from reels import MemoryReel, in_16_bits, plan_of

from restore.film.bench import PlantedReel, bench, drawn_stamps
from restore.film.fill import navier_stokes
from restore.film.netfill import NetFiller
from restore.film.planted import Planting, Scratch
from restore.film.render import Tools
from restore.film.settings import FilmSettings, InputColour, ShotSettings
from restore.film.tones import Tones
from restore.tiling import Box
from restore.trust.ledger import Fill, Repair

SIZE = (120, 160)
PLANTING = Planting(lines=700, density=0.5, scratches=(Scratch(0.4, 0.2),))


def clean_reel() -> MemoryReel:
    return MemoryReel(in_16_bits(pan(10, size=SIZE)), 50)


def test_planted_frames_are_the_same_however_they_are_read() -> None:
    reel = PlantedReel(clean_reel(), Tones(InputColour.SRGB), PLANTING, specks(), seed=4)
    whole = [item.working for item in reel.read(0, 10)]  # type: ignore[union-attr]
    part = [item.working for item in reel.read(6, 8)]  # type: ignore[union-attr]
    assert np.array_equal(part[0], whole[6])
    assert np.array_equal(part[1], whole[7])
    assert not np.array_equal(whole[0], clean_reel().frames[0])


def test_what_is_planted_is_counted() -> None:
    reel = clean_reel()
    plan = plan_of(reel, {50: ShotSettings(max_size_px=9)})
    score = bench(reel, plan, FilmSettings(), PLANTING, specks(), 4, Tools())
    assert score.frames == 10
    assert score.specks > 100
    assert score.specks_found > 0.5 * score.specks
    assert score.false_objects < 4
    assert score.psnr_restored > score.psnr_telea > score.psnr_damaged
    assert score.scratches == 10


def test_a_detector_that_does_nothing_finds_nothing() -> None:
    reel = clean_reel()
    plan = plan_of(reel, {50: ShotSettings(dirt=False, scratches=False, bar=0.0)})
    score = bench(reel, plan, FilmSettings(), PLANTING, specks(), 4, Tools())
    assert (score.specks_found, score.false_objects, score.scratches_found) == (0, 0, 0)


def test_drawn_stamps_are_of_all_kinds_and_shapes() -> None:
    stamps = drawn_stamps()
    assert {stamp.kind for stamp in stamps} == {"dust", "dirt", "short hair", "long hair"}
    assert all(stamp.diameter_px > 3 for stamp in stamps)


def test_the_network_fills_what_neighbours_cannot_and_says_what_it_did() -> None:
    filler = NetFiller("pconv", "cpu")
    frame = in_16_bits(pan(1, size=SIZE))[0]
    holes = np.zeros(SIZE, bool)
    holes[40:46, 60:66] = True
    dirty = frame.copy()
    dirty[holes] = 65535
    filled = filler(dirty, holes)
    assert filled.dtype == np.uint16
    assert np.array_equal(filled[~holes], dirty[~holes])
    assert np.abs(filled[holes].astype(float) - frame[holes]).mean() < 6000
    record = Repair(3, 0, Box(40, 60, 46, 66), 36, "dust", Fill.NET, 0.0)
    (settled,) = filler.settled([record])
    assert settled.confidence > 0
    assert settled.page == 3


def test_small_frames_are_filled_classically_and_the_ledger_says_so() -> None:
    filler = NetFiller("pconv", "cpu")
    frame = in_16_bits(pan(1, size=(40, 60)))[0]
    holes = np.zeros((40, 60), bool)
    holes[10:13, 10:13] = True
    assert np.array_equal(filler(frame, holes), navier_stokes(frame, holes))
    (settled,) = filler.settled([Repair(0, 0, Box(10, 10, 13, 13), 9, "dust", Fill.NET, 0.0)])
    assert settled.fill is Fill.NAVIER_STOKES
