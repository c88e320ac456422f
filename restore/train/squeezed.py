"""Owns shards small enough to travel: a shard's crops as AVIF pictures in one file, taken back into memory whole.

NAME.avifs is one AVIF file after the other; NAME.json is a shard's own, with the length of each.  AVIF takes a tenth
of the bytes of a PNG and, at the quality used, stays within what photographs lost as JPEG before they came here.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from restore.errors import SetupError
from restore.train.files import whole_file, write_whole

SUFFIX = ".avifs"
QUALITY = 85
_ENCODER_SPEED = 8
_SEED = 11

Crops = NDArray[np.uint8]


def squeeze(crops: Crops, facts: dict[str, Any], out: Path, *, most_bytes: int, quality: int = QUALITY) -> int:
    """Write a shard's crops, with `facts` from its .json, to OUT (.avifs) and its .json: as many as `most_bytes` hold.

    Which ones is drawn from a fixed seed, so that every source keeps about its share; returns how many.
    """
    chosen: dict[int, bytes] = {}
    left = most_bytes
    order = np.random.default_rng(_SEED).permutation(len(crops))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(order), 256):
            part = [int(index) for index in order[start : start + 256]]
            for index, data in zip(part, pool.map(lambda i: _encoded(crops[i], quality), part), strict=True):
                if len(data) <= left:
                    chosen[index] = data
                    left -= len(data)
            if left < most_bytes // 1000:
                break
    if not chosen:
        raise SetupError(f"{out}: {most_bytes} bytes hold no crop; allow more")
    kept = sorted(chosen)
    with whole_file(out) as file:
        for index in kept:
            file.write(chosen[index])
        out.with_suffix(".json").unlink(missing_ok=True)  # an older shard's never stands beside new crops
    told = {**facts, "crops": len(kept), "sources": list(_sources(facts["sources"], kept))}
    told |= {"quality": quality, "lengths": [len(chosen[index]) for index in kept]}
    write_whole(out.with_suffix(".json"), json.dumps(told, indent=None).encode() + b"\n")
    return len(kept)


def unsqueeze(path: Path, facts: dict[str, Any]) -> Crops:
    """(N, crop_px, crop_px, 3).  OSError, ValueError, KeyError or TypeError where the file isn't what `facts` says."""
    lengths = [int(length) for length in facts["lengths"]]
    data = path.read_bytes()
    if sum(lengths) != len(data) or min(lengths, default=0) < 0:
        raise ValueError(f"{len(data)} bytes, expected were {sum(lengths)}")
    ends = list(accumulate(lengths))
    side = int(facts["crop_px"])
    crops = np.empty((len(lengths), side, side, 3), np.uint8)

    def decode(index: int) -> None:
        try:
            with PillowImage.open(
                io.BytesIO(data[ends[index] - lengths[index] : ends[index]]), formats=("AVIF",)
            ) as one:
                pixels = np.asarray(one.convert("RGB"))
        except OSError as error:
            raise ValueError(f"crop {index}: {error}") from error
        if pixels.shape != crops.shape[1:]:
            raise ValueError(f"crop {index} is {pixels.shape}, expected was {crops.shape[1:]}")
        crops[index] = pixels

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(decode, range(len(lengths))):
            pass
    return crops


def _encoded(crop: Crops, quality: int) -> bytes:
    data = io.BytesIO()
    PillowImage.fromarray(np.ascontiguousarray(crop)).save(
        data, "AVIF", quality=quality, subsampling="4:4:4", speed=_ENCODER_SPEED, max_threads=1
    )
    return data.getvalue()


def _sources(sources: list[dict[str, Any]], kept: list[int]) -> Iterator[dict[str, Any]]:
    """Each source with the crops that remain of it; without those of which none does."""
    first = 0
    for source in sources:
        count = sum(source["first"] <= index < source["first"] + source["count"] for index in kept)
        if count:
            yield {**source, "first": first, "count": count}
            first += count
