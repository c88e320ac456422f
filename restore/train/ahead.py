"""Owns preparing batches a little before they are needed, in a thread or in processes."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_make: Callable[[int], object] | None = None
"""In a worker process: what it was started to make."""


def ahead(make: Callable[[int], T], first: int, end: int, workers: int) -> Iterator[T]:
    """make(first), ..., make(end - 1) in order, each computed while the ones before are used.

    With more than one worker `make` runs in processes that are forked from this one: crops that lie in its memory are
    shared and not copied, and each answer crosses a pipe.  `make` must not touch a GPU.
    """
    pool: Executor
    if workers == 1:
        pool, call = ThreadPoolExecutor(1), make
    else:
        fork = multiprocessing.get_context("fork")
        pool = ProcessPoolExecutor(workers, mp_context=fork, initializer=_begin, initargs=(make,))
        call = _made
        for future in [pool.submit(int) for _ in range(workers)]:  # the processes start now, not at the first batch
            future.result()
    return _in_order(pool, call, first, end, 1 if workers == 1 else 2 * workers)


def _in_order(pool: Executor, call: Callable[[int], T], first: int, end: int, most: int) -> Iterator[T]:
    waiting: deque[Future[T]] = deque()
    coming = iter(range(first, end))
    try:
        while True:
            while len(waiting) <= most and (number := next(coming, None)) is not None:
                waiting.append(pool.submit(call, number))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(make: Callable[[int], object]) -> None:
    global _make
    import cv2

    cv2.setNumThreads(0)  # as many processes as cores already
    _make = make


def _made(number: int) -> T:  # type: ignore[type-var]  # what `_make` gives
    assert _make is not None
    return _make(number)  # type: ignore[return-value]
