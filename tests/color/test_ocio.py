"""Claims about OpenColorIO: names are found, or refused with the way out; no config changes behind a film's back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from restore.color import ocio
from restore.errors import SetupError

pytest.importorskip("PyOpenColorIO", reason="colour spaces by name need OpenColorIO: pip install opencolorio")

CONFIG = """ocio_profile_version: 2
environment: {STOCK: a}
search_path: luts
strictparsing: true
roles: {scene_linear: lin, default: lin}
displays:
  monitor:
    - !<View> {name: Film, colorspace: film}
  beamer:
    - !<View> {name: Film, colorspace: lin}
    - !<View> {name: Cinema, colorspace: film}
colorspaces:
  - !<ColorSpace> {name: lin}
  - !<ColorSpace>
    name: film
    to_scene_reference: !<FileTransform> {src: "${STOCK}.spi1d"}
  - !<ColorSpace> {name: normals, isdata: true}
"""


def table(*values: float) -> str:
    lines = "\n".join(map(str, values))
    return f"Version 1\nFrom 0.0 1.0\nLength {len(values)}\nComponents 1\n{{\n{lines}\n}}\n"


def save_config(folder: Path, text: str = CONFIG) -> Path:
    (folder / "luts").mkdir(parents=True)
    (folder / "luts" / "a.spi1d").write_text(table(0, 0.1, 0.4, 2))
    (folder / "luts" / "b.spi1d").write_text(table(0, 0.2, 0.5, 1))
    path = folder / "film.ocio"
    path.write_text(text)
    return path


def forget() -> None:
    """As in a new process."""
    for held in (ocio._config, ocio._processor, ocio._view_processor):
        held.cache_clear()


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OCIO", raising=False)
    forget()
    yield
    forget()


@pytest.mark.parametrize("name", ["ACEScct", "acescct_ap1", "color_timing", "aCeScCt"])
def test_a_space_is_found_by_name_alias_and_role(name: str) -> None:
    assert str(ocio.space_of(name)) == "OCIO:ACEScct"


def test_the_newest_built_in_config_is_written_down_as_what_it_is_today() -> None:
    space = ocio.space_of("ACEScg", "ocio://cg-config-latest")
    assert "latest" not in space.config
    assert ocio.space_of("ACEScg", space.config) == space


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(SetupError, match=r"did you mean ARRI LogC4\?; all of them: OCIO=\S+ restore doctor"):
        ocio.space_of("logc4")
    with pytest.raises(SetupError, match="no name is like it"):
        ocio.space_of("qqqqq")


def test_data_is_no_colour(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="holds data"):
        ocio.space_of("normals", str(save_config(tmp_path)))


def test_the_environment_names_the_config_where_nobody_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_config(tmp_path)
    monkeypatch.setenv("OCIO", str(path))
    assert ocio.config_meant() == str(path)
    assert ocio.space_of("film").config == str(path)
    assert "studio" in ocio.space_of("ACEScg", "ocio://studio-config-latest").config


@pytest.mark.parametrize("wish", ["none.ocio", "ocio://none"])
def test_a_config_that_is_not_there_is_refused_with_those_that_are(wish: str) -> None:
    with pytest.raises(SetupError, match=r"can't read this config: .*ocio://studio-config-"):
        ocio.space_of("ACEScg", wish)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PyOpenColorIO", None)
    with pytest.raises(SetupError, match=r"pip install \"restore-sr\[film\]\""):
        ocio.space_of("ACEScg")


def test_a_table_gives_the_light_of_greys(tmp_path: Path) -> None:
    space = ocio.space_of("film", str(save_config(tmp_path)))
    light = ocio.grey_light(space, np.array([0, 0.5, 1, np.nan], np.float32))
    assert np.allclose(light, [0, 0.25, 2, 0])


def test_the_digest_follows_the_meaning_and_not_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_config(tmp_path / "here")
    space = ocio.space_of("film", str(path))
    elsewhere = ocio.space_of("film", str(save_config(tmp_path / "there")))
    assert elsewhere.sha256 == space.sha256
    assert ocio.settled(space, elsewhere.config) == elsewhere

    (path.parent / "luts" / "a.spi1d").write_text(table(0, 0.1, 0.4, 2.5))
    forget()
    assert ocio.space_of("film", str(path)).sha256 != space.sha256, "another table"
    monkeypatch.setenv("STOCK", "b")
    forget()
    other = ocio.space_of("film", elsewhere.config)
    assert other.sha256 != space.sha256, "another variable"
    monkeypatch.delenv("STOCK")
    Path(elsewhere.config).write_text(CONFIG.replace("Cinema", "Theatre"))
    forget()
    assert ocio.space_of("film", elsewhere.config).sha256 != space.sha256, "another text"


def test_a_config_that_was_changed_since_is_noticed_before_a_pixel_is_touched(tmp_path: Path) -> None:
    path = save_config(tmp_path)
    space = ocio.space_of("film", str(path))
    (tmp_path / "luts" / "a.spi1d").write_text(table(0, 1, 2, 3))
    forget()
    with pytest.raises(SetupError, match="was changed since"):
        ocio.grey_light(space, np.zeros(1, np.float32))
    with pytest.raises(SetupError, match="is not what this was planned with"):
        ocio.settled(space)


def test_a_plan_written_by_hand_gets_the_config_that_is_there(tmp_path: Path) -> None:
    path = save_config(tmp_path)
    assert ocio.settled(ocio.Space("film"), str(path)) == ocio.space_of("film", str(path))
    found = ocio.space_of("film", str(path))
    assert ocio.settled(replace(found, sha256="")) == found


def test_a_view_is_the_default_displays_or_that_of_the_display_named(tmp_path: Path) -> None:
    config = str(save_config(tmp_path))
    assert ocio.view_of("film", config) == ocio.View(config, "monitor", "Film")
    assert ocio.view_of("beamer/Film", config) == ocio.View(config, "beamer", "Film")
    assert ocio.view_of("Cinema", config).display == "beamer"
    with pytest.raises(SetupError, match=r"--view Cinem: .* did you mean Cinema\?"):
        ocio.view_of("Cinem", config)


def test_a_view_shows_the_frames_of_a_space_and_light_that_has_none() -> None:
    grey = np.full((1, 1, 3), 0.18, np.float32)
    view = ocio.view_of("Un-tone-mapped")
    assert view.display == "sRGB - Display"
    srgb = 1.055 * 0.18 ** (1 / 2.4) - 0.055
    assert np.allclose(ocio.viewed(view, grey, ocio.space_of("ACEScg")), srgb, atol=1e-4)
    assert np.allclose(ocio.viewed(view, grey, None), srgb, atol=1e-4)
    film_like = ocio.viewed(ocio.view_of("ACES 2.0 - SDR 100 nits (Rec.709)"), grey, ocio.space_of("ACEScg"))
    assert 0.3 < film_like.mean() < 0.45


def test_a_screen_gets_the_primaries_of_srgb() -> None:
    red = np.array([[[1, 0, 0]]], np.float32)
    space = ocio.space_of("Linear Rec.709 (sRGB)")
    assert np.allclose(ocio.screen_light(space, red), red, atol=1e-5)
    wide = ocio.screen_light(ocio.space_of("ACEScg"), red)[0, 0]
    assert wide[0] > 1.6
    assert wide[1] < 0


def test_a_config_without_aces_is_shown_by_its_own_light(tmp_path: Path) -> None:
    config = str(save_config(tmp_path))
    half = np.full((1, 1, 3), 0.5, np.float32)
    assert np.allclose(ocio.screen_light(ocio.space_of("film", config), half), 0.25)
    assert np.allclose(ocio.viewed(ocio.view_of("Film", config), half, ocio.space_of("film", config)), 0.5, atol=1e-5)
    assert ocio.viewed(ocio.view_of("beamer/Film", config), half, None).mean() == pytest.approx(0.5)
