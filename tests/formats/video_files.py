"""Small videos that the tests of film read, made by FFmpeg through PyAV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

av = pytest.importorskip("av", reason="video needs PyAV: pip install av")

Picture = np.ndarray[Any, Any]


def moving(frames: int, height: int = 96, width: int = 128, *, speed: float = 3.0) -> list[Picture]:
    """(H, W, 3) uint8 pictures of a textured scene that pans, with a disc that moves against it; no two alike."""
    rng = np.random.default_rng(11)
    ground = rng.integers(0, 256, (height // 4 + 2, (width + int(frames * speed)) // 4 + 3, 3)).astype(np.float32)
    ground = np.kron(ground, np.ones((4, 4, 1), np.float32))
    for axis in (0, 1):
        ground = (np.roll(ground, 1, axis) + ground + np.roll(ground, -1, axis)) / 3
    rows, columns = np.mgrid[:height, :width]
    pictures = []
    for i in range(frames):
        left = round(i * speed)
        picture = ground[:height, left : left + width].copy()
        away = np.hypot(rows - height / 2, columns - (width - 10 - 2 * i * speed) % width)
        picture[away < height / 5] = (230, 200, 40)
        pictures.append(picture.astype(np.uint8))
    return pictures


def save_clip(
    path: Path,
    pictures: Sequence[Picture],
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    *,
    rate: Fraction = Fraction(25),
    gop: int = 12,
    pts: Iterable[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    audio_s: float = 0,
    subtitles: Sequence[tuple[float, float, str]] = (),
    chapters: Sequence[tuple[float, float, str]] = (),
    metadata: dict[str, str] | None = None,
    **settings: Any,
) -> Path:
    """Encodes pictures (RGB, or av.VideoFrames) with sound and more beside them."""
    height, width = (pictures[0].height, pictures[0].width) if hasattr(pictures[0], "planes") else pictures[0].shape[:2]
    base = time_base or 1 / rate
    shown = list(pts) if pts is not None else [round(i / rate / base) for i in range(len(pictures))]
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = base
        stream.codec_context.gop_size = gop
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        if codec in ("libx264", "mpeg2video", "mpeg4", "libx265"):
            stream.codec_context.thread_count = 1
        sound = container.add_stream("pcm_s16le" if path.suffix == ".mkv" else "aac", rate=48000) if audio_s else None
        if chapters:
            container.set_chapters(
                [
                    {
                        "id": i,
                        "start": round(start * 1000),
                        "end": round(end * 1000),
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                    for i, (start, end, title) in enumerate(chapters)
                ]
            )
        words = container.add_mux_stream("subrip", time_base=Fraction(1, 1000)) if subtitles else None
        if sound is not None:
            _add_sound(container, sound, audio_s)
        for start, end, text in subtitles:
            packet = av.Packet(text.encode())
            packet.stream, packet.time_base = words, Fraction(1, 1000)
            packet.pts = packet.dts = round(start * 1000)
            packet.duration = round((end - start) * 1000)
            container.mux(packet)
        for picture, moment in zip(pictures, shown, strict=True):
            frame = picture if hasattr(picture, "planes") else av.VideoFrame.from_ndarray(picture, "rgb24")
            frame = frame.reformat(format=pixel_format)
            frame.pts, frame.time_base = moment, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _add_sound(container: Any, stream: Any, seconds: float) -> None:
    stream.layout = "mono"
    tone = (np.sin(np.arange(int(48000 * seconds)) / 20) * 8000).astype(np.int16)
    kind = "s16" if stream.codec_context.name == "pcm_s16le" else "fltp"
    for start in range(0, len(tone), 1024):
        part = tone[None, start : start + 1024]
        frame = av.AudioFrame.from_ndarray(part if kind == "s16" else (part / 32768).astype(np.float32), kind, "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def packets_of(path: Path, kinds: Iterable[str] = ("audio", "subtitle")) -> list[tuple[str, bytes]]:
    """(kind, bytes) of every packet of those streams, stream by stream."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type in kinds]
        found: dict[int, list[tuple[str, bytes]]] = {stream.index: [] for stream in streams}
        for packet in container.demux(streams):
            if packet.size:
                found[packet.stream_index].append((packet.stream.type, bytes(packet)))
    return [packet for index in sorted(found) for packet in found[index]]
