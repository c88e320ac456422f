"""Claims about restoring reels from file to file: resume after kills, several workers, verdicts, proof, undo."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO
import pytest
from film_command import SMALL, kill_after, of, run
from in_process import film
from small_films import FRAMES, SIZE, pictures, write_dpx

from restore.cli.film_options import Wishes
from restore.film.native import changed, native_of, working_of
from restore.film.reel import FilmFrame, open_clip
from restore.formats import Decoder, dpx
from tests.formats.film_files import dpx_file
from tests.formats.video_files import packets_of, save_clip


@pytest.fixture(scope="module")
def whole(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Restored in one go, by one worker."""
    target = tmp_path_factory.mktemp("whole") / "out.mkv"
    code, events = run("film", clip, target, *SMALL, "--workers", "1")
    assert code == 0, events
    return target


@pytest.fixture(scope="module")
def whole_frames(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("frames-out") / "out"
    code, events = run("film", frames, target, *SMALL, "--workers", "1")
    assert code == 0, events
    return target


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_video_loses_its_dirt_and_nothing_else(clip: Path, whole: Path) -> None:
    before, after = open_clip(clip), open_clip(whole)
    assert after.known.frames == FRAMES
    assert (after.known.pts == before.known.pts).all()
    assert packets_of(whole) == packets_of(clip)
    assert after.clip.colour == before.clip.colour
    some = 0
    for old, new in zip(before.read(0, FRAMES), after.read(0, FRAMES), strict=True):
        assert isinstance(old, FilmFrame)
        assert isinstance(new, FilmFrame)
        share = changed(old.native, new.native).mean()
        some += share > 0
        assert share < 0.25
    assert some > FRAMES * 0.75


def test_a_video_killed_again_and_again_resumes_to_the_same_file(clip: Path, whole: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    for at in (("reel", 1), ("segment", 1), ("segment", 2)):
        assert kill_after(*at, "film", clip, target, *SMALL, "--workers", "2") == at[1]
    code, events = run("film", clip, target, *SMALL, "--workers", "2")
    assert code == 0
    assert of(events, "reel")[0]["done"] >= 3, "what was done stays done"
    assert target.read_bytes() == whole.read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_frames_killed_again_and_again_resume_to_the_same_folder(
    frames: Path, whole_frames: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    for at in (("reel", 1), ("segment", 1), ("segment", 1), ("segment", 1)):
        kill_after(*at, "film", frames, target, *SMALL, "--workers", "1")
    code, _ = run("film", frames, target, *SMALL, "--workers", "2")
    assert code == 0
    assert tree(target) == tree(whole_frames)


def test_a_second_run_has_nothing_left_to_do(clip: Path, whole: Path) -> None:
    stamp = whole.stat().st_mtime_ns
    code, events = run("film", clip, whole, *SMALL)
    assert code == 0
    assert of(events, "reel")[0]["left"] == 0
    assert not of(events, "note"), "the reel isn't looked at again"
    assert whole.stat().st_mtime_ns == stamp


def test_a_trial_of_some_frames_gives_those_frames_with_their_sound(clip: Path, whole: Path, tmp_path: Path) -> None:
    target = tmp_path / "trial.mkv"
    assert run("film", clip, target, *SMALL, "--frames", "6-11")[0] == 0
    trial = open_clip(target)
    assert trial.known.frames == 6
    assert 0 < len(packets_of(target)) < len(packets_of(clip))
    for old, new in zip(open_clip(whole).read(6, 12), trial.read(0, 6), strict=True):
        assert isinstance(old, FilmFrame)
        assert isinstance(new, FilmFrame)
        assert changed(old.native, new.native).mean() < 0.03, "but for the bar, which more frames may move"


def test_scans_keep_their_names_headers_and_untouched_pixels(frames: Path, whole_frames: Path) -> None:
    assert sorted(tree(whole_frames)) == sorted(tree(frames))
    for name, data in tree(frames).items():
        fresh = (whole_frames / name).read_bytes()
        start = dpx.parse(data).elements[0].raster.offset
        assert fresh[:start] == data[:start]
        assert len(fresh) == len(data)
    changed_files = [name for name, data in tree(frames).items() if (whole_frames / name).read_bytes() != data]
    assert len(changed_files) > FRAMES * 0.75


def test_missing_corrupt_and_odd_frames_get_verdicts_and_the_rest_is_done(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    write_dpx(source)
    (source / "reel.1001.dpx").unlink()
    torn = source / "reel.1003.dpx"
    torn.write_bytes(torn.read_bytes()[:3000])
    (source / "reel.1006.dpx").write_bytes(dpx_file(np.zeros((5, 7, 3), np.uint16), 10, 1, big=True))
    code, events = run("film", source, target, *SMALL)
    assert code == 3
    (restored,) = of(events, "restored")
    assert set(restored["faults"]) == {"1001", "1003", "1006"}
    assert "is missing" in restored["faults"]["1001"]
    assert "truncated" in restored["faults"]["1003"]
    assert "7 x 5" in restored["faults"]["1006"]
    assert len(tree(target)) == FRAMES - 3
    assert restored["proved"]


def test_a_truncated_video_is_restored_as_far_as_it_goes(clip: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "cut.mkv", tmp_path / "out.mkv"
    data = clip.read_bytes()
    source.write_bytes(data[: len(data) // 3])
    code, events = run("film", source, target, *SMALL)
    (reel,) = of(events, "reel")
    assert any("truncated" in note for note in reel["notes"])
    (restored,) = of(events, "restored")
    assert 4 <= restored["frames"] < FRAMES
    assert restored["joined"]
    assert code in (0, 3)
    assert open_clip(target).known.frames == restored["frames"]


def test_several_sequences_of_a_folder_stay_apart(tmp_path: Path, frames: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for path in sorted(frames.iterdir())[:8]:
        shutil.copy(path, source / path.name)
        shutil.copy(path, source / path.name.replace("reel.", "other_"))
    code, events = run("film", source, target, *SMALL)
    assert code == 0
    assert len(of(events, "restored")) == 2
    assert sorted(tree(target)) == sorted(tree(source))


def test_results_are_proved_and_a_changed_byte_is_noticed(
    clip: Path, whole: Path, whole_frames: Path, frames: Path, tmp_path: Path
) -> None:
    assert run("verify", whole, "--source", clip, "--json")[1][-1] == {
        "event": "verified", "failed": 0, "frames": FRAMES, "untouched": FRAMES,
    }  # fmt: skip
    copy = tmp_path / "out"
    shutil.copytree(whole_frames, copy)
    assert run("verify", copy, "--source", frames)[0] == 0
    path = copy / "reel.1000.dpx"
    data = bytearray(path.read_bytes())
    data[-7] ^= 4
    path.write_bytes(data)
    code, events = run("verify", copy, "--json")
    assert code == 3
    assert "reel.1000.dpx was changed" in str(of(events, "verdict"))


def test_repairs_are_taken_back_and_stay_so(frames: Path, whole_frames: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    shutil.copytree(whole_frames, target, copy_function=shutil.copy2)
    code, events = run("undo", target, "--frame", "996", "--blob", "1", "--json")
    assert code == 0
    (undone,) = of(events, "undone")
    assert undone["blobs"] == [1]
    with Decoder() as decoder:
        source, before, after = (
            native_of(folder / "reel.996.dpx", decoder) for folder in (frames, whole_frames, target)
        )
        back = changed(before, after)
        assert back.any()
        assert not changed(source, after)[back].any()
    others = {name: data for name, data in tree(target).items() if name != "reel.996.dpx"}
    assert others.items() <= tree(whole_frames).items()
    assert run("undo", target, "--frame", "996")[0] == 0
    assert (target / "reel.996.dpx").read_bytes() == (frames / "reel.996.dpx").read_bytes()
    code, events = run("film", frames, target, *SMALL)
    assert of(events, "reel")[0]["left"] == 0, "a later run knows"
    assert run("undo", target, "--frame", "996")[0] == 2
    assert run("undo", target, "--frame", "5000")[0] == 2


def test_undo_remakes_a_video_with_its_other_segments_as_they_were(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    assert run("film", clip, target, *SMALL)[0] == 0
    state = target.with_name(".out.mkv.restore") / "segments"
    before = {path.name: path.read_bytes() for path in state.glob("*.segment")}
    assert run("undo", target, "--frame", "8")[0] == 0
    after = {path.name: path.read_bytes() for path in state.glob("*.segment")}
    assert [name for name in before if before[name] != after[name]] == ["0000006-0000012.segment"]
    old, new = next(open_clip(clip).read(8, 9)), next(open_clip(target).read(8, 9))
    assert isinstance(old, FilmFrame)
    assert isinstance(new, FilmFrame)
    assert not changed(old.native, new.native).any()


def test_masks_are_written_corrected_and_obeyed(frames: Path, tmp_path: Path) -> None:
    masks, target = tmp_path / "masks", tmp_path / "out"
    frames = Path(shutil.copytree(frames, tmp_path / "in"))  # what looks as in its neighbours stays, masked or not
    harmed = pictures()[7]
    harmed[20:30, 40:52] = 255
    codes = (harmed.astype(np.float32) / 255 * 1023).round().astype(np.uint16)
    (frames / "reel.1000.dpx").write_bytes(dpx_file(codes, 10, 1, big=True))
    code, events = run("detect", frames, masks, "--json")
    assert code == 0
    assert len(of(events, "mask")) == FRAMES
    assert sorted(path.stem for path in masks.glob("*.png")) == sorted(path.stem for path in frames.iterdir())
    for path in masks.glob("*.png"):
        picture = np.zeros(SIZE, np.uint8)
        if path.stem == "reel.1000":
            picture[20:30, 40:52] = 255
        cv2.imwrite(str(path), picture)
    assert run("film", frames, target, *SMALL, "--masks", masks)[0] == 0
    with Decoder() as decoder:
        for name in tree(frames):
            differs = changed(native_of(frames / name, decoder), native_of(target / name, decoder))
            if name == "reel.1000.dpx":
                assert differs.any()
                differs[20:30, 40:52] = False
            assert not differs.any(), name
    assert run("detect", frames, masks)[0] == 2, "a person's corrections are not overwritten"
    cv2.imwrite(str(masks / "reel.1000.png"), np.zeros((5, 5), np.uint8))
    code, events = run("film", frames, target, *SMALL, "--masks", masks)
    assert code == 2
    assert "save it in the frame's size" in events[-1]["message"]


def test_a_plan_that_a_person_edited_is_followed(frames: Path, tmp_path: Path) -> None:
    plan, target = tmp_path / "plan.toml", tmp_path / "out"
    code, events = run("scan", frames, "--write-plan", plan, "--json")
    assert code == 0
    assert [(one["first"], one["last"]) for one in of(events, "scanned")[0]["shots"]] == [(993, 1008), (1009, 1016)]
    assert run("scan", frames, "--write-plan", plan)[0] == 2, "an edited plan is not overwritten"
    text = plan.read_text()
    plan.write_text(text.replace("first = 1009\n", "first = 1009\ndirt = false\nscratches = false\n"))
    assert run("film", frames, target, *SMALL, "--plan", plan)[0] == 0
    same = {name for name, data in tree(target).items() if data == (frames / name).read_bytes()}
    assert same >= {f"reel.{number}.dpx" for number in range(1009, 1017)}
    assert len(same) < 12


def test_review_draws_frames_and_the_least_certain_repairs(frames: Path, whole_frames: Path, tmp_path: Path) -> None:
    target, pages = tmp_path / "out", tmp_path / "pages"
    shutil.copytree(whole_frames, target, copy_function=shutil.copy2)
    assert run("film", frames, target, *SMALL, "--review", pages)[0] == 0
    page = cv2.imread(str(pages / "frame_0001000.png"))
    assert page.shape[0] == SIZE[0]
    assert page.shape[1] > 3 * SIZE[1]
    assert cv2.imread(str(pages / "least_certain.png")).shape[0] > 96


def test_what_this_tool_did_not_make_is_never_replaced(clip: Path, frames: Path, tmp_path: Path) -> None:
    film, folder = tmp_path / "out.mkv", tmp_path / "out"
    film.write_bytes(b"mine")
    code, events = run("film", clip, film, *SMALL)
    assert code == 2
    assert not of(events, "note"), "told before the reel is looked at"
    assert film.read_bytes() == b"mine"
    folder.mkdir()
    (folder / "reel.1000.dpx").write_bytes(b"mine")
    assert run("film", frames, folder, *SMALL)[0] == 2
    assert (folder / "reel.1000.dpx").read_bytes() == b"mine"
    assert run("film", frames, folder, *SMALL, "--overwrite")[0] == 0
    assert (folder / "reel.1000.dpx").read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("{clip}", "{out}/x.avi"), "name a video file"),
        (("{frames}", "{frames}"), "replace their own source"),
        (("{clip}", "{clip}"), "replace their own source"),
        (("{out}/nothing.mkv", "{out}/x.mkv"), "no such file"),
        (("{clip}", "{out}/x.mkv", "--grain", "regrain"), "is for enlarged frames"),
        (("{clip}", "{out}/x.mkv", "--codec", "dirac"), "choose one of"),
        (("{clip}", "{out}/x.mkv", "--frames", "100-120"), "there are only frames 0-23"),
        (("{clip}", "{out}/x.mkv", "--masks", "{out}/none"), "no such folder of masks"),
    ],
)
def test_what_cannot_work_is_told_before_any_work(
    arguments: tuple[str, ...], says: str, clip: Path, frames: Path, tmp_path: Path
) -> None:
    filled = [one.format(clip=clip, frames=frames, out=tmp_path) for one in arguments]
    code, events = run("film", *filled, *SMALL)
    assert code in (2, 3)
    assert says in events[-1]["message"]
    assert not any(os.scandir(tmp_path))


def test_a_dry_run_writes_nothing(clip: Path, tmp_path: Path) -> None:
    code, events = run("film", clip, tmp_path / "out.mkv", *SMALL, "--dry-run")
    assert code == 0
    assert of(events, "reel")[0]["segments"] == 4
    assert not any(os.scandir(tmp_path))


def test_a_lossy_codec_is_written_and_said_to_prove_nothing(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mov"
    code, events = run("film", clip, target, *SMALL, "--codec", "prores", "--drop-streams")
    assert code == 0
    assert any("can't be proven" in note for note in of(events, "reel")[0]["notes"])
    assert not of(events, "restored")[0]["proved"]
    result = next(open_clip(target).read(3, 4))
    source = next(open_clip(clip).read(3, 4))
    assert isinstance(result, FilmFrame)
    assert isinstance(source, FilmFrame)
    assert np.abs(working_of(result.native).astype(float) - source.working).mean() < 65535 * 0.02


def test_linear_frames_keep_nan_negatives_and_highlights(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number, picture in enumerate(pictures()[:8], 1):
        light = ((picture.astype(np.float32) / 255) ** 2.2).astype(np.float16)
        light[2, 2], light[3, 3], light[4, 4] = np.nan, -2.5, 300
        spec = OpenImageIO.ImageSpec(SIZE[1], SIZE[0], 3, "half")
        writer = OpenImageIO.ImageOutput.create(str(source / f"a.{number:04d}.exr"))
        assert writer.open(str(source / f"a.{number:04d}.exr"), spec)
        assert writer.write_image(light)
        writer.close()
    code, events = run("film", source, target, *SMALL)
    assert code == 0
    assert of(events, "reel")[0]["input_colour"] == "linear"
    (restored,) = of(events, "restored")
    assert restored["proved"]
    assert restored["blobs"] > 20
    pixels = OpenImageIO.ImageInput.open(str(target / "a.0004.exr")).read_image("half").astype(np.float32)
    assert np.isnan(pixels[2, 2]).all()
    assert (pixels[3, 3] == -2.5).all()
    assert (pixels[4, 4] == 300).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5)])
def test_the_smallest_films_go_through(size: tuple[int, int], tmp_path: Path) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    height, width = size
    save_clip(source, [picture[:height, :width] for picture in pictures()[:5]], "ffv1", "yuv444p")
    summary, _, _ = film(source, target, Wishes())
    assert not summary.failed
    for old, new in zip(open_clip(source).read(0, 5), open_clip(target).read(0, 5), strict=True):
        assert isinstance(old, FilmFrame)
        assert isinstance(new, FilmFrame)
        assert not changed(old.native, new.native).any()


def test_a_stray_file_among_sequences_costs_only_itself(tmp_path: Path, frames: Path) -> None:
    source, target, masks = tmp_path / "in", tmp_path / "out", tmp_path / "masks"
    source.mkdir()
    for path in sorted(frames.iterdir())[:6]:
        shutil.copy(path, source / path.name)
        shutil.copy(path, source / path.name.replace("reel.", "other_"))
    for name in ("cover1.jpg", "notes.txt", "Thumbs.db", ".DS_Store"):
        (source / name).write_bytes(b"junk")
    code, events = run("film", source, target, *SMALL, "--save-masks", masks)
    assert code == 3
    assert [event["path"] for event in of(events, "lost")] == ["cover[1].jpg"]
    assert len(of(events, "restored")) == 2
    assert len(tree(target)) == 12
    assert [len(list(folder.glob("*.png"))) for folder in masks.iterdir()] == [6, 6], "each by itself, as --masks reads"
    assert run("film", source, tmp_path / "again", *SMALL, "--masks", masks)[0] == 3
    assert len(tree(tmp_path / "again")) == 12
