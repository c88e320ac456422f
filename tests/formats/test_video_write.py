"""Writing film: segments anybody may encode, one file that is always the same, and nothing beside the pictures lost."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from restore.color.yuv import signal_of, to_rgb
from restore.errors import ImageError, SetupError
from restore.formats.encoding import Encoding, choose
from restore.formats.packets import packets_of as segment_packets
from restore.formats.video import Clip, Colour, Index, index, probe
from restore.formats.video_beside import refused
from restore.formats.video_join import join
from restore.formats.video_pixels import layout_of
from restore.formats.video_read import Frame, frames
from restore.formats.video_write import encode_segment

from .video_files import av, moving, packets_of, save_clip

PICTURES = moving(40)
CUTS = (0, 16, 32, 40)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Variable frame rate, oblong samples, colour tags, sound, subtitles, chapters."""
    return save_clip(
        tmp_path_factory.mktemp("film") / "reel.mkv",
        PICTURES,
        rate=Fraction(24000, 1001),
        pts=np.cumsum(np.random.default_rng(2).integers(30, 60, 40)).tolist(),
        time_base=Fraction(1, 1000),
        audio_s=1.6,
        subtitles=[(0.1, 0.4, "Hello"), (1.2, 1.4, "there")],
        chapters=[(0, 0.5, "One"), (0.5, 1.6, "Two")],
        metadata={"title": "A reel"},
        color_primaries=6,
        color_trc=6,
        colorspace=6,
        color_range=1,
        sample_aspect_ratio=Fraction(16, 15),
    )


def encode(whole: Sequence[Frame], encoding: Encoding, folder: Path, order: Sequence[int] = (0, 1, 2)) -> list[Path]:
    paths = [folder / f"{number}.segment" for number in range(3)]
    for number in order:
        with paths[number].open("wb") as file:
            encode_segment((frame.planes for frame in whole[CUTS[number] : CUTS[number + 1]]), encoding, file)
    return paths


def durations(known: Index) -> np.ndarray[Any, Any]:
    return np.array([known.duration(number) for number in range(known.frames)])


def film(clip: Clip, codec: str, target: Path, order: Sequence[int] = (0, 1, 2)) -> tuple[Encoding, list[Frame]]:
    known = index(clip)
    whole = list(frames(clip, known=known))
    encoding = choose(codec, clip, target.suffix)
    segments = encode(whole, encoding, target.parent, order)
    join(
        segments,
        encoding,
        clip,
        known.pts,
        durations(known),
        clip.time_base,
        target,
        without=refused(clip, encoding),
    )
    return encoding, whole


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


WRITTEN = ["ffv1.mkv", "prores.mov", "prores.mkv", "x264.mkv", "x264.mp4", "x265.mkv", "x265.mov", "av1.mkv", "av1.mp4"]
WRITTEN += ["v210.mov", "mjpeg.mkv", "mpeg2.mkv", "same-family.mkv"]


@pytest.mark.parametrize("name", WRITTEN)
def test_every_codec_keeps_frames_times_tags_and_sound(name: str, source: Path, tmp_path: Path) -> None:
    target = tmp_path / name
    clip = probe(source)
    encoding, whole = film(clip, target.stem, target)
    result = probe(target)
    known = index(result)
    assert (known.frames, known.doubt) == (40, "")
    ours = [int(pts) * result.time_base for pts in known.pts]
    assert ours == [frame.pts * clip.time_base for frame in whole], "every timestamp of a variable rate"
    assert set(np.searchsorted(CUTS, known.keys)) >= {0, 1, 2}, "each segment starts with a key frame"
    assert result.sample_aspect == Fraction(16, 15)
    if target.stem not in ("mjpeg", "v210", "mpeg2"):
        assert result.colour == Colour(6, 6, 6, 1)
    assert result.layout.bits >= 8
    assert result.layout.halvings <= (1, 1)
    assert result.chapters == 2
    assert result.metadata["title"] == "A reel"
    assert packets_of(target, ["audio"]) == packets_of(source, ["audio"]), "sound is copied packet for packet"
    if target.suffix == ".mkv":
        assert packets_of(target) == packets_of(source), "and so are subtitles"
    errors = [
        np.mean((a.planes[0].astype(float) - b.planes[0] / (1 << (b.layout.bits - 8))) ** 2)
        for a, b in zip(whole, frames(result, known=known), strict=True)
    ]
    assert 10 * np.log10(255**2 / max(1e-9, float(np.mean(errors)))) > (90 if encoding.lossless else 38)


FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv420p10le", "yuv422p12le", "yuv444p16le", "gray", "gray10le"]
FORMATS += ["gray16le", "gbrp10le", "gbrp12le", "gbrp16le", "yuva420p", "yuva444p10le", "bgr0", "bgra"]


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_ffv1_returns_every_sample(pixel_format: str, tmp_path: Path) -> None:
    source = save_clip(tmp_path / "reel.mkv", PICTURES, "ffv1", pixel_format)
    target = tmp_path / "out.mkv"
    encoding, whole = film(probe(source), "ffv1", target)
    assert encoding.exact
    for before, after in zip(whole, frames(probe(target)), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(before.planes, after.planes, strict=True))


@pytest.mark.parametrize("name", ["ffv1.mkv", "x264.mkv", "x265.mov", "av1.mkv", "prores.mov"])
def test_the_film_is_the_same_file_whoever_encodes_in_whatever_order(name: str, source: Path, tmp_path: Path) -> None:
    clip = probe(source)
    digests = set()
    for attempt, order in enumerate(((0, 1, 2), (2, 0, 1))):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        film(clip, Path(name).stem, folder / name, order)
        digests.add(digest(folder / name))
    assert len(digests) == 1


def test_a_segment_that_was_cut_off_or_altered_is_never_joined(source: Path, tmp_path: Path) -> None:
    clip = probe(source)
    known = index(clip)
    encoding = choose("ffv1", clip)
    whole = list(frames(clip, known=known))
    paths = encode(whole, encoding, tmp_path)
    good = paths[1].read_bytes()
    assert sum(1 for _ in segment_packets(paths[1])) == 16
    rest = (encoding, clip, known.pts, durations(known), clip.time_base, tmp_path / "out.mkv")
    for bad in (good[:-1], good[:200], good[:5], b"", good[:5000] + b"?" + good[5001:]):
        paths[1].write_bytes(bad)
        with pytest.raises(ImageError, match=r"1\.segment: this segment is damaged"):
            join(paths, *rest)
    paths[1].write_bytes(good)
    with pytest.raises(ImageError, match="hold 24 frames, the film has 40"):
        join([paths[0], paths[2]], *rest)
    other = choose("ffv1", clip, layout=layout_of("yuv422p"))
    with paths[1].open("wb") as file:
        planes = [frame.planes for frame in whole[16:32]]
        tall = [(y, np.repeat(u, 2, 0), np.repeat(v, 2, 0)) for y, u, v in planes]
        encode_segment(tall, other, file)
    with pytest.raises(ImageError, match="another version or with other settings"):
        join(paths, *rest)


def test_a_stretch_of_a_film_has_its_own_sound_from_zero(source: Path, tmp_path: Path) -> None:
    clip = probe(source)
    known = index(clip)
    encoding = choose("ffv1", clip)
    segment = tmp_path / "0.segment"
    part = list(frames(clip, 10, 30, known))
    with segment.open("wb") as file:
        assert encode_segment((frame.planes for frame in part), encoding, file) == 20
    target = tmp_path / "out.mkv"
    join([segment], encoding, clip, known.pts[10:30], durations(known)[10:30], clip.time_base, target, part=True)
    result = index(probe(target))
    assert (result.pts - (known.pts[10:30] - known.pts[10])).tolist() == [0] * 20
    sound, all_sound = packets_of(target, ["audio"]), packets_of(source, ["audio"])
    assert 0 < len(sound) < len(all_sound)
    assert sound[0] in all_sound[5:]


def test_frames_without_a_clip_make_a_film_of_their_own(source: Path, tmp_path: Path) -> None:
    clip = probe(source)
    encoding = choose("ffv1", clip)
    paths = encode(list(frames(clip)), encoding, tmp_path)
    target = tmp_path / "out.mkv"
    join(paths, encoding, None, np.arange(40), np.ones(40, np.int64), Fraction(1, 25), target)
    result = probe(target)
    assert (index(result).frames, result.companions, result.chapters) == (40, (), 0)
    assert result.sample_aspect == Fraction(16, 15)


def test_attachments_and_languages_stay(tmp_path: Path) -> None:
    source = tmp_path / "reel.mkv"
    with av.open(str(source), "w") as container:
        container.add_attachment("font.ttf", "application/x-truetype-font", b"a font" * 50)
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.metadata["language"] = "fre"
        for number, picture in enumerate(PICTURES):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    target = tmp_path / "out.mkv"
    film(probe(source), "ffv1", target)
    with av.open(str(target)) as result:
        assert [stream.data for stream in result.streams.attachments] == [b"a font" * 50]
        assert result.streams.video[0].metadata["language"] == "fre"


CONVERTED = [("bgr0", "prores.mov"), ("gbrp10le", "x264.mkv"), ("gray", "prores.mov"), ("gray", "av1.mkv")]
CONVERTED += [
    ("yuvj420p", "x264.mkv"),
    ("yuvj420p", "prores.mov"),
    ("yuv420p10le", "v210.mov"),
    ("gray10le", "x265.mkv"),
]


@pytest.mark.parametrize(("pixels", "name"), CONVERTED)
def test_colours_stay_where_a_codec_needs_other_samples(pixels: str, name: str, tmp_path: Path) -> None:
    full = {"color_range": 2} if pixels.startswith("yuvj") else {}
    codec = "mjpeg" if pixels.startswith("yuvj") else "ffv1"
    source = save_clip(tmp_path / "reel.mkv", PICTURES, codec, pixels, options={"qmax": "2"} if full else {}, **full)
    clip = probe(source)
    target = tmp_path / name
    film(clip, target.stem, target)
    result = probe(target)
    for before, after in list(zip(frames(clip), frames(result), strict=True))[::13]:
        one, other = (
            to_rgb(frame.planes, signal_of(which.layout, which.colour.matrix, 96, full_range=which.full_range))
            for frame, which in ((before, clip), (after, result))
        )
        if one.shape != other.shape:
            one, other = one.mean(-1, keepdims=True), other.mean(-1, keepdims=True)
        assert 10 * np.log10(1 / np.mean((np.clip(one, 0, 1) - np.clip(other, 0, 1)) ** 2)) > 33
        assert abs(float(one.mean() - other.mean())) < 0.006, "no shift of range or matrix"


@pytest.mark.parametrize("name", ["ffv1.mkv", "prores.mov", "x264.mkv"])
def test_fields_left_as_they_are_keep_their_flag(name: str, tmp_path: Path) -> None:
    source = save_clip(tmp_path / "tape.mkv", PICTURES, "ffv1", "yuv422p", field_order=2)
    assert probe(source).field_order == "tff"
    target = tmp_path / name
    film(probe(source), target.stem, target)
    assert probe(target).field_order == "tff"
    assert choose("ffv1", probe(source), progressive=True).field_order == 1


def test_a_transport_stream_keeps_its_start_and_its_sound(tmp_path: Path) -> None:
    source = save_clip(tmp_path / "reel.ts", PICTURES, audio_s=1.6)
    target = tmp_path / "ffv1.mkv"
    film(probe(source), "ffv1", target)
    before, after = index(probe(source)), index(probe(target))
    start, result = before.pts[0] / 90000, after.pts[0] / 1000
    assert start == pytest.approx(result, abs=1e-3)
    sound, copied = packets_of(source, ["audio"]), packets_of(target, ["audio"])
    assert [data[7:] for _, data in sound] == [data for _, data in copied], "less the framing of MPEG-TS"


def test_pictures_that_players_turn_are_turned_still(tmp_path: Path) -> None:
    source = tmp_path / "phone.mov"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.set_display_rotation(90)
        for number, picture in enumerate(PICTURES):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for name in ("prores.mov", "ffv1.mkv"):
        target = tmp_path / name
        film(probe(source), target.stem, target)
        with av.open(str(target)) as result:
            assert next(result.decode(video=0)).rotation == 90


def test_what_a_codec_cannot_hold_is_refused_with_the_way_out(source: Path, tmp_path: Path) -> None:
    clip = probe(source)
    with pytest.raises(SetupError, match=r"ffv1 can't be written to \.mp4: name the output \.mkv"):
        choose("ffv1", clip, ".mp4")
    with pytest.raises(SetupError, match="choose one of ffv1, prores"):
        choose("divx", clip)
    with pytest.raises(SetupError, match="av1 has no pixel format that holds yuv444p12le"):
        choose("av1", clip, layout=layout_of("yuv444p12le"))
    with pytest.raises(SetupError, match="needs even sides"):
        choose("x264", clip, size=(127, 96))
    encoding = choose("x264", clip, ".mp4")
    assert [companion.codec for companion in refused(clip, encoding)] == ["subrip"]
    known = index(clip)
    paths = encode(list(frames(clip, known=known)), encoding, tmp_path)
    with pytest.raises(SetupError, match="choose another output suffix"):
        join(paths, encoding, clip, known.pts, durations(known), clip.time_base, tmp_path / "out.mp4")


@pytest.mark.parametrize(
    ("codec", "source_format", "target_format"),
    [
        ("x264", "yuv420p", "yuv420p"),
        ("x264", "nv12", "yuv420p"),
        ("x264", "yuv420p10le", "yuv420p10le"),
        ("x264", "gray", "gray"),
        ("x265", "yuv422p12le", "yuv422p12le"),
        ("x265", "gbrp10le", "gbrp10le"),
        ("prores", "yuv420p", "yuv422p10le"),
        ("prores", "gbrp", "yuv444p10le"),
        ("prores", "yuva444p10le", "yuva444p10le"),
        ("av1", "yuv420p", "yuv420p"),
        ("ffv1", "rgb24", "bgr0"),
        ("ffv1", "gbrp10le", "gbrp10le"),
        ("ffv1", "p010le", "yuv420p10le"),
    ],
)
def test_depth_chroma_and_alpha_are_at_least_the_sources(
    codec: str, source_format: str, target_format: str, source: Path
) -> None:
    encoding = choose(codec, probe(source), layout=layout_of(source_format))
    assert encoding.pixel_format == target_format


def test_only_a_lossless_target_with_the_same_samples_counts_as_exact(source: Path) -> None:
    clip = probe(source)
    assert choose("ffv1", clip).exact
    assert not choose("v210", clip).exact
    assert "can't be proven" in choose("x264", clip).notes[0]


@pytest.mark.parametrize("aspect", [Fraction(16, 15), Fraction(10, 11), Fraction(64, 45), Fraction(118, 81)])
def test_matroska_holds_any_sample_aspect(aspect: Fraction, tmp_path: Path) -> None:
    source = save_clip(tmp_path / "reel.mov", PICTURES, "prores_ks", "yuv422p10le", sample_aspect_ratio=aspect)
    target = tmp_path / "out.mkv"
    film(probe(source), "ffv1", target)
    result = probe(target)
    assert result.sample_aspect == aspect
    assert sum(1 for _ in frames(result)) == 40
    with av.open(str(target)) as container:  # the table of contents still points to the index at the end
        container.seek(int(1.2 / container.streams.video[0].time_base), stream=container.streams.video[0])
        assert next(container.decode(video=0)).time > 1.1


def with_timecode(path: Path, label: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("prores_ks" if path.suffix == ".mov" else "ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv422p10le"
        stream.metadata["timecode"] = label
        for number, picture in enumerate(PICTURES):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv422p10le")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("source_name", ["tape.mov", "tape.mkv"])
@pytest.mark.parametrize("name", ["prores.mov", "ffv1.mkv", "x264.mp4"])
def test_a_timecode_goes_along_as_a_track_or_a_tag(source_name: str, name: str, tmp_path: Path) -> None:
    source = with_timecode(tmp_path / source_name, "01:02:03:04")
    clip = probe(source)
    assert [one.kind for one in clip.companions] == (["timecode"] if source.suffix == ".mov" else [])
    target = tmp_path / name
    encoding, _ = film(clip, target.stem, target)
    assert refused(clip, encoding) == (), "it is no stream that could be left behind"
    result = probe(target)
    assert result.timecode is not None
    assert result.timecode.text == "01:02:03:04"
    if source.suffix == target.suffix == ".mov":
        assert packets_of(target, ["data"]) == packets_of(source, ["data"]) != []


def test_a_stretch_has_its_own_timecode(tmp_path: Path) -> None:
    clip = probe(with_timecode(tmp_path / "tape.mov", "01:02:03:04"))
    known = index(clip)
    encoding = choose("ffv1", clip)
    segment, target = tmp_path / "0.segment", tmp_path / "out.mkv"
    with segment.open("wb") as file:
        encode_segment((frame.planes for frame in frames(clip, 30, 34, known)), encoding, file)
    shown, lengths = known.pts[30:34], durations(known)[30:34]
    join([segment], encoding, clip, shown, lengths, clip.time_base, target, part=True, skipped=30)
    result = probe(target)
    assert result.timecode is not None
    assert result.timecode.text == "01:02:04:09"


def test_data_is_copied_where_the_container_takes_it_and_refused_elsewhere(tmp_path: Path) -> None:
    source = tmp_path / "drone.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        data = container.add_data_stream("bin_data")
        container.start_encoding()
        for number, picture in enumerate(PICTURES):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
            packet = av.Packet(b"height %d" % number)
            packet.stream, packet.time_base, packet.pts, packet.dts = data, Fraction(1, 25), number, number
            container.mux(packet)
        container.mux(stream.encode(None))
    clip = probe(source)
    assert [one.kind for one in clip.companions] == ["data"]
    target = tmp_path / "x264.mp4"
    encoding, _ = film(clip, "x264", target)
    assert refused(clip, encoding) == ()
    assert packets_of(target, ["data"]) == packets_of(source, ["data"])
    assert len(packets_of(target, ["data"])) > 30
    assert [one.index for one in refused(clip, choose("ffv1", clip, ".mkv"))] == [1]
