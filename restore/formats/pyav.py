"""Owns the import of PyAV and its settings: files only, errors as ImageError, what the decoder says as text.

FFmpeg is inside PyAV's wheel.  Its decoders run in the process that calls: `video_process` is the way to have them in
another one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from restore.errors import ImageError, SetupError

CONTAINERS = frozenset(
    {
        "mov",
        "mp4",
        "matroska",
        "webm",
        "avi",
        "mpeg",
        "mpegps",
        "mpegts",
        "mpegvideo",
        "mxf",
        "nut",
        "ogg",
        "flv",
        "asf",
    }
    | {"dv", "gxf", "ivf", "h264", "hevc", "m4v", "yuv4mpegpipe", "vc1", "obu", "wtv", "rm"}
)
"""FFmpeg's names of the containers that are read; playlists, which name other files, are not."""

SOUND = frozenset({"wav", "w64", "aiff", "caf", "flac", "mp3", "aac", "ac3", "eac3", "dts", "srt", "ass", "webvtt"})
"""And of those that hold no film, but what is heard and read along with it."""

_HARMLESS = ("mmco: unref short failure", "Increasing reorder buffer", "Could not find codec parameters")


def load() -> ModuleType:
    """The module, quiet, or SetupError with the remedy."""
    try:
        import av
    except ImportError as error:
        raise SetupError(f"video needs PyAV ({error}): run `pip install av` (it brings FFmpeg)") from error
    if av.logging.get_level() is None:
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)  # the same damage in the next frame is news
        logging.getLogger("libav").addHandler(logging.NullHandler())
    return av


@contextmanager
def opened(path: Path, also: frozenset[str] = frozenset()) -> Iterator[Any]:
    """An av.InputContainer of a local file, of CONTAINERS or those in `also`.

    ImageError with FFmpeg's own words when it is none that is read.
    """
    av = load()
    name = os.path.abspath(path)  # never "protocol:..."
    with refusing(str(path)):
        container = av.open(
            name, container_options={"protocol_whitelist": "file"}, metadata_errors="backslashreplace", mode="r"
        )
    try:
        if not (CONTAINERS | also) & set(container.format.name.split(",")):
            raise ImageError(f"{path}: a {container.format.name} file is not read as film: give a video file")
        yield container
    finally:
        container.close()


@contextmanager
def refusing(shown: str, doing: str = "can't be read as video") -> Iterator[None]:
    """Turns FFmpeg's errors into an ImageError that names the file."""
    av = load()
    try:
        yield
    except av.FFmpegError as error:
        words = error.log[2].strip() if error.log else ""
        reason = (error.strerror or str(error)).strip()
        raise ImageError(f"{shown}: {doing}: {reason}{f' ({words})' if words else ''}") from error


@contextmanager
def listening() -> Iterator[list[str]]:
    """What FFmpeg complains about in this thread meanwhile: decoders conceal damage, and only say so here."""
    av = load()
    said: list[str] = []
    with av.logging.Capture() as logs:
        try:
            yield said
        finally:
            said += [
                text.strip()
                for level, _, text in logs
                if level <= av.logging.ERROR and not any(harmless in text for harmless in _HARMLESS)
            ]
