"""Owns handing pictures to Pillow, for the two formats that OpenImageIO can't write faithfully (JPEG, WebP)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image as PillowImage

from restore.errors import ImageError
from restore.formats.raster import joined_size, strip_bands
from restore.image import Document

_MODES = {("Y",): "L", ("Y", "A"): "LA", ("R", "G", "B"): "RGB", ("R", "G", "B", "A"): "RGBA"}


@contextmanager
def image_of(document: Document) -> Iterator[PillowImage.Image]:
    """The only page, or a cube's strip, as a Pillow image; filled band by band."""
    channels = document.first.stored.channels
    mode = _MODES.get(channels)
    if mode is None or document.first.stored.is_float or document.first.stored.bits != 8:
        raise ImageError(f"{'+'.join(channels)} of {document.first.stored.bits} bits can't be encoded so")
    with PillowImage.new(mode, joined_size(document)) as picture:
        for top, band in strip_bands(document):
            flat = band[..., 0] if mode == "L" else band
            with PillowImage.fromarray(flat) as part:
                picture.paste(part, (0, top))
        yield picture
