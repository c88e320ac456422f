"""What a run promises when nothing, or something, goes wrong; see test_kill.py for kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from batch_fakes import RECIPE, FakeWorker, Recorder, Sandbox, ppm, upscaled, with_grain

from restore.batch.facts import Deviation
from restore.batch.job import Deviated, Failed, FailureKind, Job, Staged, Status
from restore.batch.places import STATE_NAME
from restore.errors import ExitCode, SetupError


def test_every_result_has_its_source_s_name_and_bytes(sandbox: Sandbox) -> None:
    for name in ("wall.tga", "deep/er/FLOOR 1.TGA", "deep/ünï.png"):
        sandbox.add(name)
    summary = sandbox.run()
    assert summary.exit_code is ExitCode.OK
    assert (summary.done, summary.failed, summary.remaining) == (3, 0, 0)
    assert sandbox.results() == sandbox.expected()
    assert sandbox.temporaries() == []


def test_second_run_starts_nothing_and_changes_no_time(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    sandbox.add("notes.txt", b"text")
    sandbox.run(copy_others=True)
    before = sandbox.mtimes()
    summary = sandbox.run(copy_others=True)
    assert (summary.done, summary.already_done, summary.copied) == (0, 1, 0)
    assert len(sandbox.started()) == 1
    assert sandbox.mtimes() == before


def test_one_changed_source_is_the_only_one_redone(sandbox: Sandbox) -> None:
    for name in ("a.tga", "b.tga", "c.tga"):
        sandbox.add(name)
    sandbox.run()
    sandbox.add("b.tga", ppm(99))
    assert sandbox.run().done == 1
    assert sandbox.started()[3:] == [Path("b.tga")]
    assert sandbox.results() == sandbox.expected()


def test_changed_setting_redoes_everything(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    sandbox.add("b.tga")
    sandbox.run()
    assert sandbox.run(with_grain(0.5)).done == 2
    assert sandbox.results() == sandbox.expected(with_grain(0.5))


def test_lost_result_is_made_again(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    sandbox.add("b.tga")
    sandbox.run()
    (sandbox.target / "a.tga").unlink()
    assert sandbox.run().done == 1
    assert sandbox.results() == sandbox.expected()


def test_touched_but_equal_source_is_not_redone(sandbox: Sandbox) -> None:
    source = sandbox.add("a.tga")
    sandbox.run()
    os.utime(source, ns=(0, 0))
    assert sandbox.run().done == 0


def test_same_size_and_time_but_other_bytes_are_found_by_checking_content(sandbox: Sandbox) -> None:
    source = sandbox.add("a.tga", ppm(1))
    sandbox.run()
    facts = source.stat()
    with source.open("r+b") as file:
        file.write(ppm(2))
    os.utime(source, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert sandbox.run().done == 0
    assert sandbox.run(check_content=True).done == 1
    assert sandbox.results() == sandbox.expected()


@pytest.mark.parametrize("seconds", [0, 1, 4_102_444_800, 9_300_000_000])
def test_odd_source_times_neither_loop_nor_skip(sandbox: Sandbox, seconds: int) -> None:
    source = sandbox.add("a.tga")
    os.utime(source, (seconds, seconds))
    assert sandbox.run().done == 1
    assert sandbox.run().done == 0
    source.write_bytes(ppm(5))
    os.utime(source, (seconds, seconds))
    sandbox.run(check_content=True)
    assert sandbox.results() == sandbox.expected()


def test_bad_files_fail_and_the_others_are_made(sandbox: Sandbox) -> None:
    sandbox.add("good.tga")
    sandbox.add("header.tga", b"nonsense")
    sandbox.add("body.tga", ppm(3) + b"hopeless")
    recorder = Recorder()
    summary = sandbox.run(recorder=recorder)
    assert summary.exit_code is ExitCode.SOME_FAILED
    assert (summary.done, summary.failed) == (1, 2)
    assert set(sandbox.results()) == {Path("good.tga")}
    errors = {str(o.relative): o.error for o in recorder.outcomes if o.status is Status.FAILED}
    assert errors == {"header.tga": "no header that any reader knows", "body.tga": "can't be decoded"}


def test_failed_file_is_tried_again_and_its_failure_then_forgotten(sandbox: Sandbox) -> None:
    from restore.batch.opening import open_journal

    sandbox.add("a.tga", b"nonsense")
    sandbox.run()
    with open_journal(sandbox.options(), read_only=True) as journal:
        assert journal.failures() == [(Path("a.tga"), "no header that any reader knows")]
    sandbox.add("a.tga")
    assert sandbox.run().exit_code is ExitCode.OK
    with open_journal(sandbox.options(), read_only=True) as journal:
        assert journal.failures() == []


def test_failure_keeps_the_older_result(sandbox: Sandbox) -> None:
    sandbox.add("a.tga", ppm(1))
    sandbox.run()
    before = sandbox.results()
    sandbox.add("a.tga", ppm(1) + b"hopeless")
    assert sandbox.run().failed == 1
    assert sandbox.results() == before
    sandbox.add("a.tga", ppm(2))
    assert sandbox.run().done == 1, "the older result must still be known as ours"


def test_source_that_changes_during_the_run_is_not_published(sandbox: Sandbox) -> None:
    class Rewriting(FakeWorker):
        def work(self, job: Job) -> Iterator[Staged | Failed | Deviated]:
            items = list(super().work(job))
            job.source.write_bytes(ppm(77))
            yield from items

    sandbox.add("a.tga")
    sandbox.worker = Rewriting
    recorder = Recorder()
    assert sandbox.run(recorder=recorder).exit_code is ExitCode.SOME_FAILED
    assert recorder.outcomes[0].kind is FailureKind.CHANGED
    assert sandbox.results() == {}
    assert sandbox.temporaries() == []


def test_source_that_vanishes_is_a_failure_of_that_file(sandbox: Sandbox) -> None:
    class Losing(FakeWorker):
        def work(self, job: Job) -> Iterator[Staged | Failed | Deviated]:
            items = list(super().work(job))
            if job.relative.name == "a.tga":
                job.source.unlink()
            yield from items

    sandbox.add("a.tga")
    sandbox.add("b.tga")
    sandbox.worker = Losing
    summary = sandbox.run()
    assert (summary.done, summary.failed) == (1, 1)


def test_result_that_was_damaged_after_staging_is_not_published(sandbox: Sandbox) -> None:
    class Damaging(FakeWorker):
        def work(self, job: Job) -> Iterator[Staged | Failed | Deviated]:
            for item in super().work(job):
                assert isinstance(item, Staged)
                with (self._output.root / item.temporary).open("r+b") as file:
                    file.write(b"x")
                yield item

    sandbox.add("a.tga")
    sandbox.worker = Damaging
    assert sandbox.run().exit_code is ExitCode.SOME_FAILED
    assert sandbox.results() == {}
    assert sandbox.temporaries() == []


def test_file_that_appears_under_a_result_s_name_meanwhile_is_kept(sandbox: Sandbox) -> None:
    class Interfering(FakeWorker):
        def work(self, job: Job) -> Iterator[Staged | Failed | Deviated]:
            yield from super().work(job)

        def process(
            self, jobs: Iterable[Job], stopping: Callable[[], bool] = lambda: False
        ) -> Iterator[Staged | Failed | Deviated]:
            for item in super().process(jobs, stopping):
                (self._output.root / item.job.target).write_bytes(b"mine")
                yield item

    sandbox.add("a.tga")
    sandbox.worker = Interfering
    assert sandbox.run().exit_code is ExitCode.SOME_FAILED
    assert sandbox.results() == {Path("a.tga"): b"mine"}


def test_worker_that_forgets_a_file_does_not_make_it_pass_silently(sandbox: Sandbox) -> None:
    class Forgetful(FakeWorker):
        def work(self, job: Job) -> Iterator[Staged | Failed | Deviated]:
            if job.relative.name != "b.tga":
                yield from super().work(job)

    for name in ("a.tga", "b.tga", "c.tga"):
        sandbox.add(name)
    sandbox.worker = Forgetful
    summary = sandbox.run()
    assert (summary.done, summary.failed, summary.exit_code) == (2, 1, ExitCode.SOME_FAILED)


def test_smaller_tile_after_out_of_memory_is_repeated_by_a_resume(sandbox: Sandbox) -> None:
    seen: list[Deviation | None] = []

    class RunsOutOfMemory(FakeWorker):
        def work(self, job: Job) -> Iterator[Staged | Failed | Deviated]:
            seen.append(job.deviation)
            if job.deviation is None:
                yield Deviated(job, Deviation(128, 2))
                yield Failed(job, "then something else went wrong")
            else:
                yield from super().work(job)

    sandbox.add("a.tga")
    sandbox.worker = RunsOutOfMemory
    assert sandbox.run().failed == 1
    assert sandbox.run().done == 1
    assert seen == [None, Deviation(128, 2)]
    sandbox.run(with_grain(0.5))
    assert seen[2] is None, "other settings are other work"


def test_other_files_come_along_with_their_times(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    shader = sandbox.add("scripts/wall.shader", b"textures/wall {}")
    os.utime(shader, ns=(123_456_789_000, 123_456_789_000))
    assert sandbox.run().copied == 0
    assert sandbox.run(copy_others=True).copied == 1
    copied = sandbox.target / "scripts/wall.shader"
    assert copied.read_bytes() == b"textures/wall {}"
    assert copied.stat().st_mtime_ns == 123_456_789_000
    shader.write_bytes(b"textures/wall { nomipmaps }")
    assert sandbox.run(copy_others=True).copied == 1
    assert copied.read_bytes() == b"textures/wall { nomipmaps }"


def test_names_survive_byte_for_byte(sandbox: Sandbox) -> None:
    names = [
        b"\xff\xfe not utf8.tga",
        "nfc-\u00e9.png".encode(),
        b"UPPER.TGA",
        b"+plus (1).v2.tga",
        b"n" * 251 + b".tga",
    ]
    for name in names:
        sandbox.add(name)
    assert sandbox.run().exit_code is ExitCode.OK
    found = [name for name in os.listdir(os.fsencode(sandbox.target)) if name != STATE_NAME.encode()]
    assert sorted(found) == sorted(names)
    assert sandbox.run().done == 0


def test_nothing_in_the_output_names_this_machine(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    sandbox.add("b.tga", b"nonsense")
    sandbox.add("c.tga", ppm(3) + b"hopeless")
    sandbox.run()
    for path in sandbox.target.rglob("*"):
        if path.is_file():
            assert os.fsencode(sandbox.source.parent) not in path.read_bytes(), path


def test_two_runs_on_one_output_are_refused(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    other = Sandbox(sandbox.source.parent, sandbox.target)
    refused: list[str] = []

    class Nested(FakeWorker):
        def work(self, job: Job) -> Iterator[Staged | Failed | Deviated]:
            for read_only in (False, True):
                with pytest.raises(SetupError, match="another run") as caught:
                    other.plan() if read_only else other.run()
                refused.append(str(caught.value))
            yield from super().work(job)

    sandbox.worker = Nested
    assert sandbox.run().exit_code is ExitCode.OK
    assert len(refused) == 2


SIGNAL_SCRIPT = """
import sys, time
sys.path.insert(0, {folder!r})
from pathlib import Path
from batch_fakes import FakeWorker, Sandbox
class Slow(FakeWorker):
    def work(self, job):
        time.sleep({seconds})
        yield from super().work(job)
sandbox = Sandbox(Path({base!r}))
sandbox.worker = Slow
if {grace} is not None:
    import restore.batch.signals as signals
    signals.Stopper.__init__.__defaults__ = ({grace},)
summary = sandbox.run()
print(summary.reason)
sys.exit(int(summary.exit_code))
"""


def interrupted(
    sandbox: Sandbox, number: int, times: int = 1, seconds: float = 0.05, grace: float | None = None
) -> int:
    """Exit code of a run in its own process that gets a signal when its second file has started."""
    code = SIGNAL_SCRIPT.format(
        folder=str(Path(__file__).parent), base=str(sandbox.source.parent), seconds=seconds, grace=grace
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    while len(sandbox.started()) < 2:
        assert process.poll() is None
        time.sleep(0.005)
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.05)
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_stops_in_good_order_and_the_run_resumes(sandbox: Sandbox, number: int, code: int) -> None:
    for i in range(20):
        sandbox.add(f"{i}.tga")
    assert interrupted(sandbox, number) == code
    assert sandbox.temporaries() == []
    done = len(sandbox.results())
    assert 0 < done < 20
    assert len(sandbox.started()) == done, "what was begun was finished, and nothing else was begun"
    assert sandbox.run().done == 20 - done
    assert sandbox.results() == sandbox.expected()


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize("interrupted", [True, False])
def test_decoder_that_dies_of_the_same_ctrl_c_while_it_starts_is_no_error(sandbox: Sandbox, interrupted: bool) -> None:
    class Hit(FakeWorker):
        def work(self, job: Job) -> Iterator[Staged | Failed | Deviated]:
            if job.relative.name == "b.tga":
                if interrupted:
                    os.kill(os.getpid(), signal.SIGINT)
                raise SetupError("the decoding process can't start")
            yield from super().work(job)

    sandbox.add("a.tga")
    sandbox.add("b.tga")
    sandbox.worker = Hit
    if not interrupted:
        with pytest.raises(SetupError, match="can't start"):
            sandbox.run()
        return
    assert sandbox.run().exit_code is ExitCode.INTERRUPTED
    assert set(sandbox.results()) == {Path("a.tga")}
    assert sandbox.temporaries() == []


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_image_that_takes_too_long_is_dropped_after_the_grace(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    sandbox.add("b.tga")

    assert interrupted(sandbox, signal.SIGINT, seconds=1.0, grace=0.1) == 130
    assert sandbox.temporaries() == []
    assert set(sandbox.results()) == {Path("a.tga")}
    assert sandbox.run().done == 1


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_second_signal_ends_at_once_and_the_run_still_resumes(sandbox: Sandbox) -> None:
    for i in range(4):
        sandbox.add(f"{i}.tga")
    assert interrupted(sandbox, signal.SIGINT, times=2, seconds=1.0) == 130
    assert len(sandbox.results()) < 4
    assert sandbox.run().exit_code is ExitCode.OK
    assert sandbox.results() == sandbox.expected()
    assert sandbox.temporaries() == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 400 KiB."""
    where = tmp_path / "disk"
    where.mkdir()
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("mounting a tiny disk needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(where)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"can't mount a tiny disk: {mounted.stderr.decode().strip()}")
    yield where
    subprocess.run(["umount", str(where)], check=True)


@pytest.mark.parametrize("journal_on_it", [True, False])
def test_full_disk_stops_the_run_and_keeps_older_results(tmp_path: Path, tiny_disk: Path, journal_on_it: bool) -> None:
    sandbox = Sandbox(tmp_path, tiny_disk / "out")
    state = None if journal_on_it else tmp_path / "state"
    sandbox.add("a.tga", ppm(1, 60, 60))
    assert sandbox.run(state=state).done == 1
    older = sandbox.results()
    for i in range(12):
        sandbox.add(f"b{i}.tga", ppm(i, 60, 60))
    sandbox.add("a.tga", ppm(2, 60, 60))
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(bytes(100_000))
    recorder = Recorder()
    summary = sandbox.run(recorder=recorder, state=state)
    assert summary.exit_code is ExitCode.DISK_FULL
    assert summary.remaining > 0
    assert summary.reason is not None
    assert "run the same command again" in summary.reason
    assert sandbox.temporaries() == []
    new = sandbox.expected()
    for path, data in sandbox.results().items():
        assert data in (older.get(path), new[path]), f"{path} is neither the older result nor the new one"
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=4m", str(tiny_disk)], check=True)
    assert sandbox.run(state=state).exit_code is ExitCode.OK
    assert sandbox.results() == new


def test_run_works_outside_the_main_thread(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    codes: list[ExitCode] = []
    thread = threading.Thread(target=lambda: codes.append(sandbox.run().exit_code))
    thread.start()
    thread.join()
    assert codes == [ExitCode.OK]
    assert sandbox.results() == {Path("a.tga"): upscaled((sandbox.source / "a.tga").read_bytes(), RECIPE)}
