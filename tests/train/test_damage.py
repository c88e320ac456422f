"""Claims about synthetic damage: how much, how wide, and always the same for a seed."""

from __future__ import annotations

import numpy as np
import pytest

from restore.train.damage import (
    BUCKETS,
    Damage,
    draw,
    largest_radius_px,
    lay_overlay,
    narrowed,
    radius_limit_px,
    training_damage,
)

ALL = {**BUCKETS, "training": training_damage(24)}
MANY = 12


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [(128, 128), (96, 160)])
def test_coverage_is_in_range_and_no_hole_is_wider_than_promised(name: str, size: tuple[int, int]) -> None:
    damage = ALL[name]
    for seed in range(MANY):
        holes = draw(damage, *size, np.random.default_rng([seed]))
        assert holes.shape == size
        assert holes.dtype == np.bool_
        assert damage.coverage[0] <= holes.mean() <= damage.coverage[1]
        assert largest_radius_px(holes) <= radius_limit_px(damage)


def test_the_buckets_are_what_their_names_say() -> None:
    widest = {name: radius_limit_px(damage) for name, damage in BUCKETS.items()}
    assert widest == {"dust": 7, "strokes": 9, "wide": 21, "irregular": 21}
    assert BUCKETS["irregular"].coverage == (0.1, 0.3)
    radii = [largest_radius_px(draw(BUCKETS["wide"], 160, 160, np.random.default_rng(i))) for i in range(MANY)]
    assert np.median(radii) > radius_limit_px(BUCKETS["strokes"])


def test_the_same_seed_draws_the_same_holes_and_another_one_others() -> None:
    drawn = [draw(training_damage(40), 96, 96, np.random.default_rng([5, step])) for step in (1, 1, 2)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in training_damage(20).kinds}))
def test_every_kind_draws_something(kind: str) -> None:
    damage = Damage(((kind, 1.0),), (0.01, 0.3), (1, 20))
    assert all(draw(damage, 96, 64, np.random.default_rng(seed)).any() for seed in range(4))


def test_specks_have_the_measured_size() -> None:
    """Median diameter 0.25 % of the frame's height: 2.7 px at 1080 lines, 8.5 px at 3400."""
    import cv2

    damage = Damage((("dust", 1.0),), (0.004, 0.005), (1, 40))
    areas: list[int] = []
    for seed in range(60):
        holes = draw(damage, 256, 256, np.random.default_rng(seed))
        _, _, stats, _ = cv2.connectedComponentsWithStats(holes.view(np.uint8))
        areas += [int(area) for area in stats[1:, cv2.CC_STAT_AREA]]
    assert 2.5 < np.median(np.sqrt(4 * np.array(areas) / np.pi)) < 8


def test_the_radius_is_that_of_the_largest_inscribed_disc() -> None:
    holes = np.zeros((40, 40), bool)
    assert largest_radius_px(holes) == 0
    holes[10:21, 5:35] = True
    assert largest_radius_px(holes) == 6
    assert largest_radius_px(np.ones((3, 3), bool)) == float("inf")


def test_overlays_keep_thin_damage_and_lose_blots_that_are_too_wide() -> None:
    overlay = np.zeros((200, 200), bool)
    overlay[20:100, 20:100] = True  # a blot
    overlay[130:133, :] = True
    for seed in range(8):
        holes = lay_overlay(overlay, 96, 96, 8.0, np.random.default_rng(seed)).view(np.bool_)
        assert holes.shape == (96, 96)
        assert largest_radius_px(holes) <= 8.0
    large = [lay_overlay(overlay, 400, 300, 8.0, np.random.default_rng(seed)).any() for seed in range(4)]
    assert all(large)


def test_overlays_are_used_in_training() -> None:
    overlay = np.zeros((64, 64), bool)
    overlay[::16] = True
    plain = [draw(training_damage(20), 64, 64, np.random.default_rng(seed)) for seed in range(20)]
    real = [draw(training_damage(20), 64, 64, np.random.default_rng(seed), [overlay]) for seed in range(20)]
    assert any(not np.array_equal(a, b) for a, b in zip(plain, real, strict=True))


def test_small_crops_get_narrow_holes() -> None:
    damage = narrowed(BUCKETS["wide"], 32)
    assert damage.width_px == (8, 8)
    assert not draw(damage, 32, 32, np.random.default_rng(0)).all()
    assert narrowed(BUCKETS["wide"], 256) == BUCKETS["wide"]
