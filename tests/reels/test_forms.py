"""Claims about videos that become frames and frames that become videos: pixels, times, tags, sound, and proof."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO
import pytest
from film_command import SMALL, kill_after, of, run
from in_process import CLEAN, film, proved
from small_films import pictures, write_dpx

from restore.cli.film_options import Reading, Wishes
from restore.cli.film_report import FilmReport
from restore.errors import ImageError, SetupError
from restore.film.form import PICTURES as PICTURE_SUFFIXES
from restore.film.form import pictures_of
from restore.film.native import Sampled, changed, encoded, native_of, rescaled, working_of
from restore.film.reel import FilmFrame, open_clip
from restore.formats import Decoder, dpx
from restore.formats.video import probe
from restore.formats.video_read import frames as frames_in
from restore.reels import sidecar
from restore.reels.becoming import becoming
from restore.reels.notes import notes_of
from restore.reels.source import sources_in
from restore.reels.undo import undo_frame
from tests.formats.film_files import dpx_file
from tests.formats.video_files import av, moving, packets_of, save_clip

PICTURES = [cv2.GaussianBlur(one, (0, 0), 3) for one in moving(10)]


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Variable rate, from 0.5 s on, with sound, subtitles, chapters and tags."""
    steps = [40, 40, 80, 33, 40, 40, 120, 40, 40]
    path = tmp_path_factory.mktemp("uneven") / "reel.mkv"
    return save_clip(
        path,
        PICTURES,
        "ffv1",
        "yuv422p10le",
        pts=[500 + sum(steps[:i]) for i in range(10)],
        time_base=Fraction(1, 1000),
        audio_s=0.9,
        subtitles=[(0.6, 0.8, "Hello")],
        chapters=[(0.5, 0.7, "One")],
        metadata={"title": "A reel"},
        colorspace=1,
        color_trc=1,
        color_primaries=1,
    )


def numbered(folder: Path, suffix: str) -> list[Path]:
    found = [path for path in folder.iterdir() if path.suffix == suffix]
    return sorted(found, key=lambda path: int(path.stem.rsplit(".", 1)[1]))


def frames_of(path: Path) -> list[FilmFrame]:
    reel = open_clip(path)
    found = [item for item in reel.read(0, len(reel.numbers)) if isinstance(item, FilmFrame)]
    assert len(found) == len(reel.numbers)
    return found


@pytest.mark.parametrize("kind", ["png", "dpx", "exr"])
def test_frames_of_a_video_look_as_the_video_does(kind: str, uneven: Path, tmp_path: Path) -> None:
    summary, work, state = film(uneven, tmp_path / "out", frames_as=kind, reading=Reading(frames="0-2"))
    assert (summary.frames, summary.failed) == (3, [])
    assert summary.proved
    paths = numbered(tmp_path / "out", PICTURE_SUFFIXES[kind])
    assert [path.name for path in paths] == [f"reel.{number:07d}{PICTURE_SUFFIXES[kind]}" for number in range(3)]
    with Decoder() as decoder, av.open(str(uneven)) as container:
        for path, theirs in zip(paths, container.decode(video=0), strict=False):
            mine = working_of(native_of(path, decoder))
            if kind == "exr":
                light = np.clip(mine, 0, 1)
                mine = np.where(light < 0.018, light * 4.5, 1.099 * np.maximum(light, 0.018) ** 0.45 - 0.099)
            else:
                mine = mine / 65535
            picture = theirs.reformat(format="gbrp", src_colorspace=1, src_color_range=1, dst_color_range=2)
            shown = picture.to_ndarray(format="rgb24") / 255
            inside = np.s_[:, 4:-4]
            assert np.abs(mine - shown)[inside].mean() < 0.012
            assert np.abs((mine - shown)[inside].mean((0, 1))).max() < 0.006, "matrix and range are the video's"
    verdicts = proved(state, uneven)
    assert all(one.untouched and one.converted and not one.problems for one in verdicts)
    assert any("BT.709" in note for note in notes_of(work))


def test_files_say_which_colours_they_hold(uneven: Path, tmp_path: Path) -> None:
    clip = replace(probe(uneven), sample_aspect=Fraction(16, 15), stream_metadata={"timecode": "10:00:00:00"})
    planes = next(frames_in(clip, 4, 5)).planes

    def written(kind: str) -> bytes:
        form = pictures_of(kind, clip, Fraction(24))
        return encoded(form.of(4, Sampled(planes, form.signal))).read()

    assert b"cICP" + bytes([1, 1, 0, 1]) in written("png")
    assert b"BT.709" in written("tiff")
    header = dpx.parse(written("dpx"))
    assert header.timecode == "10:00:00:04"
    assert (header.elements[0].transfer, header.elements[0].colorimetric) == (6, 6)
    assert header.fields["film.frame_position"] == 4
    assert (header.fields["source.aspect_across"], header.fields["source.aspect_down"]) == (16, 15)
    assert header.elements[0].raster.bits == 16, "more than 10, for R'G'B' rounds anew"
    (tmp_path / "a.exr").write_bytes(written("exr"))
    spec = OpenImageIO.ImageInput.open(str(tmp_path / "a.exr")).spec()
    assert spec.getattribute("FramesPerSecond") == (24, 1)
    assert spec.getattribute("chromaticities")[:2] == pytest.approx((0.64, 0.33))


def test_times_tags_and_sound_come_back_with_the_frames(uneven: Path, tmp_path: Path) -> None:
    folder, back = tmp_path / "frames", tmp_path / "back.mkv"
    film(uneven, folder)
    known = sidecar.read(folder / "reel.film.json")
    assert known.sound == "reel.mkv"
    assert packets_of(folder / known.sound) == packets_of(uneven)
    assert not [path for path in folder.iterdir() if path.name.endswith(".part")]
    summary, work, state = film(folder, back, sound=folder / known.sound)
    assert summary.proved
    before, after = open_clip(uneven), open_clip(back)
    assert (after.known.pts == before.known.pts).all(), "a variable rate, and its start"
    assert packets_of(back) == packets_of(uneven)
    assert (after.clip.colour.primaries, after.clip.colour.transfer) == (1, 1)
    assert after.clip.metadata["title"] == "A reel"
    assert after.clip.chapters == 1
    with Decoder() as decoder:
        for path, frame in zip(numbered(folder, ".png"), frames_of(back), strict=True):
            assert (working_of(native_of(path, decoder)) == frame.working).all(), "the files' own numbers"
    assert all(one.untouched and not one.converted and not one.problems for one in proved(state, folder))
    assert not any("stay behind" in note for note in notes_of(work))
    (reel,) = sources_in(folder)
    assert reel.frames is not None
    with Decoder() as decoder:
        silent = becoming(reel.frames, decoder, None, None)
    assert any("give --sound" in note for note in silent.notes)


def test_a_trial_of_a_video_has_its_own_times_and_sound(uneven: Path, tmp_path: Path) -> None:
    film(uneven, tmp_path / "out", reading=Reading(frames="2-6"))
    known = sidecar.read(tmp_path / "out/reel.film.json")
    assert (known.first, known.times.frames, known.times.start) == (2, 5, 0)
    assert [length for length, count in known.times.runs for _ in range(count)] == [80, 33, 40, 40, 120]
    sound, whole = packets_of(tmp_path / "out/reel.mkv", ["audio"]), packets_of(uneven, ["audio"])
    assert 0 < len(sound) < len(whole)


@pytest.mark.parametrize(("pixels", "kind"), [("gbrp12le", "png"), ("gray", "dpx")])
def test_video_of_rgb_or_grey_keeps_its_code_values(pixels: str, kind: str, tmp_path: Path) -> None:
    source = save_clip(tmp_path / "reel.mkv", PICTURES[:3], "ffv1", pixels)
    summary, work, _ = film(source, tmp_path / "frames", frames_as=kind)
    assert summary.proved
    assert work.form is not None
    assert work.form.exact
    film(tmp_path / "frames", tmp_path / "back.mkv")
    for old, new in zip(frames_of(source), frames_of(tmp_path / "back.mkv"), strict=True):
        for before, after in zip(old.native.planes, new.native.planes, strict=True):
            tops = [(1 << one.native.signal.layout.bits) - 1 for one in (new, old)]
            assert (rescaled(after, *tops) == before).all()


def test_a_scan_becomes_a_video_with_its_timecode_and_its_rate(tmp_path: Path) -> None:
    write_dpx(tmp_path / "scan")
    for path in numbered(tmp_path / "scan", ".dpx")[12:]:
        path.unlink()
    film(tmp_path / "scan", tmp_path / "out.mkv")
    result = probe(tmp_path / "out.mkv")
    assert (result.layout.name, result.rate) == ("gbrp10le", 24)
    assert result.timecode is not None
    assert result.timecode.text == "01:23:45:12"
    with Decoder() as decoder:
        for path, frame in zip(numbered(tmp_path / "scan", ".dpx"), frames_of(tmp_path / "out.mkv"), strict=True):
            assert (np.stack(frame.native.planes, -1) == native_of(path, decoder).codes).all()
    film(tmp_path / "scan", tmp_path / "out.mov", codec="prores", reading=Reading(frames="1000-1003"), fps="23.976")
    result = probe(tmp_path / "out.mov")
    assert result.rate == Fraction(24000, 1001)
    assert [one.kind for one in result.companions] == ["timecode"]
    assert result.timecode is not None
    assert result.timecode.text == "01:23:45:19", "of the stretch's first frame"


def test_scans_of_ycbcr_become_video_sample_for_sample(tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(5):
        codes = rng.integers(100, 900, (48, 64, 2), dtype=np.uint16)
        (folder / f"a.{number}.dpx").write_bytes(dpx_file(codes, 10, 1, big=True, descriptor=100))
    film(folder, tmp_path / "out.mkv")
    clip = probe(tmp_path / "out.mkv")
    assert (clip.layout.name, clip.colour.matrix, clip.full_range) == ("yuv422p10le", 1, False)
    with Decoder() as decoder:
        for path, frame in zip(numbered(folder, ".dpx"), frames_of(tmp_path / "out.mkv"), strict=True):
            pairs = zip(native_of(path, decoder).sampled.planes, frame.native.planes, strict=True)
            assert all((mine == theirs).all() for mine, theirs in pairs)


@pytest.mark.parametrize("name", ["prores.mov", "av1.mkv"])
def test_a_lossy_video_of_frames_is_no_brighter_than_they_are(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, picture in enumerate(PICTURES[:3]):
        cv2.imwrite(str(folder / f"a.{number}.png"), picture[..., ::-1].astype(np.uint16) * 257)
    _, work, _ = film(folder, tmp_path / name, codec=Path(name).stem, fps="24")
    assert any("the most of" in note for note in notes_of(work)), "16 bits are more than any of them holds"
    for picture, frame in zip(PICTURES, frames_of(tmp_path / name), strict=False):
        differs = frame.working / 257 - picture
        assert abs(differs.mean()) < 0.1
        assert np.abs(differs).mean() < 2.5


def test_linear_light_is_encoded_for_display_and_said_so(tmp_path: Path) -> None:
    folder = tmp_path / "exr"
    folder.mkdir()
    ramp = np.linspace(-0.1, 1.3, 64, dtype=np.float16)
    for number in range(4):
        spec = OpenImageIO.ImageSpec(64, 48, 3, "half")
        spec.attribute("FramesPerSecond", OpenImageIO.TypeDesc("rational"), (25, 1))
        wide = (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329)
        spec.attribute("chromaticities", OpenImageIO.TypeDesc("float[8]"), wide)
        writer = OpenImageIO.ImageOutput.create("a.exr")
        assert writer.open(str(folder / f"a.{number}.exr"), spec)
        assert writer.write_image(np.broadcast_to(ramp[None, :, None], (48, 64, 3)).copy())
        writer.close()
    summary, work, _ = film(folder, tmp_path / "out.mkv")
    assert summary.proved
    assert any("linear light" in note for note in notes_of(work))
    result = probe(tmp_path / "out.mkv")
    assert (result.rate, result.colour.transfer, result.layout.name) == (25, 1, "gbrp16le")
    assert result.colour.primaries == 9, "BT.2020, as the files say"
    shown = frames_of(tmp_path / "out.mkv")[0].working[0, :, 0] / 65535
    light = np.clip(ramp.astype(np.float64), 0, 1)
    assert shown == pytest.approx(np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099), abs=1e-4)


def test_a_missing_frame_is_shown_as_the_one_before_it_even_where_a_segment_begins(tmp_path: Path) -> None:
    write_dpx(tmp_path / "scan")
    for number in (998, 999, 1000, 1012):  # segments of 6 frames begin at 999 and 1011
        (tmp_path / f"scan/reel.{number}.dpx").unlink()
    (tmp_path / "scan/reel.1005.dpx").write_bytes(b"SDPX" + bytes(100))
    summary, work, _ = film(tmp_path / "scan", tmp_path / "out.mkv", segment_frames=6)
    assert sorted(summary.faults) == [998, 999, 1000, 1005, 1012]
    assert any("4 missing frames" in note for note in notes_of(work))
    assert summary.joined
    shown = frames_of(tmp_path / "out.mkv")
    assert len(shown) == 24
    for number, before in ((998, 997), (999, 997), (1000, 997), (1005, 1004), (1012, 1011)):
        assert not changed(shown[number - 993].native, shown[before - 993].native).any()
    differ = [changed(one.native, other.native).any() for one, other in pairwise(shown)]
    assert differ.count(False) == 5


def test_frames_of_a_dirty_video_killed_in_the_middle_are_the_same(clip: Path, tmp_path: Path) -> None:
    whole, target = tmp_path / "whole", tmp_path / "out"
    few = (*SMALL, "--segment-frames", "4", "--frames", "0-11")
    film(clip, whole, Wishes(), Reading(frames="0-11"), segment_frames=4)
    assert kill_after("segment", 1, "film", clip, target, *few, "--workers", "2") == 1
    code, events = run("film", clip, target, *few, "--workers", "1")
    assert code == 0
    assert of(events, "reel")[0]["done"] >= 1
    files = [{path.name: path.read_bytes() for path in one.iterdir() if path.is_file()} for one in (whole, target)]
    assert files[0] == files[1]
    assert len(files[0]) == 12 + 2, "frames, their times, and the sound"
    assert of(events, "restored")[0]["blobs"] > 10


def test_repairs_of_frames_are_taken_back_and_proved(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    few = Reading(frames="6-11")
    summary, _, state = film(clip, target, Wishes(), few)
    assert summary.blobs > 5
    assert all(one.untouched and not one.problems for one in proved(state, clip))
    plain = tmp_path / "plain"
    film(clip, plain, reading=few)
    name = "reel.0000008.png"
    assert (target / name).read_bytes() != (plain / name).read_bytes()
    undo_frame(state, 8, None, 0, FilmReport(as_json=False))
    assert (target / name).read_bytes() == (plain / name).read_bytes()
    (target / "reel.film.json").write_text("{}")
    assert any("reel.film.json was changed" in problem for one in proved(state) for problem in one.problems)
    with pytest.raises(SetupError, match=r"reel\.film\.json: it is there already"):
        film(clip, target, Wishes(), few)


def test_what_cannot_be_is_refused_before_any_work(clip: Path, frames: Path, tmp_path: Path) -> None:
    out, video = tmp_path / "out", tmp_path / "out.mkv"
    stills = tmp_path / "stills"
    stills.mkdir()
    for number in range(3):
        cv2.imwrite(str(stills / f"a{number}.png"), pictures()[number])
    for source, target, said, words in (
        (stills, video, {}, "give --fps 24"),
        (stills, video, {"fps": "soon"}, "24, 23.976 or 24000/1001"),
        (stills, video, {"fps": "24", "sound": stills / "a0.png"}, "not read as film"),
        (frames, out, {"frames_as": "png"}, "keep their format"),
        (frames, out, {"fps": "24"}, "for frames that become a video"),
        (clip, video, {"sound": clip}, "for frames that become a video"),
        (clip, out, {"codec": "x264"}, "--codec and --quality are for videos"),
        (clip, out, {"frames_as": "gif"}, "it can be png, tiff, dpx, exr"),
        (clip, tmp_path / "out.avi", {}, "name a video file that ends with .mkv"),
    ):
        with pytest.raises((SetupError, ImageError), match=words):
            film(source, target, **said)
    assert not out.exists()
    known = {"film": 1, "times": [0, [[0, 3]]], "time_base": "1/24"}
    (stills / "a.film.json").write_text(json.dumps(known))
    with pytest.raises(ImageError, match=r"a\.film\.json: what it says of the frames can't be read"):
        film(stills, video)
    assert CLEAN.dirt is False
