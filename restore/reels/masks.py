"""Owns mask files of frames: one PNG a frame, white = hole, named as the frame is, for people to correct."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError, SetupError
from restore.film.plan import Plan
from restore.formats import sequence

Holes = NDArray[np.bool_]
_HOLE_FROM = 128
"""Of 255: what is at least as light is a hole."""
_DIGITS = 7


class MaskFiles:
    """Masks of a folder, found by the number in their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _sequence(self) -> sequence.Sequence:
        found = sequence.find(self._folder)
        if not found:
            raise SetupError(f"{self._folder}: it holds no numbered masks: restore detect IN MASKS makes them")
        if len(found) > 1:
            labels = " and ".join(one.label for one in found[:2])
            raise SetupError(f"{self._folder}: it holds several sequences ({labels}): give a folder with one")
        return found[0]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Frames that have a mask.  SetupError when the folder can't serve."""
        return tuple(self._sequence.names)

    def holes(self, number: int) -> Holes | None:
        """(H, W) of frame `number`; None: it has no mask.  ImageError when its file can't be read."""
        if number not in self._sequence.names:
            return None
        path = self._sequence.path(number)
        try:
            data = np.frombuffer(path.read_bytes(), np.uint8)
        except OSError as error:
            raise ImageError(f"{path}: {error.strerror}") from error
        picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if len(data) else None
        if picture is None:
            raise ImageError(f"{path}: this mask can't be decoded: save it as PNG")
        holes: Holes = np.asarray(picture) >= _HOLE_FROM
        return holes

    def stamps(self, first: int, last: int) -> list[object]:
        """What changes when a mask of these frames does."""
        stamps: list[object] = []
        for number in range(max(first, self._sequence.first), min(last, self._sequence.last) + 1):
            if number in self._sequence.names:
                stat = self._sequence.path(number).stat()
                stamps.append([number, stat.st_size, stat.st_mtime_ns])
        return stamps


def check_masks(folder: Path, plan: Plan) -> None:
    """Raises SetupError when a mask can't be read, or isn't as large as its frame: told before any work."""
    files = MaskFiles(folder)
    wanted = [number for number in files.numbers if plan.first <= number <= plan.last]
    if not wanted:
        raise SetupError(
            f"{folder}: its masks are for frames {files.numbers[0]}-{files.numbers[-1]}, the reel's are"
            f" {plan.first}-{plan.last}: is it another reel's folder?"
        )
    for number in wanted:
        try:
            holes = files.holes(number)
        except ImageError as error:
            raise SetupError(str(error)) from error
        if holes is not None and holes.shape[::-1] != plan.size:
            raise SetupError(
                f"{folder}: the mask of frame {number} is {holes.shape[1]} x {holes.shape[0]}, its frame"
                f" {plan.size[0]} x {plan.size[1]}: save it in the frame's size"
            )


def mask_name(number: int, frame_name: bytes | None) -> str:
    """A mask's file name: the frame's own, as PNG, or the number of a video's frame."""
    if frame_name is None:
        return f"frame_{number:0{_DIGITS}d}.png"
    return os.fsdecode(os.path.splitext(frame_name)[0]) + ".png"


def mask_bytes(holes: Holes) -> bytes:
    """A mask as PNG."""
    done, data = cv2.imencode(".png", holes.astype(np.uint8) * 255)
    if not done:
        raise ImageError("a mask could not be encoded")
    return data.tobytes()
