"""Owns a worker's last step: a result becomes a whole, checked file under a temporary name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from restore.batch.facts import Facts
from restore.batch.fsops import OutputRoot, Written
from restore.batch.job import Job, Staged
from restore.errors import ImageError
from restore.formats import Decoder, encode
from restore.formats.dds_patch import HEAD_BYTES, layout_of, patched, widened
from restore.image import Arrangement, Document, Image, Pixels
from restore.trust import patches as patch_files
from restore.trust.patches import Patches
from restore.trust.untouched import Touched, first_difference

VARIES = 0.01
"""Standard deviation, as a share of full scale, above which a picture surely isn't constant."""
SAMPLE_SIDE = 1024
MOST_BLOCK_ERROR = 32.0
"""Mean difference, of 255, between what was repaired and what blocks hold of it: more is a fault, not compression."""
STRIP_ROWS = 256
"""Looked at together, so that nothing here is as large as a result."""


def stage(
    source: Document,
    result: Document,
    job: Job,
    facts: Facts,
    output: OutputRoot,
    decoder: Decoder,
    touched: Sequence[Touched] | None = None,
) -> Staged:
    """Encodes, writes beside the target, fsyncs, decodes the written file back and checks it.

    `touched`: which pixels a repair may have changed, a plane a page; then the file must hold every other pixel of the
    source bit for bit, and the result itself, too.  Raises ImageError (and then leaves nothing behind), DiskFullError.
    """
    _check_shape(source, result, job, varied=touched is None)
    with encode(result, job.format) as data:
        written = output.write(job.target, data)
    try:
        if touched is None:
            _check_written(source, result, job, written, output, decoder)
        else:
            _check_exact(source, result, job, written, output, decoder, touched)
    except BaseException:
        output.remove(written.path)
        raise
    return Staged(job, written.path, written.size, written.sha256, facts)


def stage_copy(job: Job, facts: Facts, output: OutputRoot) -> Staged:
    """The source's own bytes, under a temporary name beside the target.  Raises ImageError, DiskFullError."""
    written = output.copy(job.source, job.target)
    return Staged(job, written.path, written.size, written.sha256, facts)


def stage_in_place(
    source: Document,
    result: Document,
    job: Job,
    facts: Facts,
    output: OutputRoot,
    decoder: Decoder,
    touched: Sequence[Touched],
) -> Staged:
    """A copy of the source's bytes in which only blocks that hold a touched pixel are encoded anew.

    Read back, every pixel outside those blocks is the source's, bit for bit, and what was repaired is as near as such
    blocks come.  Raises ImageError, DiskFullError.
    """
    data = job.source.read_bytes()
    wide = widened(touched, layout_of(data[:HEAD_BYTES], len(data)))
    with patched(data, result, touched) as file:
        written = output.write(job.target, file)
    try:
        decoded = _read_back(job, written, output, decoder)
        if difference := first_difference(source, decoded, wide):
            raise ImageError(f"pixels that no repair may touch would change: {difference}: nothing was written")
        for meant, found, plane in zip(result.pages, decoded.pages, touched, strict=True):
            seen = plane
            if found.alpha_channel is not None:  # some blocks hold no colour where nothing is seen
                seen = plane & (found.pixels[..., found.alpha_channel] > 0)
            apart = np.abs(meant.pixels[seen].astype(np.float64) - found.pixels[seen])
            if apart.size and apart.mean() > MOST_BLOCK_ERROR:
                raise ImageError("its blocks can't hold what was repaired: use --format png")
    except BaseException:
        output.remove(written.path)
        raise
    return Staged(job, written.path, written.size, written.sha256, facts)


def stage_patches(patches: Patches, job: Job, facts: Facts, output: OutputRoot) -> Staged:
    """A patch file, read back and checked.  Raises ImageError, DiskFullError."""
    written = write_patches(patches, job.target, output)
    return Staged(job, written.path, written.size, written.sha256, facts)


def write_patches(patches: Patches, target: Path, output: OutputRoot) -> Written:
    """A patch file under a temporary name beside `target`, whole and checked.  Raises ImageError, DiskFullError."""
    with patch_files.write(patches) as data:
        written = output.write(target, data)
    try:
        with output.open(written.path) as file:
            if not patch_files.same(patch_files.read(file), patches):
                raise ImageError("the written patches are not what was meant: check the output's disk")
    except OSError as error:
        output.remove(written.path)
        raise ImageError(f"the written patches can't be read back: {error.strerror}") from error
    except BaseException:
        output.remove(written.path)
        raise
    return written


def varies(document: Document) -> bool:
    """Whether some colour channel surely isn't constant where it can be seen (told from a sample): colour hidden under
    alpha 0 may well become one with the colour beside it."""
    return any(_varies(page) for page in document.pages)


def _varies(page: Image) -> bool:
    step = max(1, -(-max(page.height, page.width) // SAMPLE_SIDE))
    seen = page.pixels[::step, ::step]
    seen = seen.reshape(-1, seen.shape[2])
    if page.alpha_channel is not None:
        seen = seen[seen[:, page.alpha_channel] > 0]
    sample = seen[:, list(page.color_channels)].astype(np.float32)
    if not sample.size or not np.isfinite(sample).all():
        return False
    full = float(np.abs(sample).max()) if page.stored.is_float else float(np.iinfo(page.pixels.dtype).max)
    return bool((sample.std(axis=0) > VARIES * full).any()) if full > 0 else False


def _is_finite(pixels: Pixels) -> bool:
    if pixels.dtype.kind != "f":
        return True
    return all(np.isfinite(pixels[top : top + STRIP_ROWS]).all() for top in range(0, len(pixels), STRIP_ROWS))


def _check_shape(source: Document, result: Document, job: Job, *, varied: bool = True) -> None:
    """The result has the planned size and everything that the source had."""
    if len(result.pages) != len(source.pages) or result.arrangement is not source.arrangement:
        raise ImageError(f"the result has {len(result.pages)} pages, its source has {len(source.pages)}")
    for before, after in zip(source.pages, result.pages, strict=True):
        if after.stored.channels != before.stored.channels or after.pixels.dtype != before.pixels.dtype:
            raise ImageError(
                f"the result has {after.stored.channels} of {after.pixels.dtype}, its source {before.stored.channels} "
                f"of {before.pixels.dtype}"
            )
        if _is_finite(before.pixels) and not _is_finite(after.pixels):
            raise ImageError("the network gave NaN or infinity: try --precision fp32")
    planned = (job.output_width_px, job.output_height_px)
    if (result.first.width, result.first.height) != planned:
        raise ImageError(
            f"the result is {result.first.width}x{result.first.height}, planned was {planned[0]}x{planned[1]}"
        )
    if (
        varied
        and varies(source)
        and not any(np.ptp(page.pixels[..., c]) for page in result.pages for c in page.color_channels)
    ):
        raise ImageError("the result is one even colour though its source isn't: try --precision fp32")


def _read_back(job: Job, written: Written, output: OutputRoot, decoder: Decoder) -> Document:
    try:
        with output.open(written.path) as file:
            return decoder.read_back(file, job.format)
    except OSError as error:
        raise ImageError(f"the written result can't be read back: {error.strerror}: check the output's disk") from error
    except ImageError as error:
        raise ImageError(f"the written result can't be decoded: {error}") from error


def _check_exact(
    source: Document,
    result: Document,
    job: Job,
    written: Written,
    output: OutputRoot,
    decoder: Decoder,
    touched: Sequence[Touched],
) -> None:
    """What another decoding finds is the result, and outside the repairs the source, bit for bit in all channels."""
    if any(page.stored.extras.get("light_above_alpha") for page in source.pages):
        raise ImageError(
            "its colour, stored times alpha, is brighter than its alpha in places, and would be cut off there: convert "
            "it to straight alpha first"
        )
    decoded = _read_back(job, written, output, decoder)
    if difference := first_difference(source, decoded, touched):
        raise ImageError(f"pixels that no repair may touch would change: {difference}: nothing was written")
    if difference := first_difference(result, decoded):
        raise ImageError(f"the written result is not what was meant: {difference}")


def _check_written(
    source: Document, result: Document, job: Job, written: Written, output: OutputRoot, decoder: Decoder
) -> None:
    """What another decoding finds in the file is what was meant."""
    try:
        with output.open(written.path) as file:
            header, pixels = decoder.check(file, job.format)
    except OSError as error:
        raise ImageError(f"the written result can't be read back: {error.strerror}: check the output's disk") from error
    except ImageError as error:
        raise ImageError(f"the written result can't be decoded: {error}") from error
    first = result.first
    faces = len(result.pages) if result.arrangement is Arrangement.CUBE_STRIP else 1
    found = pixels.size[0], pixels.size[1], len(header.channels)
    meant = first.width, first.height * faces, len(first.stored.channels)
    if found != meant:
        raise ImageError(f"the written result is {found}, meant was {meant} (width, height, channels)")
    if (header.bits, header.is_float) != (first.stored.bits, first.stored.is_float):
        raise ImageError(f"the written result has {header.bits} bits a channel, meant were {first.stored.bits}")
    if pixels.constant and varies(source):
        raise ImageError("the written result is one even colour though its source isn't")
    if not pixels.finite and _is_finite(first.pixels):
        raise ImageError("the written result holds NaN or infinity")
