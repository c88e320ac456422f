"""Claims about enlarging film: steady in time, held frames once, and in the source's own form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from moving import pan
from reels import in_16_bits

from restore.errors import ModelError
from restore.film.enlarge import Enlarger
from restore.film.grain import GrainCurve
from restore.film.native import Sampled, Scan, native_of, resized, working_of
from restore.film.reel import FilmFrame, open_clip
from restore.film.settings import FilmGrain, FilmSettings, InputColour
from restore.film.tones import Tones
from restore.formats import Decoder
from restore.models import load, resolve
from restore.recipe import Precision, Upscale
from tests.formats.film_files import dpx_file
from tests.formats.video_files import moving, save_clip

MODEL = "animevideov3-x2"


@pytest.fixture(scope="module")
def settings() -> FilmSettings:
    try:
        ref = resolve(MODEL)
    except ModelError as error:
        pytest.skip(f"no weights: {error}")
    model = load(ref, "cpu", Precision.FP32)
    step = Upscale(ref.name, ref.sha256, model.precision, 96, 18)
    return FilmSettings(upscale=step, upscale_model=MODEL)


def test_static_parts_stay_static_and_held_frames_are_computed_once(settings: FilmSettings) -> None:
    frames = in_16_bits(pan(1, grain=0, size=(80, 100)))
    moved = frames[0].copy()
    moved[50:70, 60:90] = 65535 - moved[50:70, 60:90]
    enlarger = Enlarger(settings, Tones(InputColour.SRGB), "cpu")
    first = enlarger.picture(frames[0], 0)
    assert first.shape == (160, 200, 3)
    assert enlarger.picture(frames[0].copy(), 1) is first
    second = enlarger.picture(moved, 2)
    far = np.s_[:40, :60]
    assert np.array_equal(first[far], second[far])


def test_enlarged_frames_are_in_their_sources_form(tmp_path: Path) -> None:
    clip = save_clip(tmp_path / "a.mkv", moving(2, 48, 64), "ffv1", "yuv420p10le", colorspace=1)
    frame = next(open_clip(clip).read(0, 1))
    assert isinstance(frame, FilmFrame)
    large = frame.working.repeat(2, 0).repeat(2, 1)
    native = resized(frame.native, large)
    assert isinstance(native, Sampled)
    assert [plane.shape for plane in native.planes] == [(96, 128), (48, 64), (48, 64)]
    assert np.abs(working_of(native).astype(float) - large).mean() < 1500
    (tmp_path / "b.dpx").write_bytes(dpx_file(np.full((48, 64, 4), 300, np.uint16), 10, 1, big=True))
    with Decoder() as decoder:
        scan = native_of(tmp_path / "b.dpx", decoder)
    result = resized(scan, working_of(scan).repeat(2, 0).repeat(2, 1))
    assert isinstance(result, Scan)
    assert result.codes.shape == (96, 128, 4)
    assert (result.codes == 300).all()


def test_new_grain_is_as_strong_as_what_was_taken_out(settings: FilmSettings) -> None:
    (frame,) = in_16_bits(pan(1, grain=0, size=(80, 100)))
    enlarger = Enlarger(replace(settings, grain=FilmGrain.REGRAIN), Tones(InputColour.SRGB), "cpu")
    smooth = enlarger.picture(frame, 0, GrainCurve((0.0,) * 8)) / 65535
    again = Enlarger(replace(settings, grain=FilmGrain.REGRAIN), Tones(InputColour.SRGB), "cpu")
    grainy = again.picture(frame, 0, GrainCurve((0.03,) * 8)) / 65535
    assert float((grainy - smooth).std()) == pytest.approx(0.03, rel=0.1)
