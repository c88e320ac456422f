"""Owns the encoding of one segment: frames' planes in, a file of packets out (`packets`), memory bounded; and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from restore.errors import ImageError
from restore.formats import pyav
from restore.formats.encoding import Encoding, settle
from restore.formats.packets import Packet, Writer, head_of, packets_of
from restore.formats.video_pixels import Planes, frame_of, layout_of, planes_of


def encode_segment(planes: Iterable[Planes], encoding: Encoding, file: BinaryIO) -> int:
    """Encodes frames, in order of presentation, as one closed group that needs no other; returns how many.

    Planes are of `encoding.source`'s layout.  The file is written from its current position and flushed, not synced.
    ImageError when the encoder refuses.
    """
    av = pyav.load()
    with pyav.refusing("the encoded segment", f"{encoding.encoder} refuses"):
        context = av.CodecContext.create(encoding.encoder, "w")
        settle(context, encoding)
        context.open()
        writer = Writer(file, {"encoder": encoding.encoder, "extradata": (context.extradata or b"").hex()})
        count = 0
        for one in planes:
            if one[0].shape != (encoding.height, encoding.width):
                raise ImageError(f"frame {count} is {one[0].shape[1]} x {one[0].shape[0]}, not the film's size")
            frame = _as_frame(one, encoding)
            frame.pts, frame.time_base = count, 1 / encoding.rate
            frame.pict_type = 1 if count == 0 else 0  # the first is a key frame, the others as the encoder likes
            count += 1
            for packet in context.encode(frame):
                writer.add(Packet(packet.pts, packet.is_keyframe, bytes(packet)))
        for packet in context.encode(None):
            writer.add(Packet(packet.pts, packet.is_keyframe, bytes(packet)))
        writer.close()
    return count


def decode_segment(path: Path, encoding: Encoding) -> Iterator[Planes]:
    """What decoding a segment's file gives, in order of presentation: for encodings whose frames are key frames each.

    ImageError when the file was altered, or isn't what this encoding makes.
    """
    av = pyav.load()
    layout = layout_of(encoding.pixel_format)
    with pyav.refusing(str(path), "this segment can't be decoded"):
        context = av.CodecContext.create(av.Codec(encoding.encoder, "w").canonical_name, "r")
        context.thread_count = 1
        context.width, context.height, context.pix_fmt = encoding.width, encoding.height, encoding.pixel_format
        context.extradata = bytes.fromhex(head_of(path)["extradata"]) or None
        for packet in packets_of(path):
            for picture in context.decode(av.Packet(packet.data)):
                yield planes_of(picture, layout)
        for picture in context.decode(None):
            yield planes_of(picture, layout)


def _as_frame(planes: Planes, encoding: Encoding) -> Any:
    """The frame in the encoder's format, with the film's tags."""
    if not encoding.converts:
        frame = frame_of(planes, encoding.source, encoding.pixel_format)
    else:
        matrix = encoding.colour.matrix if encoding.colour.matrix != 2 else None
        frame = frame_of(planes, encoding.source, encoding.source.planar_name).reformat(
            format=encoding.pixel_format,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=2 if encoding.source_full_range else 1,
            dst_color_range=2 if encoding.colour.range == 2 else 1,
            interpolation="BICUBIC",
        )
    frame.color_primaries = encoding.colour.primaries
    frame.color_trc = encoding.colour.transfer
    frame.colorspace = encoding.colour.matrix
    frame.color_range = encoding.colour.range
    return frame
