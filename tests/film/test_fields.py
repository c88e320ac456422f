"""Fields: the cadence is told from the pictures, and film comes back as the frames that it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av", reason="video needs PyAV: pip install av")
from restore.errors import SetupError
from restore.film.fields import Cadence, Fields, Judgement, Method, judge, processed, settle, timeline
from restore.formats.video import Index, index, probe
from restore.formats.video_filter import filtered
from restore.formats.video_pixels import layout_of, planes_of
from restore.formats.video_read import Frame, frames
from tests.formats.video_files import av, moving, save_clip

LAYOUT = layout_of("yuv420p")
Luma = np.ndarray[Any, Any]


def as_frames(pictures: Sequence[Any]) -> list[Frame]:
    made = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, "rgb24") if isinstance(picture, np.ndarray) else picture
        planes = planes_of(frame.reformat(format="yuv420p"), LAYOUT)
        made.append(Frame(number, number, Fraction(1, 25), 1, planes, LAYOUT, False, False))
    return made


def woven(first: Luma, second: Luma, order: str) -> Luma:
    """A frame whose earlier field is of `first`."""
    frame = second.copy()
    start = 0 if order == "tff" else 1
    frame[start::2] = first[start::2]
    return frame


def telecined(film: Sequence[Frame], order: str = "tff") -> list[Frame]:
    first = "top" if order == "tff" else "bottom"
    chain = [f"telecine=first_field={first}:pattern=23"]
    return as_frames(list(filtered((one.planes for one in film), LAYOUT, chain)))


def with_grain(film: Sequence[Frame], sigma: float) -> list[Frame]:
    rng = np.random.default_rng(7)
    noisy = []
    for frame in film:
        luma = np.clip(frame.planes[0] + rng.normal(0, sigma, frame.planes[0].shape), 0, 255).astype(np.uint8)
        noisy.append(
            Frame(*(frame.number, frame.pts, frame.time_base, 1, (luma, *frame.planes[1:]), LAYOUT, False, False))
        )
    return noisy


def psnr(one: Frame, other: Frame) -> float:
    errors = [float(np.mean((a.astype(float) - b) ** 2)) for a, b in zip(one.planes, other.planes, strict=True)]
    return 10 * np.log10(255**2 / max(1e-9, float(np.mean(errors))))


def reader(film: Sequence[Frame]) -> Any:
    def read(start: int, stop: int) -> Iterator[Frame]:
        return iter(film[start:stop])

    return read


PICTURES = moving(80, 240, 320, speed=2.5)
FILM = as_frames(PICTURES)


def woven_frames(film: Sequence[Frame], order: str, step: int) -> list[Frame]:
    """Fields of film frame n * step and the next one, in every plane, as cameras and telecines weave them."""
    made = []
    for number in range((len(film) - 1) // step + (step == 2)):
        pair = film[number * step], film[number * step + 1]
        planes = tuple(woven(a, b, order) for a, b in zip(pair[0].planes, pair[1].planes, strict=True))
        made.append(replace(film[0], number=number, planes=planes))
    return made


SHIFTED = {order: woven_frames(FILM, order, 1)[:60] for order in ("tff", "bff")}
VIDEO = {order: woven_frames(FILM, order, 2) for order in ("tff", "bff")}


def test_whole_frames_are_progressive() -> None:
    assert judge(FILM).cadence is Cadence.PROGRESSIVE
    assert judge(with_grain(FILM, 6)).cadence is Cadence.PROGRESSIVE
    still = as_frames([PICTURES[0]] * 20)
    assert judge(still).cadence in (Cadence.STILL, Cadence.PROGRESSIVE)


@pytest.mark.parametrize("grain", [0, 4])
@pytest.mark.parametrize("order", ["tff", "bff"])
def test_telecine_pal_shift_and_interlace_are_told_apart_with_their_order(order: str, grain: float) -> None:
    """Grain is the film's: it is there before the fields are made."""
    film = with_grain(FILM, grain) if grain else FILM
    told = judge(telecined(film, order))
    assert (told.cadence, told.order) == (Cadence.TELECINE, order), told.because
    shifted = woven_frames(film, order, 1)
    told = judge(shifted)
    assert (told.cadence, told.order) == (Cadence.SHIFTED, order), told.because
    told = judge(VIDEO[order])
    assert (told.cadence, told.order) == (Cadence.INTERLACED, order), told.because


def test_the_judgement_survives_compression_and_lying_flags(tmp_path: Path) -> None:
    """MPEG-2 at DVD quality, flagged progressive."""
    for name, film, expected in (
        ("telecine", telecined(FILM), Cadence.TELECINE),
        ("video", VIDEO["tff"], Cadence.INTERLACED),
        ("shifted", SHIFTED["bff"], Cadence.SHIFTED),
        ("film", FILM, Cadence.PROGRESSIVE),
    ):
        pictures = [woven_back(frame) for frame in film]
        options = {"b": "3000000", "maxrate": "8000000", "bufsize": "1835008"}
        path = save_clip(tmp_path / f"{name}.mpg", pictures, "mpeg2video", options=options, field_order=1)
        told = judge(list(frames(probe(path))))
        assert told.cadence is expected, f"{name}: {told.because}"


def woven_back(frame: Frame) -> Any:
    from restore.formats.video_pixels import frame_of

    return frame_of(frame.planes, LAYOUT, "yuv420p")


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_telecined_film_comes_back_as_its_24_frames(order: str) -> None:
    tele = telecined(FILM, order)
    fields = settle([judge(tele)], "auto", len(tele))
    assert (fields.method, fields.frames) == (Method.IVTC, 80)
    back = list(processed(reader(tele), fields, 0, 80))
    assert [frame.number for frame in back] == list(range(80))
    assert min(psnr(a, b) for a, b in zip(back, FILM, strict=True)) > 60


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_pal_film_with_shifted_fields_gives_its_25_whole_frames(order: str) -> None:
    shifted = SHIFTED[order]
    fields = settle([judge(shifted)], "auto", 60)
    assert fields.method is Method.MATCH
    back = list(processed(reader(shifted), fields, 0, 60))
    assert len(back) == 60
    inner = [max(psnr(frame, FILM[frame.number + step]) for step in (0, 1)) for frame in back[1:-1]]
    assert min(inner) > 60, "not blended: every frame is one of the film's"


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_true_interlace_gives_fifty_frames_that_are_not_combed(order: str) -> None:
    video = VIDEO[order]
    fields = settle([judge(video)], "auto", 40)
    assert (fields.method, fields.frames, fields.rate_factor) == (Method.BOB, 80, 2)
    back = list(processed(reader(video), fields, 0, 80))
    quality = [psnr(a, b) for a, b in zip(back, FILM, strict=True)]
    assert np.median(quality) > 24, "half the lines of a rough texture had to be made"
    wrong = [psnr(a, b) for a, b in zip(back[1:], FILM, strict=False)]
    assert np.median(quality) > np.median(wrong) + 5, "each field at its own moment"
    assert judge(back).cadence is Cadence.PROGRESSIVE


@pytest.mark.parametrize("method", [Method.MATCH, Method.IVTC, Method.BOB, Method.NONE])
def test_any_range_gives_the_frames_of_the_whole(method: Method) -> None:
    film = {Method.MATCH: SHIFTED["tff"], Method.IVTC: telecined(FILM)[:98]}.get(method, VIDEO["tff"])
    fields = Fields(method, "tff", len(film), "")
    whole = list(processed(reader(film), fields, 0, fields.frames))
    assert [frame.number for frame in whole] == list(range(fields.frames))
    for start, stop in ((0, 1), (3, 9), (10, 30), (17, 18), (fields.frames - 3, fields.frames)):
        part = list(processed(reader(film), fields, start, stop))
        assert [frame.number for frame in part] == list(range(start, stop))
        for frame in part:
            assert all(np.array_equal(a, b) for a, b in zip(frame.planes, whole[frame.number].planes, strict=True))


@pytest.mark.parametrize("name", ["yuv422p10le", "yuv444p12le", "gray10le", "gbrp10le", "yuv420p16le"])
@pytest.mark.parametrize("method", [Method.MATCH, Method.IVTC, Method.BOB])
def test_deep_samples_stay_the_films_own(method: Method, name: str) -> None:
    """FFmpeg's fieldmatch takes 8 bits only: it only chooses."""
    deep = layout_of(name)
    rng = np.random.default_rng(3)

    def widened(frame: Frame) -> Frame:
        luma = frame.planes[0].astype(np.uint16) << (deep.bits - 8)
        planes = [luma | rng.integers(0, 1 << (deep.bits - 8), luma.shape).astype(np.uint16)]
        planes += [
            np.resize(plane, shape).astype(np.uint16)
            for plane, shape in zip(frame.planes[1:], deep.shapes(240, 320)[1:], strict=False)
        ]
        if name.startswith("gbr"):
            planes = [planes[0]] * 3
        return replace(frame, planes=tuple(planes), layout=deep)

    film = [widened(frame) for frame in FILM]
    made = woven_frames(film, "tff", 1)[:60]
    if method is Method.IVTC:
        made = []
        for first in range(0, 48, 4):
            a, b, c, d = film[first : first + 4]
            for one, two in ((a, a), (b, b), (b, c), (c, d), (d, d)):
                planes = tuple(woven(x, y, "tff") for x, y in zip(one.planes, two.planes, strict=True))
                made.append(replace(a, planes=planes))
        made = [replace(frame, number=number) for number, frame in enumerate(made)]
    fields = Fields(method, "tff", 60, "")
    back = list(processed(reader(made), fields, 0, fields.frames))
    assert all(frame.layout.bits == deep.bits and frame.planes[0].max() < 1 << deep.bits for frame in back)
    if method is not Method.BOB:
        same = [
            any(
                all(np.array_equal(a, b) for a, b in zip(frame.planes, film[frame.number + step].planes, strict=True))
                for step in (0, 1)
            )
            for frame in back[:-1]
        ]
        assert np.mean(same[1:]) == 1, "every sample of every frame"


def test_times_follow_the_frames() -> None:
    known = Index(np.arange(0, 98 * 40, 40), np.zeros(1, np.int64), np.zeros(1, np.int64), 40)
    shown, durations, divisor = timeline(Fields(Method.IVTC, "tff", 98, ""), known)
    assert (len(shown), divisor) == (79, 4)
    assert shown[:5].tolist() == [0, 200, 400, 600, 800]
    assert set(durations[:76].tolist()) == {200}
    assert (shown[-1] + durations[-1]) / divisor == 98 * 40
    shown, durations, divisor = timeline(Fields(Method.BOB, "tff", 98, ""), known)
    assert (len(shown), divisor, set(durations.tolist())) == (196, 2, {40})
    shown, durations, divisor = timeline(Fields(Method.MATCH, "tff", 98, ""), known)
    assert np.array_equal(shown, known.pts)
    assert divisor == 1


def test_wishes_are_followed_and_refusal_says_why() -> None:
    tele, plain = judge(telecined(FILM)), Judgement(0, 50, Cadence.PROGRESSIVE, "", "nothing is combed", 0.0)
    assert settle([plain], "auto", 50).method is Method.NONE
    assert settle([plain], "refuse", 50).method is Method.NONE
    assert settle([tele, plain], "auto", 150).method is Method.MATCH, "numbering must be one for the whole clip"
    assert settle([tele], "bob", 100).method is Method.BOB
    with pytest.raises(SetupError, match="comes in fields"):
        settle([tele], "refuse", 100)
    with pytest.raises(SetupError, match="choose auto"):
        settle([tele], "blend", 100)


def test_the_real_clips_are_progressive(shared_data: Path) -> None:
    folder = shared_data / "clips"
    if not folder.is_dir():
        pytest.skip(f"no clips in {folder}")
    for name in ("bigbuckbunny.mp4", "carphone_pristine.mp4"):
        clip = probe(folder / name)
        told = judge(list(frames(clip, 20, 60, index(clip))))
        assert told.cadence is Cadence.PROGRESSIVE, f"{name}: {told.because}"


def test_real_film_survives_telecine_and_back(shared_data: Path) -> None:
    folder = shared_data / "clips"
    if not folder.is_dir():
        pytest.skip(f"no clips in {folder}")
    film = list(frames(probe(folder / "bigbuckbunny.mp4"), 0, 60))
    tele = telecined(film)
    told = judge(tele)
    assert told.cadence is Cadence.TELECINE, told.because
    back = list(processed(reader(tele), settle([told], "auto", len(tele)), 0, 60))
    exact = sum(psnr(a, b) > 60 for a, b in zip(back, film, strict=True))
    assert exact >= 57, f"{exact} of 60 frames are the film's own"
