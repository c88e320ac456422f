"""Claims about log and linear frames: looked at as a display shows them, and back to the very codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restore.color import ocio
from restore.errors import SetupError
from restore.film.native import _scaled, _widened
from restore.film.settings import InputColour
from restore.film.tones import Tones, View

CURVES = [
    "ACEScc", "ACEScct", "ADX10", "Apple Log", "ARRI LogC3 (EI800)", "ARRI LogC4", "BMDFilm WideGamut Gen5",
    "DaVinci Intermediate WideGamut", "CanonLog2 CinemaGamut D55", "CanonLog3 CinemaGamut D55", "D-Log D-Gamut",
    "V-Log V-Gamut", "Log3G10 REDWideGamutRGB", "S-Log3 S-Gamut3", "S-Log3 Venice S-Gamut3.Cine",
    "Rec.1886 Rec.709 - Display", "Rec.2100-PQ - Display", "Rec.2100-HLG - Display", "ACEScg", "Linear P3-D65",
]  # fmt: skip
LIGHT = ["ACEScg", "ACES2065-1", "Linear ARRI Wide Gamut 4", "Linear Rec.709 (sRGB)"]


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


def space(name: str) -> ocio.Space:
    pytest.importorskip("PyOpenColorIO", reason="colour spaces by name need OpenColorIO: pip install opencolorio")
    return ocio.space_of(name, "ocio://studio-config-latest")


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_every_code_of_a_space_comes_back_exactly_beside_any_other(name: str, bits: int) -> None:
    top = (1 << bits) - 1
    codes = np.arange(top + 1, dtype=np.uint16)
    others = np.random.default_rng(bits).permutation(codes)
    stored = np.stack([codes, others, codes[::-1]], axis=-1)[None]
    frame = _widened(stored, top)
    tones = Tones(space(name))
    again = tones.stored(tones.shown(frame), frame)
    assert np.array_equal(again, frame)
    assert np.array_equal(_scaled(again, top), stored)


def test_film_density_of_16_bits_comes_back_as_far_as_the_config_tells_codes_apart() -> None:
    codes = np.arange(23_000, dtype=np.uint16).reshape(1, -1, 1)
    tones = Tones(space("ADX16"))
    assert np.array_equal(tones.stored(tones.shown(codes), codes), codes)


@pytest.mark.parametrize("name", LIGHT)
def test_every_half_of_a_linear_space_comes_back_negatives_and_highlights_too(name: str) -> None:
    halfs = np.arange(65536, dtype=np.uint16).view(np.float16)
    halfs = halfs[np.isfinite(halfs)]
    frame = halfs.astype(np.float32).reshape(1, -1, 1)
    tones = Tones(space(name))
    shown = tones.shown(frame)
    assert np.isfinite(shown).all()
    again = tones.stored(shown, frame)
    assert np.array_equal(again.astype(np.float16).ravel(), halfs)
    assert np.abs(again / np.where(frame == 0, 1, frame) - (frame != 0)).max() < 1e-5


@pytest.mark.parametrize("name", ["ACEScct", "ARRI LogC4", "S-Log3 S-Gamut3"])
def test_log_in_floats_comes_back_outside_0_to_1_too(name: str) -> None:
    frame = np.linspace(-0.3, 1.2, 20_001, dtype=np.float32).reshape(1, -1, 1)
    tones = Tones(space(name))
    shown = tones.shown(frame)
    assert (np.diff(shown[0, :, 0]) >= 0).all()
    assert np.abs(tones.stored(shown, frame) - frame).max() < 1e-5


@pytest.mark.parametrize("name", ["ACEScct", "ADX10", "ARRI LogC4", "S-Log3 S-Gamut3", "Rec.2100-PQ - Display"])
def test_middle_grey_is_shown_in_the_middle(name: str) -> None:
    codes = np.arange(65536, dtype=np.uint16)
    light = ocio.grey_light(space(name), codes / np.float32(65535))
    middle = np.abs(light - 0.18).argmin()
    shown = Tones(space(name)).shown(codes.reshape(1, -1, 1))[0, :, 0]
    assert 0.35 < shown[middle] < 0.5
    assert (np.diff(shown) >= 0).all()
    assert abs(shown[-1] - 1) < 1e-4


def test_a_space_of_a_display_is_looked_at_as_it_is() -> None:
    frame = np.zeros((2, 2, 3), np.uint16)
    assert Tones(space("Rec.1886 Rec.709 - Display")).shown(frame) is frame
    assert not Tones(space("Linear Rec.709 (sRGB)")).plain


def config(folder: Path, *table: float) -> ocio.Space:
    pytest.importorskip("PyOpenColorIO", reason="colour spaces by name need OpenColorIO: pip install opencolorio")
    rows = "\n".join(map(str, table))
    (folder / "a.spi1d").write_text(f"Version 1\nFrom 0 1\nLength {len(table)}\nComponents 1\n{{\n{rows}\n}}\n")
    (folder / "a.ocio").write_text(
        "ocio_profile_version: 2\nroles: {scene_linear: lin, default: lin}\n"
        "displays:\n  one:\n    - !<View> {name: Film, colorspace: lin}\n"
        "colorspaces:\n  - !<ColorSpace> {name: lin}\n"
        "  - !<ColorSpace> {name: film, to_scene_reference: !<FileTransform> {src: a.spi1d}}\n"
    )
    return ocio.space_of("film", str(folder / "a.ocio"))


def test_a_negative_is_looked_at_as_a_positive_and_comes_back(tmp_path: Path) -> None:
    tones = Tones(config(tmp_path, 4, 1, 0.3, 0.1, 0))
    codes = np.arange(65536, dtype=np.uint16).reshape(1, -1, 1)
    shown = tones.shown(codes)
    assert (np.diff(shown[0, :, 0]) <= 0).all()
    assert np.array_equal(tones.stored(shown, codes), codes)


def test_a_space_from_which_nothing_leads_back_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="up and down"):
        Tones(config(tmp_path, 0, 1, 0.2, 0.5)).shown(np.zeros((1, 1, 3), np.uint16))


def stored_in(space: ocio.Space, light: np.ndarray) -> np.ndarray:
    """Light with the primaries of sRGB, as `space` stores it."""
    library = pytest.importorskip(
        "PyOpenColorIO", reason="colour spaces by name need OpenColorIO: pip install opencolorio"
    )
    way = library.Config.CreateFromFile(space.config).getProcessor("Linear Rec.709 (sRGB)", space.name)
    stored = light.copy()
    way.getDefaultCPUProcessor().applyRGB(stored)
    return stored


def test_pages_show_the_colours_of_a_space_and_of_a_view() -> None:
    log = space("ARRI LogC4")
    light = np.array([[[0.5, 0.1, 0.1], [0.1, 0.1, 0.5], [0.18, 0.18, 0.18]]], np.float32)
    frame = np.rint(stored_in(log, light) * 65535).astype(np.uint16)
    usual = View(Tones(log))(frame)
    plain = View(Tones(log), ocio.view_of("Un-tone-mapped", log.config))(frame)
    expected = np.rint(255 * (1.055 * light ** (1 / 2.4) - 0.055))
    assert np.abs(plain - expected).max() <= 1
    assert (usual <= plain).all(), "light up to white is squeezed to make room for what is above it"
    assert usual[0, 0].argmax() == 0
    assert usual[0, 1].argmax() == 2
    assert np.ptp(usual[0, 2].astype(int)) <= 1
    grey = View(Tones(log))(frame[:, 2:, :1])
    assert np.abs(grey.astype(int) - usual[:, 2:]).max() <= 1


def test_pages_of_cineon_and_linear_frames_take_a_view_too() -> None:
    view = ocio.view_of("Un-tone-mapped", space("ACEScg").config)
    light = np.array([[[0.5, 0.1, 0.1], [0.02, 0.3, 0.9]]], np.float32)
    expected = np.rint(255 * (1.055 * light ** (1 / 2.4) - 0.055))
    assert np.abs(View(Tones(InputColour.LINEAR), view)(light) - expected).max() <= 1
    cineon = Tones(InputColour.CINEON)
    frame = cineon.stored(cineon.shown(np.full((1, 2, 3), 445 * 64, np.uint16)), np.zeros(1, np.uint16))
    assert np.ptp(View(cineon, view)(frame).astype(int)) <= 1
