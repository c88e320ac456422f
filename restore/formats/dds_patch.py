"""Owns changing a DDS file in place: only blocks that a repair touches are made anew, every other byte is copied.

The further mip levels follow: their touched blocks get the area average of the repaired top level.  Source:
Microsoft's DDS_HEADER, DDS_PIXELFORMAT and DDS_HEADER_DXT10 documentation.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.formats.alpha import premultiplied
from restore.formats.dds_blocks import BLOCK_BYTES, ENCODERS
from restore.formats.shared import anonymous_file
from restore.image import Alpha, Document, Image

Touched = NDArray[np.bool_]

HEAD_BYTES = 148
_FOURCC_FLAG, _CUBE, _MIPS = 0x4, 0x200, 0x20000
_FOURCC = {
    b"DXT1": "BC1",
    b"DXT2": "BC2",
    b"DXT3": "BC2",
    b"DXT4": "BC3",
    b"DXT5": "BC3",
    b"ATI1": "BC4",
    b"BC4U": "BC4",
    b"ATI2": "BC5",
    b"BC5U": "BC5",
}
_DXGI = {
    **dict.fromkeys((70, 71, 72), "BC1"),
    **dict.fromkeys((73, 74, 75), "BC2"),
    **dict.fromkeys((76, 77, 78), "BC3"),
    **dict.fromkeys((79, 80), "BC4"),
    **dict.fromkeys((82, 83), "BC5"),
    **dict.fromkeys((97, 98, 99), "BC7"),
}
_DXGI_MASKS = {
    **dict.fromkeys((27, 28, 29), (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    **dict.fromkeys((87, 90, 91), (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    **dict.fromkeys((88, 92, 93), (0xFF0000, 0xFF00, 0xFF, 0)),
}
_WAY_OUT = "use --format png"


@dataclass(frozen=True)
class Layout:
    """Where the pixels of a DDS file lie."""

    kind: str
    """"BC1" ... "BC7", or "plain"."""
    width: int
    height: int
    faces: int
    mips: int
    start: int
    pixel_bytes: int = 0
    """Of a plain one."""
    masks: tuple[int, ...] = ()
    """Bits of red, green, blue, alpha in a plain pixel; 0: not there."""

    @property
    def block_px(self) -> int:
        """Side of what is made anew at least."""
        return 1 if self.kind == "plain" else 4

    def size(self, mip: int) -> tuple[int, int]:
        """(height, width) of a level in pixels."""
        return max(1, self.height >> mip), max(1, self.width >> mip)

    def level_bytes(self, mip: int) -> int:
        height, width = self.size(mip)
        if self.kind == "plain":
            return height * width * self.pixel_bytes
        return -(-height // 4) * -(-width // 4) * BLOCK_BYTES[self.kind]


def layout_of(head: bytes, size: int) -> Layout:
    """Of a file that starts with `head` (HEAD_BYTES of it) and has `size` bytes.  ImageError, with the way out, where
    its kind can't be changed in place."""
    if len(head) < 128 or head[:4] != b"DDS ":
        raise ImageError("it is no DDS file")
    height, width = struct.unpack_from("<II", head, 12)
    (mips,) = struct.unpack_from("<I", head, 28)
    flags, fourcc, bits, *masks = struct.unpack_from("<I4sI4I", head, 80)
    (caps,) = struct.unpack_from("<I", head, 112)
    faces, start, kind = (6 if caps & _CUBE else 1), 128, "plain"
    if flags & _FOURCC_FLAG and fourcc == b"DX10":
        code, _, misc = struct.unpack_from("<III", head, 128)
        start, faces = 148, (6 if misc & 4 else faces)
        if code in _DXGI:
            kind = _DXGI[code]
        elif code in _DXGI_MASKS:
            masks, bits = list(_DXGI_MASKS[code]), 32
        else:
            raise ImageError(f"DDS of this kind (DXGI format {code}) can't be written: {_WAY_OUT}")
    elif flags & _FOURCC_FLAG:
        if fourcc not in _FOURCC:
            raise ImageError(f"DDS of this kind ({fourcc!r}) can't be written: {_WAY_OUT}")
        kind = _FOURCC[fourcc]
    elif not flags & 0x40 or bits not in (24, 32):
        raise ImageError(f"uncompressed DDS of {bits} bits a pixel without three colours can't be written: {_WAY_OUT}")
    masks = [mask if i < 3 or flags & 1 or start == 148 else 0 for i, mask in enumerate(masks)]
    if kind == "plain" and any(mask not in (0, 0xFF, 0xFF00, 0xFF0000, 0xFF000000) for mask in masks):
        raise ImageError(f"uncompressed DDS whose channels aren't 8 whole bits can't be written: {_WAY_OUT}")
    layout = Layout(kind, width, height, faces, max(1, mips), start, bits // 8 if kind == "plain" else 0, tuple(masks))
    if start + faces * sum(layout.level_bytes(mip) for mip in range(layout.mips)) > size:
        raise ImageError(f"DDS whose rows are padded, or that is cut short, can't be written: {_WAY_OUT}")
    return layout


def widened(touched: Sequence[Touched], layout: Layout) -> tuple[Touched, ...]:
    """Which pixels may change: all of every block that holds a touched one."""
    return tuple(_widened(plane, layout.block_px) for plane in touched)


def patched(source: bytes, document: Document, touched: Sequence[Touched]) -> BinaryIO:
    """The bytes of `source` with `document`'s pixels where they are touched, positioned at 0.

    `document` is what decoding `source` gave, repaired; `touched` is (H, W) a page.  Raises ImageError.
    """
    layout = layout_of(source[:HEAD_BYTES], len(source))
    if len(document.pages) != layout.faces or document.first.pixels.dtype != np.uint8:
        raise ImageError(f"DDS of this kind can't be written: {_WAY_OUT}")
    data = np.frombuffer(source, np.uint8).copy()
    at = layout.start
    for page, plane in zip(document.pages, touched, strict=True):
        top, chosen = _rgba(page), plane
        for mip in range(layout.mips):
            length = layout.level_bytes(mip)
            if mip:
                top, chosen = _averaged(top, layout.size(mip)), _covered(plane, layout.size(mip))
            _write(data[at : at + length], top, chosen, layout)
            at += length
    file = anonymous_file()
    file.write(data.tobytes())
    file.flush()
    file.seek(0)
    return file


def _write(level: NDArray[np.uint8], pixels: NDArray[np.float64], touched: Touched, layout: Layout) -> None:
    """Makes the touched blocks, or pixels, of one level anew, in place."""
    height, width = touched.shape
    if layout.kind == "plain":
        places = level.reshape(height, width, layout.pixel_bytes)
        for channel, mask in enumerate(layout.masks):
            if mask:
                byte = (mask.bit_length() - 1) // 8
                places[..., byte][touched] = np.rint(pixels[..., channel][touched]).astype(np.uint8)
        return
    rows, columns = -(-height // 4), -(-width // 4)
    chosen = _blocks(_padded(touched[..., None], rows, columns)).any(axis=(1, 2))
    if not chosen.any():
        return
    blocks = level.reshape(rows * columns, BLOCK_BYTES[layout.kind])
    inner = _blocks(_padded(pixels, rows, columns))[chosen].astype(np.float64)
    blocks[chosen] = ENCODERS[layout.kind](inner, blocks[chosen])


def _rgba(page: Image) -> NDArray[np.float64]:
    """(H, W, 4), as the file stores it: premultiplied where it is, grey in all three colours."""
    pixels = page.pixels
    if page.stored.alpha is Alpha.PREMULTIPLIED and page.alpha_channel is not None:
        light = bool(page.stored.extras.get("light_without_alpha"))
        pixels = premultiplied(pixels, page.color_channels, page.alpha_channel, light)
    result = np.full((page.height, page.width, 4), 255.0)
    colour = page.color_channels
    result[..., :3] = pixels[..., list(colour) if len(colour) == 3 else [colour[0]] * 3]
    if page.alpha_channel is not None:
        result[..., 3] = pixels[..., page.alpha_channel]
    return result


def _averaged(pixels: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """A level from the one above it, each of its pixels the mean of those that it covers."""
    height, width = size
    down, across = max(1, pixels.shape[0] // height), max(1, pixels.shape[1] // width)
    whole = pixels[: height * down, : width * across]
    mean: NDArray[np.float64] = whole.reshape(height, down, width, across, 4).mean(axis=(1, 3))
    return mean


def _covered(touched: Touched, size: tuple[int, int]) -> Touched:
    """Which pixels of a smaller level show something touched."""
    result = np.zeros(size, np.bool_)
    y, x = np.nonzero(touched)
    rows = np.minimum(y * size[0] // touched.shape[0], size[0] - 1)
    columns = np.minimum(x * size[1] // touched.shape[1], size[1] - 1)
    result[rows, columns] = True
    return result


def _widened(plane: Touched, block_px: int) -> Touched:
    if block_px == 1:
        return plane
    rows, columns = (-(-side // block_px) for side in plane.shape)
    blocks = _blocks(_padded(plane[..., None], rows, columns)).any(axis=(1, 2)).reshape(rows, columns)
    wide = blocks.repeat(block_px, axis=0).repeat(block_px, axis=1)
    return wide[: plane.shape[0], : plane.shape[1]]


def _padded(pixels: NDArray[np.generic], rows: int, columns: int) -> NDArray[np.generic]:
    """Up to whole blocks, with the last row and column again."""
    beyond = ((0, 4 * rows - pixels.shape[0]), (0, 4 * columns - pixels.shape[1]), (0, 0))
    return np.pad(pixels, beyond, mode="edge")


def _blocks(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """(4 R, 4 S, C) -> (R S, 16, C)."""
    height, width, channels = pixels.shape
    cut = pixels.reshape(height // 4, 4, width // 4, 4, channels).swapaxes(1, 2)
    return cut.reshape(-1, 16, channels)
