"""Owns what a search for holes gives: the holes, one by one, and the picture that they are in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.image import Image
from restore.tiling import Box

Holes = NDArray[np.bool_]
"""(H, W), True = missing."""
Labels = NDArray[np.int32]
"""(H, W): 0 = known, k + 1 = blob k."""

_BAND_ROWS = 1024


@dataclass(frozen=True)
class Blob:
    """One connected hole, diagonal neighbours included."""

    box: Box
    """Smallest rectangle around it."""
    area_px: int
    kind: str
    """"mask", "alpha", "key", "dust", "dirt", "hair", "scratch", "crack", "not a number", "infrared"."""
    score: float | None
    """How far it stands out at most, in standard deviations of the local noise; None where nobody measured."""


@dataclass(frozen=True)
class Found:
    """The holes of one picture."""

    holes: Holes
    """(H, W), True = missing, already grown."""
    labels: Labels
    """(H, W): 0 = known, k + 1 = `blobs[k]`."""
    blobs: tuple[Blob, ...]
    """In order of the boxes' corners, rows first."""
    page: Image
    """The picture: the one that was searched, unless pixels of it were `divided`."""
    divided: Holes
    """(H, W), True where `page` differs from what was searched: dirt that lets light through, divided out."""
    divided_blobs: tuple[Blob, ...] = ()
    """What was divided out, place by place, in the same order; none of it is a hole."""
    notes: tuple[str, ...] = ()
    """What a person should know, in words."""


@dataclass(frozen=True)
class Places:
    """Connected places of some holes."""

    labels: Labels
    boxes: tuple[Box, ...]
    areas_px: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.boxes)


def places(holes: Holes) -> Places:
    """The connected places of `holes` (8 neighbours), in order of their boxes' corners, rows first.

    Two places with the same corner are told apart by their boxes' other corners, then by which has the first pixel.
    """
    _, said, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(holes).view(np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    labels: Labels = np.asarray(said, np.int32)
    left, top, width, height, area = (stats[1:, i] for i in range(5))
    order = np.lexsort((left + width, top + height, left, top))
    if (np.diff(order) != 1).any():
        rank = np.zeros(len(order) + 1, np.int32)
        rank[order + 1] = np.arange(1, len(order) + 1)
        for start, stop in _bands(labels.shape[0]):  # a table look-up makes a copy: only of a band
            labels[start:stop] = rank[labels[start:stop]]
    boxes = tuple(
        Box(int(top[i]), int(left[i]), int(top[i] + height[i]), int(left[i] + width[i])) for i in order.tolist()
    )
    return Places(labels, boxes, tuple(int(area[i]) for i in order))


def one_kind(holes: Holes, page: Image, kind: str, notes: tuple[str, ...] = ()) -> Found:
    """Holes that are all of one kind, with no score."""
    where = places(holes)
    blobs = tuple(Blob(box, area, kind, None) for box, area in zip(where.boxes, where.areas_px, strict=True))
    return Found(holes, where.labels, blobs, page, np.zeros_like(holes), (), notes)


@dataclass(frozen=True)
class Mark:
    """What is known of one hole before it grew."""

    y: int
    x: int
    """One of its pixels."""
    area_px: int
    kind: str
    score: float | None


def marks_of(before: Places, blobs: tuple[Blob, ...]) -> list[Mark]:
    """One for each of `blobs`, which belong to `before`'s places."""
    marks = []
    for k, blob in enumerate(blobs):
        box = before.boxes[k]
        column = int(np.argmax(before.labels[box.y0, box.x0 : box.x1] == k + 1))
        marks.append(Mark(box.y0, box.x0 + column, blob.area_px, blob.kind, blob.score))
    return marks


def told_by(marks: Iterable[Mark], after: Places) -> tuple[Blob, ...]:
    """The places as blobs: each has the kind of the largest mark in it, and the highest score."""
    kinds: list[str] = ["" for _ in after.boxes]
    largest = [0] * len(after)
    scores: list[float | None] = [None] * len(after)
    for mark in marks:
        now = int(after.labels[mark.y, mark.x]) - 1
        if mark.area_px > largest[now]:
            largest[now], kinds[now] = mark.area_px, mark.kind
        if mark.score is not None:
            scores[now] = max(mark.score, scores[now] or 0.0)
    return tuple(Blob(after.boxes[i], after.areas_px[i], kinds[i], scores[i]) for i in range(len(after)))


def carried_over(holes: Holes, before: Places, blobs: tuple[Blob, ...]) -> tuple[Labels, tuple[Blob, ...]]:
    """Labels and blobs of `holes`, which hold all of `before`'s places: each has the kind of the largest of `blobs`
    (one a place) in it, and the highest score."""
    after = places(holes)
    return after.labels, told_by(marks_of(before, blobs), after)


def _bands(height: int) -> list[tuple[int, int]]:
    edges = [*range(0, height, _BAND_ROWS), height]
    return list(pairwise(edges))
