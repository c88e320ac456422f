"""Owns the import of OpenImageIO and its settings: straight alpha, no threads of its own, errors as exceptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from restore.errors import ImageError, SetupError

_NOT_BUILT_IN = "compression support is not configured"
"""libtiff's words for LZMA, Zstandard and others that few builds have."""
_NAMES = {"uint8": "uint8", "uint16": "uint16", "float16": "half", "float32": "float"}


def load() -> ModuleType:
    """The module, or SetupError with the remedy where it or a library that it needs can't be loaded."""
    try:
        import OpenImageIO
    except ImportError as error:
        raise SetupError(
            f"OpenImageIO can't be loaded ({error}): run `pip install --force-reinstall OpenImageIO`;"
            " a named .so that is missing comes from the system's package manager"
        ) from error
    return OpenImageIO


@contextmanager
def opened(path: str, plugin: str) -> Iterator[Any]:
    """An open ImageInput whose pixels come as the file holds them: no premultiplying, no thread pool.

    Raises ImageError with the library's own words.
    """
    oiio = load()
    config = oiio.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)
    reader = oiio.ImageInput.open(path, config)
    if reader is None:
        raise ImageError(f"can't be read: {_words(oiio.geterror())}")
    try:
        if reader.format_name() != plugin:
            raise ImageError(f"can't be read: it begins like {plugin} but opens as {reader.format_name()}")
        yield reader
    finally:
        reader.close()


def refuse_errors(reader: Any) -> None:
    """Any error that a reader or writer holds fails the file: it returns pixels for a truncated JPEG."""
    if not reader.has_error:
        return
    words = _words(reader.geterror())
    if _NOT_BUILT_IN in words:
        raise ImageError(f"its compression can't be read by this build of OpenImageIO: convert it first ({words})")
    raise ImageError(f"damaged or truncated: {words}")


def make_spec(pixels: NDArray[Any], channels: tuple[str, ...], attributes: Mapping[str, Any]) -> Any:
    """ImageSpec for an (H, W, C) array; alpha is written as it stands, and nothing is dated or signed."""
    spec = load().ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], _NAMES[pixels.dtype.name])
    spec.channelnames = channels
    spec.alpha_channel = channels.index("A") if "A" in channels else -1
    spec.attribute("oiio:UnassociatedAlpha", 1)
    for name, value in attributes.items():
        spec.attribute(name, value)
    return spec


def create(plugin: str) -> Any:
    """An ImageOutput."""
    oiio = load()
    writer = oiio.ImageOutput.create(plugin)
    if writer is None:
        raise SetupError(f"this build of OpenImageIO can't write {plugin}: {_words(oiio.geterror())}")
    return writer


def require(done: bool, writer: Any) -> None:
    """Turns a writer's False into an ImageError."""
    if not done or writer.has_error:
        raise ImageError(f"can't be encoded: {_words(writer.geterror())}")


def _words(error: str) -> str:
    return " ".join(error.split())[:500] or "the library gives no reason"
