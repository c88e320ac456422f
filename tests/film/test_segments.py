"""Segments: fixed by the film and the settings alone."""

from __future__ import annotations

from itertools import pairwise

import pytest

from restore.errors import SetupError
from restore.film.segments import DEFAULT_FRAMES, divide, usual_frames


@pytest.mark.parametrize("frames", [1, 23, 24, 95, 96, 97, 119, 120, 121, 192, 1000])
def test_segments_are_the_whole_film_in_order(frames: int) -> None:
    segments = divide(frames)
    assert [segment.number for segment in segments] == list(range(len(segments)))
    assert segments[0].start == 0
    assert segments[-1].stop == frames
    assert all(one.stop == other.start for one, other in pairwise(segments))
    assert sum(segment.frames for segment in segments) == frames
    assert all(segment.frames >= min(frames, 24) for segment in segments)


def test_a_longer_film_only_changes_its_end() -> None:
    assert divide(1000)[:9] == divide(960)[:9]


def test_context_stays_inside_the_film() -> None:
    first, middle, last = divide(300, 100)
    assert first.reads(3, 3, 300) == (0, 103)
    assert middle.reads(3, 3, 300) == (97, 203)
    assert last.reads(3, 3, 300) == (197, 300)


def test_names_sort_as_the_film_runs() -> None:
    names = [segment.name for segment in divide(20000, 10)]
    assert names == sorted(names)


def test_no_frames_are_refused() -> None:
    with pytest.raises(SetupError, match="no frames to restore"):
        divide(0)
    with pytest.raises(ValueError, match="segment_frames = 0"):
        divide(5, 0)


def test_short_films_have_parts_for_several_workers_and_long_ones_segments_of_four_seconds() -> None:
    assert usual_frames(100_000) == DEFAULT_FRAMES
    assert usual_frames(240) == 30
    assert usual_frames(5) == 12
