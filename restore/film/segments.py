"""Owns how a film is divided among jobs: stretches of frames fixed by the film and the settings alone.

Who works, how many, in which order and after which interruption can't change a segment, so the joined film is one file.
"""

from __future__ import annotations

from dataclasses import dataclass

from restore.errors import SetupError

DEFAULT_FRAMES = 96
"""Four seconds of film: some minutes of work to lose at most, and key frames no closer than players like."""
_PARTS = 8
_LEAST_FRAMES = 12
"""Of short films: enough parts for several workers, but not so many that context costs more than the frames."""


def usual_frames(frames: int) -> int:
    """Frames of a segment, by the film's length alone: never by who works on it."""
    return min(DEFAULT_FRAMES, max(_LEAST_FRAMES, -(-frames // _PARTS)))


@dataclass(frozen=True)
class Segment:
    """Frames that one job restores and encodes."""

    number: int
    """From 0."""
    start: int
    """Position of its first frame in the film."""
    stop: int
    """Behind its last."""

    @property
    def frames(self) -> int:
        return self.stop - self.start

    @property
    def name(self) -> str:
        """Of its file: sorts as the film runs."""
        return f"{self.number:06d}.segment"

    def reads(self, before: int, after: int, film_frames: int) -> tuple[int, int]:
        """(first, end) of what the job looks at, with `before` and `after` frames of context inside the film."""
        return max(0, self.start - before), min(film_frames, self.stop + after)


def divide(frames: int, segment_frames: int = DEFAULT_FRAMES) -> tuple[Segment, ...]:
    """Segments of `segment_frames`, in order; a rest shorter than a quarter of that stays with the last one.

    SetupError for no frames, ValueError for segments of none.
    """
    if frames < 1:
        raise SetupError("there are no frames to restore: look at --frames")
    if segment_frames < 1:
        raise ValueError(f"{segment_frames = }")
    count = max(1, frames // segment_frames)
    if frames - count * segment_frames >= segment_frames / 4 and frames > segment_frames:
        count += 1
    starts = [number * segment_frames for number in range(count)]
    return tuple(
        Segment(number, start, stop)
        for number, (start, stop) in enumerate(zip(starts, [*starts[1:], frames], strict=True))
    )
