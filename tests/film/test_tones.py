"""Claims about log and linear frames: looked at as a display shows them, and back to the very codes."""

from __future__ import annotations

import numpy as np

from restore.film.settings import InputColour
from restore.film.tones import Tones


def test_every_log_code_comes_back() -> None:
    codes = (np.arange(1024, dtype=np.uint32) * 65535 + 511) // 1023
    frame = codes.astype(np.uint16).reshape(1, -1, 1)
    tones = Tones(InputColour.CINEON)
    again = tones.stored(tones.shown(frame), frame)
    assert np.abs(again.astype(int) - frame).max() <= 1


def test_log_black_and_white_are_where_a_display_has_them() -> None:
    frame = np.array([95, 445, 685, 1023], np.float64) / 1023 * 65535
    shown = Tones(InputColour.CINEON).shown(np.rint(frame).astype(np.uint16).reshape(1, -1, 1))[0, :, 0]
    assert abs(shown[0]) < 0.01
    assert 0.3 < shown[1] < 0.5
    assert 0.65 < shown[2] < 0.85
    assert abs(shown[3] - 1) < 0.01
    assert (np.diff(shown) > 0).all()


def test_light_beyond_white_and_below_black_comes_back() -> None:
    light = np.concatenate([np.linspace(-0.5, 1, 200), np.geomspace(1, 30, 200)]).astype(np.float32).reshape(1, -1, 1)
    tones = Tones(InputColour.LINEAR)
    shown = tones.shown(light)
    assert (np.diff(shown[0, :, 0]) >= 0).all()
    assert np.abs(tones.stored(shown, light) - light).max() < 1e-3


def test_display_encoded_frames_are_looked_at_as_they_are() -> None:
    frame = np.zeros((2, 2, 3), np.uint16)
    assert Tones(InputColour.REC709).shown(frame) is frame
