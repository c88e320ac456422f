"""Owns choosing a few of many: a sample that shows every kind and size, the same one every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def spread(
    items: Sequence[Item], count: int, *, kind: Callable[[Item], str], size: Callable[[Item], int]
) -> list[Item]:
    """At most `count` of `items`, in their order: every kind has a seat before any has many, and each kind's seats
    are spread evenly over its sizes.

    Nothing is left to chance.  When there are more kinds than seats, the commonest kinds have them.
    """
    kinds: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        kinds.setdefault(kind(item), []).append(index)
    commonest = sorted(kinds.values(), key=lambda members: -len(members))[: max(count, 0)]
    chosen: list[int] = []
    for members, seats in zip(commonest, _seats([len(members) for members in commonest], count), strict=True):
        by_size = sorted(members, key=lambda index: size(items[index]))
        # The middle of each of `seats` equal parts: neither the very smallest nor the very largest, unless all go.
        chosen += [by_size[(2 * seat + 1) * len(by_size) // (2 * seats)] for seat in range(seats)]
    return [items[index] for index in sorted(chosen)]


def _seats(sizes: Sequence[int], count: int) -> list[int]:
    """`count` seats shared out: one each, then one at a time to whoever has the most members a seat."""
    seats = [1] * len(sizes)
    for _ in range(min(count, sum(sizes)) - len(sizes)):
        winner = max((i for i in range(len(sizes)) if seats[i] < sizes[i]), key=lambda i: (sizes[i] / seats[i], -i))
        seats[winner] += 1
    return seats
