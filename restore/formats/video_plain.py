"""Owns clips and their indices as plain JSON values: what crosses between processes, and what a plan may keep."""

from __future__ import annotations

import os
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from restore.formats.video import Clip, Colour, Companion, Index
from restore.formats.video_pixels import layout_of

_FRACTIONS = ("rate", "time_base", "sample_aspect")
_TAGS = ("metadata", "stream_metadata")


def clip_to_plain(clip: Clip) -> dict[str, Any]:
    plain = {name: getattr(clip, name) for name in Clip.__dataclass_fields__}
    return {
        **plain,
        "path": os.fsencode(clip.path),
        "layout": clip.layout.name,
        "colour": asdict(clip.colour),
        "companions": [asdict(companion) for companion in clip.companions],
        **{name: str(plain[name]) for name in _FRACTIONS},
        **{name: dict(plain[name]) for name in _TAGS},
    }


def clip_from_plain(plain: dict[str, Any]) -> Clip:
    """KeyError, TypeError or ValueError when `plain` is no clip."""
    return Clip(
        **{
            **plain,
            "path": Path(os.fsdecode(plain["path"])),
            "layout": layout_of(plain["layout"]),
            "colour": Colour(**plain["colour"]),
            "companions": tuple(Companion(**companion) for companion in plain["companions"]),
            **{name: Fraction(plain[name]) for name in _FRACTIONS},
            **{name: MappingProxyType(dict(plain[name])) for name in _TAGS},
        }
    )


def index_to_plain(known: Index) -> dict[str, Any]:
    return {
        **{name: getattr(known, name) for name in Index.__dataclass_fields__},
        **{name: getattr(known, name).astype("<i8").tobytes() for name in ("pts", "keys", "key_pts")},
    }


def index_from_plain(plain: dict[str, Any]) -> Index:
    """KeyError, TypeError or ValueError when `plain` is no index."""
    arrays = {name: np.frombuffer(plain[name], "<i8").astype(np.int64) for name in ("pts", "keys", "key_pts")}
    return Index(**{**plain, **arrays, "notes": tuple(plain["notes"])})
