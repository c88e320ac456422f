"""Owns one reel's work: everything that decides its result, as plain values that workers read, and its division.

What decides the bytes of a segment has a fingerprint; a receipt with the same one means that nothing is to be done.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restore.color.yuv import Signal, signal_of
from restore.film.fields import timeline
from restore.film.form import PICTURES, Form, pictures_of
from restore.film.plan import Plan
from restore.film.planted import Planting
from restore.film.prepared import reach_frames
from restore.film.reel import Reel
from restore.film.segments import DEFAULT_FRAMES, Segment, divide
from restore.film.settings import FilmSettings, deciding
from restore.formats import Decoder
from restore.formats.encoding import Encoding, choose
from restore.formats.video import Clip
from restore.formats.video_pixels import Family
from restore.recipe import PIXELS_VERSION
from restore.reels.becoming import Becoming
from restore.reels.masks import MaskFiles, mask_name
from restore.reels.source import Source
from restore.reels.state import Undone

FILM_VERSION = 1
"""Raised whenever the same work would give other frames than before."""


@dataclass(frozen=True)
class Written:
    """How a video is written."""

    codec: str = "ffv1"
    quality: int | None = None
    drop: tuple[int, ...] = ()
    """Streams beside the pictures that stay behind, by their index."""
    pictures: str = ""
    """What kind of files a video's frames become (`film.form.PICTURES`); "": it stays a video."""
    becoming: Becoming | None = None
    """The video that frames of a folder become; None: they stay files."""


@dataclass(frozen=True)
class Damage:
    """What is planted on a reel as it is read, to see what is found of it."""

    planting: Planting
    overlays: Path | None
    """A folder of scanned damage; None: drawn shapes."""
    seed: int


@dataclass(frozen=True)
class Work:
    """One reel, and what becomes of it."""

    source: Source
    plan: Plan
    settings: FilmSettings
    target: Path
    """A video file, or a folder."""
    written: Written = field(default_factory=Written)
    device: str = "cpu"
    masks: Path | None = None
    save_masks: Path | None = None
    segment_frames: int = DEFAULT_FRAMES
    undone: Undone = field(default_factory=dict)
    token: str = "00000000"
    """For temporaries."""
    only_masks: bool = False
    """Nothing is restored: `target` gets masks of what would be."""
    damage: Damage | None = None

    @property
    def is_video(self) -> bool:
        """Whether the result is a video, and not a folder of files."""
        return self.clip is not None and not self.written.pictures and not self.only_masks

    @property
    def clip(self) -> Clip | None:
        """The video that the frames come from, or that they become."""
        return self.source.clip if self.written.becoming is None else self.written.becoming.clip

    @property
    def form(self) -> Form | None:
        """In which frames go out; None: their own."""
        if self.written.becoming is not None:
            return self.written.becoming.form
        if not self.written.pictures:
            return None
        assert self.source.clip is not None
        rate = self.source.clip.rate * self.plan.fields.rate_factor
        return pictures_of(self.written.pictures, self.source.clip, rate)

    def open(self, decoder: Decoder, source: Source | None = None) -> Reel:
        """The reel in the form that goes out, or `source` in its stead.  ImageError when none of it can be read."""
        return (source or self.source).open(self.plan.fields, decoder, self.form)

    @property
    def signal(self) -> Signal:
        """What the samples of a video's planes mean that go out."""
        assert self.clip is not None
        one = self.clip
        return signal_of(one.layout, one.colour.matrix, one.height, full_range=one.full_range)

    def times(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Fraction]:
        """(when each frame of the plan is shown, how long, the unit in seconds)."""
        if self.written.becoming is not None:
            (shown, lengths), base = self.written.becoming.times.arrays(), self.written.becoming.times.time_base
        else:
            assert self.source.clip is not None
            assert self.source.known is not None
            shown, lengths, divisor = timeline(self.plan.fields, self.source.known)
            base = self.source.clip.time_base / divisor
        stretch = slice(self.plan.first - self.origin, self.plan.last + 1 - self.origin)
        return shown[stretch], lengths[stretch], base

    @property
    def stem(self) -> str:
        """How names begin of a video's frames, and of what goes beside them."""
        return self.source.path.stem

    def name_of(self, number: int) -> str:
        """Of the file in the folder `target` that frame `number` becomes.  KeyError: it isn't there."""
        name = None if self.source.frames is None else self.source.frames.names[number]
        if self.only_masks:
            return mask_name(number, name)
        if self.written.pictures:
            return f"{self.stem}.{number:07d}{PICTURES[self.written.pictures]}"
        assert name is not None
        return os.fsdecode(name)

    @property
    def names(self) -> dict[int, str]:
        """`name_of` every frame of the plan that is there."""
        numbers = range(self.plan.first, self.plan.last + 1)
        there = numbers if self.source.frames is None else [one for one in self.source.frames.names if one in numbers]
        return {number: self.name_of(number) for number in there}

    @property
    def origin(self) -> int:
        """The number of the reel's position 0."""
        return 0 if self.source.frames is None else self.source.frames.first

    @property
    def segments(self) -> tuple[Segment, ...]:
        """With positions in the reel."""
        start = self.plan.first - self.origin
        parts = divide(self.plan.last + 1 - self.plan.first, self.segment_frames)
        return tuple(replace(one, start=one.start + start, stop=one.stop + start) for one in parts)

    @property
    def whole(self) -> bool:
        """Whether all of the reel's frames are in it."""
        frames = self.source.frames
        last = self.plan.fields.frames - 1 if frames is None else frames.last
        return (self.plan.first, self.plan.last) == (self.origin, last)

    def encoding(self) -> Encoding:
        """How a video is encoded.  SetupError when it can't be."""
        clip = self.clip
        assert clip is not None
        if self.settings.upscale is not None and clip.layout.family is Family.YUV:
            # Players guess an untagged matrix by the number of lines, which grows: so it is said aloud.
            signal = signal_of(clip.layout, clip.colour.matrix, clip.height, full_range=clip.full_range)
            clip = replace(clip, colour=replace(clip.colour, matrix=signal.matrix))
        return choose(
            self.written.codec,
            clip,
            self.target.suffix,
            size=self.out_size(),
            progressive=self.plan.fields.order != "" or clip.field_order == "progressive",
            rate=clip.rate * self.plan.fields.rate_factor,
            quality=self.written.quality,
            least_loss=self.written.becoming is not None,
        )

    def out_size(self) -> tuple[int, int]:
        """(width, height) of results."""
        width, height = self.plan.size
        if self.settings.upscale is None:
            return width, height
        from restore.resample import target_size

        tall, wide = target_size(height, width, self.scale, self.settings.upscale)
        return wide, tall

    @property
    def scale(self) -> int:
        """The network's own."""
        from restore.models import resolve

        return 1 if self.settings.upscale is None else resolve(self.settings.upscale_model).scale

    def fingerprints(self) -> dict[int, str]:
        """Of all that decides each segment's frames and bytes, by the segments' numbers."""
        masks = None if self.masks is None else MaskFiles(self.masks)
        return {segment.number: self._fingerprint(segment, masks) for segment in self.segments}

    def fingerprint(self, segment: Segment) -> str:
        """Of one segment."""
        return self._fingerprint(segment, None if self.masks is None else MaskFiles(self.masks))

    def undone_in(self, segment: Segment) -> Undone:
        """What was taken back of a segment, in order of its frames."""
        first, last = segment.start + self.origin, segment.stop - 1 + self.origin
        return {number: blobs for number, blobs in sorted(self.undone.items()) if first <= number <= last}

    def _fingerprint(self, segment: Segment, masks: MaskFiles | None) -> str:
        first, last = segment.start + self.origin, segment.stop - 1 + self.origin
        shots = [shot for shot in self.plan.shots if shot.first <= last and first <= shot.last]
        reach = max(reach_frames(shot.settings) for shot in shots)
        settings = asdict(self.settings)
        for name in ("inpaint", "shot", "upscale_model"):
            del settings[name]
        if settings["upscale"] is not None:
            del settings["upscale"]["model"]
        facts = {
            "versions": [FILM_VERSION, PIXELS_VERSION],
            "frames": [first, last],
            "size": self.plan.size,
            "colour": deciding(self.plan.colour),
            "fields": [self.plan.fields.method, self.plan.fields.order, self.plan.fields.source_frames],
            "shots": [[shot.first, shot.last, asdict(shot.settings)] for shot in shots],
            "settings": settings,
            "source": self.source.identity(first - reach, last + reach),
            "masks": [] if masks is None else masks.stamps(first - reach, last + reach),
            "undone": self.undone_in(segment),
            "written": self._written_facts(),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()

    def _written_facts(self) -> list[object]:
        """What decides how frames are written; their times and sound are the join's."""
        if not self.is_video:
            return [self.written.pictures] if self.written.pictures else []
        facts: list[object] = [self.written.codec, self.written.quality, self.target.suffix]
        one = self.written.becoming
        return facts if one is None else [*facts, asdict(one.form), asdict(one.clip.colour), one.clip.rate]
