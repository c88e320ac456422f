"""Owns edit decision lists: the frames at which an editor says that shots begin.

CMX 3600 (SMPTE 258M): one line an event, with four timecodes; the last two are where it lies in the finished film.
"""

from __future__ import annotations

import re
from fractions import Fraction

from restore.errors import SetupError

_CODE = r"(\d\d)[:;](\d\d)[:;](\d\d)[:;.](\d\d)"
_EVENT = re.compile(rf"^\s*\d+\s+\S+\s+\S+\s+[CDWK]\S*(?:\s+\d+)?\s+{_CODE}\s+{_CODE}\s+{_CODE}\s+{_CODE}\s*$")


def cuts(text: str, rate: Fraction, name: str) -> list[int]:
    """Frames, counted from the first event's start, at which events begin, ascending; 0 is among them.

    `rate`: frames a second.  Timecode is read as non-drop: with "FCM: DROP FRAME", two numbers a minute are left out.
    SetupError, with the file's `name`, when no event can be read.
    """
    drop = re.search(r"^FCM:\s*DROP", text, re.MULTILINE | re.IGNORECASE) is not None
    base = round(rate)
    starts = []
    for line in text.splitlines():
        match = _EVENT.match(line)
        if match is None:
            continue
        hours, minutes, seconds, frames = (int(part) for part in match.groups()[8:12])
        if frames >= base:
            raise SetupError(
                f"{name}: it counts frames up to {frames}, but the film has {base} a second: give --edl-rate"
            )
        number = ((hours * 60 + minutes) * 60 + seconds) * base + frames
        if drop:
            whole = hours * 60 + minutes
            number -= 2 * (base // 30) * (whole - whole // 10)
        starts.append(number)
    if not starts:
        raise SetupError(f"{name}: no event of an edit decision list (CMX 3600) is in it")
    return sorted({start - min(starts) for start in starts})
