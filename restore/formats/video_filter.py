"""Owns FFmpeg's filters over decoded frames: planes in, pictures out, one at a time.

Some filters take 8 bits only.  Where such a filter merely chooses (which fields belong together, which frame repeats),
`choices` asks it on 8-bit luma and reads off what it chose, so that the film's own samples are never converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.formats import pyav
from restore.formats.video_pixels import Layout, Planes, frame_of, layout_of

_RATE = Fraction(25)
"""Frames are numbered, whatever their own times."""
_TAGS = 200
"""More than any filter looks ahead or back."""


@dataclass(frozen=True)
class Choice:
    """One picture of a choosing filter's result, as numbers of the frames that came in."""

    top: int
    """Whose even rows."""
    bottom: int
    """Whose odd rows."""
    combed: bool
    """The filter found no pair of fields that fits."""


def filtered(planes: Iterable[Planes], layout: Layout, chain: Sequence[str]) -> Iterator[Any]:
    """av.VideoFrames after `chain` ("idet", "bwdif=deint=all"), in the layout's planar format.

    ImageError when a filter can't take the format: FFmpeg would convert it unasked.
    """
    av = pyav.load()
    graph: Any = None
    with pyav.refusing("the frames", f"FFmpeg's filters {', '.join(chain)} refuse them"):
        for number, one in enumerate(planes):
            frame = _numbered(frame_of(one, layout, layout.planar_name), number)
            if graph is None:
                graph = _graph(frame, chain, inputs=1)
            graph.vpush(frame)
            yield from _checked(_ready(av, graph), layout, chain)
        if graph is not None:
            graph.vpush(None)
            yield from _checked(_ready(av, graph), layout, chain)


def choices(luma: Iterable[NDArray[np.uint8]], choosing: str) -> Iterator[Choice]:
    """What `choosing` ("fieldmatch=order=tff", "decimate=cycle=5") makes of these (H, W) pictures, in order.

    The filter judges by them, but is given pictures to put out in which every frame has one value, its number.
    """
    av = pyav.load()
    layout = layout_of("yuv420p")
    name, _, arguments = choosing.partition("=")
    graph: Any = None
    pushed = told = near = 0
    with pyav.refusing("the frames", f"FFmpeg's {name} refuses them"):
        for picture, is_last in _with_last(luma, again=name == "fieldmatch"):
            chroma = (np.full(layout.shapes(*picture.shape)[1], 128, np.uint8),) * 2
            tag = np.full(picture.shape, pushed % _TAGS, np.uint8)
            pair = [_numbered(frame_of((plane, *chroma), layout, "yuv420p"), pushed) for plane in (picture, tag)]
            if graph is None:
                graph = _graph(pair[0], [f"{name}={arguments}:ppsrc=1"], inputs=2)
            for place, frame in enumerate(pair):
                graph.vpush(frame, place)
            pushed += not is_last
            for made in _ready(av, graph):
                choice = _choice(made, near)
                near = choice.top
                told += 1
                yield choice
        if graph is None:
            return
        graph.vpush(None, 0)
        graph.vpush(None, 1)
        for made in _ready(av, graph):
            if name == "fieldmatch" and told >= pushed:
                return
            choice = _choice(made, near)
            near = choice.top
            told += 1
            yield choice


def _with_last(luma: Iterable[NDArray[np.uint8]], *, again: bool) -> Iterator[tuple[NDArray[np.uint8], bool]]:
    """(picture, whether it is only a repetition): with two inputs, fieldmatch forgets its last frame."""
    picture = None
    for picture in luma:
        yield picture, False
    if again and picture is not None:
        yield picture, True


def _choice(made: Any, near: int) -> Choice:
    plane = made.planes[0]
    column = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size : plane.line_size]
    return Choice(_untagged(int(column[0]), near), _untagged(int(column[1]), near), bool(made.interlaced_frame))


def _untagged(tag: int, near: int) -> int:
    return near + (tag - near + _TAGS // 2) % _TAGS - _TAGS // 2


def _numbered(frame: Any, number: int) -> Any:
    frame.pts, frame.time_base = number, 1 / _RATE
    return frame


def _ready(av: Any, graph: Any) -> Iterator[Any]:
    while True:
        try:
            frame = graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield frame


def _checked(pictures: Iterator[Any], layout: Layout, chain: Sequence[str]) -> Iterator[Any]:
    for picture in pictures:
        if picture.format.name != layout.planar_name:
            raise ImageError(f"{', '.join(chain)} would turn {layout.planar_name} into {picture.format.name}")
        yield picture


def _graph(frame: Any, chain: Sequence[str], *, inputs: int) -> Any:
    av = pyav.load()
    graph = av.filter.Graph()
    graph.threads = 1  # other work runs beside
    buffers = [
        graph.add(
            "buffer",
            f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:pixel_aspect=1/1"
            f":time_base={_RATE.denominator}/{_RATE.numerator}:frame_rate={_RATE.numerator}/{_RATE.denominator}",
        )
        for _ in range(inputs)
    ]
    last = buffers[0]
    for link in (*chain, "buffersink"):
        name, _, arguments = link.partition("=")
        step = graph.add(name, arguments or None)
        last.link_to(step)
        if last is buffers[0] and inputs == 2:
            buffers[1].link_to(step, 0, 1)
        last = step
    graph.configure()
    return graph
