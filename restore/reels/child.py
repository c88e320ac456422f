"""Owns the life of a working process: jobs in as lines, answers out as lines, and an end when nobody listens any more.

    {"work": DIGEST, "kind": KIND of `pool.Job`, "number": N}  ->  {"answer": {...}} | {"error": TEXT, "why": KIND}

The work itself is read from the state's folder whenever its digest is another one.
"""

from __future__ import annotations

import hashlib
import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from restore.errors import DiskFullError, ImageError, RestoreError
from restore.formats import wire
from restore.reels.segment import Answer, Maker
from restore.reels.state import State
from restore.reels.work_file import unpack


def serve(state: State, asked: BinaryIO, said: BinaryIO) -> None:
    """Answers until `asked` ends; then the process ends at once, in the middle of a job, too."""
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def listen() -> None:
        for line in asked:
            jobs.put(wire.unpack(line))
        os._exit(0)  # the driver is gone: what is half done is done again by the next one

    threading.Thread(target=listen, daemon=True).start()
    maker: Maker | None = None
    known = ""
    while True:
        job = jobs.get()
        try:
            if maker is None or job["work"] != known:
                if maker is not None:
                    maker.close()
                maker, known = load(state), job["work"]
            answer: dict[str, Any] = {"answer": answered(maker, job["kind"], int(job["number"]))}
        except RestoreError as error:
            answer = {"error": str(error), "why": why(error)}
        except MemoryError:
            answer = {"error": "out of memory: give --workers a smaller number", "why": "image"}
        said.write(wire.pack(answer))
        said.flush()


def load(state: State) -> Maker:
    """The worker for the state's work.  Raises SetupError."""
    return Maker(unpack(state.work.read_bytes()), state)


def answered(maker: Maker, kind: str, number: int) -> Answer:
    """What becomes of one job."""
    jobs = {"shot": maker.shot, "segment": maker.segment, "again": maker.again, "count": maker.count}
    return jobs[kind](number)


def work_digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def why(error: RestoreError) -> str:
    if isinstance(error, DiskFullError):
        return "disk"
    return "image" if isinstance(error, ImageError) else "setup"


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    try:
        serve(State(Path(sys.argv[1]), Path("unused"), Path("unused")), sys.stdin.buffer, answers)
    finally:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # the listening thread would keep the interpreter from ending
