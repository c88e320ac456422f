"""Owns reading many headers (or whole files) quickly, in a few decoder children at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from restore.errors import ImageError
from restore.formats import Decoder, Header

OpenDecoder = Callable[[], Decoder]

MOST_DECODERS = 4
FILES_PER_DECODER = 16
"""Below this, starting one more child costs more than it saves."""


def probe_all(paths: Sequence[Path], open_decoder: OpenDecoder, *, decode: bool) -> list[Header | ImageError]:
    """One answer a path, in order.  `decode`: also decode every file, so that damage behind the header is found."""
    answers: list[Header | ImageError | None] = [None] * len(paths)
    stop = Event()
    shards = max(1, min(MOST_DECODERS, os.cpu_count() or 1, len(paths) // FILES_PER_DECODER))

    def probe_shard(shard: int) -> None:
        with open_decoder() as decoder:
            for i in range(shard, len(paths), shards):
                if stop.is_set():
                    return
                try:
                    answers[i] = decoder.probe(paths[i])
                    if decode:
                        decoder.read(paths[i])
                except ImageError as error:
                    answers[i] = error

    if not paths:
        return []
    with ThreadPoolExecutor(shards, thread_name_prefix="probe") as pool:
        try:
            for future in [pool.submit(probe_shard, shard) for shard in range(shards)]:
                future.result()
        finally:
            stop.set()
    return [answer for answer in answers if answer is not None]
