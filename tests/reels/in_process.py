"""Owns running `restore film` in the test's own process: quicker where no process has to die."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from restore.cli.film_options import GrainWish, Reading, Wishes
from restore.cli.film_report import FilmReport
from restore.cli.film_work import Ask, checked, goes_out, work_for
from restore.formats import Decoder
from restore.reels.run import Summary, restore_reel
from restore.reels.source import sources_in
from restore.reels.state import State, state_of
from restore.reels.verify import ReelVerdict, verify_reel
from restore.reels.work import Work

CLEAN = Wishes(dirt=False, scratches=False)
"""Nothing is repaired."""


def ask(**said: Any) -> Ask:
    plain = {
        "masks": None, "inpaint": "off", "upscale": None, "scale": None, "grain": GrainWish.KEEP, "codec": "ffv1",
        "quality": None, "drop_streams": False, "save_masks": None, "device": "auto", "segment_frames": None,
    }  # fmt: skip
    return Ask(**{**plain, **said})


def film(
    source: Path, target: Path, wishes: Wishes = CLEAN, reading: Reading | None = None, **said: Any
) -> tuple[Summary, Work, State]:
    wanted = ask(**said)
    report = FilmReport(as_json=False)
    (one,) = checked(source, target, one_only=True)
    state = state_of(one, target, None, is_video=goes_out((one,), target, wanted)[0])
    work = work_for(one, target, reading or Reading(), wishes, wanted, state, report)
    return restore_reel(work, state, 0, report), work, state


def proved(state: State, source: Path | None = None) -> list[ReelVerdict]:
    with Decoder() as decoder:
        return list(verify_reel(state, None if source is None else sources_in(source)[0], decoder))
