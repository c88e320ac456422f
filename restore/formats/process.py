"""Owns the life of one decoding child: start, one question at a time, a deadline, its last words."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from restore.errors import ImageError, SetupError
from restore.formats import shared, wire

_KEPT_LINES = 20
_KEPT_LINE_BYTES = 300
_START_S = 60.0
_PACKAGE_PARENT = Path(__file__).resolve().parents[2]


class Child:
    """A running child.  After an ImageError from `ask` it must be closed."""

    def __init__(self, memory_bytes: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="restore-decode-"))
        self._files: socket.socket | None = None
        theirs: socket.socket | None = None
        if shared.BY_DESCRIPTOR:
            self._files, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        number = theirs.fileno() if theirs is not None else -1
        paths = [str(_PACKAGE_PARENT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-X",
                "no_debug_ranges",
                "-m",
                "restore.formats.child",
                str(self._folder),
                str(number),
                str(memory_bytes),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(number,) if theirs is not None else (),
            start_new_session=True,  # Ctrl-C is the parent's to handle
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        if theirs is not None:
            theirs.close()
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self._answer(_START_S)
        except ImageError as error:
            self.close()
            raise SetupError(f"the decoding process can't start: {self.said() or error}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: dict[str, Any], source: int, pixels: BinaryIO, timeout_s: float) -> dict[str, Any]:
        """Sends a request with its two files and waits for the answer.

        ImageError when the child dies or doesn't answer in time.
        """
        self._said.clear()
        stdin = self._process.stdin
        assert stdin is not None  # Popen was given a pipe
        try:
            if self._files is not None:
                socket.send_fds(self._files, [b"f"], [source, pixels.fileno()])
            else:
                request = {**request, "paths": self._copied(source)}
            stdin.write(wire.pack(request))
            stdin.flush()
        except OSError as error:
            raise ImageError(f"the decoding process is gone ({self._death()})") from error
        answer = self._answer(timeout_s)
        if self._files is None and "pages" in answer:
            with (self._folder / "pixels").open("rb") as decoded:
                shutil.copyfileobj(decoded, pixels)
            pixels.flush()
        return answer

    def said(self) -> str:
        """What the child's libraries printed since the last request, bounded."""
        return " | ".join(self._said)[-600:]

    def close(self) -> None:
        """Kills the child and removes its folder."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # a request that it never read
                    stream.close()
        self._listener.join(timeout=5)
        if self._process.stderr is not None:
            self._process.stderr.close()
        if self._files is not None:
            self._files.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None  # Popen was given a pipe
        late = threading.Event()

        def kill() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(timeout_s, kill)
        timer.daemon = True
        timer.start()
        try:
            line = stdout.readline()
        finally:
            timer.cancel()
        if not line.endswith(b"\n"):
            if late.is_set():
                raise ImageError(f"decoding took longer than {timeout_s:g} s and was stopped")
            raise ImageError(f"the decoding process died over it ({self._death()})")
        try:
            return wire.unpack(line)
        except ValueError as error:
            raise ImageError("the decoding process gave no sensible answer") from error

    def _death(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it does not answer"
        self._listener.join(timeout=5)
        how = f"exit status {code}"
        if code < 0:
            try:
                how = signal.Signals(-code).name
            except ValueError:
                how = f"signal {-code}"
        last = self.said()
        return f"{how}: {last}" if last else how

    def _listen(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None  # Popen was given a pipe
        while line := stderr.readline(_KEPT_LINE_BYTES):
            if text := line.decode("utf-8", "backslashreplace").strip():
                self._said.append(text)

    def _copied(self, source: int) -> list[str]:
        """Where descriptors can't be sent: the child reads a copy and writes pixels to a file beside it."""
        os.lseek(source, 0, os.SEEK_SET)
        with (self._folder / "source").open("wb") as copy:
            while block := os.read(source, 1 << 20):
                copy.write(block)
        (self._folder / "pixels").write_bytes(b"")
        return ["source", "pixels"]
