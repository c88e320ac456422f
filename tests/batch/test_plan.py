"""What is found before anything is computed or written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from batch_fakes import RECIPE, FakeDecoder, Recorder, Sandbox, output_size, ppm, with_format, with_grain

from restore.batch import plan as plan_module
from restore.batch.opening import open_journal
from restore.batch.plan import make_plan
from restore.errors import ExitCode, SetupError
from restore.formats import Decoder
from restore.recipe import OnCollision


def untouched(sandbox: Sandbox) -> bool:
    return not sandbox.target.exists()


def test_planning_writes_nothing(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    assert len(sandbox.plan().jobs) == 1
    assert untouched(sandbox)


def test_planning_after_a_run_writes_nothing_either(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    sandbox.run()
    sandbox.add("b.tga")
    before = {path: path.stat().st_mtime_ns for path in sandbox.target.rglob("*")}
    plan = sandbox.plan()
    assert (len(plan.jobs), plan.done) == (1, 1)
    assert {path: path.stat().st_mtime_ns for path in sandbox.target.rglob("*")} == before


def test_refused_run_leaves_no_trace(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    sandbox.add("a.jpg")
    with pytest.raises(SetupError):
        sandbox.run(with_format("png"))
    assert untouched(sandbox)


def test_two_sources_of_one_result_are_refused_unless_both_are_kept(sandbox: Sandbox) -> None:
    sandbox.add("t/a.tga")
    sandbox.add("t/a.jpg")
    sandbox.add("t/b.tga")
    with pytest.raises(SetupError, match=r"t/a\.jpg and t/a\.tga -> t/a\.png.*--on-collision suffix"):
        sandbox.run(with_format("png"))
    sandbox.run(with_format("png"), on_collision=OnCollision.SUFFIX)
    assert set(sandbox.results()) == {Path("t/a.jpg.png"), Path("t/a.tga.png"), Path("t/b.png")}


def test_same_format_keeps_both_of_a_pair(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    sandbox.add("a.jpg")
    assert sandbox.run().done == 2


@pytest.mark.parametrize(
    "names", [("Wall.tga", "wall.TGA"), ("caf\u00e9.png", "cafe\u0301.png"), ("straße.png", "STRASSE.png")]
)
def test_names_that_other_systems_cannot_tell_apart_are_refused(sandbox: Sandbox, names: tuple[str, str]) -> None:
    for name in names:
        sandbox.add(name)
    if len(os.listdir(sandbox.source)) < 2:
        pytest.skip("this file system takes the two names for one")
    with pytest.raises(SetupError, match="rename or --exclude one"):
        sandbox.plan(on_collision=OnCollision.SUFFIX)


def test_limit_does_not_hide_a_collision(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    sandbox.add("z.tga")
    sandbox.add("z.jpg")
    with pytest.raises(SetupError, match="several sources"):
        sandbox.plan(with_format("png"), limit=1)


def test_limit_takes_the_first_files_so_that_a_second_run_has_nothing_to_do(sandbox: Sandbox) -> None:
    for name in ("c.tga", "a.tga", "b.tga"):
        sandbox.add(name)
    sandbox.run(limit=2)
    assert sandbox.started() == [Path("a.tga"), Path("b.tga")]
    assert sandbox.run(limit=2).done == 0


@pytest.mark.parametrize(("source", "target"), [("in", "in"), ("in", "in/out"), ("out/in", "out"), ("in", "link")])
def test_input_and_output_must_not_contain_each_other(tmp_path: Path, source: str, target: str) -> None:
    (tmp_path / source).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    (tmp_path / source / "a.tga").write_bytes(ppm(1))
    sandbox = Sandbox(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SetupError, match="name another output"):
        sandbox.run(source=tmp_path / source, target=tmp_path / target)
    assert sorted(tmp_path.rglob("*")) == before


def test_unknown_file_in_the_output_is_neither_replaced_nor_taken_for_a_result(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    sandbox.target.mkdir()
    (sandbox.target / "a.tga").write_bytes(b"precious")
    with pytest.raises(SetupError, match=r"a\.tga: .*--overwrite"):
        sandbox.run()
    assert sandbox.results() == {Path("a.tga"): b"precious"}
    assert sandbox.run(overwrite=True).done == 1
    assert sandbox.results() == sandbox.expected()


def test_result_that_somebody_edited_is_not_replaced(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    sandbox.run()
    (sandbox.target / "a.tga").write_bytes(b"retouched by hand")
    with pytest.raises(SetupError, match="changed after they were made"):
        sandbox.run(with_grain(0.5))
    assert sandbox.results() == {Path("a.tga"): b"retouched by hand"}


def test_result_with_another_time_but_its_own_bytes_is_still_ours(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    sandbox.run()
    os.utime(sandbox.target / "a.tga", (5, 5))
    assert sandbox.run(with_grain(0.5)).done == 1


def test_format_that_cannot_hold_a_picture_is_said_before_any_work(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    sandbox.add("alpha.tga")
    with pytest.raises(SetupError, match=r"JPEG holds no alpha channel.*alpha\.tga"):
        sandbox.run(with_format("jpeg"))
    assert untouched(sandbox)
    assert sandbox.run(with_format("jpeg"), exclude=("*alpha*",)).done == 1


def test_dds_needs_another_format_said_in_one_line(sandbox: Sandbox) -> None:
    for i in range(20):
        sandbox.add(f"{i}.dds")
    sandbox.add("alpha.bmp")
    with pytest.raises(SetupError, match="--format png") as caught:
        sandbox.run()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(" more); or leave such files out with --exclude")
    assert sandbox.run(with_format("png")).done == 21


def test_a_narrow_picture_is_judged_by_its_longest_side(sandbox: Sandbox) -> None:
    """One pixel becoming 4096 (`--multiple-of 4096`) doesn't mean that 100 become 409600."""
    sandbox.add("a.jpg", ppm(1, 1, 100))
    with open_journal(sandbox.options()) as journal:
        plan = make_plan(RECIPE, sandbox.options(), journal, lambda h, w: (4096, 4096), FakeDecoder)  # type: ignore[arg-type]
    assert (plan.jobs[0].output_width_px, plan.jobs[0].output_height_px) == (4096, 4096)


def test_output_bomb_is_a_failure_of_its_file_only(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    sandbox.add("bomb.tga", b"P6 60000 60000 255\n")
    recorder = Recorder()
    summary = sandbox.run(recorder=recorder)
    assert (summary.done, summary.failed, summary.exit_code) == (1, 1, ExitCode.SOME_FAILED)
    assert "--max-pixels" in str(recorder.outcomes[0].error)
    assert sandbox.started() == [Path("a.tga")]


def test_check_decode_finds_damage_behind_a_header_before_any_work(sandbox: Sandbox) -> None:
    sandbox.add("a.tga", ppm(1) + b"rotten")
    assert [str(p) for p in sandbox.plan(check_decode=True).problems] == ["a.tga: damaged behind its header"]
    assert sandbox.plan().problems == ()


def test_a_picture_that_does_not_fit_into_memory_is_refused_beforehand(sandbox: Sandbox) -> None:
    sandbox.add("scan.tiff", b"P6 250000 250000 255\n")
    sandbox.add("small.tiff")
    plan = sandbox.plan(max_pixels=1 << 62)
    (problem,) = plan.problems
    assert problem.relative.name == "scan.tiff"
    assert "GiB of memory" in problem.error
    assert "--exclude" in problem.error
    assert [job.relative.name for job in plan.jobs] == ["small.tiff"]


def test_too_little_disk_is_found_before_work(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "free_bytes", lambda device: 1 << 62)
    sandbox.add("huge.bmp", b"P6 250000 250000 255\n")
    sandbox.add("huge2.bmp", b"P6 250000 250000 255\n")
    with pytest.raises(SetupError, match="free: make room"):
        sandbox.plan(max_pixels=1 << 62)
    assert untouched(sandbox)


def test_result_s_name_that_would_be_too_long_is_a_failure_of_its_file(sandbox: Sandbox) -> None:
    sandbox.add("n" * 251 + ".tga")
    assert sandbox.plan(with_format("png")).problems == ()
    assert "longer than 255 bytes" in sandbox.plan(with_format("webp")).problems[0].error


def test_no_image_at_all_is_an_error(sandbox: Sandbox) -> None:
    sandbox.add("a.txt", b"text")
    with pytest.raises(SetupError, match="no image"):
        sandbox.plan()


def test_link_planted_in_the_output_is_not_followed(sandbox: Sandbox) -> None:
    outside = sandbox.source.parent / "outside"
    outside.mkdir()
    sandbox.add("d/a.tga")
    sandbox.add("b.tga")
    sandbox.target.mkdir()
    (sandbox.target / "d").symlink_to(outside)
    summary = sandbox.run()
    assert (summary.done, summary.failed) == (1, 1)
    assert list(outside.iterdir()) == []


def test_one_file_goes_to_a_named_file_or_into_a_folder(sandbox: Sandbox) -> None:
    source = sandbox.add("a.tga")
    base = sandbox.source.parent
    assert sandbox.run(source=source, target=base / "big.png", state=base / "state").done == 1
    plan = sandbox.plan(source=source, target=base / "other.png", state=base / "state")
    assert (plan.jobs[0].target, plan.jobs[0].format) == (Path("other.png"), "png")
    assert (base / "big.png").exists()
    assert sandbox.run(source=source, target=base / "folder", state=base / "state").done == 1
    assert (base / "folder/a.tga").exists()
    assert sorted(os.listdir(base / "folder")) == ["a.tga"], "one picture leaves no state folder beside it"
    with pytest.raises(SetupError, match="its own source"):
        sandbox.plan(source=source, target=source)
    with pytest.raises(SetupError, match="make them agree"):
        sandbox.plan(with_format("tiff"), source=source, target=base / "x.png")


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / "disk"
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(where)]
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("mounting a read-only disk needs root")
    yield where
    subprocess.run(["umount", str(where)], check=True)


def test_read_only_output_is_found_before_work(tmp_path: Path, read_only_disk: Path) -> None:
    sandbox = Sandbox(tmp_path, read_only_disk / "out")
    sandbox.add("a.tga")
    with pytest.raises(SetupError, match="read-only"):
        sandbox.plan()
    with pytest.raises(SetupError, match="read-only"):
        sandbox.run()
    assert sandbox.started() == []


def test_real_headers_are_planned_and_unreadable_ones_listed(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "bad"
    sandbox = Sandbox(tmp_path)
    for path in sorted(folder.glob("*.tga")) + sorted(folder.glob("*.jpg")):
        sandbox.add(path.name, path.read_bytes())
    good = shared_data / "sr" / "Set5"
    for path in sorted(good.glob("**/*.png"))[:2]:
        sandbox.add(path.name, path.read_bytes())
    options = replace(sandbox.options(), check_decode=True)
    with open_journal(options, read_only=True) as journal:
        plan = make_plan(RECIPE, options, journal, output_size, Decoder)
    assert len(plan.jobs) + len(plan.problems) == len(list(sandbox.source.iterdir()))
    assert plan.problems
    for problem in plan.problems:
        assert str(tmp_path) not in problem.error
        assert not problem.error.startswith(str(problem.relative))
