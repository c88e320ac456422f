"""Claims about measuring on one's own stock by several processes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from restore.cli import app
from restore.cli.film_options import Reading, Wishes, plan_for
from restore.cli.film_report import FilmReport
from restore.film.bench import Score
from restore.film.planted import Planting, Scratch
from restore.film.settings import FilmSettings
from restore.formats import Decoder
from restore.reels.bench import bench_reel
from restore.reels.source import sources_in
from restore.reels.work import Damage


def score(source: Path, folder: Path, workers: int) -> Score:
    folder.mkdir()
    (one,) = sources_in(source)
    with Decoder() as decoder:
        plan = plan_for(one, Reading(), Wishes(), decoder, None)
    damage = Damage(Planting(lines=900, density=0.5, scratches=(Scratch(0.4, 0.1),)), None, 3)
    settings = FilmSettings()
    return bench_reel(one, plan, settings, damage, folder, workers, FilmReport(as_json=False))


def test_any_number_of_workers_counts_the_same(frames: Path, tmp_path: Path) -> None:
    one, other = (score(frames, tmp_path / str(workers), workers) for workers in (0, 2))
    assert asdict(one) == asdict(other)
    assert one.frames == 24
    assert one.specks > one.specks_found > 0


@pytest.mark.parametrize(
    ("options", "says"), [(["--overlays", "{here}"], "no overlay with alpha"), ([], "give --lines 1080")]
)
def test_what_cannot_be_measured_is_told_at_once(options: list[str], says: str, clip: Path, tmp_path: Path) -> None:
    arguments = ["bench", "detect", str(clip), *(one.format(here=tmp_path) for one in options)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert says in result.output
