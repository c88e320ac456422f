"""Owns the small file beside a video's frames that holds what pictures can't: times, tags, and where the sound lies.

REEL.film.json, as JSON: `rate` and `time_base` as fractions; frames are numbered from `first`; `times` is [when the
first one is shown, [[length, frames], ...]] in units of the time base; `colour` has H.273's code points.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

from restore.errors import ImageError
from restore.film.times import Times
from restore.formats.video import FIELD_ORDERS, Colour

SUFFIX = ".film.json"
_VERSION = 1


@dataclass(frozen=True)
class Sidecar:
    """What a video's frames have lost, but for their pixels."""

    of: str
    """The video's name."""
    frames: str
    """How they were made of the video's."""
    first: int
    times: Times
    rate: Fraction
    """On average."""
    colour: Colour
    """Of the frames, as the video's was, or was taken for."""
    sample_aspect: Fraction
    field_order: str
    timecode: str
    """Of the first frame; "" where there is none."""
    tags: dict[str, str]
    """The video's tags."""
    sound: str = ""
    """The file beside this one with all that stood beside the pictures; "" where there was nothing."""


def to_bytes(sidecar: Sidecar) -> bytes:
    times = sidecar.times
    plain = {
        "film": _VERSION,
        **asdict(sidecar),
        "times": [times.start, [list(run) for run in times.runs]],
        "time_base": str(times.time_base),
        "rate": str(sidecar.rate),
        "sample_aspect": str(sidecar.sample_aspect),
    }
    return json.dumps(plain, indent=1, ensure_ascii=False).encode() + b"\n"


def read(path: Path) -> Sidecar:
    """ImageError when it can't be read."""
    try:
        plain = json.loads(path.read_bytes())
        if plain.pop("film") != _VERSION:
            raise ValueError("it is of another version")
        start, runs = plain["times"]
        times = Times(Fraction(plain.pop("time_base")), int(start), tuple((int(a), int(b)) for a, b in runs))
        if times.time_base <= 0 or any(length < 1 or count < 1 for length, count in times.runs) or not times.runs:
            raise ValueError("its times make no sense")
        fractions = {name: Fraction(plain[name]) for name in ("rate", "sample_aspect")}
        if min(fractions.values()) <= 0 or plain["field_order"] not in FIELD_ORDERS:
            raise ValueError("its numbers make no sense")
        return Sidecar(**{**plain, **fractions, "times": times, "colour": Colour(**plain["colour"])})
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ImageError(
            f"{path}: what it says of the frames can't be read ({error}): give --fps, or move it away"
        ) from error


def beside(folder: Path, stem: str) -> Path:
    """Where the file of frames STEM.NUMBER.SUFFIX lies."""
    return folder / f"{stem}{SUFFIX}"
