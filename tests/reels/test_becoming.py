"""Claims about what frames are as a video, and about the file that says it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from in_process import film
from small_films import write_dpx

from restore.cli.film_options import Reading, Wishes
from restore.cli.film_report import FilmReport
from restore.errors import ImageError, SetupError
from restore.film.native import changed
from restore.film.reel import FilmFrame, open_clip
from restore.film.times import Times, steady, times_of
from restore.formats.video import Colour
from restore.reels import sidecar
from restore.reels.becoming import fps_of
from restore.reels.sidecar import Sidecar
from restore.reels.undo import undo_frame

KNOWN = Sidecar(
    of="reel.mov",
    frames="16-bit PNG frames",
    first=86400,
    times=Times(Fraction(1, 24000), 7, ((1001, 3), (2002, 1), (1001, 500))),
    rate=Fraction(24000, 1001),
    colour=Colour(1, 1, 0, 2),
    sample_aspect=Fraction(16, 15),
    field_order="progressive",
    timecode="01:00:00:00",
    tags={"title": "Ein Film, größer"},
    sound="reel.mka",
)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("24", Fraction(24)),
        ("23.976", Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("18", Fraction(18)),
        ("16.5", Fraction(33, 2)),
        ("30000/1001", Fraction(30000, 1001)),
    ],
)
def test_a_rate_is_what_people_mean_by_it(text: str, rate: Fraction) -> None:
    assert fps_of(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-24", "1/0", "film", "1e9", "nan"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(SetupError, match="--fps"):
        fps_of(text)


def test_times_are_few_numbers_and_come_back() -> None:
    shown, lengths = KNOWN.times.arrays()
    assert (KNOWN.times.frames, shown[0], shown[4], len(shown)) == (504, 7, 7 + 5 * 1001, 504)
    assert times_of(shown, lengths, KNOWN.times.time_base) == KNOWN.times
    shown, lengths = steady(3, Fraction(30000, 1001)).arrays()
    assert (shown.tolist(), lengths.tolist()) == ([0, 1, 2], [1, 1, 1])


def test_the_file_beside_frames_comes_back_or_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "reel.film.json"
    path.write_bytes(sidecar.to_bytes(KNOWN))
    assert sidecar.read(path) == KNOWN
    data = path.read_bytes()
    for bad in (b"", b"[]", data[:-9], data.replace(b'"film": 1', b'"film": 9'), data.replace(b"2002", b"-1")):
        path.write_bytes(bad)
        with pytest.raises(ImageError, match=r"reel\.film\.json.*give --fps"):
            sidecar.read(path)
    rng = np.random.default_rng(2)
    for _ in range(200):
        damaged = bytearray(data)
        damaged[rng.integers(len(damaged))] = rng.integers(32, 127)
        path.write_bytes(damaged)
        try:
            sidecar.read(path)
        except ImageError:
            continue


def test_a_repair_is_taken_back_from_a_video_made_of_frames(tmp_path: Path) -> None:
    scan, few = tmp_path / "scan", Reading(frames="997-1000")
    write_dpx(scan)
    _, _, state = film(scan, tmp_path / "out.mkv", Wishes(), few, segment_frames=2)
    film(scan, tmp_path / "plain.mkv", reading=few)

    def native(name: str, place: int) -> FilmFrame:
        (item,) = open_clip(tmp_path / name).read(place, place + 1)
        assert isinstance(item, FilmFrame)
        return item

    assert changed(native("out.mkv", 2).native, native("plain.mkv", 2).native).any()
    before = native("out.mkv", 1)
    undo_frame(state, 999, None, 0, FilmReport(as_json=False))
    assert not changed(native("out.mkv", 2).native, native("plain.mkv", 2).native).any()
    assert not changed(native("out.mkv", 1).native, before.native).any()
