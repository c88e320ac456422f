"""Owns one reel's work: everything that decides its result, as plain values that workers read, and its division.

What decides the bytes of a segment has a fingerprint; a receipt with the same one means that nothing is to be done.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from restore.color.yuv import signal_of
from restore.errors import SetupError
from restore.film.plan import Plan, from_toml, to_toml
from restore.film.planted import Planting, Scratch
from restore.film.prepared import reach_frames
from restore.film.segments import DEFAULT_FRAMES, Segment, divide
from restore.film.settings import FilmGrain, FilmSettings, deciding
from restore.formats import wire
from restore.formats.encoding import Encoding, choose
from restore.formats.video_pixels import Family
from restore.recipe import PIXELS_VERSION, ColorFix, Pow2, Precision, Upscale
from restore.reels import source as sources
from restore.reels.masks import MaskFiles, mask_name
from restore.reels.source import Source
from restore.reels.state import State, Undone

FILM_VERSION = 1
"""Raised whenever the same work would give other frames than before."""


@dataclass(frozen=True)
class Written:
    """How a video is written."""

    codec: str = "ffv1"
    quality: int | None = None
    drop: tuple[int, ...] = ()
    """Streams beside the pictures that stay behind, by their index."""


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
        return self.source.frames is None and not self.only_masks

    def name_of(self, number: int) -> str:
        """Of the file in the folder `target` that frame `number` becomes.  KeyError: it isn't there."""
        name = None if self.source.frames is None else self.source.frames.names[number]
        if self.only_masks:
            return mask_name(number, name)
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
        """Whether all of the video's frames are in it."""
        return self.plan.first == 0 and self.plan.last + 1 == self.plan.fields.frames

    def encoding(self) -> Encoding:
        """How a video is encoded.  SetupError when it can't be."""
        clip = self.source.clip
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
        for name in ("inpaint", "input_colour", "shot", "upscale_model"):
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
            "written": [self.written.codec, self.written.quality, self.target.suffix] if self.is_video else [],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def pack(work: Work) -> bytes:
    """For a child, and for the state's folder."""
    return wire.pack(
        {
            "source": sources.to_plain(sources.absolute(work.source)),
            "plan": to_toml(work.plan),
            "fields_because": work.plan.fields.because,
            "settings": _settings_to_plain(work.settings),
            "target": os.fsencode(work.target.absolute()),
            "written": asdict(work.written),
            "device": work.device,
            "masks": None if work.masks is None else os.fsencode(work.masks.absolute()),
            "save_masks": None if work.save_masks is None else os.fsencode(work.save_masks.absolute()),
            "segment_frames": work.segment_frames,
            "undone": {str(number): blobs for number, blobs in work.undone.items()},
            "token": work.token,
            "only_masks": work.only_masks,
            "damage": None if work.damage is None else _damage_to_plain(work.damage),
        }
    )


def unpack(line: bytes) -> Work:
    """SetupError when it is no work, or that of another version."""
    try:
        plain = wire.unpack(line)
        return Work(
            source=sources.from_plain(plain["source"]),
            plan=from_toml(plain["plan"], "the state's plan"),
            settings=_settings_from_plain(plain["settings"]),
            target=Path(os.fsdecode(plain["target"])),
            written=Written(**{**plain["written"], "drop": tuple(plain["written"]["drop"])}),
            device=plain["device"],
            masks=None if plain["masks"] is None else Path(os.fsdecode(plain["masks"])),
            save_masks=None if plain["save_masks"] is None else Path(os.fsdecode(plain["save_masks"])),
            segment_frames=plain["segment_frames"],
            undone={int(number): blobs for number, blobs in plain["undone"].items()},
            token=plain["token"],
            only_masks=bool(plain.get("only_masks", False)),
            damage=None if plain.get("damage") is None else _damage_from_plain(plain["damage"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SetupError(f"the state's work can't be read ({error!r}): run restore film again") from error


def work_of(state: State) -> Work:
    """The work that was last done for a result, which may have been moved since.  SetupError when it can't be read."""
    try:
        return replace(unpack(state.work.read_bytes()), target=state.target)
    except OSError as error:
        raise SetupError(f"{state.work}: {error.strerror}: run restore film again") from error


def _damage_to_plain(damage: Damage) -> dict[str, Any]:
    overlays = None if damage.overlays is None else os.fsencode(damage.overlays.absolute())
    return {**asdict(damage), "overlays": overlays}


def _damage_from_plain(plain: dict[str, Any]) -> Damage:
    planting = plain["planting"]
    return Damage(
        Planting(
            **{
                **planting,
                "opacity": tuple(planting["opacity"]),
                "soft_px": tuple(planting["soft_px"]),
                "scratches": tuple(Scratch(**one) for one in planting["scratches"]),
            }
        ),
        None if plain["overlays"] is None else Path(os.fsdecode(plain["overlays"])),
        plain["seed"],
    )


def _settings_to_plain(settings: FilmSettings) -> dict[str, Any]:
    plain = asdict(settings)
    del plain["shot"], plain["input_colour"]  # the plan has both
    return plain


def _settings_from_plain(plain: dict[str, Any]) -> FilmSettings:
    upscale = plain["upscale"]
    if upscale is not None:
        upscale = Upscale(
            **{
                **upscale,
                "precision": Precision(upscale["precision"]),
                "color_fix": ColorFix(upscale["color_fix"]),
                "pow2": Pow2(upscale["pow2"]),
            }
        )
    return FilmSettings(
        **{
            **plain,
            "upscale": upscale,
            "grain": FilmGrain(plain["grain"]),
        }
    )
