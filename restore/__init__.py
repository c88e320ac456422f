"""restore: repairs and enlarges whole folders of pictures; same tree, names and formats, nothing lost.

The map, in the order in which imports may point (only to modules further up):

    errors    what can go wrong, and the exit codes
    image     the one in-memory picture, and how its file held it
    recipe    everything that decides pixels; its fingerprint
    ops       the only door to native code: schema, plain-torch reference, compiled kernels
    device    devices, precisions, free memory
    traits    what is this texture? content, use of alpha, wrap: decided once, with a reason
    formats   bytes on disk, and the limited child process that decodes them
    models    catalogue, checkpoints, our own executors of the common networks
    tiling    where an image is cut, and how it is sewn together
    cover     which parts need no tile at all
    halo      how large tiles and their halos are
    color     colour drift: measured, and taken back
    curve     stored values <-> the [0, 1] that networks were trained on
    resample  any scale, in linear light
    bleed     the colour under fully transparent pixels
    planes    Image <-> planes that a network can take
    batcher   tiles of many images in one batch; smaller ones when memory runs out
    upscale   one document from source pixels to result
    trust     what can be proved and taken back: repairs, patches, digests of what is untouched
    holes     which pixels are missing: masks, alpha, colour keys, infrared, detectors
    inpaint   holes filled: crops, fills, the choice among them
    film      the same for frames
    api       the verbs for Python callers: read, fill, enlarge, write
    train     the bridge to basicsr, for training and for parity tests
    batch     walk, plan, work, publish, remember
    reels     videos and folders of frames: segments, workers, resume, proof, undo, review
    report    pages where people look at before and after
    doctor    what this machine offers, as facts
    cli       one command a file; console.py is the only file that prints

From Python (each name is imported when it is first asked for):

    import restore

    document = restore.read("wall.dds")                                     # a Document of Images; ImageError
    larger = restore.enlarge(document, "x4plus", name="wall.dds")           # a Document; ModelError, SetupError, ...
    whole = restore.fill(document, holes)                                   # (H, W) bool; a Document; ImageError, ...
    restore.write(larger, "wall.png")                                       # format by suffix; ImageError

Every error raised on purpose is a `restore.RestoreError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restore.api import enlarge, fill, read, write
    from restore.errors import RestoreError
    from restore.image import Document, Image

__version__ = "0.1.0"

_PUBLIC: dict[str, str] = {
    "Document": "restore.image",
    "Image": "restore.image",
    "RestoreError": "restore.errors",
    "enlarge": "restore.api",
    "fill": "restore.api",
    "read": "restore.api",
    "write": "restore.api",
}
"""Public name -> module that defines it; imported when it is first asked for, because start-up is a feature."""

__all__ = ["Document", "Image", "RestoreError", "__version__", "enlarge", "fill", "read", "write"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
