"""Owns timecode: labels of frames, counted as SMPTE ST 12-1 counts them, with and without dropped labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

_LABEL = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.,])(\d\d)")
_DROP_FLAG = 0x40
"""Of the frames' byte."""
_KEY = "timecode"


@dataclass(frozen=True)
class Timecode:
    """The label of one frame."""

    text: str
    """ "01:02:03:04"; a semicolon before the frames says that labels are dropped."""

    @property
    def drops(self) -> bool:
        return self.text[8] in ";.,"

    def moved(self, frames: int, rate: Fraction) -> Timecode:
        """The label `frames` later at `rate` frames a second; after 24 hours it begins again.

        Labels are dropped at rates that are multiples of 30 only.
        """
        hours, minutes, seconds, _, count = _parts(self.text)
        base = max(1, round(rate))
        number = ((hours * 60 + minutes) * 60 + seconds) * base + count
        # two labels a minute at 30, four at 60, but none in each tenth minute
        dropped = base // 15 if self.drops and base % 30 == 0 else 0
        number -= dropped * (60 * hours + minutes - (60 * hours + minutes) // 10)
        day = 24 * 3600 * base - dropped * (24 * 60 - 24 * 6)
        number = (number + frames) % day
        if dropped:
            tens, rest = divmod(number, 600 * base - 9 * dropped)
            number += 9 * dropped * tens + dropped * max(0, (rest - dropped) // (60 * base - dropped))
        clock, count = divmod(number, base)
        sign = ";" if dropped else ":"
        return Timecode(f"{clock // 3600:02}:{clock // 60 % 60:02}:{clock % 60:02}{sign}{count:02}")

    @property
    def bits(self) -> int:
        """32 bits of BCD, as DPX holds it."""
        hours, minutes, seconds, _, frames = _parts(self.text)
        value = int(f"{hours:02}{minutes:02}{seconds:02}{frames:02}", 16)
        return value | (_DROP_FLAG if self.drops else 0)


def parse(text: str) -> Timecode | None:
    """None when `text` is no label."""
    return Timecode(text.strip()) if _LABEL.fullmatch(text.strip()) else None


def of_bits(bits: int) -> Timecode | None:
    """Of 32 bits of BCD; None when they are no label.  Flags other than that of dropped labels are left out."""
    digits = bits & 0x3F7F7F3F
    text = f"{digits:08x}"
    if not text.isdigit():
        return None
    sign = ";" if bits & _DROP_FLAG else ":"
    return Timecode(f"{text[:2]}:{text[2:4]}:{text[4:6]}{sign}{text[6:]}")


def of_tags(*tags: Mapping[str, str]) -> Timecode | None:
    """The first label in a container's or a stream's tags, whatever case their names have."""
    for some in tags:
        for name, value in some.items():
            if name.lower() == _KEY and (found := parse(value)):
                return found
    return None


def without(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags less the timecode."""
    return {name: value for name, value in tags.items() if name.lower() != _KEY}


def _parts(text: str) -> tuple[int, int, int, str, int]:
    match = _LABEL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no timecode")
    return int(match[1]), int(match[2]), int(match[3]), match[4], int(match[5])
