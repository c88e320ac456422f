"""The main job through the command line, in processes of their own, with the real compact network and real files."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO
import pytest
from PIL import Image as PillowImage

sys.path.insert(0, str(Path(__file__).parent))

from shell import Ended, Shell, assert_gone, temporaries, tree

from restore.formats import Decoder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="starts the command by forking a warm process")

SETTINGS = ("--model", "animevideov3-x4", "--device", "cpu", "--precision", "fp32", "--json")
ODD_NAME = os.fsdecode(b"not utf8 \xff\n(1).png") if sys.platform == "linux" else "odd (1).png"


def painted(seed: int, height: int, width: int, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    """Smooth, unlike for every seed."""
    noise = np.random.default_rng(seed).random((height // 4 + 2, width // 4 + 2, channels), np.float32)
    smooth = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, channels)
    return smooth if dtype is np.float32 else (smooth * np.iinfo(dtype).max).round().astype(dtype)


def encoded(suffix: str, pixels: np.ndarray, *options: int) -> bytes:
    done, data = cv2.imencode(suffix, pixels, options)
    assert done
    return data.tobytes()


def make_tree(folder: Path) -> None:
    """Twelve small pictures of every format that can be written, at several depths, and a file that is none."""
    cutout = painted(3, 32, 32, 4)
    cutout[..., 3] = np.where(cutout[..., 3] > 127, 255, 0)
    files = {
        "wall.png": encoded(".png", painted(1, 24, 32)),
        "large.png": encoded(".png", painted(2, 64, 60)),
        "cutout.png": encoded(".png", cutout),
        "deep/er/still/height.png": encoded(".png", painted(4, 17, 40, 1, np.uint16)),
        "deep/wide.tiff": encoded(".tiff", painted(5, 20, 20, 3, np.uint16)),
        "déjà vu/стена 1.BMP": encoded(".bmp", painted(6, 30, 31)),
        "déjà vu/photo.v2.JPG": encoded(".jpg", painted(7, 40, 33), cv2.IMWRITE_JPEG_QUALITY, 90),
        "deep/blend.webp": encoded(".webp", painted(8, 26, 26, 4), cv2.IMWRITE_WEBP_QUALITY, 101),
        "deep/grey.pgm": encoded(".pgm", painted(9, 5, 50, 1)),
        ODD_NAME: encoded(".png", painted(10, 28, 28)),
        "deep/readme.txt": b"not a picture",
    }
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    PillowImage.fromarray(painted(11, 36, 22)).save(folder / "déjà vu" / "FLOOR.TGA")
    light = OpenImageIO.ImageOutput.create("light.exr")
    light.open(str(folder / "light.exr"), OpenImageIO.ImageSpec(24, 18, 3, "float"))
    light.write_image(painted(12, 18, 24, 3, np.float32) * 3)
    light.close()


PICTURES = 12


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("shell"), "upscale", *SETTINGS)
    yield shell
    shell.close()


@dataclass(frozen=True)
class World:
    source: Path
    target: Path
    first: Ended


@pytest.fixture(scope="module")
def finished(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> World:
    """An uninterrupted run over the tree: what every other one is compared with.  Tests leave it alone."""
    folder = tmp_path_factory.mktemp("finished")
    make_tree(folder / "in")
    first = shell.run(folder / "in", folder / "out", "--copy-others")
    assert first.code == 0, first.events
    assert first.summary["done"] == PICTURES
    return World(folder / "in", folder / "out", first)


@pytest.fixture
def own(finished: World, tmp_path: Path) -> World:
    """A copy of the finished trees, for tests that change something."""
    shutil.copytree(finished.source, tmp_path / "in")
    shutil.copytree(finished.target, tmp_path / "out")
    return World(tmp_path / "in", tmp_path / "out", finished.first)


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if ".restore" not in path.parts}


def test_the_tree_comes_back_with_its_names_sizes_and_kinds(finished: World) -> None:
    assert tree(finished.target).keys() == tree(finished.source).keys()
    assert (finished.target / "deep/readme.txt").read_bytes() == b"not a picture"
    with Decoder() as decoder:
        for path in sorted(finished.source.rglob("*")):
            if path.is_file() and path.suffix != ".txt":
                before = decoder.probe(path)
                after = decoder.probe(finished.target / path.relative_to(finished.source))
                assert (after.width, after.height) == (4 * before.width, 4 * before.height)
                kind = ("format", "channels", "bits", "is_float")
                assert [getattr(after, name) for name in kind] == [getattr(before, name) for name in kind]


def test_second_run_does_nothing(shell: Shell, finished: World) -> None:
    before = times(finished.target)
    again = shell.run(finished.source, finished.target, "--copy-others")
    assert again.code == 0
    assert again.started == []
    assert again.of("outcome") == []
    assert again.summary["already_done"] == PICTURES
    assert times(finished.target) == before


def test_killed_run_resumes_to_the_same_tree(shell: Shell, finished: World, tmp_path: Path) -> None:
    """kill -9 at random points: before the plan, while pictures are read, computed, staged, published."""
    whole, rng = tree(finished.target), random.Random(3)
    kills, kills_in_work, trial = 0, 0, 0
    while kills < 5 or kills_in_work < 2:
        trial += 1
        assert trial < 12, "runs end before they can be killed"
        target = tmp_path / f"out{trial}"
        for attempt in range(4):
            run = shell.start(finished.source, target, "--copy-others")
            if trial == 1 and attempt == 0:
                time.sleep(rng.uniform(0.0, 0.3))
            else:
                run.wait_for("started")
                time.sleep(rng.uniform(0.0, finished.first.summary["seconds"] / 3))
            children = run.children()
            os.kill(run.pid, signal.SIGKILL)
            ended = shell.end(run)
            assert_gone(children)
            for name, data in tree(target).items():
                assert data == whole[name], f"{name!r} is not whole"
            if ended.code != -signal.SIGKILL:
                break
            kills += 1
            kills_in_work += len(ended.started) > len(ended.of("outcome"))
        resumed = shell.run(finished.source, target, "--copy-others")
        assert resumed.code == 0
        assert tree(target) == whole
        assert temporaries(target) == []
        assert resumed.summary["done"] + resumed.summary["already_done"] == PICTURES


def test_ctrl_c_ends_in_good_order_and_the_run_resumes(shell: Shell, finished: World, tmp_path: Path) -> None:
    whole = tree(finished.target)
    run = shell.start(finished.source, tmp_path / "out")
    run.wait_for("started")
    children = run.children()
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to every process of the command
    stopped = shell.end(run)
    assert stopped.code == 130
    assert_gone(children)
    assert "run the same command again" in stopped.summary["reason"]
    assert stopped.summary["remaining"] == PICTURES - stopped.summary["done"] > 0
    assert stopped.summary["failed"] == 0
    for name, data in tree(tmp_path / "out").items():
        assert data == whole[name]
    assert temporaries(tmp_path / "out") == []
    resumed = shell.run(finished.source, tmp_path / "out", "--copy-others")
    assert resumed.code == 0
    assert resumed.summary["done"] == stopped.summary["remaining"]
    assert tree(tmp_path / "out") == whole


def test_changing_one_source_redoes_only_that(shell: Shell, own: World) -> None:
    """Also: a copied tree, with other inodes, is still known."""
    before, old = times(own.target), tree(own.target)
    (own.source / "wall.png").write_bytes(encoded(".png", painted(77, 16, 20)))
    again = shell.run(own.source, own.target, "--copy-others")
    assert again.code == 0
    assert again.started == ["wall.png"]
    changed = {str(path.relative_to(own.target)) for path, at in times(own.target).items() if before[path] != at}
    assert changed - {"."} == {"wall.png"}
    assert tree(own.target) | {b"wall.png": old[b"wall.png"]} == old
    assert cv2.imread(str(own.target / "wall.png")).shape == (64, 80, 3)


def test_changing_a_setting_redoes_all(shell: Shell, own: World) -> None:
    old = tree(own.target)
    again = shell.run(own.source, own.target, "--copy-others", "--keep-grain", "0", "--color-fix", "off")
    assert again.code == 0
    assert len(again.started) == PICTURES
    assert again.summary["copied"] == 0
    new = tree(own.target)
    assert new.keys() == old.keys()
    assert sum(new[name] != old[name] for name in old) >= PICTURES - 2, "the settings must be seen in nearly all"


def test_sizes_that_are_planned_are_those_that_are_made(shell: Shell, finished: World, tmp_path: Path) -> None:
    options = ("--scale", "1.5", "--max-size", "100", "--pow2", "up", "--multiple-of", "4")
    dry = shell.run(finished.source, tmp_path / "out", *options, "--dry-run")
    assert not (tmp_path / "out").exists()
    (plan,) = dry.of("plan")
    planned = {job["target"]: (job["output_width"], job["output_height"]) for job in plan["jobs"]}
    assert len(planned) == PICTURES
    assert planned["large.png"] == (64, 64)  # 60 x 64 -> 90 x 96 -> 128 x 128 -> at most 100 -> 64 x 64
    assert planned["deep/grey.pgm"] == (64, 8)  # 50 x 5 -> 75 x 8 -> 128 x 8 -> 64 x 8
    made = shell.run(finished.source, tmp_path / "out", *options)
    assert made.code == 0, made.events
    with Decoder() as decoder:
        headers = {name: decoder.probe(tmp_path / "out" / name) for name in planned}
    assert {name: (header.width, header.height) for name, header in headers.items()} == planned


def test_bad_files_among_good_ones_change_nothing_for_these(
    shell: Shell, finished: World, shared_data: Path, tmp_path: Path
) -> None:
    bad = [path for path in sorted((shared_data / "bad").iterdir()) if path.name != "LICENSE"]
    shutil.copytree(finished.source, tmp_path / "mixed")
    for i, path in enumerate(bad):
        folder = tmp_path / "mixed" / ("", "deep", "déjà vu")[i % 3]
        (folder / path.name).write_bytes(path.read_bytes())
    same = ("--format", "tiff", "--exclude", "light.exr")  # TIFF: because bad DDS files can't stay what they are
    alone = shell.run(finished.source, tmp_path / "alone", *same)
    assert alone.code == 0, alone.events
    mixed = shell.run(tmp_path / "mixed", tmp_path / "out", *same)
    assert mixed.code == 3
    verdicts = {said["path"]: said for said in mixed.of("outcome")}
    assert len(verdicts) == len(mixed.of("outcome")), "one verdict a file"
    tried = {Path(path).name for path in verdicts}
    untried = {path.name for path in bad} - tried
    assert {Path(name).suffix for name in untried}.isdisjoint({".tif", ".tga", ".png", ".jpg", ".dds"})
    for path, said in verdicts.items():
        assert said["status"] in ("done", "failed")
        assert bool(said["error"]) == (said["status"] == "failed"), path
        assert str(tmp_path) not in str(said["error"])
    assert sum(said["status"] == "failed" for said in verdicts.values()) >= 15
    good, everything = tree(tmp_path / "alone"), tree(tmp_path / "out")
    assert {name: everything[name] for name in good} == good
    made = {os.fsencode(said["target"]) for said in verdicts.values() if said["status"] == "done"}
    assert everything.keys() == made
