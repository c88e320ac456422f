"""Owns what Python callers use of this package: read a picture, fill its holes, enlarge it, write it.

    >>> import restore
    >>> document = restore.read("wall.dds")
    >>> larger = restore.enlarge(document, "x4plus", name="wall.dds")
    >>> restore.write(larger, "wall.png")

    >>> holes = document.first.pixels[..., 0] > 250                        # (H, W) bool, True = missing
    >>> restore.write(restore.fill(document, holes), "wall.png")

The same steps as `restore upscale` and `restore inpaint` take for one file, with the same policy, without a plan or a
journal.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.formats import FORMATS, SUFFIXES, Decoder, encode
from restore.image import Arrangement, Document
from restore.recipe import ColorFix, Grain, Inpaint, Precision, TraitRules, Upscale, Wrap

if TYPE_CHECKING:
    from restore.models import Model
    from restore.models.inpainting import InpaintModel

_GPU_BATCH_PX = 1 << 18


def read(path: str | os.PathLike[str]) -> Document:
    """All pages of a picture file, straight alpha, in the file's own number type.

    The file is decoded in a limited child process.  Raises ImageError, which names the file.
    """
    with Decoder() as decoder:
        return decoder.read(Path(path))


def write(document: Document, path: str | os.PathLike[str], format: str | None = None) -> None:  # noqa: A002
    """Writes `document` to `path`, replacing what is there only once the whole file is on disk.

    `format` is a key of `restore.formats.FORMATS`; None: what the suffix says, or the document's own where it says
    nothing.  Raises ImageError where the format can't hold the document, with the way out, and OSError.
    """
    target = Path(path)
    chosen = format or SUFFIXES.get(target.suffix.lower(), document.first.stored.format)
    if chosen not in FORMATS:
        raise ImageError(f"{target}: there is no format {chosen!r}, but {', '.join(FORMATS)}")
    temporary = target.with_name(f".restore-{secrets.token_hex(8)}.tmp")
    try:
        with encode(document, chosen) as encoded, open(temporary, "xb") as file:
            shutil.copyfileobj(encoded, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except ImageError as error:
        raise ImageError(f"{target}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def enlarge(
    document: Document,
    model: str = "x4plus",
    *,
    name: str = "",
    scale: float | None = None,
    device: str = "auto",
    precision: Precision = Precision.AUTO,
    wrap: Wrap = Wrap.AUTO,
    color_fix: ColorFix = ColorFix.AUTO,
    keep_grain: float = Upscale.keep_grain,
) -> Document:
    """`document` at `scale` times its size (None: the model's own), everything else as `restore upscale` keeps it.

    `model`: a name from `restore models list`, or the path of a checkpoint; the one used last stays loaded.  `name`:
    the file's name, which helps to tell a normal map.  Raises ModelError, SetupError and ImageError.
    """
    from restore.halo import choose
    from restore.traits import classify
    from restore.upscale import Upscaler

    loaded = _loaded(model, device, precision)
    tiling = choose(loaded.ref.architecture, loaded.receptive_radius_px)
    step = Upscale(
        model=loaded.ref.name,
        model_sha256=loaded.ref.sha256,
        precision=loaded.precision,
        tile_px=tiling.tile_px,
        halo_px=tiling.halo_px,
        scale=scale,
        color_fix=color_fix,
        keep_grain=keep_grain,
    )
    # A cube's face goes on at its neighbours, not at its own other edge.
    rules = TraitRules(Wrap.NONE if document.arrangement is Arrangement.CUBE_STRIP else wrap)
    traits = tuple(classify(page, name, rules) for page in document.pages)
    return Upscaler(loaded, step, batch_px=1 if loaded.device == "cpu" else _GPU_BATCH_PX)(document, traits)


def fill(
    document: Document,
    holes: NDArray[np.bool_] | Sequence[NDArray[np.bool_] | None],
    model: str = "pconv",
    *,
    name: str = "",
    device: str = "auto",
    precision: Precision = Precision.AUTO,
    wrap: Wrap = Wrap.AUTO,
    context_px: int = Inpaint.context_px,
    grain: Grain = Grain.AUTO,
) -> Document:
    """`document` with its holes filled; every other pixel is the same number, bit for bit.

    `holes`: (H, W), True = missing, of the first page; or one a page, None for a page that has none.  They are taken as
    they are, not grown.  `model`: the shipped network, or the path of another; the one used last stays loaded.
    `name`: the file's, which helps to tell a normal map.  Raises ModelError, SetupError, and ImageError where the holes
    are of another size or nothing else is left.
    """
    from restore.inpaint import inpaint

    planes = [holes] if isinstance(holes, np.ndarray) else list(holes)
    if len(planes) > len(document.pages):
        raise ImageError(f"holes are given for {len(planes)} pages, the document has {len(document.pages)}")
    loaded = _filler(model, device, precision)
    wraps = Wrap.NONE if document.arrangement is Arrangement.CUBE_STRIP else wrap
    pages = list(document.pages)
    for number, plane in enumerate(planes):
        if plane is not None and plane.any():
            page = pages[number]
            pages[number] = inpaint(page, plane, loaded, name=name, wrap=wraps, context_px=context_px, grain=grain).page
    return Document(tuple(pages), document.arrangement)


@lru_cache(maxsize=1)
def _filler(name_or_path: str, device: str, precision: Precision) -> InpaintModel:
    from restore.device import resolve_device
    from restore.models.inpainting import load

    return load(name_or_path, resolve_device(device), precision)


@lru_cache(maxsize=1)
def _loaded(name_or_path: str, device: str, precision: Precision) -> Model:
    from restore.device import resolve_device
    from restore.models import load, resolve

    ref = resolve(name_or_path)  # first: a misspelt name is told at once, not after torch has loaded
    return load(ref, resolve_device(device), precision)
