"""Claims about which file belongs to which source, before anything is decoded."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore.batch.companions import Companions, find_companions
from restore.batch.walk import walk
from restore.errors import SetupError
from restore.recipe import FindHoles, HolesFrom, Inpaint, MaskOptions, NoMask, Precision, Recipe, RunOptions, Upscale

BY_MASKS = FindHoles(HolesFrom.MASKS)


def told(
    source: Path,
    rule: FindHoles = BY_MASKS,
    include: tuple[str, ...] = (),
    patches: Path | None = None,
    **masks: object,
) -> Companions:
    recipe = Recipe(inpaint=Inpaint("fake", "0" * 64, Precision.FP32, rule)) if patches is None else Recipe()
    options = RunOptions(
        source,
        source.parent / "out",
        include=include,
        masks=MaskOptions(**masks),
        patches=patches,  # type: ignore[arg-type]
    )
    return find_companions(recipe, options, walk(source, include))


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def pairs(companions: Companions) -> dict[str, str | None]:
    return {str(p.relative): None if p.companion is None else str(p.companion) for p in companions.pairs}


def test_masks_beside_their_pictures_are_no_sources_whatever_says_where_holes_are(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", "a.png", "a_mask.png", "b.tga")
    assert pairs(told(source)) == {"a.png": "a_mask.png", "b.tga": None}
    for rule in (FindHoles(HolesFrom.AUTO), FindHoles(HolesFrom.ALPHA)):
        assert [str(image) for image in told(source, rule).images] == ["a.png", "b.tga"]
    elsewhere = fill(tmp_path / "m", "b.png")
    assert pairs(told(source, place=elsewhere)) == {"a.png": None, "b.tga": "b.png"}
    upscaling = Recipe(Upscale("fake", "0" * 64, Precision.FP32, tile_px=256, halo_px=18))
    options = RunOptions(source, tmp_path / "out")
    assert len(find_companions(upscaling, options, walk(source)).images) == 3, "there a mask is a picture like others"


def test_a_mask_folder_inside_the_input_is_none_of_it(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", "a.png", "sub/a.png", "masks/a.png", "masks/sub/a.png")
    companions = told(source, place=source / "masks")
    assert pairs(companions) == {"a.png": "a.png", "sub/a.png": "sub/a.png"}
    assert companions.root == source / "masks"


def test_what_include_leaves_out_is_no_orphan_and_its_mask_is_still_found(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", "a.png", "a_mask.png", "b.png", "b_mask.png")
    companions = told(source, include=("a.png",))
    assert pairs(companions) == {"a.png": "a_mask.png"}
    assert companions.doubts == ()


def test_names_that_fit_twice_are_not_guessed(tmp_path: Path) -> None:
    source, masks = fill(tmp_path / "in", "a.png", "b.png"), fill(tmp_path / "m", "a.tif", "a.jpg", "b.png")
    companions = told(source, place=masks)
    assert pairs(companions) == {"a.png": None, "b.png": "b.png"}
    (problem,) = companions.failing
    assert problem.relative == Path("a.png")
    assert "a.jpg, a.tif" in problem.error


def test_doubts_are_orphans_and_pictures_without_a_mask_unless_that_is_wanted(tmp_path: Path) -> None:
    source, masks = fill(tmp_path / "in", "a.png", "b.png"), fill(tmp_path / "m", "a.png", "c.png")
    doubts = told(source, place=masks).doubts
    assert [doubt for doubt in doubts if "c.png" in doubt]
    assert [doubt for doubt in doubts if "b.png" in doubt]
    assert not [doubt for doubt in told(source, place=masks, no_mask=NoMask.COPY).doubts if "b.png" in doubt]


def test_infrared_files_are_found_by_their_suffix(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", "a.tif", "a_ir.tif", "b.tif")
    companions = told(source, FindHoles(HolesFrom.INFRARED, ir_suffix="_ir"))
    assert pairs(companions) == {"a.tif": "a_ir.tif", "b.tif": None}
    assert companions.word == "infrared file"


def test_patches_belong_to_the_picture_that_they_are_called_after(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", "a.png", "sub/b.tif")
    kept = fill(tmp_path / "p", "sub/b.tif.patches", "old.png.patches", ".restore/x.patches")
    companions = told(source, patches=kept)
    assert pairs(companions) == {"a.png": None, "sub/b.tif": "sub/b.tif.patches"}
    assert "old.png.patches" in companions.doubts[0]
    with pytest.raises(SetupError, match="holds no patches"):
        told(fill(tmp_path / "other", "z.png"), patches=kept)


@pytest.mark.parametrize("names", [("a_mask.png", "b_mask.png"), ("a.png",)])
def test_nothing_to_pair_is_told_with_the_way_out(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(SetupError, match="--masks"):
        told(fill(tmp_path / "in", *names))
