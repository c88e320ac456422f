"""Reading video: what a file says, exact ranges of frames, and clear verdicts on broken files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from restore.errors import ImageError
from restore.formats.video import Clip, Colour, index, probe
from restore.formats.video_pixels import frame_of, layout_of, planes_of
from restore.formats.video_read import Frame, frames

from .video_files import av, moving, save_clip

PICTURES = moving(60)


def same(one: Frame, other: Frame) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))


def luma_by_ffmpeg(path: Path) -> list[np.ndarray[Any, Any]]:
    def luma(frame: Any) -> np.ndarray[Any, Any]:
        plane = frame.planes[0]
        rows = np.frombuffer(plane, np.uint16 if "10le" in frame.format.name else np.uint8)
        return rows.reshape(plane.height, -1)[:, : plane.width].copy()

    with av.open(str(path)) as container:
        return [luma(frame) for frame in container.decode(video=0)]


CASES = {
    "h264 with B-frames": ("a.mkv", "libx264", "yuv420p", {}),
    "h264 with open GOPs": ("a.mp4", "libx264", "yuv420p", {"x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}),
    "h264 in MPEG-TS": ("a.ts", "libx264", "yuv420p", {"x264-params": "open-gop=1"}),
    "h264 without key frames": ("a.mkv", "libx264", "yuv420p", {"x264-params": "intra-refresh=1:bframes=0"}),
    "hevc 10 bits": ("a.mkv", "libx265", "yuv420p10le", {"x265-params": "log-level=none:open-gop=1"}),
    "mpeg2 in a program stream": ("a.mpg", "mpeg2video", "yuv420p", {"bf": "2"}),
    "mpeg4 in AVI": ("a.avi", "mpeg4", "yuv420p", {}),
    "h264 in AVI, whose times are those of decoding": ("a.avi", "libx264", "yuv420p", {}),
    "prores": ("a.mov", "prores_ks", "yuv422p10le", {}),
    "ffv1 12 bits": ("a.mkv", "ffv1", "gbrp12le", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_any_range_gives_the_frames_of_a_whole_decoding(case: str, tmp_path: Path) -> None:
    name, codec, pixel_format, options = CASES[case]
    path = save_clip(tmp_path / name, PICTURES, codec, pixel_format, options=options)
    clip = probe(path)
    known = index(clip)
    assert known.frames == 60
    assert bool(known.doubt) == ("times are those of decoding" in case)
    whole = list(frames(clip, known=known))
    assert [frame.number for frame in whole] == list(range(60))
    assert not any(frame.damage for frame in whole)
    for start, stop in ((0, 1), (1, 3), (11, 14), (12, 13), (23, 49), (35, 37), (59, 60)):
        part = list(frames(clip, start, stop, known))
        assert [frame.number for frame in part] == list(range(start, stop))
        assert all(same(frame, whole[frame.number]) for frame in part), f"[{start}, {stop})"
        assert [frame.pts for frame in part] == [whole[frame.number].pts for frame in part]


def test_samples_are_the_files_own(tmp_path: Path) -> None:
    path = save_clip(tmp_path / "a.mkv", PICTURES[:3], "ffv1", "yuv422p10le")
    shown = luma_by_ffmpeg(path)
    for frame, sheet in zip(frames(probe(path)), shown, strict=True):
        assert frame.planes[0].dtype == np.uint16
        assert np.array_equal(frame.planes[0], sheet)
        assert [plane.shape for plane in frame.planes] == [(96, 128), (96, 64), (96, 64)]


def test_probe_says_what_the_file_says(tmp_path: Path) -> None:
    path = save_clip(
        tmp_path / "a.mkv",
        PICTURES[:24],
        pixel_format="yuv422p10le",
        rate=Fraction(24000, 1001),
        audio_s=1,
        subtitles=[(0.1, 0.4, "Hello")],
        chapters=[(0, 0.5, "One"), (0.5, 1, "Two")],
        metadata={"title": "A reel"},
        color_primaries=9,
        color_trc=16,
        colorspace=9,
        color_range=1,
        sample_aspect_ratio=Fraction(16, 15),
    )
    clip = probe(path)
    assert (clip.codec, clip.width, clip.height, clip.layout.bits) == ("h264", 128, 96, 10)
    assert clip.colour == Colour(9, 16, 9, 1)
    assert clip.sample_aspect == Fraction(16, 15)
    assert abs(clip.rate - Fraction(24000, 1001)) < Fraction(1, 1000)
    assert [(other.kind, other.codec) for other in clip.companions] == [("audio", "pcm_s16le"), ("subtitle", "subrip")]
    assert clip.chapters == 2
    assert clip.metadata["title"] == "A reel"
    assert not clip.full_range


def test_a_variable_frame_rate_keeps_every_timestamp(tmp_path: Path) -> None:
    pts = np.cumsum(np.random.default_rng(2).integers(20, 90, 60)).tolist()
    path = save_clip(tmp_path / "a.mov", PICTURES, pts=pts, time_base=Fraction(1, 600))
    clip = probe(path)
    known = index(clip)
    assert [Fraction(int(p)) * clip.time_base * 600 for p in known.pts - known.pts[0]] == [p - pts[0] for p in pts]
    assert not known.steady
    assert [frame.duration for frame in frames(clip, 10, 12, known)] == np.diff(known.pts)[10:12].tolist()


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.h264", "libx264", {}), ("a.avi", "mpeg4", {"bf": "2"}), ("a.m2v", "mpeg2video", {"bf": "2"})],
)
def test_streams_with_no_or_poor_timestamps_are_numbered_right(
    name: str, codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    """A raw stream has none or made-up ones, AVI's may be those of decoding."""
    path = save_clip(tmp_path / name, PICTURES, codec, options=options)
    clip = probe(path)
    known = index(clip)
    whole = luma_by_ffmpeg(path)
    for frame in frames(clip, 30, 33, known):
        assert np.array_equal(frame.planes[0], whole[frame.number])
    assert np.all(np.diff(known.pts) > 0)
    assert known.frames == len(whole) == 60
    assert sum(1 for _ in frames(clip, known=known)) == 60


def damaged(path: Path, at: float) -> Path:
    data = bytearray(path.read_bytes())
    for i in range(int(len(data) * at), int(len(data) * at) + 60):
        data[i] ^= 0x5A
    broken = path.with_name(f"damaged-{path.name}")
    broken.write_bytes(data)
    return broken


def until_fault(clip: Clip) -> tuple[list[Frame], str]:
    got: list[Frame] = []
    try:
        for frame in frames(clip):
            got.append(frame)  # noqa: PERF402 - what came before the fault is what counts
    except ImageError as error:
        return got, str(error)
    pytest.fail("no fault was told")


def test_damage_gives_the_frames_before_it_and_its_number(tmp_path: Path) -> None:
    whole = save_clip(tmp_path / "a.mkv", PICTURES, "ffv1", options={"slicecrc": "1"})
    good = list(frames(probe(whole)))
    clip = probe(damaged(whole, 0.5))
    got, verdict = until_fault(clip)
    assert 20 < len(got) < 40
    assert f"frame {len(got)} of 60 is damaged" in verdict
    assert all(same(a, b) for a, b in zip(got, good, strict=False))
    kept = list(frames(clip, keep_damaged=True))
    assert [frame.number for frame in kept] == list(range(60))
    assert kept[len(got)].damage


def test_frames_that_refer_to_a_damaged_one_are_marked_too(tmp_path: Path) -> None:
    whole = save_clip(tmp_path / "a.mpg", PICTURES, "mpeg2video", options={"bf": "0"})
    kept = list(frames(probe(damaged(whole, 0.5)), keep_damaged=True))
    first = next(frame.number for frame in kept if frame.damage)
    after = [frame for frame in kept if frame.number > first]
    until = next(frame.number for frame in after if frame.is_key)
    assert all(frame.damage for frame in kept[first:until])
    assert not kept[until].damage


def test_a_truncated_video_gives_what_is_there_and_says_where_it_ends(tmp_path: Path) -> None:
    whole = save_clip(tmp_path / "a.mkv", PICTURES, "ffv1")
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    clip = probe(cut)
    known = index(clip)
    assert "truncated: its header promises 2.40 s" in known.notes[0]
    got, verdict = until_fault(clip)
    assert len(got) == known.frames < 45
    assert f"frame {known.frames} is missing" in verdict
    good = list(frames(probe(whole), 0, known.frames))
    assert all(same(a, b) for a, b in zip(got, good, strict=True))


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.mp4"
    text.write_text("no video at all")
    with pytest.raises(ImageError, match=r"a\.mp4: can't be read as video"):
        probe(text)
    playlist = tmp_path / "a.m3u8"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    with pytest.raises(ImageError):
        probe(playlist)
    whole = save_clip(tmp_path / "b.mov", PICTURES[:12])
    headless = tmp_path / "c.mov"
    headless.write_bytes(whole.read_bytes()[:-500])
    with pytest.raises(ImageError, match=r"c\.mov: it has no picture stream that can be decoded"):
        probe(headless)


def test_no_bad_file_crashes_the_reader(shared_data: Path) -> None:
    folder = shared_data / "bad"
    if not folder.is_dir():
        pytest.skip(f"no bad files in {folder}")
    for bad in sorted(folder.iterdir()):
        try:
            clip = probe(bad)
            list(frames(clip))
        except ImageError as error:
            assert bad.name in str(error)  # noqa: PT017 - either outcome is fine, a crash is not


PLANAR = ["gray", "gray10le", "gray16le", "ya8", "gbrp", "gbrp10le", "gbrap12le", "yuv410p", "yuv411p", "yuv440p"]
PLANAR += ["yuv420p", "yuv422p12le", "yuv444p16le", "yuva444p10le"]
PACKED = [
    "nv12",
    "nv21",
    "nv16",
    "nv24",
    "p010le",
    "p210le",
    "p016le",
    "yuyv422",
    "uyvy422",
    "yvyu422",
    "rgb24",
    "bgr24",
]
PACKED += ["rgba", "bgra", "argb", "abgr", "bgr0", "0rgb", "rgb48le", "rgb48be", "bgr48le", "rgba64le", "yuv420p10be"]
PACKED += ["gbrp10be", "gray16be", "x2rgb10le", "y210le"]


@pytest.mark.parametrize("name", PLANAR + PACKED)
def test_every_pixel_format_comes_apart_exactly(name: str) -> None:
    layout = layout_of(name)
    rng = np.random.default_rng(1)
    planes = tuple(rng.integers(0, 1 << layout.bits, shape).astype(layout.dtype) for shape in layout.shapes(14, 26))
    frame = frame_of(planes, layout, layout.planar_name)
    if name in PACKED:
        frame = frame.reformat(format=name)
        again = layout_of(layout.planar_name)
        planes = planes_of(frame.reformat(format=layout.planar_name), again)
    assert all(np.array_equal(a, b) for a, b in zip(planes, planes_of(frame, layout), strict=True))


def test_formats_that_are_no_samples_of_8_to_16_bits_are_refused() -> None:
    for name in ("bayer_rggb8", "gbrpf32le", "xyz12le"):
        with pytest.raises(ImageError, match="is not read: convert it"):
            layout_of(name)


def test_the_real_clips_read_whole(shared_data: Path) -> None:
    folder = shared_data / "clips"
    if not folder.is_dir():
        pytest.skip(f"no clips in {folder}")
    for path in sorted(folder.glob("*.mp4")):
        clip = probe(path)
        known = index(clip)
        assert known.frames == clip.claimed_frames
        assert sum(1 for _ in frames(clip, known=known)) == known.frames
        assert [frame.number for frame in frames(clip, 70, 73, known)] == [70, 71, 72]
