"""Claims about grain for enlarged frames."""

from __future__ import annotations

import numpy as np
import pytest

from restore.film.grain import GrainCurve
from restore.film.regrain import regrained

CURVE = GrainCurve((0.01,) * 4 + (0.03,) * 4)


@pytest.mark.parametrize("channels", [1, 3])
def test_frames_have_the_sources_grain_at_each_brightness_and_no_two_the_same(channels: int) -> None:
    smooth = np.full((200, 240, channels), 0.2, np.float32)
    smooth[:, 120:] = 0.8
    one, other = (regrained(smooth, CURVE, 2.0, number) for number in (1, 2))
    assert np.array_equal(one, regrained(smooth, CURVE, 2.0, 1))
    assert not np.array_equal(one, other)
    for half, wanted in ((np.s_[:, :120], 0.01), (np.s_[:, 120:], 0.03)):
        added = (one - smooth)[half]
        assert float(added.std()) == pytest.approx(wanted, rel=0.1)
        assert abs(float(added.mean())) < 0.1 * wanted


def test_grain_is_as_coarse_as_that_of_the_source_enlarged() -> None:
    flat = np.full((200, 240, 1), 0.7, np.float32)
    across = []
    for scale in (1.0, 4.0):
        grain = (regrained(flat, CURVE, scale, 1) - flat)[..., 0]
        across.append(float((grain[:, 1:] * grain[:, :-1]).mean() / grain.var()))
    assert across[0] < 0.4
    assert across[1] > 0.8
