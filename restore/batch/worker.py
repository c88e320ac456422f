"""Owns how one device is kept busy: reading, computing and staging overlap.

    jobs --> reader threads --> ready queue --> engine thread --> stager threads --> results queue --> driver

A picture is admitted only while there is room: a share of the host's memory, and no more pictures than keep the device
busy, so that an interruption drops little (one picture is always admitted).  Waiting pictures never hold up the engine:
when none is ready, part-filled batches run.  An interruption drops what was only read ahead; closing drops everything,
in the middle of a picture too.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from torch import Tensor
from torch.overrides import TorchFunctionMode

from restore.batch.fsops import OutputRoot
from restore.batch.job import Deviated, Deviation, Facts, Failed, FailureKind, Job, Staged
from restore.batch.pools import Decoders, Room
from restore.batch.stage import stage
from restore.color import drift
from restore.device import free_bytes
from restore.errors import DiskFullError, ImageError
from restore.formats import Decoder
from restore.image import Arrangement, Document
from restore.models import Model
from restore.recipe import Recipe, TraitRules, Wrap
from restore.traits import classify
from restore.upscale import Enlarged, Picture, Upscaler

READERS = 2
STAGERS = 2
MEMORY_SHARE = 0.25
"""Of the free host memory that pictures inside a worker may take."""
COPIES = 2
"""A result is held as encoder's rows and as encoded bytes at the worst moment, beside the canvas that it came from."""
CPU_PICTURES = 5
"""Inside at once: one is computed, two are staged, the others are read ahead."""
GPU_PICTURES = 256
CPU_BATCH_PX = 1
"""One tile at a time: on CPUs a batch of four ran no faster, and a part-filled one costs as much as a full one."""
GPU_BATCH_PX = 1 << 18

Result = Staged | Failed | Deviated


class _End:
    """The engine has nothing more to give."""


_END: Final = _End()
_NO_MEMORY: Final = "this machine has not enough memory"


class _DroppedError(Exception):
    """Whatever is computed now isn't wanted any more."""


class _Watched(TorchFunctionMode):
    """Calls `watch` before each of torch's functions that this thread calls, at some microseconds each."""

    def __init__(self, watch: Callable[[], None]) -> None:
        super().__init__()
        self._watch = watch

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._watch()
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class _Read:
    """A picture on its way, with what the last step needs of it."""

    job: Job
    picture: Picture
    cost: float
    seconds: float
    """That reading took."""


class LocalWorker:
    """Restores jobs on one device of this machine (`Worker` of `job.py`)."""

    def __init__(self, model: Model, recipe: Recipe, output: OutputRoot) -> None:
        self._model = model
        self._recipe = recipe
        self._output = output

    def process(self, jobs: Iterable[Job], stopping: Callable[[], bool] = lambda: False) -> Iterator[Result]:
        """Exactly one Staged or Failed a job, but for those that `stopping` drops; drops everything when closed."""
        line = _Line(self._model, self._recipe, self._output, jobs, stopping)
        try:
            yield from line.results()
        finally:
            line.stop()


class _Line:
    """The threads and queues of one `process` call."""

    def __init__(
        self, model: Model, recipe: Recipe, output: OutputRoot, jobs: Iterable[Job], stopping: Callable[[], bool]
    ) -> None:
        self._model = model
        self._recipe = recipe
        self._output = output
        self._jobs = iter(jobs)
        self._jobs_lock = threading.Lock()
        self._stopping = stopping
        self._room = Room()
        self._memory_bytes = max(1, int(free_bytes("cpu") * MEMORY_SHARE))
        self._least_cost = 1 / (CPU_PICTURES if model.device == "cpu" else GPU_PICTURES)
        self._ready: queue.Queue[_Read | _End] = queue.Queue()
        self._results: queue.Queue[Result | BaseException | _End] = queue.Queue()
        self._stopped = threading.Event()
        self._stagers = ThreadPoolExecutor(STAGERS, thread_name_prefix="stage")
        self._decoders = Decoders()
        self._computing = 0
        """Pictures that the engine has and hasn't finished."""
        self._readers_left = READERS
        self._threads = [threading.Thread(target=self._guarded, args=(self._read_jobs,)) for _ in range(READERS)]
        self._threads.append(threading.Thread(target=self._guarded, args=(self._compute,)))

    def results(self) -> Iterator[Result]:
        for thread in self._threads:
            thread.start()
        while not isinstance(result := self._results.get(), _End):
            if isinstance(result, BaseException):
                raise result
            yield result

    def stop(self) -> None:
        """Ends all threads as soon as the tile or file in hand is done; staged files nobody took stay temporaries."""
        self._stopped.set()
        self._room.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._stagers.shutdown(wait=True, cancel_futures=True)
        self._decoders.close()
        while not self._results.empty():
            left = self._results.get_nowait()
            if isinstance(left, Staged):
                self._output.remove(left.temporary)

    def _guarded(self, work: Callable[[], None]) -> None:
        """An error that isn't one picture's ends the run, in the driver's thread."""
        try:
            work()
        except _DroppedError:
            pass  # the driver has gone, or has its error already
        except BaseException as error:  # noqa: BLE001 - handed to the driver, which raises it
            self._results.put(error)
            self._stopped.set()
            self._room.close()
            self._ready.put(_END)

    def _read_jobs(self) -> None:
        with self._decoders.borrowed() as decoder:
            while not self._dropping():
                with self._jobs_lock:
                    job = next(self._jobs, None)
                    if job is None:
                        break
                    cost = max(self._least_cost, _bytes_inside(job, self._model.scale) / self._memory_bytes)
                    if not self._room.take(cost):
                        break
                if self._dropping():
                    break
                try:
                    self._ready.put(_read(job, decoder, self._recipe, cost))
                except ImageError as error:
                    self._give(Failed(job, str(error), _kind(error)), cost)
                except MemoryError:
                    self._give(Failed(job, f"{_NO_MEMORY} to read it", FailureKind.MEMORY), cost)
        with self._jobs_lock:
            self._readers_left -= 1
            if self._readers_left == 0:
                self._ready.put(_END)

    def _dropping(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._stopped.is_set() or self._stopping()

    def _compute(self) -> None:
        upscaler = Upscaler(
            replace(self._model, net=self._net),
            self._recipe.upscale,
            batch_px=CPU_BATCH_PX if self._model.device == "cpu" else GPU_BATCH_PX,
        )

        def say(read: _Read, tile_px: int) -> None:
            self._results.put(Deviated(read.job, Deviation(tile_px, upscaler.batch_limit or 0)))

        waiting = []
        for read, enlarged in upscaler.stream(self._pictures(), say):
            self._computing -= 1
            if isinstance(enlarged, ImageError):
                facts = _facts(read, None)
                self._give(Failed(read.job, str(enlarged), _kind(enlarged), facts), read.cost)
            else:
                waiting.append(self._stagers.submit(self._guarded, partial(self._stage, read, enlarged)))
                waiting = [future for future in waiting if not future.done()]
        for future in waiting:
            if not self._stopped.is_set():
                future.result()
        self._results.put(_END)

    def _net(self, batch: Tensor) -> Tensor:
        """The model's, but on a CPU, where a tile may take minutes, it can be dropped in the middle."""
        if self._model.device != "cpu":
            self._may_go_on()
            return self._model.net(batch)
        with _Watched(self._may_go_on):
            return self._model.net(batch)

    def _may_go_on(self) -> None:
        if self._stopped.is_set():
            raise _DroppedError

    def _pictures(self) -> Iterator[tuple[_Read, Picture] | None]:
        while not self._dropping():
            try:
                read = self._ready.get_nowait()
            except queue.Empty:
                if self._computing:  # what waits for partners, or has started again, must not wait for us
                    yield None
                    continue
                read = self._ready.get()
            if isinstance(read, _End):
                return
            self._computing += 1
            yield read, read.picture

    def _stage(self, read: _Read, enlarged: Enlarged) -> None:
        if self._stopped.is_set():
            return
        started = time.perf_counter()
        try:
            document = enlarged.document()
            facts = _facts(read, enlarged, _drift(read.picture.document, document))
            with self._decoders.borrowed() as decoder:
                staged = stage(read.picture.document, document, read.job, facts, self._output, decoder)
            seconds = facts.seconds + time.perf_counter() - started
            result: Staged | Failed = replace(staged, facts=replace(facts, seconds=seconds))
        except ImageError as error:
            result = Failed(read.job, str(error), FailureKind.CHECK, _facts(read, enlarged))
        except DiskFullError as error:
            result = Failed(read.job, str(error), FailureKind.DISK_FULL, _facts(read, enlarged))
        except MemoryError:
            result = Failed(read.job, f"{_NO_MEMORY} to write it", FailureKind.MEMORY, _facts(read, enlarged))
        self._give(result, read.cost)

    def _give(self, result: Result, cost: float) -> None:
        self._room.give_back(cost)
        self._results.put(result)


def _read(job: Job, decoder: Decoder, recipe: Recipe, cost: float) -> _Read:
    started = time.perf_counter()
    _refuse_changed(job)
    document = decoder.read(job.source)
    rules = recipe.rules
    if document.arrangement is Arrangement.CUBE_STRIP:
        rules = TraitRules(wrap=Wrap.NONE)  # a face goes on at its neighbours, not at its own other edge
    traits = tuple(classify(page, job.relative.name, rules) for page in document.pages)
    tile_px = job.deviation.tile_px if job.deviation is not None else None
    return _Read(job, Picture(document, traits, tile_px), cost, time.perf_counter() - started)


def _refuse_changed(job: Job) -> None:
    planned = job.source_state
    try:
        now = os.stat(job.source)
    except OSError as error:
        raise _ChangedError(f"the source can't be found any more ({error.strerror}); run again") from error
    if (now.st_size, now.st_mtime_ns, now.st_ino) != (planned.size, planned.mtime_ns, planned.inode):
        raise _ChangedError("the source was changed after planning; run again")


class _ChangedError(ImageError):
    """The source isn't the one that was planned."""


def _kind(error: ImageError) -> FailureKind:
    if isinstance(error, _ChangedError):
        return FailureKind.CHANGED
    return FailureKind.MEMORY if "out of memory" in str(error) else FailureKind.IMAGE


def _bytes_inside(job: Job, model_scale: int) -> int:
    item = max(1, job.header.bits // 8) * len(job.header.channels)
    canvas = job.in_pixels * model_scale**2
    resized = job.out_pixels if canvas != job.out_pixels else 0
    return item * (2 * job.in_pixels + canvas + resized + COPIES * job.out_pixels)


def _drift(source: Document, result: Document) -> float:
    """The worst page's."""
    return max(drift(before, after) for before, after in zip(source.pages, result.pages, strict=True))


def _facts(read: _Read, enlarged: Enlarged | None, color_drift: float | None = None) -> Facts:
    recipe_tile = enlarged.step.tile_px if enlarged is not None else None
    tile_px = enlarged.tile_px if enlarged is not None else None
    document = read.picture.document
    return Facts(
        traits_because=" | ".join(dict.fromkeys(traits.because for traits in read.picture.traits)),
        tile_px=tile_px,
        halo_px=enlarged.step.halo_px if enlarged is not None else None,
        drift=color_drift,
        seconds=read.seconds + (enlarged.seconds if enlarged is not None else 0.0),
        in_pixels=read.job.in_pixels,
        out_pixels=read.job.out_pixels,
        deviation=Deviation(tile_px, 0) if tile_px is not None and tile_px != recipe_tile else None,
        notes=tuple(dict.fromkeys(note for page in document.pages for note in page.stored.notes)),
    )
