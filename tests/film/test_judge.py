"""Claims about verdicts: the bar follows how dirty a shot is and how many false ones the user puts up with."""

from __future__ import annotations

import numpy as np

from restore.film.dirt import FACTS
from restore.film.judge import DEFAULT_BAR, HIGHEST_BAR, LOWEST_BAR, calibrated, less_where_it_flashes, log_odds

RNG = np.random.default_rng(1)
CLEAN = [RNG.normal(-4, 2, 30) for _ in range(8)]
DIRTY = [np.concatenate([false, RNG.normal(5, 2, 300)]) for false in CLEAN]


def test_a_clean_shot_gets_a_higher_bar_than_a_dirty_one() -> None:
    clean, dirty = calibrated(CLEAN, 2.0), calibrated(DIRTY, 2.0)
    assert clean.bar > dirty.bar
    assert clean.dirt_share < 0.1 < dirty.dirt_share
    assert dirty.expected_false <= 2
    assert all((false <= clean.bar).all() for false in CLEAN)


def test_a_larger_budget_never_raises_the_bar() -> None:
    bars = [calibrated(DIRTY, budget).bar for budget in (0.0, 0.1, 1.0, 10.0)]
    assert bars == sorted(bars, reverse=True)
    assert all(LOWEST_BAR <= bar <= HIGHEST_BAR for bar in bars)


def test_the_budget_is_kept_where_the_truth_is_known() -> None:
    bar = calibrated(DIRTY, 2.0).bar
    assert np.mean([(false > bar).sum() for false in CLEAN]) <= 2.5


def test_nothing_seen_leaves_the_default() -> None:
    assert calibrated([], 2.0).bar == DEFAULT_BAR
    assert calibrated([np.zeros(0)], 2.0).bar == DEFAULT_BAR


def test_what_is_found_elsewhere_and_stands_out_less_is_less_likely_dirt() -> None:
    facts = np.zeros((1, len(FACTS)))
    facts[0, FACTS.index("peak")], facts[0, FACTS.index("contrast")] = np.log(15), np.log(8)
    moved, fainter = facts.copy(), facts.copy()
    moved[0, FACTS.index("seen elsewhere")] = np.log(0.1)
    fainter[0, FACTS.index("peak")] = np.log(4)
    assert log_odds(moved) < log_odds(facts)
    assert log_odds(fainter) < log_odds(facts)


def test_what_recurs_around_its_place_is_less_likely_dirt() -> None:
    facts = np.zeros((1, len(FACTS)))
    often = facts.copy()
    often[0, FACTS.index("recurring")] = np.log(10)
    assert log_odds(often) < log_odds(facts)


def test_where_it_flashes_no_more_pass_than_dirt_can_be() -> None:
    odds = np.full(100, 5.0)
    flashing = np.arange(100) < 40
    assert (less_where_it_flashes(odds, flashing, 0.05) > 0).sum() == 60
    # A part of the frame that isn't denser than the rest is dirty, like the rest.
    assert np.array_equal(less_where_it_flashes(odds, flashing, 0.4), odds)
    few = np.arange(100) < 6
    assert np.array_equal(less_where_it_flashes(odds, few, 0.01), odds)


def test_at_a_shots_ends_the_same_blob_is_less_likely_dirt() -> None:
    facts = np.zeros((1, len(FACTS)))
    facts[0, FACTS.index("peak")], facts[0, FACTS.index("contrast")] = np.log(6), np.log(4)
    assert log_odds(facts, one_sided=True) < log_odds(facts)
