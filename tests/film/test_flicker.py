"""Claims about flicker: it goes, the scene's own light stays, and memory is bounded."""

from __future__ import annotations

import numpy as np
from moving import pan

from restore.film.flicker import FlickerLaw, curve_of, even_shot, evened
from restore.film.planted import Planting, plant

LAW = FlickerLaw(sigma_frames=8)


def means(frames: list[np.ndarray]) -> np.ndarray:
    return np.array([float(frame.mean()) for frame in frames])


def test_flicker_over_a_moving_scene_loses_four_fifths_of_its_variance_without_drift() -> None:
    clean = pan(48)
    damaged = [one.frame for one in plant(clean, Planting(flicker=0.05), [], seed=6)]
    result = list(even_shot(((frame, None) for frame in damaged), LAW))
    assert len(result) == len(clean)
    before, after = means(damaged) - means(clean), means(result) - means(clean)
    assert np.diff(after).var() < 0.2 * np.diff(before).var()
    assert after.var() < 0.2 * before.var()
    assert abs(after[-8:].mean() - before.mean()) < 0.02


def test_a_steady_shot_stays_what_it_is() -> None:
    frames = [np.rint(frame * 65535).astype(np.uint16) for frame in pan(1) * 12]
    for frame, result in zip(frames, even_shot(((f, None) for f in frames), LAW), strict=True):
        assert result.dtype == np.uint16
        assert np.abs(frame.astype(int) - result).max() <= 40


def test_a_slow_change_of_light_that_was_meant_stays() -> None:
    still = pan(1)[0]
    light = np.linspace(0.6, 1.0, 60, dtype=np.float32)
    result = means(list(even_shot(((still * gain, None) for gain in light), FlickerLaw(sigma_frames=6))))
    assert np.allclose(result[20:40], means([still * gain for gain in light])[20:40], atol=0.01)


def test_dirt_does_not_count() -> None:
    frame = pan(1)[0]
    holes = np.zeros(frame.shape[:2], bool)
    holes[:40] = True
    dirty = frame.copy()
    dirty[holes] = 1.0
    assert np.allclose(curve_of(dirty, holes), curve_of(frame[40:]), atol=1e-9)
    assert not np.allclose(curve_of(dirty), curve_of(frame[40:]), atol=0.01)


def test_tones_keep_their_order() -> None:
    a, b = pan(2, grain=0.0)[0] * 0.5, pan(2)[1]
    ramp = np.linspace(0, 1, 4000, dtype=np.float32).reshape(1, -1, 1).repeat(3, 2)
    mapped = evened(ramp, curve_of(a), curve_of(b))
    assert (np.diff(mapped[0, :, 0]) >= -1e-6).all()


def test_frames_are_given_as_soon_as_their_window_is_there() -> None:
    read = []

    def frames():
        for frame in pan(1) * 80:
            read.append(1)
            yield frame, None

    stream = even_shot(frames(), FlickerLaw(sigma_frames=4))
    next(stream)
    assert len(read) == FlickerLaw(sigma_frames=4).reach_frames + 1
