"""Claims about where a run may read and write."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore.batch.places import find_places
from restore.errors import SetupError
from restore.recipe import MaskOptions, RunOptions


def found(tmp_path: Path, *, source: str = "in", target: str = "out", place: str | None = None, save: str) -> str:
    """What is said about these places; empty: nothing."""
    for name in ("in/masks", "masks"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / "in" / "a.png").touch()
    masks = MaskOptions(None if place is None else tmp_path / place, save=tmp_path / save)
    try:
        find_places(RunOptions(tmp_path / source, tmp_path / target, masks=masks))
    except SetupError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("save", ["in", "in/masks", "in/new", ".", "out/../in"])
def test_masks_are_never_saved_among_the_sources_they_could_replace(tmp_path: Path, save: str) -> None:
    assert "could be replaced by saved masks" in found(tmp_path, save=save)


def test_masks_are_never_saved_beside_the_one_source_that_has_their_name(tmp_path: Path) -> None:
    assert "could be replaced by saved masks" in found(tmp_path, source="in/a.png", save="in")
    assert found(tmp_path, source="in/a.png", save="in/masks") == ""


def test_masks_that_are_read_are_never_written_to(tmp_path: Path) -> None:
    assert "--save-masks could replace them" in found(tmp_path, place="masks", save="masks")
    assert "same folder: name another output" in found(tmp_path, place="masks", target="masks", save="new")


def test_saved_masks_and_results_need_folders_of_their_own(tmp_path: Path) -> None:
    assert "same names as saved masks" in found(tmp_path, save="out")
    assert found(tmp_path, save="out/masks") == ""
    assert found(tmp_path, place="masks", save="new") == ""


def test_a_folder_for_masks_that_cant_be_is_told_before_any_work(tmp_path: Path) -> None:
    assert "the place for saved masks must be a folder" in found(
        tmp_path, source="in/a.png", target="out", save="in/a.png"
    )


def test_a_state_that_cant_be_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "in.png").touch()
    with pytest.raises(SetupError, match="is a file, and the --state must be a folder: name another --state"):
        find_places(RunOptions(tmp_path / "in.png", tmp_path / "out", state=tmp_path / "in.png"))
