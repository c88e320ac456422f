"""Owns the decoding child: one request a line on stdin, one answer a line on stdout, pixels in shared memory.

Run as `python -m restore.formats.child FOLDER SOCKET BYTES`; FOLDER is where links with suffixes are made, SOCKET the
number of the descriptor that files are sent over, or -1 where everything goes by path, BYTES the limit of its address
space.  It imports no torch, and it ends when its parent does.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from restore.errors import ImageError, SetupError
from restore.formats import oiio, reading, wire
from restore.formats.catalogue import FORMATS, target_suffix

_FIXED_DESCRIPTOR = 100
"""Where the source's descriptor is put, so that links to it can be made once."""


def main() -> None:
    """Serves until stdin ends."""
    folder, sock = Path(sys.argv[1]), int(sys.argv[2])
    _limit_memory(int(sys.argv[3]))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what C libraries print must not look like an answer
    files = None if sock < 0 else socket.socket(fileno=sock)
    try:
        module = oiio.load()
    except SetupError as error:
        sys.exit(str(error))
    module.attribute("threads", 1)
    module.attribute("exr_threads", -1)
    module.attribute("dds:bc5normal", 1)  # blue made from red and green, as every shader that reads BC5 does
    module.attribute("limits:imagesize_MB", max(1, int(sys.argv[3]) >> 20))
    if files is not None:
        for name in FORMATS:
            (folder / f"in{target_suffix(name)}").symlink_to(f"/proc/self/fd/{_FIXED_DESCRIPTOR}")
    answers.write(wire.pack({"ready": True}))
    answers.flush()
    try:
        for line in sys.stdin.buffer:
            answers.write(wire.pack(_answer(wire.unpack(line), folder, files)))
            answers.flush()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answer(request: dict[str, Any], folder: Path, files: socket.socket | None) -> dict[str, Any]:
    try:
        with _received(request, folder, files) as (source, pixels):
            return _serve(request, folder, source, pixels, by_link=files is not None)
    except ImageError as error:
        return {"error": re.sub(rf'\s*\(?"?{re.escape(str(folder))}/in\.\w+"?\)?', "", str(error))}
    except (MemoryError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENOMEM:
            raise
        return {"error": f"decoding it takes more than the limit of {request['memory_bytes'] >> 20} MiB of memory"}
    except UnicodeDecodeError as error:
        return {"error": f"it holds text that can't be decoded ({error.reason}): damaged"}


@contextmanager
def _received(request: dict[str, Any], folder: Path, files: socket.socket | None) -> Iterator[tuple[int, int]]:
    """(source, pixels) descriptors, closed afterwards."""
    if files is None:
        given = [os.open(folder / name, os.O_RDWR | getattr(os, "O_BINARY", 0)) for name in request["paths"]]
    else:
        _, given, _, _ = socket.recv_fds(files, 1, 2)
    try:
        if files is not None:
            os.dup2(given[0], _FIXED_DESCRIPTOR)
        yield given[0], given[1]
    finally:
        for descriptor in (*given, *([_FIXED_DESCRIPTOR] if files is not None else [])):
            with suppress(OSError):
                os.close(descriptor)


def _serve(request: dict[str, Any], folder: Path, source: int, pixels: int, *, by_link: bool) -> dict[str, Any]:
    _limit_processor_time(request["seconds"])
    if request["op"] == "check":
        format_name, notes = reading.identify(source, target_suffix(request["format"]))
        if format_name != request["format"]:
            raise ImageError(f"it was to be {request['format']} but is {format_name}")
    else:
        format_name, notes = reading.identify(source, request["suffix"])
    limits = reading.Limits(request["max_pixels"], request["max_pages"], request["memory_bytes"])
    link = folder / f"in{target_suffix(format_name)}"
    if not by_link and str(link.name) != request["paths"][0]:
        shutil.copyfile(folder / request["paths"][0], link)
    with contextmanager(reading.open_headers)(source, str(link), format_name, notes, limits) as opened:
        answer: dict[str, Any] = {"header": asdict(opened.header)}
        if request["op"] == "check":
            answer["facts"] = reading.decode_facts(opened)
        elif request["op"] == "rows":
            number, top, stop = request["rows"]
            part = reading.part_of(opened, number, top, stop)
            os.ftruncate(pixels, part.end)
            reading.decode_rows_into(opened, number, top, stop, mmap.mmap(pixels, part.end))
            answer["pages"] = reading.described((part,))
        elif request["op"] == "read":
            total = opened.pages[-1].end
            os.ftruncate(pixels, total)
            memory = mmap.mmap(pixels, total)  # unmapped with its last array, which an error's traceback may hold
            answer["pages"] = reading.described(reading.decode_into(opened, memory))
        return answer


def _limit_memory(limit_bytes: int) -> None:
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError, OSError):  # a lower limit is in force already
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


def _limit_processor_time(seconds: float) -> None:
    """A spinning decoder dies even when its parent was killed and can't kill it."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 2
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard < 0 else min(soft, hard), hard))


if __name__ == "__main__":
    main()
