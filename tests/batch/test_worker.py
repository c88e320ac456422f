"""What the worker of this machine promises, with the real compact network and real files."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from restore.batch import finish as finish_module
from restore.batch import worker as worker_module
from restore.batch.facts import Deviation
from restore.batch.finish import Finisher
from restore.batch.fsops import OutputRoot
from restore.batch.job import Deviated, Failed, FailureKind, Job, SourceState, Staged
from restore.batch.steps import Models
from restore.batch.worker import CPU_PICTURES, LocalWorker
from restore.errors import DiskFullError
from restore.formats import Decoder
from restore.halo import choose
from restore.image import Arrangement, Document
from restore.models import Model, load, resolve
from restore.recipe import Precision, Recipe, TraitRules, Upscale, Wrap
from restore.traits import classify
from restore.upscale import Upscaler

LONGEST_S = 60.0
"""Nothing here takes a tenth of it; what takes longer hangs."""


@pytest.fixture(scope="module")
def compact() -> Model:
    return load(resolve("animevideov3-x4"), "cpu", Precision.FP32)


@pytest.fixture(scope="module")
def recipe(compact: Model) -> Recipe:
    tiling = choose("compact", compact.receptive_radius_px)
    return Recipe(Upscale("animevideov3-x4", compact.ref.sha256, Precision.FP32, tiling.tile_px, tiling.halo_px))


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as decoder:
        yield decoder


@pytest.fixture
def output(tmp_path: Path) -> OutputRoot:
    return OutputRoot(tmp_path / "out", "00000001")


def worker(model: Model, recipe: Recipe, output: OutputRoot) -> LocalWorker:
    return LocalWorker(Models(upscale=model), Finisher(recipe, output))


def painted(seed: int, height: int = 20, width: int = 24, channels: int = 3) -> np.ndarray:
    """Smooth, unlike for every seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4 + 2, width // 4 + 2, channels), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)


@pytest.fixture
def make(tmp_path: Path, decoder: Decoder) -> Callable[..., Job]:
    """make("d/a.png", pixels) -> the job that planning would make of such a file."""

    def made(name: str, pixels: np.ndarray | None = None, data: bytes | None = None) -> Job:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is None:
            picture = painted(len(name) + sum(name.encode())) if pixels is None else pixels
            data = cv2.imencode(path.suffix, picture)[1].tobytes()
        path.write_bytes(data)
        header, facts = decoder.probe(path), path.stat()
        form = "png" if header.format == "dds" else header.format
        return Job(
            Path(name),
            path,
            Path(name).with_suffix(".png") if form != header.format else Path(name),
            header,
            SourceState(facts.st_size, facts.st_mtime_ns, facts.st_ino),
            form,
            4 * header.width,
            4 * header.height,
        )

    return made


def pixels_of(staged: Staged, output: OutputRoot, decoder: Decoder) -> Document:
    """What a staged file holds."""
    link = output.root.parent / f"look{staged.job.target.suffix}"
    link.write_bytes((output.root / staged.temporary).read_bytes())
    return decoder.read(link)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@contextlib.contextmanager
def nothing_left_running() -> Iterator[None]:
    """No thread and no child process outlives what is inside."""
    before = {*threading.enumerate()}, children()
    yield
    deadline = time.monotonic() + LONGEST_S
    while (left := ({*threading.enumerate()} - before[0], children() - before[1])) != (set(), set()):
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.01)


def children() -> set[str]:
    lists = Path("/proc/self/task").glob("*/children")  # Linux only: elsewhere there are none to see
    return {pid for one in lists for pid in one.read_text().split()}


def finishes(work: Callable[[], object]) -> None:
    """Runs `work` in a thread, so that a hang is a failure and not the end of all tests."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join(LONGEST_S)
    assert not thread.is_alive(), "hangs"
    if failures:
        raise failures[0]


class Gate:
    """A network that waits, from its first tile on, until it is opened."""

    def __init__(self, model: Model) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self.model = replace(model, net=self._net)
        self._real = model.net

    def _net(self, batch: torch.Tensor) -> torch.Tensor:
        self.reached.set()
        assert self.opened.wait(LONGEST_S)
        return self._real(batch)


def fits_up_to(model: Model, most_px: int, asked: list[int]) -> Model:
    """A network on a device where tiles of more than `most_px` pixels, batch included, don't fit."""

    def net(batch: torch.Tensor) -> torch.Tensor:
        asked.append(batch.shape[0] * batch.shape[2] * batch.shape[3])
        if asked[-1] > most_px:
            raise torch.OutOfMemoryError("out of memory")
        return model.net(batch)

    return replace(model, net=net)


def test_every_job_gets_one_result_and_bad_ones_fail_alone(
    compact: Model, recipe: Recipe, output: OutputRoot, make: Callable[..., Job], decoder: Decoder
) -> None:
    jobs = [make(f"d{i % 3}/{i}{suffix}") for i, suffix in enumerate([".png", ".bmp", ".tiff", ".webp", ".ppm"] * 2)]
    cut = make("cut.png")
    os.truncate(cut.source, cut.source_state.size * 2 // 3)
    facts = cut.source.stat()
    cut = replace(cut, source_state=SourceState(facts.st_size, facts.st_mtime_ns, facts.st_ino))
    changed, gone = make("changed.png"), make("gone.png")
    changed.source.write_bytes(changed.source.read_bytes() + b"\0")
    gone.source.unlink()
    jobs[4:4] = [cut, changed, gone]
    with nothing_left_running():
        results = list(worker(compact, recipe, output).process(jobs))
    assert sorted(r.job.relative for r in results) == sorted(job.relative for job in jobs)
    failures = {r.job.relative.name: r for r in results if isinstance(r, Failed)}
    kinds = {name: failed.kind for name, failed in failures.items()}
    assert kinds == {
        "cut.png": FailureKind.IMAGE,
        "changed.png": FailureKind.CHANGED,
        "gone.png": FailureKind.CHANGED,
    }
    assert "run again" in failures["changed.png"].error
    assert "run again" in failures["gone.png"].error
    staged = [r for r in results if isinstance(r, Staged)]
    assert {output.root / s.temporary for s in staged} == set(files_below(output.root))
    for one in staged:
        page = pixels_of(one, output, decoder).first
        assert (page.width, page.height) == (one.job.output_width_px, one.job.output_height_px)
        assert one.facts.tile_px == recipe.upscale.tile_px
        assert one.facts.drift is not None
        assert one.facts.deviation is None
        assert one.facts.traits_because


def test_closing_early_leaves_no_file_no_thread_and_no_process(
    compact: Model, recipe: Recipe, output: OutputRoot, make: Callable[..., Job]
) -> None:
    jobs = [make(f"{i}.png") for i in range(12)]
    with nothing_left_running():
        stream = worker(compact, recipe, output).process(jobs)
        first = next(stream)
        stream.close()
    assert isinstance(first, Staged)
    assert files_below(output.root) == [output.root / first.temporary], "only what the driver took is still there"


def test_closing_drops_a_long_tile_in_its_middle(
    compact: Model, recipe: Recipe, output: OutputRoot, make: Callable[..., Job]
) -> None:
    endless = threading.Event()

    def net(batch: torch.Tensor) -> torch.Tensor:
        if batch.shape[-1] < 80:
            return compact.net(batch)
        endless.set()
        while True:
            torch.relu(batch)

    quick, long, taken = make("quick.png"), make("long.png", painted(1, 60, 60)), threading.Event()

    def feed() -> Iterator[Job]:
        yield quick
        assert taken.wait(LONGEST_S)
        yield long

    def drive() -> None:
        stream = worker(replace(compact, net=net), recipe, output).process(feed())
        assert isinstance(next(stream), Staged)
        taken.set()
        assert endless.wait(LONGEST_S)
        stream.close()

    with nothing_left_running():
        finishes(drive)
    assert len(files_below(output.root)) == 1


def test_an_interruption_finishes_the_picture_in_work_and_drops_those_read_ahead(
    compact: Model, recipe: Recipe, output: OutputRoot, make: Callable[..., Job]
) -> None:
    gate, stopping = Gate(compact), threading.Event()
    jobs = [make(f"{i}.png") for i in range(12)]
    results: list[object] = []

    def interrupt() -> None:
        assert gate.reached.wait(LONGEST_S)
        stopping.set()
        gate.opened.set()

    with nothing_left_running():
        threading.Thread(target=interrupt).start()
        finishes(lambda: results.extend(worker(gate.model, recipe, output).process(jobs, stopping.is_set)))
    (only,) = results
    assert isinstance(only, Staged)
    assert files_below(output.root) == [output.root / only.temporary]


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: an illegal memory access"), ZeroDivisionError("a fault of ours")]
)
def test_an_error_that_is_no_picture_s_reaches_the_driver(
    compact: Model, recipe: Recipe, output: OutputRoot, make: Callable[..., Job], error: Exception
) -> None:
    calls = []

    def net(batch: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise error
        return compact.net(batch)

    def drive() -> None:
        jobs = [make(f"{i}.png") for i in range(8)]
        for result in worker(replace(compact, net=net), recipe, output).process(jobs):
            assert isinstance(result, Staged)
            output.remove(result.temporary)

    with nothing_left_running(), pytest.raises(type(error), match=str(error)):
        finishes(drive)
    assert files_below(output.root) == []


def test_an_error_while_staging_reaches_the_driver_too(
    compact: Model, recipe: Recipe, output: OutputRoot, make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(finish_module, "stage", broken)
    jobs = [make(f"{i}.png") for i in range(8)]
    with nothing_left_running(), pytest.raises(ZeroDivisionError, match="a fault of ours"):
        finishes(lambda: list(worker(compact, recipe, output).process(jobs)))


def test_smaller_tiles_are_told_at_once_and_a_resumed_run_repeats_them_byte_for_byte(
    compact: Model, recipe: Recipe, output: OutputRoot, make: Callable[..., Job], tmp_path: Path
) -> None:
    recipe = replace(recipe, upscale=replace(recipe.upscale, tile_px=200, halo_px=10))  # tiling now decides pixels
    asked: list[int] = []
    small, large = make("small.png"), make("large.png", painted(5, 120, 150))
    scarce = fits_up_to(compact, 110 * 110, asked)
    results = list(worker(scarce, recipe, output).process([large, small]))
    told = [r for r in results if isinstance(r, Deviated)]
    assert {d.job for d in told} == {large}
    last = told[-1].deviation
    done = {r.job.relative.name: r for r in results if isinstance(r, Staged)}
    assert results.index(told[-1]) < results.index(done["large.png"])
    assert done["large.png"].facts.tile_px == last.tile_px
    assert last.tile_px < 200
    assert done["large.png"].facts.deviation is not None
    assert done["small.png"].facts.deviation is None

    plenty: list[int] = []
    again = OutputRoot(tmp_path / "again", "00000002")
    resumed = replace(large, deviation=last)
    (repeated,) = worker(fits_up_to(compact, 1 << 30, plenty), recipe, again).process([resumed])
    assert isinstance(repeated, Staged)
    assert repeated.sha256 == done["large.png"].sha256
    assert max(plenty) <= 110 * 110

    (whole,) = worker(compact, recipe, again).process([large])
    assert isinstance(whole, Staged)
    assert whole.sha256 != repeated.sha256, "the test needs a halo so small that tiles can be seen in the bytes"


def test_a_picture_that_starts_again_never_waits_for_others_that_wait_for_it(
    compact: Model, recipe: Recipe, output: OutputRoot, make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for one picture only, whose smaller tiles don't fill a batch: nobody else can come to fill it."""
    monkeypatch.setattr(worker_module, "CPU_BATCH_PX", 16_000)
    monkeypatch.setattr(worker_module, "free_bytes", lambda device: 1)
    recipe = replace(recipe, upscale=replace(recipe.upscale, tile_px=112, halo_px=10))
    asked: list[tuple[int, ...]] = []

    def net(batch: torch.Tensor) -> torch.Tensor:
        asked.append(tuple(batch.shape))
        if batch.shape[-1] > 100:
            raise torch.OutOfMemoryError("out of memory")
        return compact.net(batch)

    jobs = [make("a.png", painted(1, 60, 92)), make("b.png", painted(2, 60, 92))]
    results: list[object] = []
    with nothing_left_running():
        finishes(lambda: results.extend(worker(replace(compact, net=net), recipe, output).process(jobs)))
    assert {r.job for r in results if isinstance(r, Staged)} == set(jobs)
    assert asked[0] == (1, 3, 80, 112)
    assert asked[-1] == (3, 3, 80, 66), "the test needs a batch with a place left"


def test_a_picture_that_never_fits_says_so(
    compact: Model, recipe: Recipe, output: OutputRoot, make: Callable[..., Job]
) -> None:
    scarce = fits_up_to(compact, 70 * 70, [])
    results = list(worker(scarce, recipe, output).process([make("a.png", painted(1, 60, 200)), make("b.png")]))
    (failed,) = [r for r in results if isinstance(r, Failed)]
    assert (failed.job.relative.name, failed.kind) == ("a.png", FailureKind.MEMORY)
    assert len([r for r in results if isinstance(r, Staged)]) == 1


@pytest.mark.parametrize(("free_bytes", "inside"), [(1 << 40, CPU_PICTURES), (1, 1)])
def test_no_more_is_read_ahead_than_memory_and_device_need(
    compact: Model,
    recipe: Recipe,
    output: OutputRoot,
    make: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
    free_bytes: int,
    inside: int,
) -> None:
    """While the network stands still, as many pictures are inside as may be; one more job waits for room, unread."""
    jobs = [make(f"{i}.png") for i in range(3 * CPU_PICTURES)]
    gate, one_waits = Gate(compact), threading.Event()
    read: list[Job] = []
    asked: list[Job] = []
    seen: list[tuple[int, int]] = []
    results: list[object] = []
    real = worker_module._read
    monkeypatch.setattr(worker_module, "free_bytes", lambda device: free_bytes)
    monkeypatch.setattr(worker_module, "_read", lambda job, *rest: read.append(job) or real(job, *rest))

    def feed() -> Iterator[Job]:
        for job in jobs:
            asked.append(job)
            if len(asked) > inside:
                one_waits.set()
            yield job

    def look() -> None:
        try:
            assert gate.reached.wait(LONGEST_S)
            assert one_waits.wait(LONGEST_S)
            time.sleep(0.2)  # whoever reads too far does it now
            seen.append((len(read), len(asked)))
        finally:
            gate.opened.set()

    looker = threading.Thread(target=look)
    looker.start()
    finishes(lambda: results.extend(worker(gate.model, recipe, output).process(feed())))
    looker.join()
    assert seen == [(inside, inside + 1)]
    assert len(results) == len(jobs)


def test_a_full_disk_is_told_as_such(
    compact: Model, recipe: Recipe, output: OutputRoot, make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = output.write

    def write(target: Path, data: object) -> object:
        if target.name == "1.png":
            raise DiskFullError("1.png: no room left")
        return real(target, data)

    monkeypatch.setattr(output, "write", write)
    results = list(worker(compact, recipe, output).process([make(f"{i}.png") for i in range(3)]))
    kinds = {r.job.relative.name: r.kind if isinstance(r, Failed) else "staged" for r in results}
    assert kinds == {"0.png": "staged", "1.png": FailureKind.DISK_FULL, "2.png": "staged"}


def test_memory_that_runs_out_on_the_host_is_one_picture_s_failure(
    compact: Model, recipe: Recipe, output: OutputRoot, make: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(real: Callable[..., object], name: str) -> Callable[..., object]:
        def call(job: Job, *rest: object) -> object:
            if job.relative.name == name:
                raise MemoryError
            return real(job, *rest)

        return call

    monkeypatch.setattr(worker_module, "_read", greedy(worker_module._read, "0.png"))
    real = finish_module.stage
    staging = greedy(lambda job, *others: real(*others[:2], job, *others[2:]), "1.png")
    monkeypatch.setattr(finish_module, "stage", lambda source, result, job, *rest: staging(job, source, result, *rest))
    results = list(worker(compact, recipe, output).process([make(f"{i}.png") for i in range(3)]))
    kinds = {r.job.relative.name: r.kind if isinstance(r, Failed) else "staged" for r in results}
    assert kinds == {"0.png": FailureKind.MEMORY, "1.png": FailureKind.MEMORY, "2.png": "staged"}


def cube_dds(side: int) -> bytes:
    """An uncompressed cube map whose every face repeats along both axes."""
    y, x = np.mgrid[0:side, 0:side] * (2 * np.pi / side)
    faces = [
        np.stack([127 + 100 * np.sin(x + i), 127 + 100 * np.cos(y), 127 + 100 * np.sin(x + y), 255 + 0 * x], axis=2)
        for i in range(6)
    ]
    head = struct.pack("<4s7I44x", b"DDS ", 124, 0x100F, side, side, 4 * side, 0, 1)
    kind = struct.pack("<8I", 32, 0x41, 0, 32, 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    return head + kind + struct.pack("<5I", 0x1008, 0xFE00, 0, 0, 0) + np.stack(faces).astype(np.uint8).tobytes()


@pytest.mark.parametrize("asked", [Wrap.AUTO, Wrap.BOTH])
def test_faces_of_a_cube_never_wrap_around_themselves(
    compact: Model, recipe: Recipe, output: OutputRoot, make: Callable[..., Job], decoder: Decoder, asked: Wrap
) -> None:
    job = make("sky.dds", data=cube_dds(32))
    assert job.header.arrangement is Arrangement.CUBE_STRIP
    (staged,) = worker(compact, replace(recipe, rules=TraitRules(asked)), output).process([job])
    assert isinstance(staged, Staged), staged
    strip = pixels_of(staged, output, decoder).first.pixels
    faces = decoder.read(job.source).pages
    for wrap, equal in ((Wrap.NONE, True), (Wrap.BOTH, False)):
        kinds = tuple(classify(face, "sky.dds", TraitRules(wrap)) for face in faces)
        whole = Upscaler(compact, recipe.upscale, batch_px=1)(Document(faces), kinds)
        expected = np.concatenate([page.pixels for page in whole.pages])
        assert np.array_equal(strip, expected) == equal


def test_pictures_that_share_batches_get_the_bytes_that_they_get_alone(
    compact: Model,
    recipe: Recipe,
    output: OutputRoot,
    make: Callable[..., Job],
    decoder: Decoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs = [make(f"{i}.png", painted(i, 24, 24 if i % 3 else 40)) for i in range(10)]
    one_by_one = worker(compact, recipe, OutputRoot(tmp_path / "alone", "00000002")).process(jobs)
    alone = {r.job.relative: r.sha256 for r in one_by_one if isinstance(r, Staged)}
    asked: list[int] = []
    monkeypatch.setattr(worker_module, "CPU_BATCH_PX", 1 << 14)
    monkeypatch.setattr(worker_module, "CPU_PICTURES", 256)
    batched = worker(fits_up_to(compact, 1 << 30, asked), recipe, output)
    results = list(batched.process(jobs))
    assert len(alone) == len(jobs)
    assert {r.job.relative: r.sha256 for r in results if isinstance(r, Staged)} == alone
    assert max(asked) > 2 * 56 * 56, "no batch held several tiles"


def test_an_earlier_run_s_smaller_tile_is_used_from_the_start(
    compact: Model, recipe: Recipe, output: OutputRoot, make: Callable[..., Job]
) -> None:
    asked: list[int] = []
    job = replace(make("a.png", painted(1, 100, 100)), deviation=Deviation(96, 1))
    (staged,) = worker(fits_up_to(compact, 1 << 30, asked), recipe, output).process([job])
    assert isinstance(staged, Staged)
    assert max(asked) <= 100 * 100
    assert staged.facts.deviation == Deviation(96, 0)
