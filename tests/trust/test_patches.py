"""Claims about patch files: what was repaired comes back bit for bit, in few bytes, and damage is noticed."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from restore.errors import ImageError
from restore.image import Alpha, Document, Image, Stored, Transfer
from restore.tiling import Box
from restore.trust.ledger import Fill, Repair
from restore.trust.patches import Patches, made_from, read, same, write
from restore.trust.untouched import first_difference


def document(pixels: np.ndarray) -> Document:
    floats = pixels.dtype.kind == "f"
    stored = Stored("tiff", pixels.itemsize * 8, floats, Transfer.SRGB, Alpha.NONE, ("R", "G", "B"))
    return Document((Image(pixels, stored),))


@pytest.fixture(params=[np.uint8, np.uint16, np.float16, np.float32])
def sides(request: pytest.FixtureRequest) -> tuple[Document, Document, list[tuple[Repair, np.ndarray]]]:
    """A picture before and after two repairs whose boxes overlap though their pixels don't."""
    rng = np.random.default_rng(2)
    if np.dtype(request.param).kind == "f":
        before = rng.normal(0, 3, (60, 50, 3)).astype(request.param)
        before[5, 6] = np.nan
    else:
        before = rng.integers(0, 250, (60, 50, 3)).astype(request.param)
    corner, dot = np.zeros((4, 9), np.bool_), np.ones((1, 2), np.bool_)
    corner[0] = corner[:, 0] = True
    repairs = [
        (Repair(0, 0, Box(3, 4, 7, 13), 12, "mask", Fill.BLEND, 0.8), corner),
        (Repair(0, 1, Box(5, 6, 6, 8), 2, "dust", Fill.NET, 0.25, 7.5), dot),
    ]
    after = before.copy()
    for repair, touched in repairs:
        box = repair.box
        after[box.y0 : box.y1, box.x0 : box.x1][touched] = 1 + repair.blob
    return document(before), document(after), repairs


def made(sides: tuple[Document, Document, list[tuple[Repair, np.ndarray]]]) -> Patches:
    before, after, repairs = sides
    return made_from(before, after, repairs, source_sha256="0" * 64, format="tiff", fingerprint="1" * 64)


Sides = tuple[Document, Document, list[tuple[Repair, np.ndarray]]]


def test_a_patch_file_comes_back_as_it_was_and_the_same_patches_give_the_same_bytes(sides: Sides) -> None:
    patches = made(sides)
    data = write(patches).read()
    assert same(read(io.BytesIO(data)), patches)
    assert write(patches).read() == data


def test_patches_make_the_result_from_the_source_and_the_source_from_the_result(sides: Sides) -> None:
    before, after, _ = sides
    patches = read(write(made(sides)))
    assert first_difference(patches.applied(before), after) is None
    assert first_difference(patches.undone(after), before) is None


def test_one_repair_is_undone_without_touching_another_in_its_box(sides: Sides) -> None:
    before, after, _ = sides
    patches = made(sides)
    undone = patches.undone(after, frozenset({(0, 0)}))
    only, rest = (replace(patches, patches=patches.patches[i : i + 1]).touched() for i in (0, 1))
    assert first_difference(undone, after, only) is None
    assert first_difference(undone, before, rest) is None
    assert first_difference(undone, before) is not None


def test_touched_planes_are_those_of_the_repairs(sides: Sides) -> None:
    before, after, _ = sides
    (touched,) = made(sides).touched()
    assert touched.sum() == 14
    assert first_difference(before, after, [touched]) is None


def test_another_picture_is_refused(sides: Sides) -> None:
    before, _, _ = sides
    cut = replace(before, pages=(before.first.with_pixels(before.first.pixels[:-1]),))
    with pytest.raises(ImageError, match="another picture"):
        made(sides).applied(cut)


def test_patches_take_about_the_bytes_of_what_was_repaired() -> None:
    pixels = np.random.default_rng(3).integers(0, 65535, (1000, 1000, 3)).astype(np.uint16)
    repairs = [
        (Repair(0, i, Box(10 * i, 20, 10 * i + 9, 29), 81, "dust", Fill.NET, 0.5, 8.0), np.ones((9, 9), np.bool_))
        for i in range(100)
    ]
    file = write(
        made_from(
            *(document(pixels), document(pixels + 1), repairs),
            source_sha256="0" * 64,
            format="tiff",
            fingerprint="1" * 64,
        )
    )
    assert len(file.read()) < 0.02 * pixels.nbytes  # 0.81 % of noise is touched, and kept twice


@pytest.mark.parametrize("damage", ["cut", "garbage", "no index", "outside", "newer"])
def test_a_damaged_file_is_told_as_such(sides: Sides, damage: str) -> None:
    data = write(made(sides)).read()
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "garbage":
        data = b"\0" * 500
    else:
        with zipfile.ZipFile(io.BytesIO(data)) as old:
            members = {name: old.read(name) for name in old.namelist()}
        if damage == "no index":
            del members["repairs.json"]
        elif damage == "newer":
            members["repairs.json"] = members["repairs.json"].replace(b'"version":1', b'"version":2')
        else:
            members["repairs.json"] = members["repairs.json"].replace(b"[3,4,7,13]", b"[3,44,7,53]")
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as new:
            for name, content in members.items():
                new.writestr(name, content)
        data = file.getvalue()
    with pytest.raises(ImageError, match=r"update restore|no whole patch file"):
        read(io.BytesIO(data))
