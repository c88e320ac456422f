"""Owns the child that decodes video: one request on stdin, answers on stdout, limited in memory and processor time.

Run as `python -m restore.formats.video_child BYTES`.  An answer is one JSON line (`wire`); a frame's line is followed
by its planes' bytes.  It ends after its request, or when its parent is gone.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from restore.errors import ImageError, SetupError
from restore.formats import wire
from restore.formats.video import Index, index, probe
from restore.formats.video_plain import clip_to_plain, index_from_plain, index_to_plain
from restore.formats.video_read import frames


def main() -> None:
    """Serves one request."""
    _limit_memory(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what C libraries print must not look like an answer
    try:
        _serve(wire.unpack(sys.stdin.buffer.readline()), answers)
    except (ImageError, SetupError) as error:
        _send(answers, {"error": str(error)})
    except MemoryError:
        _send(answers, {"error": f"decoding it takes more than the limit of {int(sys.argv[1]) >> 20} MiB of memory"})
    except BrokenPipeError:
        os._exit(0)  # nobody wants more frames


def _serve(request: dict[str, Any], answers: BinaryIO) -> None:
    clip = probe(Path(os.fsdecode(request["path"])))
    if request["op"] == "look":
        _send(answers, {"clip": clip_to_plain(clip), "index": index_to_plain(index(clip))})
        return
    known: Index = index_from_plain(request["index"])
    for frame in frames(clip, request["start"], request["stop"], known, keep_damaged=request["keep_damaged"]):
        head = {
            "number": frame.number,
            "pts": frame.pts,
            "duration": frame.duration,
            "key": frame.is_key,
            "interlaced": frame.is_interlaced,
            "damage": frame.damage,
        }
        answers.write(wire.pack(head))
        answers.writelines(np.ascontiguousarray(plane).data.cast("B") for plane in frame.planes)
        answers.flush()
    _send(answers, {"done": True})


def _send(answers: BinaryIO, message: dict[str, Any]) -> None:
    answers.write(wire.pack(message))
    answers.flush()


def _limit_memory(limit_bytes: int) -> None:
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError, OSError):  # a lower limit is in force already
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


if __name__ == "__main__":
    main()
