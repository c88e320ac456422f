"""Masks and pictures: paired by name, with a reason, or told apart in words."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from restore.errors import SetupError
from restore.holes.pairing import Ambiguity, Pair, Pairing, pair, pair_beside, pair_infrared, pair_one, saved_name


def paths(*names: str) -> list[Path]:
    return [Path(name) for name in names]


def told(pairing: Pairing) -> dict[str, str]:
    return {str(p.picture): str(p.mask) for p in pairing.pairs}


def test_the_same_path_wins_over_the_same_stem() -> None:
    pairing = pair(paths("a.png", "a.jpg"), paths("a.png"))
    assert pairing.pairs == (Pair(Path("a.png"), Path("a.png"), "same path"),)
    assert pairing.unmasked == (Path("a.jpg"),)


def test_two_pictures_that_fit_one_mask_equally_get_none() -> None:
    pairing = pair(paths("a.tif", "a.jpg"), paths("a.png"))
    assert pairing.pairs == ()
    assert pairing.ambiguous == (Ambiguity((Path("a.jpg"), Path("a.tif")), (Path("a.png"),), "same stem"),)


def test_two_masks_for_one_picture_are_ambiguous() -> None:
    pairing = pair(paths("a.jpg"), paths("a.png", "a.bmp"))
    assert pairing.pairs == ()
    assert [a.masks for a in pairing.ambiguous] == [(Path("a.bmp"), Path("a.png"))]


@pytest.mark.parametrize(
    ("mask", "because"),
    [
        ("walls/brick.tga", "same path"),
        ("walls/brick.TGA", "same path but for the suffix's case"),
        ("walls/brick.png", "same stem"),
        ("walls/brick_mask.png", "named after it"),
        ("walls/brick-mask.png", "named after it"),
        ("walls/brick_MASK.PNG", "named after it"),
        ("walls/brick_mask001.png", "named after it"),
        ("walls/mask_brick.png", "named after it"),
    ],
)
def test_a_mask_is_found_by_each_of_its_usual_names(mask: str, because: str) -> None:
    pairing = pair(paths("walls/brick.tga", "walls/other.tga"), paths(mask))
    assert pairing.pairs == (Pair(Path("walls/brick.tga"), Path(mask), because),)
    assert pairing.unmasked == (Path("walls/other.tga"),)


def test_masks_of_another_folder_are_orphans() -> None:
    pairing = pair(paths("walls/brick.png"), paths("floors/brick.png", "brick.png"))
    assert pairing.pairs == ()
    assert pairing.orphans == (Path("brick.png"), Path("floors/brick.png"))


def test_order_never_decides() -> None:
    pictures, masks = paths("a.png", "b.png", "c.png", "d.png"), paths("a.png", "b_mask.png", "d.bmp", "e.png")
    expected = pair(pictures, masks)
    assert told(expected) == {"a.png": "a.png", "b.png": "b_mask.png", "d.png": "d.bmp"}
    for seed in range(8):
        shuffled = random.Random(seed)
        shuffled.shuffle(pictures)
        shuffled.shuffle(masks)
        assert pair(pictures, masks) == expected


def test_names_are_compared_byte_for_byte() -> None:
    composed, decomposed = Path("caf\u00e9.png"), Path("cafe\u0301.png")
    raw = Path(os.fsdecode(b"caf\xe9.png"))
    pairing = pair([composed, raw], [decomposed, raw])
    assert pairing.pairs == (Pair(raw, raw, "same path"),)
    assert pairing.orphans == (decomposed,)


def test_a_pattern_prefers_the_pictures_own_format() -> None:
    pictures = paths("a.png", "a.jpg", "b.png")
    pairing = pair(pictures, paths("a_hole.png", "b_hole.jpg", "b.png"), "{stem}_hole.{ext}")
    assert told(pairing) == {"a.png": "a_hole.png", "b.png": "b_hole.jpg"}
    assert pairing.orphans == (Path("b.png"),), "with a pattern, only that counts"
    assert pairing.unmasked == (Path("a.jpg"),)


def test_a_pattern_may_name_folders_and_whole_names() -> None:
    assert told(pair(paths("x/a.jpg"), paths("x/m/a.jpg.png"), "m/{name}.png")) == {"x/a.jpg": "x/m/a.jpg.png"}
    assert told(pair_beside(paths("x/a.jpg", "x/m/a.png", "x/b.png"), "m/{stem}.png")) == {"x/a.jpg": "x/m/a.png"}


@pytest.mark.parametrize("pattern", ["mask.png", "{stem}_{stem}.png", "{ext}_{stem}.png", "{folder}/{stem}.png", ""])
def test_a_pattern_that_names_no_picture_is_refused(pattern: str) -> None:
    with pytest.raises(SetupError, match="mask pattern"):
        pair(paths("a.png"), paths("a_mask.png"), pattern)


def test_masks_beside_pictures_are_never_pictures() -> None:
    names = paths("a.png", "a_mask.png", "b.jpg", "lost_mask.png")
    pairing = pair_beside(names)
    assert told(pairing) == {"a.png": "a_mask.png"}
    assert pairing.unmasked == (Path("b.jpg"),)
    assert pairing.orphans == (Path("lost_mask.png"),)


def test_a_picture_called_mask_with_a_mask_of_its_own_is_a_picture() -> None:
    assert told(pair_beside(paths("mask_2.png", "mask_2_mask.png"))) == {"mask_2.png": "mask_2_mask.png"}


def test_a_pattern_that_fits_every_picture_cant_tell_masks_beside_them() -> None:
    with pytest.raises(SetupError, match="fits every picture"):
        pair_beside(paths("a.png", "a.jpg"), "{stem}.{ext}")


def test_infrared_files_are_told_by_their_suffix() -> None:
    pairing = pair_infrared(paths("r/1.tif", "r/1_ir.TIF", "r/2.tif", "r/3_ir.tif"), "_ir")
    assert told(pairing) == {"r/1.tif": "r/1_ir.TIF"}
    assert (pairing.unmasked, pairing.orphans) == ((Path("r/2.tif"),), (Path("r/3_ir.tif"),))


def test_one_mask_serves_all() -> None:
    assert told(pair_one(paths("b.png", "a.png"), Path("m.png"))) == {"a.png": "m.png", "b.png": "m.png"}


def test_every_name_ends_up_in_one_place() -> None:
    names = paths("a.png", "a.jpg", "a_mask.png", "b.png", "mask_b.tga", "c_mask.bmp", "d/e.png", "d/e-mask.png")
    pairing = pair_beside(names)
    seen = [p for one in pairing.pairs for p in (one.picture, one.mask)]
    seen += [p for one in pairing.ambiguous for p in (*one.pictures, *one.masks)]
    assert sorted([*seen, *pairing.unmasked, *pairing.orphans]) == sorted(names)


def test_every_saved_mask_has_a_name_of_its_own_and_is_found_again() -> None:
    """However pictures are called: the same stems, suffixes in other cases, suffixes of suffixes."""
    rng = random.Random(5)
    stems, suffixes = (
        ("a", "a.bmp", "a.png", "b_mask", "mask_a", "v1.2"),
        (".png", ".PNG", ".bmp", ".tif", ".tiff", ".tga"),
    )
    every = [Path(folder) / f"{stem}{suffix}" for folder in ("", "more") for stem in stems for suffix in suffixes]
    for count in (2, 5, 20, len(every)):
        pictures = rng.sample(every, count)
        for suffix in (".png", ".tif"):
            saved = {picture: saved_name(picture, suffix) for picture in pictures}
            assert len(set(saved.values())) == count
            assert {one.picture: one.mask for one in pair(pictures, saved.values()).pairs} == saved


def test_masks_drawn_for_pictures_whose_names_look_like_masks_stay_theirs() -> None:
    both = paths("a.bmp", "a.bmp.png")
    assert told(pair(both, both)) == {"a.bmp": "a.bmp", "a.bmp.png": "a.bmp.png"}
    assert told(pair(paths("a.bmp"), paths("a.bmp.png"))) == {"a.bmp": "a.bmp.png"}
    assert told(pair(paths("v1.2.tga"), paths("v1.2.png"))) == {"v1.2.tga": "v1.2.png"}
