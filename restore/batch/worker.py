"""Owns how one device is kept busy: reading, computing and staging overlap.

    jobs --> reader threads --> ready queue --> engine thread --> stager threads --> results queue --> driver

A picture is admitted only while there is room: a share of the host's memory, and no more pictures than keep the device
busy, so that an interruption drops little (one picture is always admitted).  Waiting pictures never hold up the engine:
when none is ready, part-filled batches run.  An interruption drops what was only read ahead; closing drops everything,
in the middle of a picture too.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Final

from torch.overrides import TorchFunctionMode

from restore.batch.finish import NO_DAMAGE, Finisher
from restore.batch.job import Failed, FailureKind, Job, Result, Staged
from restore.batch.memory import bytes_inside, decoder_for
from restore.batch.pools import Decoders, Room
from restore.batch.reading import kind_of
from restore.batch.reading import read as _read
from restore.batch.steps import Models, steps_of
from restore.batch.work import Line, Read, Work
from restore.device import free_bytes
from restore.errors import DiskFullError, ImageError
from restore.formats import Decoder
from restore.recipe import RunOptions

DEFAULT_MAX_PIXELS = RunOptions.max_pixels
READERS = 2
STAGERS = 2
MEMORY_SHARE = 0.25
"""Of the free host memory that pictures inside a worker may take."""
CPU_PICTURES = 5
"""Inside at once: one is computed, two are staged, the others are read ahead."""
GPU_PICTURES = 256
CPU_BATCH_PX = 1
"""One tile at a time: on CPUs a batch of four ran no faster, and a part-filled one costs as much as a full one."""
GPU_BATCH_PX = 1 << 18


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


class LocalWorker:
    """Restores jobs on one device of this machine (`Worker` of `job.py`).

    `max_pixels`: the largest source that is read.
    """

    def __init__(self, models: Models, finisher: Finisher, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> None:
        self._models = models
        self._finisher = finisher
        self._max_pixels = max_pixels

    def process(self, jobs: Iterable[Job], stopping: Callable[[], bool] = lambda: False) -> Iterator[Result]:
        """Exactly one Staged, Failed or Skipped a job, but for those that `stopping` drops; closed, it drops all."""
        line = _Line(self._models, self._finisher, self._max_pixels, jobs, stopping)
        try:
            yield from line.results()
        finally:
            line.stop()


class _Line:
    """The threads and queues of one `process` call."""

    def __init__(
        self,
        models: Models,
        finisher: Finisher,
        max_pixels: int,
        jobs: Iterable[Job],
        stopping: Callable[[], bool],
    ) -> None:
        self._models = models
        self._finisher = finisher
        self._recipe = finisher.recipe
        self._jobs = iter(jobs)
        self._jobs_lock = threading.Lock()
        self._stopping = stopping
        self._room = Room()
        self._memory_bytes = max(1, int(free_bytes("cpu") * MEMORY_SHARE))
        self._least_cost = 1 / (CPU_PICTURES if models.device == "cpu" else GPU_PICTURES)
        self._ready: queue.Queue[Read | _End] = queue.Queue()
        self._results: queue.Queue[Result | BaseException | _End] = queue.Queue()
        self._stopped = threading.Event()
        self._stagers = ThreadPoolExecutor(STAGERS, thread_name_prefix="stage")
        self._decoders = Decoders(partial(decoder_for, max_pixels))
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
                self._finisher.output.remove(left.temporary)

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
                    cost = max(self._least_cost, self._bytes_inside(job) / self._memory_bytes)
                    if not self._room.take(cost):
                        break
                if self._dropping():
                    break
                self._read_one(job, decoder, cost)
        with self._jobs_lock:
            self._readers_left -= 1
            if self._readers_left == 0:
                self._ready.put(_END)

    def _read_one(self, job: Job, decoder: Decoder, cost: float) -> None:
        try:
            if job.unchanged:
                self._give(self._finisher.pass_on(job, job.unchanged, None, decoder), cost)
                return
            read = _read(job, decoder, self._recipe, cost)
            if self._finisher.passes_on(read):
                self._give(self._finisher.pass_on(job, NO_DAMAGE, read, decoder), cost)
            else:
                self._ready.put(read)
        except ImageError as error:
            self._give(Failed(job, str(error), kind_of(error)), cost)
        except DiskFullError as error:
            self._give(Failed(job, str(error), FailureKind.DISK_FULL), cost)
        except MemoryError:
            self._give(Failed(job, f"{_NO_MEMORY} to read it", FailureKind.MEMORY), cost)

    def _bytes_inside(self, job: Job) -> int:
        return bytes_inside(job, self._models.scale, repaired=self._recipe.inpaint is not None)

    def _dropping(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._stopped.is_set() or self._stopping()

    def _compute(self) -> None:
        line = Line(
            steps_of(
                self._recipe,
                self._models,
                batch_px=CPU_BATCH_PX if self._models.device == "cpu" else GPU_BATCH_PX,
                may_go_on=self._may_go_on,
                tell=self._results.put,
            )
        )
        waiting = []
        # On a CPU, where a tile may take minutes, it can be dropped in the middle.
        with _Watched(self._may_go_on) if self._models.device == "cpu" else nullcontext():
            for work in line.stream(self._works(), self._leave):
                self._computing -= 1
                waiting.append(self._stagers.submit(self._guarded, partial(self._stage, work)))
                waiting = [future for future in waiting if not future.done()]
        for future in waiting:
            if not self._stopped.is_set():
                future.result()
        self._results.put(_END)

    def _leave(self, work: Work, error: ImageError) -> None:
        self._computing -= 1
        self._give(Failed(work.read.job, str(error), kind_of(error), self._finisher.facts(work)), work.read.cost)

    def _may_go_on(self) -> None:
        if self._stopped.is_set():
            raise _DroppedError

    def _works(self) -> Iterator[Work | None]:
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
            yield Work(read, read.document)

    def _stage(self, work: Work) -> None:
        if self._stopped.is_set():
            return
        job, facts = work.read.job, self._finisher.facts(work)
        started = time.perf_counter()
        try:
            with self._decoders.borrowed() as decoder:
                staged = self._finisher.finish(work, decoder)
            seconds = staged.facts.seconds + time.perf_counter() - started
            result: Result = replace(staged, facts=replace(staged.facts, seconds=seconds))
        except ImageError as error:
            result = Failed(job, str(error), FailureKind.CHECK, facts)
        except DiskFullError as error:
            result = Failed(job, str(error), FailureKind.DISK_FULL, facts)
        except MemoryError:
            result = Failed(job, f"{_NO_MEMORY} to write it", FailureKind.MEMORY, facts)
        self._give(result, work.read.cost)

    def _give(self, result: Result, cost: float) -> None:
        self._room.give_back(cost)
        self._results.put(result)
