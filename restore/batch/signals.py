"""Owns stopping politely: the first SIGINT or SIGTERM asks, the second ends the process at once.

After the first one no new work starts; images in work may finish within GRACE_S, then they are dropped.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from restore.errors import ExitCode

GRACE_S = 10.0

_EXIT_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


class DroppedError(Exception):
    """The grace is over: raised inside `Stopper.waiting` only."""


class Stopper:
    """Listens for signals while it is entered (in the main thread; elsewhere it never stops anything)."""

    def __init__(self, on_first: Callable[[], None], grace_s: float = GRACE_S) -> None:
        """`on_first` is called in a thread of its own."""
        self._on_first = on_first
        self._grace_s = grace_s
        self._waiting = False
        self._expired = False
        self.exit_code: ExitCode | None = None
        """Set by the first signal."""

    @property
    def asked(self) -> bool:
        return self.exit_code is not None

    @contextmanager
    def listening(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.signal(number, self._on_signal) for number in _EXIT_CODES}
        timed = hasattr(signal, "setitimer")
        if timed:
            handlers[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_grace_over)
        try:
            yield
        finally:
            if timed and self.asked:
                signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in handlers.items():
                signal.signal(number, handler)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The only stretch in which work may be dropped; raises DroppedError there once the grace is over."""
        self._waiting = True
        try:
            if self._expired:
                raise DroppedError
            yield
        finally:
            self._waiting = False

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        code = _EXIT_CODES[signal.Signals(number)]
        if self.asked:
            os._exit(code)  # no clean-up on purpose: a killed run is understood by the next one
        self.exit_code = code
        threading.Thread(target=self._on_first, daemon=True).start()
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, self._grace_s)

    def _on_grace_over(self, _number: int, _frame: FrameType | None) -> None:
        self._expired = True
        if self._waiting:
            raise DroppedError
