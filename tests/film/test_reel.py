"""One form for videos and sequences: numbers, verdicts, and repairs that touch nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest

from restore.errors import ImageError
from restore.film.fields import Cadence, judge, settle, timeline
from restore.film.native import Scan, changed, encoded, inexact, native_of, spliced, working_of
from restore.film.reel import Fault, FilmFrame, open_clip, open_sequence
from restore.film.segments import divide
from restore.formats import Decoder
from restore.formats.encoding import choose
from restore.formats.sequence import find
from restore.formats.video import index, probe
from restore.formats.video_join import join
from restore.formats.video_read import frames as video_frames
from restore.formats.video_write import encode_segment
from tests.formats.film_files import cineon_file, dpx_file
from tests.formats.video_files import moving, packets_of, save_clip

HEIGHT, WIDTH = 48, 64
PICTURES = moving(24, HEIGHT, WIDTH)
Make = Callable[[Path, int], None]


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(timeout_s=60) as one:
        yield one


def some_holes(seed: int = 1) -> np.ndarray[Any, Any]:
    holes = np.zeros((HEIGHT, WIDTH), bool)
    holes[10:14, 20:31] = holes[0, 0] = holes[-1, -1] = True
    holes |= np.random.default_rng(seed).random(holes.shape) < 0.005
    return holes


def dpx_frame(bits: int, packing: int, channels: int = 3, *, big: bool = True) -> Make:
    def make(path: Path, number: int) -> None:
        codes = np.random.default_rng(number).integers(0, 1 << bits, (HEIGHT, WIDTH, channels)).astype(np.uint16)
        path.write_bytes(dpx_file(codes, bits, packing, big=big, user=b"scanner".ljust(32, b"\0") + b"log"))

    return make


def cineon_frame(path: Path, number: int) -> None:
    path.write_bytes(cineon_file(np.random.default_rng(number).integers(0, 1024, (HEIGHT, WIDTH, 3)).astype(np.uint16)))


def oiio_frame(kind: str, channels: int = 3) -> Make:
    def make(path: Path, number: int) -> None:
        rng = np.random.default_rng(number)
        if kind in ("uint8", "uint16"):
            pixels = rng.integers(0, np.iinfo(kind).max + 1, (HEIGHT, WIDTH, channels)).astype(kind)
        else:
            pixels = rng.normal(0.5, 1, (HEIGHT, WIDTH, channels)).astype("float16" if kind == "half" else "float32")
            pixels[5, 5] = np.nan
            pixels[6, 6] = np.inf
            pixels[7, 7] = -2.5
        spec = OpenImageIO.ImageSpec(WIDTH, HEIGHT, channels, kind)
        spec.attribute("oiio:UnassociatedAlpha", 1)
        writer = OpenImageIO.ImageOutput.create(str(path))
        assert writer.open(str(path), spec), writer.geterror()
        assert writer.write_image(np.ascontiguousarray(pixels))
        writer.close()

    return make


SEQUENCES: dict[str, tuple[str, Make]] = {
    "10-bit DPX": (".dpx", dpx_frame(10, 1)),
    "10-bit little-endian DPX": (".dpx", dpx_frame(10, 1, big=False)),
    "12-bit packed DPX": (".dpx", dpx_frame(12, 0)),
    "16-bit RGBA DPX": (".dpx", dpx_frame(16, 0, 4)),
    "grey 10-bit DPX": (".dpx", dpx_frame(10, 2, 1)),
    "Cineon": (".cin", cineon_frame),
    "8-bit PNG": (".png", oiio_frame("uint8")),
    "16-bit TIFF": (".tif", oiio_frame("uint16")),
    "8-bit TGA with alpha": (".tga", oiio_frame("uint8", 4)),
    "half EXR": (".exr", oiio_frame("half")),
    "float EXR": (".exr", oiio_frame("float")),
}


def sequence_in(folder: Path, suffix: str, make: Make, numbers: tuple[int, ...] = (998, 999, 1000)) -> None:
    for number in numbers:
        make(folder / f"reel.{number}{suffix}", number)


@pytest.mark.parametrize("kind", SEQUENCES)
def test_a_repaired_frame_differs_from_its_file_in_the_holes_only(kind: str, tmp_path: Path, decoder: Decoder) -> None:
    suffix, make = SEQUENCES[kind]
    sequence_in(tmp_path, suffix, make)
    reel = open_sequence(find(tmp_path)[0], decoder)
    assert list(reel.numbers) == [998, 999, 1000]
    assert reel.size == (WIDTH, HEIGHT)
    holes = some_holes()
    for frame in reel.read(0, 3):
        assert isinstance(frame, FilmFrame), frame
        assert frame.working.dtype == (np.float32 if "EXR" in kind else np.uint16)
        fresh = np.full_like(frame.working, 0.25 if "EXR" in kind else 20000)
        result = spliced(frame.native, fresh, holes)
        assert not changed(frame.native, result)[~holes].any()
        assert changed(frame.native, result)[holes].mean() > 0.9
        path = tmp_path / f"out{suffix}"
        path.write_bytes(encoded(result).read())
        again = native_of(path, decoder)
        assert not changed(result, again).any(), "the file gives back what was put into it"
        assert np.abs(working_of(again)[holes].astype(float) - fresh[holes]).max() <= 130, "to a step of its depth"


@pytest.mark.parametrize("kind", SEQUENCES)
def test_without_a_repair_every_sample_stays(kind: str, tmp_path: Path, decoder: Decoder) -> None:
    suffix, make = SEQUENCES[kind]
    sequence_in(tmp_path, suffix, make, (7,))
    path = tmp_path / f"reel.7{suffix}"
    native = native_of(path, decoder)
    result = spliced(native, working_of(native), np.ones((HEIGHT, WIDTH), bool)) if "EXR" not in kind else native
    assert not changed(native, result).any(), "the working picture holds every code"
    again = tmp_path / f"again{suffix}"
    again.write_bytes(encoded(result).read())
    assert not changed(native, native_of(again, decoder)).any()
    if isinstance(native, Scan):
        assert again.read_bytes() == path.read_bytes(), "and a scan's file stays the same file"


def test_linear_light_survives_negative_values_infinities_and_nan(tmp_path: Path, decoder: Decoder) -> None:
    oiio_frame("half")(tmp_path / "reel.1.exr", 1)
    native = native_of(tmp_path / "reel.1.exr", decoder)
    working = working_of(native)
    assert np.isfinite(working).all(), "what repair computes on is finite"
    holes = some_holes()
    holes[4:9, 4:9] = False
    result = spliced(native, np.zeros_like(working), holes)
    (tmp_path / "out.exr").write_bytes(encoded(result).read())
    pixels = OpenImageIO.ImageInput.open(str(tmp_path / "out.exr")).read_image("half")
    assert np.isnan(pixels[5, 5].astype(np.float32)).all()
    assert np.isinf(pixels[6, 6].astype(np.float32)).all()
    assert (pixels[7, 7].astype(np.float32) == -2.5).all()


def test_frames_whose_format_cannot_return_every_pixel_are_told(tmp_path: Path, decoder: Decoder) -> None:
    def exr(name: str, channels: int, compression: str, alpha: float) -> Path:
        pixels = np.random.default_rng(1).random((HEIGHT, WIDTH, channels)).astype(np.float16)
        pixels[..., 3:] = alpha
        spec = OpenImageIO.ImageSpec(WIDTH, HEIGHT, channels, "half")
        spec.attribute("compression", compression)
        writer = OpenImageIO.ImageOutput.create(str(tmp_path / name))
        assert writer.open(str(tmp_path / name), spec)
        assert writer.write_image(pixels)
        writer.close()
        return tmp_path / name

    assert inexact(native_of(exr("a.exr", 3, "zip", 1), decoder)) == ""
    assert inexact(native_of(exr("b.exr", 4, "zip", 1), decoder)) == ""
    assert "partial alpha" in inexact(native_of(exr("c.exr", 4, "zip", 0.5), decoder))
    assert "dwaa" in inexact(native_of(exr("d.exr", 3, "dwaa:45", 1), decoder))
    oiio_frame("uint8")(tmp_path / "e.jpg", 1)
    assert "jpeg is lossy" in inexact(native_of(tmp_path / "e.jpg", decoder))
    dpx_frame(10, 1)(tmp_path / "f.dpx", 1)
    assert inexact(native_of(tmp_path / "f.dpx", decoder)) == ""


def test_missing_corrupt_and_odd_frames_get_a_verdict_and_the_rest_is_read(tmp_path: Path, decoder: Decoder) -> None:
    sequence_in(tmp_path, ".dpx", dpx_frame(10, 1), (1, 2, 4, 5, 6, 7))
    broken = tmp_path / "reel.4.dpx"
    broken.write_bytes(broken.read_bytes()[:3000])
    (tmp_path / "reel.6.dpx").write_bytes(dpx_file(np.zeros((5, 7, 3), np.uint16), 10, 1, big=True))
    reel = open_sequence(find(tmp_path)[0], decoder)
    assert "1 missing: 3" in reel.notes[0]
    items = list(reel.read(0, len(reel.numbers)))
    assert [item.number for item in items] == [1, 2, 3, 4, 5, 6, 7]
    faults = {item.number: item.reason for item in items if isinstance(item, Fault)}
    assert set(faults) == {3, 4, 6}
    assert "frame 3 is missing" in faults[3]
    assert "reel.4.dpx: truncated" in faults[4]
    assert "it is 7 x 5, but the sequence began as 64 x 48" in faults[6]


def test_a_sequence_without_one_readable_frame_is_refused(tmp_path: Path, decoder: Decoder) -> None:
    for number in (1, 2):
        (tmp_path / f"reel.{number}.dpx").write_bytes(b"SDPX")
    with pytest.raises(ImageError, match="none of its 2 frames can be read"):
        open_sequence(find(tmp_path)[0], decoder)


def test_channels_in_another_order_are_put_back_where_they_were(tmp_path: Path, decoder: Decoder) -> None:
    data = bytearray(
        dpx_file(np.random.default_rng(1).integers(0, 1024, (HEIGHT, WIDTH, 4)).astype(np.uint16), 10, 1, big=True)
    )
    data[800] = 52  # ABGR
    path = tmp_path / "reel.1.dpx"
    path.write_bytes(data)
    native = native_of(path, decoder)
    assert isinstance(native, Scan)
    working = working_of(native)
    assert np.array_equal(working[..., 0] >> 6, native.codes[..., 3])
    fresh = np.zeros_like(working)
    fresh[..., 0] = 65535
    result = spliced(native, fresh, some_holes())
    assert isinstance(result, Scan)
    assert np.array_equal(np.unique(result.codes[some_holes()][:, 1:], axis=0), [[0, 0, 1023]])
    assert np.array_equal(result.codes[..., 0], native.codes[..., 0]), "alpha stays"


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p10le", "gbrp12le", "gray16le", "yuv444p16le"])
def test_a_repaired_video_differs_from_its_source_in_the_holes_only(pixels: str, tmp_path: Path) -> None:
    """From file to file: read, repair, encode in segments, join, read again."""
    source = save_clip(
        tmp_path / "reel.mkv",
        PICTURES,
        "ffv1",
        pixels,
        audio_s=0.9,
        sample_aspect_ratio=Fraction(16, 15),
        **({"colorspace": 5} if pixels.startswith("yuv") else {}),
    )
    reel = open_clip(source)
    encoding = choose("ffv1", reel.clip)
    assert encoding.exact
    paths, natives = [], []
    for segment in divide(len(reel.numbers), 10):
        repaired = []
        for frame in reel.read(segment.start, segment.stop):
            assert isinstance(frame, FilmFrame)
            fresh = np.full_like(frame.working, 30000)
            repaired.append(spliced(frame.native, fresh, some_holes(frame.number)))
            natives.append((frame.native, repaired[-1]))
        paths.append(tmp_path / segment.name)
        with paths[-1].open("wb") as file:
            encode_segment((native.planes for native in repaired), encoding, file)  # type: ignore[union-attr]
    target = tmp_path / "out.mkv"
    times = np.array([reel.known.duration(number) for number in range(24)])
    join(paths, encoding, reel.clip, reel.known.pts, times, reel.clip.time_base, target)
    assert packets_of(target) == packets_of(source)
    for frame, (before, repaired_native) in zip(open_clip(target).read(0, 24), natives, strict=True):
        assert isinstance(frame, FilmFrame)
        assert not changed(frame.native, repaired_native).any(), "encoding loses nothing"
        holes = some_holes(frame.number)
        reach = np.kron(holes.reshape(24, 2, 32, 2).any((1, 3)), np.ones((2, 2), bool))  # of chroma, in whole samples
        reach |= np.roll(reach, -2, 1) | np.roll(reach, 2, 1)
        assert not changed(before, frame.native)[~reach].any()
        assert np.array_equal(frame.native.planes[0][~holes], before.planes[0][~holes]), "luma: the holes alone"  # type: ignore[union-attr]


def test_a_damaged_video_frame_is_marked_and_the_rest_is_read(tmp_path: Path) -> None:
    source = save_clip(tmp_path / "reel.mkv", PICTURES, "ffv1", options={"slicecrc": "1"})
    data = bytearray(source.read_bytes())
    for place in range(len(data) // 2, len(data) // 2 + 40):
        data[place] ^= 0x5A
    source.write_bytes(data)
    items = list(open_clip(source).read(0, 24))
    assert [item.number for item in items] == list(range(24))
    damaged = [item.number for item in items if isinstance(item, FilmFrame) and item.damage]
    assert len(damaged) == 1


def test_a_repair_of_another_shape_is_refused(tmp_path: Path) -> None:
    source = save_clip(tmp_path / "reel.mkv", PICTURES[:2], "ffv1")
    frame = next(open_clip(source).read(0, 1))
    assert isinstance(frame, FilmFrame)
    with pytest.raises(ValueError, match="is no repair of"):
        spliced(frame.native, frame.working[:-1], some_holes())
    with pytest.raises(ValueError, match="does not match"):
        spliced(frame.native, frame.working, some_holes()[:-1])


def test_telecined_film_is_written_as_film_with_its_sound_and_times(tmp_path: Path) -> None:
    """From a 30 fps file to a 24 fps one."""
    pictures = moving(40, 96, 128)
    made = []
    for first in range(0, 40, 4):
        a, b, c, d = pictures[first : first + 4]
        for one, two in ((a, a), (b, b), (b, c), (c, d), (d, d)):
            frame = two.copy()
            frame[0::2] = one[0::2]
            made.append(frame)
    source = save_clip(
        tmp_path / "tape.mkv", made, "ffv1", "yuv444p", rate=Fraction(30000, 1001), audio_s=1.6, field_order=2
    )
    reel = open_clip(source)
    told = judge(video_frames(reel.clip, known=reel.known))
    assert told.cadence is Cadence.TELECINE
    fields = settle([told], "auto", reel.known.frames)
    reel = open_clip(source, fields)
    assert len(reel.numbers) == 40
    encoding = choose("ffv1", reel.clip, rate=reel.clip.rate * fields.rate_factor, progressive=True)
    segments = []
    for segment in divide(40, 15):
        segments.append(tmp_path / segment.name)
        with segments[-1].open("wb") as file:
            natives = (frame.native for frame in reel.read(segment.start, segment.stop))  # type: ignore[union-attr]
            encode_segment((native.planes for native in natives), encoding, file)
    shown, lengths, divisor = timeline(fields, reel.known)
    target = tmp_path / "film.mkv"
    join(segments, encoding, reel.clip, shown, lengths, reel.clip.time_base / divisor, target)
    result = open_clip(target)
    assert result.known.frames == 40
    assert result.clip.field_order == "progressive"
    assert abs(float(result.clip.rate) - 23.976) < 0.05
    assert packets_of(target) == packets_of(source)
    seconds = result.known.pts * float(result.clip.time_base)
    assert np.abs(seconds - np.arange(40) * 1001 / 24000).max() < 0.003
    original = save_clip(tmp_path / "film-before.mkv", pictures, "ffv1", "yuv444p")
    for before, after in zip(video_frames(open_clip(original).clip), video_frames(result.clip), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(before.planes, after.planes, strict=True)), after.number


def test_a_real_clip_goes_through_code_for_code(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "clips"
    if not folder.is_dir():
        pytest.skip(f"no clips in {folder}")
    reel = open_clip(folder / "carphone_pristine.mp4")
    encoding = choose("ffv1", reel.clip)
    segment = tmp_path / "0.segment"
    with segment.open("wb") as file:
        count = encode_segment((f.native.planes for f in reel.read(0, 120)), encoding, file)  # type: ignore[union-attr]
    known = index(reel.clip)
    times = np.array([known.duration(number) for number in range(count)])
    target = tmp_path / "out.mkv"
    join([segment], encoding, reel.clip, known.pts, times, reel.clip.time_base, target)
    for before, after in zip(video_frames(reel.clip), video_frames(probe(target)), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(before.planes, after.planes, strict=True))
