"""Claims about the sample that `restore try` shows."""

import random

from restore.report.sample import spread

Item = tuple[str, int]


def pick(items: list[Item], count: int) -> list[Item]:
    return spread(items, count, kind=lambda item: item[0], size=lambda item: item[1])


def test_every_kind_is_shown_before_any_is_shown_twice() -> None:
    items = [("png", n) for n in range(100)] + [("dds", 5), ("exr", 7)]
    assert {kind for kind, _ in pick(items, 3)} == {"png", "dds", "exr"}


def test_sizes_are_spread() -> None:
    sizes = [size for _, size in pick([("png", n) for n in range(100)], 4)]
    assert sizes == [12, 37, 62, 87]


def test_the_commonest_kinds_win_when_there_are_too_many() -> None:
    items = [("a", 1), ("b", 1), ("b", 2), ("c", 1), ("c", 2), ("c", 3)]
    assert {kind for kind, _ in pick(items, 2)} == {"b", "c"}


def test_the_sample_has_the_size_asked_for_no_repeats_and_the_order_of_the_tree() -> None:
    chance = random.Random(5)
    for _ in range(200):
        items = [(chance.choice("abcd"), chance.randrange(50)) for _ in range(chance.randrange(40))]
        count = chance.randrange(30)
        numbered = list(enumerate(items))
        chosen = spread(numbered, count, kind=lambda one: one[1][0], size=lambda one: one[1][1])
        places = [place for place, _ in chosen]
        assert len(places) == min(count, len(items))
        assert places == sorted(set(places))
        assert chosen == spread(numbered, count, kind=lambda one: one[1][0], size=lambda one: one[1][1])
