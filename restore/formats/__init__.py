"""Owns bytes on disk: the only package that knows file formats.

catalogue   which formats there are, what each can hold
sniff       format by content
decoder     probe, read, check: the parent's side of the limited child
process     the child's life; wire: its messages; child: its loop; reading: what it does
encode      a document to a file's bytes
png tga bmp jpeg tiff webp pnm exr dds    one format each: what stands beside the pixels, and writing
tiff_grid tiff_strips dds_blocks dds_patch    changing pixels in a copy of a file
raster oiio pillow                        pixels through libraries
ifd exif alpha container shared           what several formats share

Film, which is imported by those who need it:

sequence    frames of a folder by their names
dpx cineon film_raster dpx_ycbcr          scans: headers, code values, changed pixels in a copy of the file
dpx_made timecode                         new DPX files; labels of frames
video video_read video_pixels             what a video says, its frames by number, its samples as planes
video_process video_child video_plain     the same in a limited child
encoding video_write packets video_join   segments that anybody may encode, and the film they are joined into
video_beside                              sound, subtitles and chapters, packet for packet
matroska video_filter pyav                the container's missing field, FFmpeg's filters, its import
"""

from restore.formats.catalogue import (
    FORMATS,
    SUFFIXES,
    Format,
    Header,
    PixelFacts,
    cannot_hold,
    facts_of,
    target_suffix,
    written_exactly,
)
from restore.formats.decoder import Decoder
from restore.formats.encode import encode, header_of, written_size
from restore.formats.sniff import sniff

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "Decoder",
    "Format",
    "Header",
    "PixelFacts",
    "cannot_hold",
    "encode",
    "facts_of",
    "header_of",
    "sniff",
    "target_suffix",
    "written_exactly",
    "written_size",
]
