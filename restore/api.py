"""Owns what Python callers use of this package: read a picture, enlarge it, write it.

    >>> import restore
    >>> document = restore.read("wall.dds")
    >>> larger = restore.enlarge(document, "x4plus", name="wall.dds")
    >>> restore.write(larger, "wall.png")

The same steps as `restore upscale` takes for one file, with the same policy, without a plan or a journal.
"""

from __future__ import annotations

import os
import secrets
import shutil
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from restore.errors import ImageError
from restore.formats import FORMATS, SUFFIXES, Decoder, encode
from restore.image import Arrangement, Document
from restore.recipe import ColorFix, Precision, TraitRules, Upscale, Wrap

if TYPE_CHECKING:
    from restore.models import Model

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


@lru_cache(maxsize=1)
def _loaded(name_or_path: str, device: str, precision: Precision) -> Model:
    from restore.device import resolve_device
    from restore.models import load, resolve

    ref = resolve(name_or_path)  # first: a misspelt name is told at once, not after torch has loaded
    return load(ref, resolve_device(device), precision)
