"""Claims about reels in colour spaces of OpenColorIO: repaired as a display shows them, proved, and never mixed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import OpenImageIO
import pytest
from in_process import film, proved
from small_films import SIZE, pictures, write_dpx

from restore.cli.film_options import Reading, Wishes
from restore.color import ocio
from restore.errors import SetupError
from restore.film.plan import to_toml
from restore.formats import Decoder
from restore.reels.review import draw

pytest.importorskip("PyOpenColorIO", reason="colour spaces by name need OpenColorIO: pip install opencolorio")

REPAIR = Wishes(scratches=False)


def save_exr(path: Path, light: np.ndarray) -> None:
    writer = OpenImageIO.ImageOutput.create(str(path))
    assert writer.open(str(path), OpenImageIO.ImageSpec(SIZE[1], SIZE[0], 3, "half"))
    assert writer.write_image(light)
    writer.close()


def test_linear_light_of_aces_is_repaired_and_all_else_stays_nan_too(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number, picture in enumerate(pictures()[:6], 1):
        light = ((picture.astype(np.float32) / 255) ** 2.2 * 3).astype(np.float16)
        light[2, 2], light[3, 3], light[4, 4] = np.nan, -2.5, 300
        save_exr(source / f"a.{number:04d}.exr", light)
    summary, _, state = film(source, target, REPAIR, Reading(colour="OCIO:lin_ap1"))
    assert summary.proved
    assert summary.blobs > 10
    assert all(verdict.untouched for verdict in proved(state, source))
    with Decoder() as decoder:
        pixels = decoder.read(target / "a.0004.exr").first.pixels.astype(np.float32)
    assert np.isnan(pixels[2, 2]).all()
    assert (pixels[3, 3] == -2.5).all()
    assert (pixels[4, 4] == 300).all()
    notes: list[str] = []
    view = ocio.view_of("Un-tone-mapped")
    assert draw(state, tmp_path / "pages", notes.append, view) > 3
    assert (tmp_path / "pages" / "least_certain.png").is_file()


def test_another_config_under_the_same_name_is_other_work(tmp_path: Path) -> None:
    source = tmp_path / "in"
    write_dpx(source)
    old, new = ("ocio://studio-config-v1.0.0_aces-v1.3_ocio-v2.1", "ocio://studio-config-v2.1.0_aces-v1.3_ocio-v2.3")
    first = Reading(frames="993-996", colour="OCIO:ACEScct", ocio_config=old)
    summary, work, _ = film(source, tmp_path / "out", REPAIR, first)
    assert summary.segments == 1
    again, _, _ = film(source, tmp_path / "out", REPAIR, first)
    assert again.already_done == 1
    other, _, _ = film(source, tmp_path / "out", REPAIR, replace(first, ocio_config=new))
    assert other.already_done == 0

    plan = tmp_path / "plan.toml"
    plan.write_text(to_toml(work.plan))
    _, same, _ = film(source, tmp_path / "planned", REPAIR, Reading(plan=plan))
    assert same.plan.colour == ocio.space_of("ACEScct", old)
    with pytest.raises(SetupError, match="is not what this was planned with"):
        film(source, tmp_path / "other", REPAIR, Reading(plan=plan, ocio_config=new))
    said = Reading(plan=plan, ocio_config=new, colour="OCIO:ACEScct")
    assert film(source, tmp_path / "said", REPAIR, said)[1].plan.colour == ocio.space_of("ACEScct", new)


def test_a_video_of_light_would_lose_its_space_and_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number, picture in enumerate(pictures()[:2], 1):
        save_exr(source / f"a.{number:04d}.exr", (picture / np.float32(255)).astype(np.float16))
    with pytest.raises(SetupError, match="OCIO:ACEScg would not be kept"):
        film(source, tmp_path / "out.mkv", REPAIR, Reading(colour="OCIO:ACEScg"), fps="24")
