"""The only door to native code: per op its schema, plain-torch reference, fake and gradient; the library loader.

masked_conv2d        convolution over known pixels only, and what U-Nets need around it
masked_conv2d_into   the same into a slice of a wider buffer, with residuals, for some blocks only
rrdb_forward         a whole RRDB network
"""

from __future__ import annotations

from restore.ops.blocks import active_blocks
from restore.ops.library import INTERFACE, LIBRARY, OLDEST_CUDA, CompiledLibrary, kernels
from restore.ops.masked_conv import masked_conv2d, masked_conv2d_into
from restore.ops.masked_conv_reference import masked_conv2d_reference
from restore.ops.rrdb import pack_rrdb, rrdb_forward
from restore.ops.rrdb_layout import PackedRrdb, RrdbShape
from restore.ops.tiles import gather_tiles, scatter_tiles

__all__ = [
    "INTERFACE",
    "LIBRARY",
    "OLDEST_CUDA",
    "CompiledLibrary",
    "PackedRrdb",
    "RrdbShape",
    "active_blocks",
    "gather_tiles",
    "kernels",
    "masked_conv2d",
    "masked_conv2d_into",
    "masked_conv2d_reference",
    "pack_rrdb",
    "rrdb_forward",
    "scatter_tiles",
]
