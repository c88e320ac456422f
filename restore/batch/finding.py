"""Owns asking for the holes of a source: its mask or infrared file is read here, and doubts about it become words."""

from __future__ import annotations

from restore.batch.job import Job, printable
from restore.errors import ImageError
from restore.formats import Decoder
from restore.holes.found import Found
from restore.image import Document
from restore.recipe import FindHoles
from restore.traits import Traits
from restore.trust import patches as patch_files
from restore.trust.patches import Patches


def find_in(
    document: Document, traits: tuple[Traits, ...], job: Job, decoder: Decoder, step: FindHoles
) -> tuple[tuple[Found | None, ...], tuple[str, ...]]:
    raise NotImplementedError


def read_patches(job: Job) -> Patches:
    """The patches that belong to a source.  Raises ImageError."""
    assert job.companion is not None
    try:
        with job.companion.source.open("rb") as file:
            return patch_files.read(file)
    except ImageError as error:
        raise ImageError(f"{printable(job.companion.relative)}: {error}") from error
    except OSError as error:
        raise ImageError(f"{printable(job.companion.relative)}: can't be read: {error.strerror}") from error
