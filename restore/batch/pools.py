"""Owns what the threads of a worker share: room for pictures in memory, and decoding children."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from restore.formats import Decoder

_FULL = 1.0 + 1e-9


class Room:
    """Room for pictures, 1 in all; one taker is always let in."""

    def __init__(self) -> None:
        self._taken = 0.0
        self._inside = 0
        self._closed = False
        self._changed = threading.Condition()

    def take(self, amount: float) -> bool:
        """Waits for room; False when closed instead."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._inside or self._taken + amount <= _FULL)
            self._inside += 1
            self._taken += amount
            return not self._closed

    def give_back(self, amount: float) -> None:
        with self._changed:
            self._inside -= 1
            self._taken -= amount
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Decoders:
    """Limited children, one a thread at a time."""

    def __init__(self, make: Callable[[], Decoder] = Decoder) -> None:
        self._make = make
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._idle: queue.SimpleQueue[Decoder] = queue.SimpleQueue()

    @contextmanager
    def borrowed(self) -> Iterator[Decoder]:
        """One that nobody else uses meanwhile."""
        try:
            decoder = self._idle.get_nowait()
        except queue.Empty:
            with self._lock:
                decoder = self._stack.enter_context(self._make())
        try:
            yield decoder
        finally:
            self._idle.put(decoder)

    def close(self) -> None:
        """Ends them all; no thread may use one any more."""
        with self._lock:
            self._stack.close()
