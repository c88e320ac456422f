"""Owns running small crops side by side on a CPU, each on one thread.

A convolution of 48 x 48 px is too small to be shared among threads; crops aren't.  What a crop becomes doesn't depend
on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from threading import Barrier

import torch
from torch import Tensor


def side_by_side(run: Callable[[Tensor], Tensor], crops: Sequence[Tensor]) -> list[Tensor]:
    """`run` of each, in order, on as many threads as torch has for the caller."""
    threads = torch.get_num_threads()
    if threads == 1:
        return [run(crop) for crop in crops]
    return list(_pool(threads).map(partial(_as_asked, run, torch.is_inference_mode_enabled()), crops))


def _as_asked(run: Callable[[Tensor], Tensor], inference: bool, crop: Tensor) -> Tensor:
    with torch.inference_mode(inference):  # each thread has its own
        return run(crop)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Of threads for each of which torch takes one thread."""
    pool = ThreadPoolExecutor(threads, "crops", _take_one_thread)
    all_there = Barrier(threads + 1)
    for _ in range(threads):
        pool.submit(all_there.wait)
    all_there.wait()
    torch.set_num_threads(threads)  # what threads that are still to come begin with
    return pool


def _take_one_thread() -> None:
    torch.get_num_threads()  # the first question in a thread sets its number, so it must come before
    torch.set_num_threads(1)
