"""Owns how much memory a picture takes on its way, told before any work, and the decoder that may read it.

A picture is held whole.  This is the seam for reading very large ones strip by strip: whatever reads a job in strips
asks here for less, and nothing else needs to know.
"""

from __future__ import annotations

from restore.batch.job import Job
from restore.formats import Decoder, Header

COPIES = 2
"""A result is held as encoder's rows and as encoded bytes at the worst moment, beside the canvas that it came from."""
_HOLES_BYTES = 8
"""A pixel: what is missing, what was divided out, and which blob it belongs to."""
_DECODER_BYTES = 8 << 30
_BYTES_A_PIXEL = 8
"""RGBA in 16 bits: what a decoder may take for each of the pixels that the user allows."""


def bytes_inside(job: Job, canvas_scale: int, *, repaired: bool) -> int:
    """Host memory that a picture takes at most between reading and publishing; decoding children not counted.

    `canvas_scale`: side of the network's result over the source's; `repaired`: holes are looked for.
    """
    item = max(1, job.header.bits // 8) * len(job.header.channels)
    canvas = job.in_pixels * canvas_scale**2
    resized = job.out_pixels if canvas != job.out_pixels else 0
    pixels = item * (2 * job.in_pixels + canvas + resized + COPIES * job.out_pixels)
    return pixels + (_HOLES_BYTES + 2 * item) * job.in_pixels if repaired else pixels


def too_much(header: Header, needed_bytes: int, free_bytes: int) -> str | None:
    """Why a picture can't be worked on here, and the way out; None where it fits."""
    if needed_bytes <= free_bytes:
        return None
    return (
        f"its {header.width}x{header.height} pixels need about {needed_bytes / 2**30:.1f} GiB of memory and "
        f"{free_bytes / 2**30:.1f} GiB are free: free some, cut it into parts, or leave it out with --exclude (or all "
        "that are larger with --max-pixels)"
    )


def decoder_for(max_pixels: int) -> Decoder:
    """A decoder that takes sources of up to `max_pixels` pixels."""
    return Decoder(max_pixels=max_pixels, memory_bytes=max(_DECODER_BYTES, _BYTES_A_PIXEL * max_pixels + (1 << 30)))
