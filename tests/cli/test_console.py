"""Claims about how a run is shown: to a person, to a log, and to a machine."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from restore.batch.facts import Facts
from restore.batch.job import FailureKind, Job, Other, Outcome, Plan, Problem, SourceState, Status, Summary
from restore.cli import console
from restore.cli.events import Used
from restore.cli.wording import LISTED_FAILURES, LISTED_JOBS, clock, columns, megapixels, size
from restore.errors import ExitCode, SetupError
from restore.formats import Header
from restore.image import Arrangement

NASTY = os.fsdecode(b"wall\n\x1b[2J\xff.tga")
USED = Used("x4plus", "BSD-3-Clause", "bf16", "cpu", "CPU, test", 640, 48, "f" * 64, Path("/state"))


def job(name: str = "a.tga", width: int = 64, height: int = 32) -> Job:
    header = Header("tga", width, height, ("R", "G", "B", "A"), 8, False, 1, Arrangement.PAGES)
    target = Path(name).with_suffix(".png")
    state = SourceState(1, 2, 3)
    return Job(Path(name), Path("/in") / name, target, header, state, "png", width * 4, height * 4)


def plan(jobs: tuple[Job, ...] = (), **facts: Any) -> Plan:
    return Plan(**{"jobs": jobs, "done": 0, "others": (), "problems": (), "notes": (), "fingerprint": "f", **facts})


def done(one: Job) -> Outcome:
    facts = Facts(traits_because="wraps nowhere", seconds=0.5, in_pixels=one.in_pixels, out_pixels=one.out_pixels)
    return Outcome(one.relative, Status.DONE, one, output_bytes=100, facts=facts)


def failed(name: str, why: str = "it is truncated") -> Outcome:
    return Outcome(Path(name), Status.FAILED, None, why, FailureKind.IMAGE)


def summary(**facts: Any) -> Summary:
    usual: dict[str, Any] = {
        "exit_code": ExitCode.OK,
        "done": 1,
        "already_done": 0,
        "failed": 0,
        "copied": 0,
        "remaining": 0,
        "in_pixels": 2048,
        "out_pixels": 32768,
        "output_bytes": 100,
        "seconds": 2.0,
    }
    return Summary(**{**usual, **facts})


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def show(report: console.Report, outcomes: list[Outcome], end: Summary, **facts: Any) -> None:
    jobs = tuple(outcome.job for outcome in outcomes if outcome.job)
    with report:
        report.on_used(USED)
        report.on_plan(plan(jobs, **facts))
        for outcome in outcomes:
            if outcome.job:
                report.on_started(outcome.job)
            report.on_outcome(outcome)
        report.on_note("something to know")
        report.on_end(end)


def test_a_pipe_gets_plain_lines_and_a_machine_gets_json() -> None:
    assert type(console.report(as_json=False)) is console.PlainReport
    assert type(console.report(as_json=True)) is console.JsonReport


def test_every_json_line_is_one_event(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [done(job()), failed("b.png")]
    show(console.report(as_json=True), outcomes, summary(failed=1, exit_code=ExitCode.SOME_FAILED))
    seen = events(capsys.readouterr().out)
    assert [e["event"] for e in seen] == ["run", "plan", "started", "outcome", "outcome", "note", "end"]
    assert seen[0]["licence"] == "BSD-3-Clause"
    assert seen[1]["pixels_out"] == 64 * 32 * 16
    assert seen[3] | {"path": "a.tga", "target": "a.png", "status": "done", "traits": "wraps nowhere"} == seen[3]
    assert seen[4] | {"path": "b.png", "target": None, "status": "failed", "kind": "image"} == seen[4]
    assert seen[-1]["exit_code"] == 3


def test_json_loses_no_byte_of_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    show(console.report(as_json=True), [done(job(NASTY))], summary())
    outcome = events(capsys.readouterr().out)[3]
    assert os.fsencode(outcome["path"]) == b"wall\n\x1b[2J\xff.tga"


def test_a_run_that_cannot_start_ends_its_json_with_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SetupError), console.report(as_json=True):
        raise SetupError("OUT lies inside IN")
    assert events(capsys.readouterr().out) == [{"event": "error", "message": "OUT lies inside IN", "exit_code": 2}]


def test_names_cannot_steer_the_terminal_or_break_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(console.PlainReport(), [done(job(NASTY)), failed(NASTY, f"{NASTY}: bad\n")], summary(failed=1))
    console.complain(f"{NASTY}: no such file")
    text = "".join(capsys.readouterr())
    assert "\x1b" not in text
    assert "\udcff" not in text
    assert r"wall\n\x1b[2J\xff.tga" in text
    assert all(line.startswith(("wall", "[", "  ", "restore: ")) for line in text.splitlines() if "wall" in line)


def test_the_plain_log_says_what_became_of_each_file(capsys: pytest.CaptureFixture[str]) -> None:
    copied = Outcome(Path("readme.txt"), Status.COPIED)
    show(console.PlainReport(), [done(job()), failed("b.png"), copied], summary(failed=1, copied=1, already_done=7))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "x4plus in bf16 on CPU, test, tiles of 640 px with a halo of 48 px"
    assert "[1/1] done    a.tga  64x32 -> 256x128  0.5 s" in lines
    assert any(line.endswith("failed  b.png: it is truncated") for line in lines)
    assert "1 file failed:" in lines
    assert "  b.png: it is truncated" in lines
    assert "1 image done, 7 done before, 1 failed, 1 file copied" in lines
    assert "made with x4plus (licence: BSD-3-Clause) in bf16" in lines
    assert "note: something to know" in lines
    assert "same command" in lines[-1]


def test_only_the_first_failures_are_repeated_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    number = LISTED_FAILURES + 5
    show(console.PlainReport(), [failed(f"{i}.png") for i in range(number)], summary(done=0, failed=number))
    text = capsys.readouterr().out
    end = text[text.index(f"{number} files failed:") :]
    assert end.count("it is truncated") == LISTED_FAILURES
    assert "... and 5 more" in end
    assert "/state" in end


def test_how_to_resume_is_said_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "interrupted: give the same command to go on"
    show(console.PlainReport(), [], summary(done=0, remaining=9, exit_code=ExitCode.INTERRUPTED, reason=reason))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == reason
    assert "0 images done, 9 not reached" in lines


def test_a_second_run_says_that_there_is_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    show(console.PlainReport(), [], summary(done=0, already_done=5), done=5)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "nothing to do; 5 images done before"
    assert "0 images" not in "".join(lines)


def test_the_dry_run_shows_sizes_before_and_after_and_what_would_fail(capsys: pytest.CaptureFixture[str]) -> None:
    problems = (Problem(Path("bad.png"), "its header is damaged"),)
    everything = plan(
        (job(), job("wände/b.tga", 8, 8)),
        problems=problems,
        notes=("a note",),
        others=(Other(Path("x.txt"), Path("/in/x.txt"), 1, 2),),
        estimated_bytes=5000,
        free_bytes=1 << 33,
    )
    console.PlainReport().on_dry_run(everything)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tga -> png  2 images  8x8 to 64x32")
    assert any(line.split()[:3] == ["a.tga", "64x32", "tga"] and "-> 256x128  a.png" in line for line in lines)
    assert "bad.png: its header is damaged" in lines
    assert "note: a note" in lines
    assert "1 other file to copy along" in lines
    assert lines[-1] == "dry run: nothing was written"


def test_a_long_plan_is_cut_for_people_and_whole_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    everything = plan(tuple(job(f"{i}.tga") for i in range(LISTED_JOBS + 3)))
    console.PlainReport().on_dry_run(everything)
    assert "... and 3 more (--json lists all)" in capsys.readouterr().out
    console.JsonReport().on_dry_run(everything)
    (event,) = events(capsys.readouterr().out)
    assert len(event["jobs"]) == LISTED_JOBS + 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_with_files_rate_device_and_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    report = console.report(as_json=False)
    assert type(report) is console.BarReport
    show(report, [done(job()), done(job("b.tga")), failed("[red]c.png")], summary(done=2, failed=1))
    text = screen.getvalue()
    assert "3/" in text
    assert "MP/s" in text
    assert "cpu bf16" in text
    assert "failed  [red]c.png: it is truncated" in text
    assert "done    a.tga" not in text
    assert "2 images done, 1 failed" in text


def test_a_bar_never_outlives_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    report = console.BarReport()

    def break_off() -> None:
        with report:
            report.on_plan(plan((job(),)))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert screen.getvalue().endswith("\x1b[?25h")  # the cursor is shown again


def test_a_stream_of_another_encoding_still_gets_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    console.say("стена.png")
    assert raw.getvalue() == rb"\u0441\u0442\u0435\u043d\u0430.png" + b"\n"


def test_amounts_read_well() -> None:
    assert [clock(s) for s in (5.24, 200, 14_700)] == ["5.2 s", "3 min 20 s", "4 h 05 min"]
    assert [size(n) for n in (0, 1023, 5000, 5 << 20, 3 << 40)] == ["0 B", "1023 B", "4.9 KiB", "5.0 MiB", "3.0 TiB"]
    assert [megapixels(n) for n in (4096, 123_400_000)] == ["4,096 px", "123 MP"]


def test_columns_line_up_with_wide_letters() -> None:
    assert columns([("壁", "1"), ("abcd", "2")]) == ["壁    1", "abcd  2"]
