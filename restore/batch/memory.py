"""Owns how much memory a picture takes on its way, told before any work, and the decoder that may read it.

A picture is held whole where that fits; else, where its file allows, it is worked on in bands of rows (`large.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from restore.batch.job import Job
from restore.device import free_bytes
from restore.errors import ImageError
from restore.formats import Decoder, Header
from restore.formats.tiff_grid import grids_of
from restore.recipe import PATCHES, Recipe, RunOptions, Wrap
from restore.trust.patches import PageSize

COPIES = 2
"""A result is held as encoder's rows and as encoded bytes at the worst moment, beside the canvas that it came from."""
_HOLES_BYTES = 8
"""A pixel: what is missing, what was divided out, and which blob it belongs to."""
_DECODER_BYTES = 8 << 30
_BYTES_A_PIXEL = 8
"""RGBA in 16 bits: what a decoder may take for each of the pixels that the user allows."""
_BAND_ROWS = 3328
"""Of a picture in bands: a band with all rows around it that have a say."""
_BAND_BYTES_A_PIXEL = 36
"""Of such rows, beside three copies of the pixels: detecting damage takes most."""
_ALL_BYTES_A_PIXEL = 3
"""Of the whole picture in bands: a few bits for holes, and a sum of every eight rows, in which scratches are sought."""


def bytes_inside(job: Job, canvas_scale: int, *, repaired: bool) -> int:
    """Host memory that a picture takes at most between reading and publishing; decoding children not counted.

    `canvas_scale`: side of the network's result over the source's; `repaired`: holes are looked for.
    """
    item = max(1, job.header.bits // 8) * len(job.header.channels)
    if job.in_bands:
        rows = min(job.header.height, _BAND_ROWS)
        return rows * job.header.width * (3 * item + _BAND_BYTES_A_PIXEL) + _ALL_BYTES_A_PIXEL * job.in_pixels
    canvas = job.in_pixels * canvas_scale**2
    resized = job.out_pixels if canvas != job.out_pixels else 0
    pixels = item * (2 * job.in_pixels + canvas + resized + COPIES * job.out_pixels)
    return pixels + (_HOLES_BYTES + 2 * item) * job.in_pixels if repaired else pixels


def too_much(header: Header, needed_bytes: int, free: int) -> str | None:
    """Why a picture can't be worked on here as a whole; None where it fits."""
    if needed_bytes <= free:
        return None
    return (
        f"its {header.width}x{header.height} pixels need about {needed_bytes / 2**30:.1f} GiB of memory and "
        f"{free / 2**30:.1f} GiB are free"
    )


WAYS_OUT = "free some, cut it into parts, or leave it out with --exclude (or all that are larger with --max-pixels)"


def not_in_bands(job: Job, recipe: Recipe) -> str | None:
    """Why a picture can't be worked on in bands of rows, and the way out; None where it can."""
    if recipe.upscale is not None:
        return "only repairs are made in bands of rows, enlarged is a whole picture"
    if job.format not in ("tiff", PATCHES) or job.header.format != "tiff":
        return (
            "only TIFF is worked on in bands of rows: convert it to TIFF of 8 or 16 bits (uncompressed, or with LZW or "
            "ZIP), and leave --format out"
        )
    if recipe.rules.wrap in (Wrap.Y, Wrap.BOTH):
        return "a picture that repeats from bottom to top isn't worked on in bands of rows: leave --wrap out"
    try:
        grids_of(job.source)
    except ImageError as error:
        return f"it can't be worked on in bands of rows: {error}"
    except OSError as error:
        return f"can't be read: {error.strerror}"
    return None


def in_bands(form: str, pages: Sequence[PageSize]) -> bool:
    """Whether a result of these pages is looked at in bands of rows: three of it, and what is touched, don't fit."""
    if form != "tiff" or any(page.dtype not in ("uint8", "uint16") for page in pages):
        return False
    needed = sum(page.height * page.width * (1 + 3 * _bytes_a_pixel(page)) for page in pages)
    return needed > free_bytes("cpu") or pixels_of(pages) > RunOptions.max_pixels


def pixels_of(pages: Sequence[PageSize]) -> int:
    """Of all pages."""
    return sum(page.height * page.width for page in pages)


def _bytes_a_pixel(page: PageSize) -> int:
    return len(page.channels) * int(page.dtype.removeprefix("uint").removeprefix("float")) // 8


def decoder_for(max_pixels: int) -> Decoder:
    """A decoder that takes sources of up to `max_pixels` pixels."""
    return Decoder(max_pixels=max_pixels, memory_bytes=max(_DECODER_BYTES, _BYTES_A_PIXEL * max_pixels + (1 << 30)))
