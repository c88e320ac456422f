"""Owns how restored film is encoded: which encoder, pixel format and container, and every setting that decides bytes.

An encoder runs with one thread and fixed settings, so a segment's bytes depend on its frames and this alone: not on the
machine's cores, nor on who encodes its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from types import MappingProxyType
from typing import Any

from restore.errors import ImageError, SetupError
from restore.formats import pyav
from restore.formats.video import FIELD_ORDERS, Clip, Colour
from restore.formats.video_pixels import Family, Layout, layout_of

GOP_S = 2.0
"""Longest distance of key frames, in seconds, for encoders that predict from other frames."""


@dataclass(frozen=True)
class Encoder:
    """One of FFmpeg's encoders, and how it is asked for the best that its codec is used for."""

    name: str
    lossless: bool
    intra: bool
    """Every frame is a key frame."""
    options: tuple[tuple[str, str], ...] = ()
    quality: str = ""
    """The option that `--quality` sets; "" where there is none."""
    containers: tuple[str, ...] = ("matroska", "mov", "mp4")
    """First one: where nobody asks for another."""
    limited_only: bool = False
    """It has no way to say that Y'CbCr is full range."""


_X265 = "log-level=none:open-gop=0:frame-threads=1:pools=none:info=0"

_LEAST_SLICED_PX = 8
"""Smaller frames, their halved chroma included, can't be divided by FFV1."""

ENCODERS: Mapping[str, Encoder] = MappingProxyType(
    {
        "ffv1": Encoder(
            "ffv1",
            True,
            True,
            (("level", "3"), ("slices", "16"), ("slicecrc", "1"), ("coder", "1"), ("context", "0")),
            containers=("matroska",),
        ),
        "prores": Encoder("prores_ks", False, True, (("vendor", "apl0"),), "", ("mov", "matroska"), True),
        "x264": Encoder("libx264", False, False, (("preset", "medium"), ("crf", "14")), "crf"),
        "x265": Encoder("libx265", False, False, (("preset", "medium"), ("crf", "16"), ("x265-params", _X265)), "crf"),
        "av1": Encoder(
            "libsvtav1",
            False,
            False,
            (("preset", "6"), ("crf", "18"), ("svtav1-params", "lp=1:scd=0")),
            "crf",
            ("matroska", "mp4"),
        ),
        "v210": Encoder("v210", True, True, (), "", ("mov", "matroska"), True),
        "mjpeg": Encoder("mjpeg", False, True, (("qmin", "1"), ("qmax", "2"), ("strict", "-1"))),
        "mpeg2": Encoder(
            "mpeg2video",
            False,
            False,
            (("qmin", "1"), ("qmax", "3"), ("b", "80000000"), ("sc_threshold", "1000000000")),
            limited_only=True,
        ),
    }
)
"""What `--codec` may say, and what same-family finds."""

_FAMILIES: Mapping[str, str] = MappingProxyType(
    {"h264": "x264", "hevc": "x265", "mpeg2video": "mpeg2", "mpeg1video": "mpeg2"}
    | {name: name for name in ("ffv1", "prores", "av1", "v210", "mjpeg")}
    | dict.fromkeys(("huffyuv", "ffvhuff", "utvideo", "magicyuv", "rawvideo", "png", "qtrle", "lagarith"), "ffv1")
)
"""The source's codec, as FFmpeg calls it -> what same-family writes: one lossless codec for all of them."""

CONTAINER_OF = MappingProxyType({".mkv": "matroska", ".mov": "mov", ".mp4": "mp4", ".m4v": "mp4"})
SUFFIX_OF = MappingProxyType({"matroska": ".mkv", "mov": ".mov", "mp4": ".mp4"})


@dataclass(frozen=True)
class Encoding:
    """Everything that decides the bytes of a segment, given its frames."""

    codec: str
    encoder: str
    container: str
    width: int
    height: int
    source: Layout
    """Of the planes that come in."""
    source_full_range: bool
    pixel_format: str
    """That the encoder gets."""
    options: tuple[tuple[str, str], ...]
    gop_frames: int
    lossless: bool
    rate: Fraction
    colour: Colour
    sample_aspect: Fraction
    field_order: int
    """Index of FIELD_ORDERS."""
    notes: tuple[str, ...] = ()

    @property
    def converts(self) -> bool:
        """Whether the encoder gets other samples than the film has."""
        target = layout_of(self.pixel_format)
        other_range = target.family is Family.YUV and self.source_full_range != (self.colour.range == 2)
        return target.planar_name != self.source.planar_name or other_range

    @property
    def exact(self) -> bool:
        """Whether decoding the result gives the very samples that were encoded: then untouched can be proven."""
        return self.lossless and not self.converts


def choose(
    codec: str,
    clip: Clip,
    suffix: str = "",
    *,
    size: tuple[int, int] | None = None,
    layout: Layout | None = None,
    progressive: bool = False,
    rate: Fraction | None = None,
    quality: int | None = None,
    least_loss: bool = False,
) -> Encoding:
    """How the result of `clip` is encoded; depth, chroma and colour tags are at least the source's.

    `codec`: a key of ENCODERS or "same-family".  `suffix` (".mkv") picks the container; "" takes the codec's usual one.
    `size` (width, height), `layout` (of the frames to come) and `rate` are given where processing changes them;
    `progressive` says that fields were made whole.  `least_loss`: where a lossy codec holds less than the frames have,
    its best is taken, and a note says so.  SetupError says what can't be written, and what can.
    """
    key = _FAMILIES.get(clip.codec, "") if codec == "same-family" else codec
    if key not in ENCODERS:
        what = (
            f"{clip.path}: a {clip.codec} source has no encoder here" if codec == "same-family" else f"--codec {codec}"
        )
        raise SetupError(f"{what}: choose one of {', '.join(ENCODERS)}")
    encoder = ENCODERS[key]
    container = CONTAINER_OF.get(suffix.lower(), "") if suffix else encoder.containers[0]
    if container not in encoder.containers:
        kinds = " or ".join(SUFFIX_OF[name] for name in encoder.containers)
        raise SetupError(f"{key} can't be written to {suffix or 'that'}: name the output {kinds}")
    width, height = size or (clip.width, clip.height)
    source = layout or clip.layout
    pixel_format = _pixel_format(key, encoder, source, least_loss=least_loss)
    target = layout_of(pixel_format)
    if (width % (1 << target.halvings[0]) or height % (1 << target.halvings[1])) and not encoder.lossless:
        raise SetupError(f"{key} needs even sides for {pixel_format}, not {width} x {height}: take --codec ffv1")
    frame_rate = rate or clip.rate
    options = dict(encoder.options)
    if "slices" in options and min(width, height) < _LEAST_SLICED_PX:
        options["slices"] = "1"
    if key == "prores":
        options["profile"] = "4444" if target.halvings == (0, 0) or target.alpha else "hq"
    if quality is not None:
        if not encoder.quality:
            raise SetupError(f"--quality means nothing for {key}: leave it out")
        options[encoder.quality] = str(quality)
    notes = [] if encoder.lossless else [f"{key} is lossy: that untouched samples stayed can't be proven"]
    if container == "matroska" and (clip.time_base * 1000).denominator != 1:
        notes.append("Matroska keeps times to the millisecond")
    encoding = Encoding(
        codec=key,
        encoder=encoder.name,
        container=container,
        width=width,
        height=height,
        source=source,
        source_full_range=clip.full_range or source.full_range,
        pixel_format=pixel_format,
        options=tuple(options.items()),
        gop_frames=1 if encoder.intra else max(1, ceil(GOP_S * frame_rate)),
        lossless=encoder.lossless,
        rate=frame_rate,
        colour=_colour(clip, source, target, height, limited_only=encoder.limited_only),
        sample_aspect=clip.sample_aspect,
        field_order=1 if progressive else FIELD_ORDERS.index(clip.field_order),
        notes=tuple(notes),
    )
    if encoding.converts:
        whole = _cost(source, target, lossless=encoder.lossless) is not None
        into = f"{source.name} goes into {pixel_format}, {'which holds all of it' if whole else f'the most of {key}'}"
        return replace(encoding, notes=(*notes, into))
    return encoding


def settle(context: Any, encoding: Encoding) -> None:
    """Gives an encoder's context (or a stream's) all settings; the same ones whoever encodes."""
    av = pyav.load()
    flags = av.codec.context.Flags
    context.width, context.height, context.pix_fmt = encoding.width, encoding.height, encoding.pixel_format
    context.framerate = encoding.rate
    context.time_base = 1 / encoding.rate
    context.gop_size = encoding.gop_frames
    context.thread_count = 1
    context.thread_type = "NONE"
    context.sample_aspect_ratio = encoding.sample_aspect
    context.field_order = encoding.field_order
    context.color_primaries = encoding.colour.primaries
    context.color_trc = encoding.colour.transfer
    context.colorspace = encoding.colour.matrix
    context.color_range = encoding.colour.range
    context.flags |= int(flags.bitexact) | int(flags.global_header)
    if encoding.gop_frames > 1:
        context.flags |= int(flags.closed_gop)
    if encoding.field_order > 1 and encoding.encoder in ("prores_ks", "libx264", "mpeg2video"):
        context.flags |= int(flags.interlaced_dct)
    context.options = dict(encoding.options)


def _pixel_format(key: str, encoder: Encoder, source: Layout, *, least_loss: bool) -> str:
    """The smallest format of the encoder that holds `source`; else, with `least_loss`, the one that holds most."""
    av = pyav.load()
    formats = av.Codec(encoder.name, "w").video_formats
    names = [form.name for form in formats] if formats else [source.planar_name]
    best: tuple[tuple[int, ...], str] | None = None
    most: tuple[tuple[int, ...], str] | None = None
    for name in names:
        try:
            target = layout_of(name)
        except ImageError:
            continue
        plain = name in (target.planar_name, "bgr0", "bgra") and not target.full_range
        cost = _cost(source, target, lossless=encoder.lossless)
        if plain and cost is not None and (best is None or (cost, name) < best):
            best = cost, name
        if plain and target.family is not Family.GREY and not encoder.lossless:
            held = (source.alpha and not target.alpha, sum(target.halvings), -target.bits, target.alpha)
            most = min(most or (held, name), (held, name))
    best = best or (most if least_loss else None)
    if best is None:
        raise SetupError(
            f"{key} has no pixel format that holds {source.name} ({source.bits} bits"
            f"{', alpha' if source.alpha else ''}): take --codec ffv1"
        )
    return best[1]


def _cost(source: Layout, target: Layout, *, lossless: bool) -> tuple[int, ...] | None:
    """What the target has beyond the source; None when it has less."""
    other_family = source.family is not target.family
    if other_family and (lossless or target.family is not Family.YUV):
        return None
    if other_family and source.family is Family.RGB and target.bits < min(10, source.bits + 2):
        return None  # Y'CbCr spends two bits on colours that R'G'B' doesn't have
    lost_chroma = any(b > a for a, b in zip(source.halvings, target.halvings, strict=True))
    if target.bits < source.bits or (source.alpha and not target.alpha):
        return None
    if lost_chroma and source.family is not Family.GREY:
        return None
    extra = sum(source.halvings) - sum(target.halvings) if source.family is Family.YUV else -sum(target.halvings)
    return (int(other_family), target.bits - source.bits, int(target.alpha) - int(source.alpha), extra)


def _colour(clip: Clip, source: Layout, target: Layout, height: int, *, limited_only: bool) -> Colour:
    colour = clip.colour
    if source.family is not target.family:
        return Colour(colour.primaries, colour.transfer, 6 if height <= 576 else 1, 1)
    if source.family is Family.GREY:  # said aloud: encoders take an untagged grey for limited, readers for full
        return replace(colour, range=2 if clip.full_range else 1)
    if source.family is Family.RGB:
        return colour
    full = (clip.full_range or source.full_range) and not limited_only
    spoken = 1 if limited_only or colour.range == 2 else colour.range
    return Colour(colour.primaries, colour.transfer, colour.matrix, 2 if full else spoken)
