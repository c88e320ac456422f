"""Claims about `restore inpaint`: which mask is whose, what is refused, what stays untouched."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO
import pytest
from typer.testing import Result

sys.path.insert(0, str(Path(__file__).parent))

from inpaint_tree import SIZES, events, invoke, make_tree, of, painted, read, save, specks, tiny_net

from restore.holes.pairing import saved_name

Inpaint = Callable[..., Result]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_net(tmp_path_factory.mktemp("net") / "tiny.safetensors")


@pytest.fixture
def inpaint(net: Path) -> Inpaint:
    def run(*arguments: str | Path) -> Result:
        return invoke("inpaint", *arguments, "--model", net, "--device", "cpu", "--json")

    return run


@pytest.fixture
def tree(tmp_path: Path) -> tuple[Path, Path]:
    return make_tree(tmp_path)


def outcomes(result: Result) -> dict[str, dict[str, object]]:
    return {str(said["path"]): said for said in of(result, "outcome")}


def files(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and ".restore" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in found}


def test_holes_are_filled_and_all_other_pixels_are_the_source_s(
    tree: tuple[Path, Path], tmp_path: Path, inpaint: Inpaint
) -> None:
    source, masks = tree
    result = inpaint(source, tmp_path / "out", "--masks", masks, "--grow", "0")
    assert result.exit_code == 0, result.output
    assert files(tmp_path / "out") == files(source)
    for name, (height, width, channels, dtype) in SIZES.items():
        before, after = (read(folder / name).first for folder in (source, tmp_path / "out"))
        assert after.pixels.shape == (height, width, channels)
        assert after.pixels.dtype == dtype
        holes = cv2.imread(str((masks / name).with_suffix(".png")), cv2.IMREAD_GRAYSCALE) > 0
        assert np.array_equal(before.pixels[~holes], after.pixels[~holes])
        assert (before.pixels[holes] != after.pixels[holes]).any()
        said = outcomes(result)[name]["repair"]
        assert isinstance(said, dict)
        assert said["changed_px"] == holes.sum()
    assert (tmp_path / "out" / "whole.png").read_bytes() == (source / "whole.png").read_bytes()
    assert outcomes(result)["whole.png"]["unchanged"] == "no mask belongs to it"


def test_a_second_run_does_nothing_and_a_corrected_mask_redoes_its_picture_only(
    tree: tuple[Path, Path], tmp_path: Path, inpaint: Inpaint
) -> None:
    source, masks = tree
    inpaint(source, tmp_path / "out", "--masks", masks)
    again = inpaint(source, tmp_path / "out", "--masks", masks)
    assert of(again, "started") == []
    os.utime(masks / "wall.png")  # touched, not changed: its bytes decide
    assert of(inpaint(source, tmp_path / "out", "--masks", masks), "started") == []
    save(masks / "wall.png", specks(77, 48, 64))
    corrected = inpaint(source, tmp_path / "out", "--masks", masks)
    assert [said["path"] for said in of(corrected, "started")] == ["wall.png"]
    kept = list((tmp_path / "out" / ".restore" / "repairs" / "wall.png").iterdir())
    assert len(kept) == 1, "repairs of earlier bytes are dropped"
    (masks / "wall.png").unlink()
    assert [said["path"] for said in of(inpaint(source, tmp_path / "out", "--masks", masks), "started")] == ["wall.png"]
    assert (tmp_path / "out" / "wall.png").read_bytes() == (source / "wall.png").read_bytes()


def test_masks_beside_pictures_are_paired_by_name_and_never_restored_as_pictures(
    tmp_path: Path, inpaint: Inpaint
) -> None:
    for name in ("a.png", "sub/b.png"):
        save(tmp_path / "in" / name, painted(1, 30, 30))
        save(tmp_path / "in" / name.replace(".png", "_mask.png"), specks(1, 30, 30))
    save(tmp_path / "in" / "c.png", painted(2, 30, 30))
    dry = inpaint(tmp_path / "in", tmp_path / "out", "--dry-run")
    (plan,) = of(dry, "plan")
    assert plan["pairs"] == [
        {"path": "a.png", "mask": "a_mask.png", "because": "named after it"},
        {"path": "c.png", "mask": None, "because": "no mask belongs to it"},
        {"path": "sub/b.png", "mask": "sub/b_mask.png", "because": "named after it"},
    ]
    assert not (tmp_path / "out").exists()
    result = inpaint(tmp_path / "in", tmp_path / "out", "--include", "b.png")
    assert result.exit_code == 0, result.output
    assert files(tmp_path / "out") == {"sub/b.png"}


def test_one_mask_serves_all_and_a_pattern_says_how_masks_are_called(tmp_path: Path, inpaint: Inpaint) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, painted(3, 30, 30))
    one = save(tmp_path / "dust.png", specks(3, 30, 30))
    result = inpaint(tmp_path / "in", tmp_path / "one", "--masks", one)
    assert {name: bool(said["repair"]) for name, said in outcomes(result).items()} == {"a.png": True, "b.png": True}
    save(tmp_path / "holes" / "a.hole.png", specks(4, 30, 30))
    result = inpaint(
        *(tmp_path / "in", tmp_path / "two", "--masks", tmp_path / "holes", "--mask-pattern", "{stem}.hole.{ext}")
    )
    assert {name: bool(said["repair"]) for name, said in outcomes(result).items()} == {"a.png": True, "b.png": False}


def test_a_single_picture_and_its_mask(tmp_path: Path, inpaint: Inpaint) -> None:
    picture, mask = save(tmp_path / "a.png", painted(5, 30, 30)), save(tmp_path / "m.png", specks(5, 30, 30))
    result = inpaint(picture, tmp_path / "b.png", "--masks", mask, "--state", tmp_path / "state")
    assert result.exit_code == 0, result.output
    assert invoke("verify", tmp_path / "b.png", "--state", tmp_path / "state", "--source", picture).exit_code == 0
    assert [path.name for path in tmp_path.glob(".restore*")] == []


@pytest.mark.parametrize(("policy", "code", "made"), [("copy", 0, True), ("skip", 0, False), ("error", 3, False)])
def test_a_picture_without_damage_is_copied_skipped_or_an_error(
    tmp_path: Path, inpaint: Inpaint, policy: str, code: int, made: bool
) -> None:
    for name in ("a.png", "empty.png", "none.png"):
        save(tmp_path / "in" / name, painted(6, 24, 24))
    save(tmp_path / "m" / "a.png", specks(6, 24, 24))
    save(tmp_path / "m" / "empty.png", np.zeros((24, 24), np.uint8))
    result = inpaint(tmp_path / "in", tmp_path / "out", "--masks", tmp_path / "m", "--no-mask", policy)
    assert result.exit_code == code, result.output
    assert files(tmp_path / "out") == ({"a.png", "empty.png", "none.png"} if made else {"a.png"})
    if made:
        for name in ("empty.png", "none.png"):
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()
            assert outcomes(result)[name]["unchanged"]


def test_bad_input_gets_a_verdict_each_and_the_rest_is_done(tmp_path: Path, inpaint: Inpaint) -> None:
    source, masks = tmp_path / "in", tmp_path / "m"
    for name in ("good.png", "all.png", "turned.png", "broken.png", "notes.png"):
        save(source / name, painted(7, 24, 36))
        save(masks / name, specks(7, 24, 36))
    save(source / "dot.png", painted(7, 1, 1))
    save(masks / "dot.png", np.full((1, 1), 255, np.uint8))
    save(masks / "all.png", np.full((24, 36), 255, np.uint8))
    save(masks / "turned.png", specks(7, 36, 24))
    (masks / "broken.png").write_bytes((masks / "broken.png").read_bytes()[:40])
    (source / "notes.png").write_bytes(b"not a picture")
    result = inpaint(source, tmp_path / "out", "--masks", masks)
    assert result.exit_code == 3
    said = outcomes(result)
    assert said["good.png"]["status"] == "done"
    assert files(tmp_path / "out") == {"good.png"}
    assert "every pixel" in str(said["all.png"]["error"])
    assert "every pixel" in str(said["dot.png"]["error"])
    assert "24x36" in str(said["turned.png"]["error"])
    assert "broken.png can't be read" in str(said["broken.png"]["error"])
    assert said["notes.png"]["status"] == "failed"
    assert all(str(tmp_path) not in str(one["error"]) for one in said.values())


@pytest.mark.parametrize(
    ("spoil", "fact"),
    [
        ("size", "it belongs to another picture"),
        ("inverted", "--invert-mask"),
        ("grey", "neither black nor white"),
        ("orphan", "without a picture"),
        ("unmasked", "without a mask"),
    ],
)
def test_strict_makes_any_doubt_an_error_before_anything_is_written(
    tmp_path: Path, inpaint: Inpaint, spoil: str, fact: str
) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name, painted(8, 64, 64))
        save(tmp_path / "m" / name, specks(8, 64, 64))
    mask = specks(8, 64, 64)
    if spoil == "size":
        save(tmp_path / "m" / "b.png", specks(8, 200, 90))
    elif spoil == "inverted":
        save(tmp_path / "m" / "b.png", 255 - mask)
    elif spoil == "grey":
        save(tmp_path / "m" / "b.png", painted(9, 64, 64, 1))
    elif spoil == "orphan":
        save(tmp_path / "m" / "c.png", mask)
    else:
        (tmp_path / "m" / "b.png").unlink()
    result = inpaint(tmp_path / "in", tmp_path / "out", "--masks", tmp_path / "m", "--strict")
    assert result.exit_code == 2, result.output
    (error,) = of(result, "error")
    assert fact in str(error["message"])
    assert not (tmp_path / "out").exists()
    lenient = inpaint(tmp_path / "in", tmp_path / "out", "--masks", tmp_path / "m")
    assert outcomes(lenient)["a.png"]["status"] == "done"


def test_masks_that_fit_nothing_end_the_run_with_the_way_out(tmp_path: Path, inpaint: Inpaint) -> None:
    save(tmp_path / "in" / "a.png", painted(1, 24, 24))
    save(tmp_path / "m" / "other.png", specks(1, 24, 24))
    result = inpaint(tmp_path / "in", tmp_path / "out", "--masks", tmp_path / "m")
    assert result.exit_code == 2
    assert "--mask-pattern" in result.output
    assert inpaint(tmp_path / "in", tmp_path / "out").exit_code == 2
    assert inpaint(tmp_path / "in", tmp_path / "out", "--masks", tmp_path / "nowhere").exit_code == 2


def test_lossy_targets_are_refused_with_the_ways_out_and_allowed_on_request(tmp_path: Path, inpaint: Inpaint) -> None:
    save(tmp_path / "in" / "a.jpg", painted(2, 40, 40))
    save(tmp_path / "in" / "whole.jpg", painted(3, 40, 40))
    save(tmp_path / "m" / "a.png", specks(2, 40, 40))
    refused = inpaint(tmp_path / "in", tmp_path / "out", "--masks", tmp_path / "m")
    assert refused.exit_code == 2
    for way in ("--format png", "--lossy", "--patches"):
        assert way in str(of(refused, "error"))
    allowed = inpaint(tmp_path / "in", tmp_path / "out", "--masks", tmp_path / "m", "--lossy")
    assert allowed.exit_code == 0, allowed.output
    repair = outcomes(allowed)["a.jpg"]["repair"]
    assert isinstance(repair, dict)
    assert repair["untouched_sha256"] is None, "nothing can be proved"
    assert (tmp_path / "out" / "whole.jpg").read_bytes() == (tmp_path / "in" / "whole.jpg").read_bytes()
    png = inpaint(tmp_path / "in", tmp_path / "png", "--masks", tmp_path / "m", "--format", "png")
    assert png.exit_code == 0, png.output
    assert invoke("verify", tmp_path / "png", "--source", tmp_path / "in").exit_code == 0
    whole = [read(tmp_path / name).first.pixels for name in ("in/whole.jpg", "png/whole.png")]
    assert np.array_equal(*whole)


def test_alpha_and_colour_keys_tell_holes_too(tmp_path: Path, inpaint: Inpaint) -> None:
    keyed = painted(4, 40, 40)
    keyed[10:14, 20:26] = (255, 0, 255)
    save(tmp_path / "key" / "a.png", keyed)
    result = inpaint(tmp_path / "key", tmp_path / "out", "--holes", "key:#ff00ff")
    assert result.exit_code == 0, result.output
    filled = cv2.imread(str(tmp_path / "out" / "a.png"))
    assert not (filled == (255, 0, 255)).all(axis=2).any()
    clear = painted(5, 40, 40, 4)
    clear[..., 3] = 255
    clear[20:24, 3:9] = 0
    save(tmp_path / "alpha" / "a.png", clear)
    result = inpaint(tmp_path / "alpha", tmp_path / "alpha out", "--holes", "alpha")
    assert result.exit_code == 0, result.output
    after = cv2.imread(str(tmp_path / "alpha out" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(after[..., 3], clear[..., 3]), "alpha is the texture's shape"
    assert after[20:24, 3:9, :3].any()


@pytest.mark.parametrize("through", [0.3, 0.75])
@pytest.mark.parametrize("way", ["channel=3", "page=2", "suffix=_ir"])
def test_infrared_sees_dirt_as_a_channel_a_page_or_a_file(
    tmp_path: Path, inpaint: Inpaint, way: str, through: float
) -> None:
    """16 bits; the infrared image itself comes back as it was; thin dirt is divided out, and what was can be undone."""
    rng, holes = np.random.default_rng(3), specks(6, 120, 140, 5) > 0
    light = np.where(holes, through, 1.0)
    colour = (painted(7, 120, 140, 3, np.uint16) * 0.5 + 9000 + rng.normal(0, 150, (120, 140, 3))) * light[..., None]
    infrared = (50000 + rng.normal(0, 150, (120, 140))) * light
    colour, infrared = (plane.clip(0, 65535).astype(np.uint16) for plane in (colour, infrared))
    source = tmp_path / "in"
    if way == "suffix=_ir":
        save(source / "a.tiff", colour)
        save(source / "a_ir.tiff", infrared)
    else:
        source.mkdir()
        write_tiff(source / "a.tiff", colour, infrared, pages=way == "page=2")
    result = inpaint(source, tmp_path / "out", "--holes", f"ir:{way}", "--grow", "1")
    assert result.exit_code == 0, result.output
    assert files(tmp_path / "out") == {"a.tiff"}
    before, after = read(source / "a.tiff"), read(tmp_path / "out" / "a.tiff")
    changed = (before.first.pixels[..., :3] != after.first.pixels[..., :3]).any(axis=2)
    assert (changed & holes).sum() > 0.8 * holes.sum()
    assert changed.sum() < 3 * holes.sum()
    assert np.array_equal(before.first.pixels[..., 3:], after.first.pixels[..., 3:])
    assert len(after.pages) == len(before.pages)
    assert np.array_equal(before.pages[-1].pixels[..., -1], after.pages[-1].pixels[..., -1]) or len(before.pages) == 1
    assert invoke("verify", tmp_path / "out", "--source", source).exit_code == 0
    repair = outcomes(result)["a.tiff"]["repair"]
    assert isinstance(repair, dict)
    assert ("divided" in repair["fills"]) == (through > 0.5)
    assert invoke("undo", tmp_path / "out", "a.tiff").exit_code == 0
    assert np.array_equal(before.first.pixels, read(tmp_path / "out" / "a.tiff").first.pixels)


def write_tiff(path: Path, colour: np.ndarray, infrared: np.ndarray, *, pages: bool) -> None:
    height, width, _ = colour.shape
    output = OpenImageIO.ImageOutput.create("a.tiff")
    if pages:
        specs = [OpenImageIO.ImageSpec(width, height, channels, "uint16") for channels in (3, 1)]
        output.open(str(path), tuple(specs))
        output.write_image(colour)
        output.open(str(path), specs[1], "AppendSubimage")
        output.write_image(np.ascontiguousarray(infrared[..., None]))
    else:
        spec = OpenImageIO.ImageSpec(width, height, 4, "uint16")
        spec.channelnames, spec.alpha_channel = ("R", "G", "B", "ir"), -1
        output.open(str(path), spec)
        output.write_image(np.dstack([colour, infrared]))
    output.close()


@pytest.mark.parametrize("alpha", [False, True])
def test_light_above_one_nan_and_premultiplied_alpha_survive_in_exr(
    tmp_path: Path, inpaint: Inpaint, alpha: bool
) -> None:
    pixels = np.random.default_rng(4).random((40, 50, 4), np.float32)
    pixels[..., :3] *= 4 * pixels[..., 3:]
    pixels[3, 4, 0] = np.nan
    pixels = np.ascontiguousarray(pixels[..., : 4 if alpha else 3])
    (tmp_path / "in").mkdir()
    output = OpenImageIO.ImageOutput.create("a.exr")
    output.open(str(tmp_path / "in" / "a.exr"), OpenImageIO.ImageSpec(50, 40, pixels.shape[2], "float"))
    output.write_image(pixels)
    output.close()
    mask = save(tmp_path / "m.png", specks(8, 40, 50))
    result = inpaint(tmp_path / "in", tmp_path / "out", "--masks", mask, "--grow", "0")
    assert result.exit_code == 0, result.output
    holes = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) > 0
    after = OpenImageIO.ImageInput.open(str(tmp_path / "out" / "a.exr")).read_image("float")
    assert np.array_equal(after[~holes].view(np.uint32), pixels[~holes].view(np.uint32)), "as stored, premultiplied"
    assert np.isfinite(after[holes]).all()


def cube_dds(side: int) -> bytes:
    """An uncompressed cube map, six faces of RGBA."""
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<4s7I44x", b"DDS ", 124, 0x100F, side, side, 4 * side, 0, 0)
    head += struct.pack("<8I", 32, 0x41, 0, 32, *masks) + struct.pack("<5I", 0x1008, 0xFE00, 0, 0, 0)
    return head + b"".join(painted(9 + face, side, side, 4).tobytes() for face in range(6))


@pytest.mark.parametrize("options", [(), ("--format", "png")])
def test_a_cube_map_is_repaired_face_by_face_in_place_or_as_a_strip(
    tmp_path: Path, inpaint: Inpaint, options: tuple[str, ...]
) -> None:
    side = 32
    for folder in ("in", "m"):
        (tmp_path / folder).mkdir()
    (tmp_path / "in" / "sky.dds").write_bytes(cube_dds(side))
    (tmp_path / "in" / "whole.dds").write_bytes(cube_dds(side))
    holes = np.zeros((6 * side, side), np.uint8)
    holes[side + 10 : side + 14, 8:16] = 255
    save(tmp_path / "m" / "sky.png", holes)
    result = inpaint(tmp_path / "in", tmp_path / "out", "--masks", tmp_path / "m", "--grow", "0", *options)
    assert result.exit_code == 0, result.output
    before = np.concatenate([page.pixels for page in read(tmp_path / "in" / "sky.dds").pages])
    made = read(tmp_path / "out" / ("sky.png" if options else "sky.dds"))
    after = np.concatenate([page.pixels for page in made.pages])
    assert np.array_equal(before[holes == 0], after[holes == 0])
    assert (before[holes > 0] != after[holes > 0]).any()
    assert invoke("verify", tmp_path / "out", "--source", tmp_path / "in").exit_code == 0


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_integers_brighter_than_their_alpha_are_refused_rather_than_cut_off(
    tmp_path: Path, inpaint: Inpaint, dtype: str
) -> None:
    (tmp_path / "in").mkdir()
    top = np.iinfo(dtype).max
    for name, alpha in (("glow", top // 3), ("cover", top)):
        pixels = np.dstack([painted(3, 40, 50, 3, np.dtype(dtype).type), np.full((40, 50), alpha, dtype)])
        spec = OpenImageIO.ImageSpec(50, 40, 4, dtype)
        output = OpenImageIO.ImageOutput.create("a.tif")
        output.open(str(tmp_path / "in" / f"{name}.tif"), spec)
        output.write_image(np.ascontiguousarray(pixels))
        output.close()
    mask = save(tmp_path / "m.png", specks(8, 40, 50))
    result = inpaint(tmp_path / "in", tmp_path / "out", "--masks", mask, "--grow", "0")
    assert result.exit_code == 3, result.output
    assert files(tmp_path / "out") == {"cover.tif"}
    assert "brighter than its alpha" in str(outcomes(result)["glow.tif"]["error"])


@pytest.mark.parametrize("kind", ["half", "float"])
def test_floats_under_partial_alpha_are_said_to_be_the_source_s_but_for_their_last_bit(
    tmp_path: Path, inpaint: Inpaint, kind: str
) -> None:
    (tmp_path / "in").mkdir()
    pixels = np.random.default_rng(4).random((40, 50, 4), np.float32)
    for name, alpha in (("partial", pixels[..., 3]), ("opaque", np.ones((40, 50), np.float32))):
        pixels[..., 3] = alpha
        output = OpenImageIO.ImageOutput.create("a.exr")
        output.open(str(tmp_path / "in" / f"{name}.exr"), OpenImageIO.ImageSpec(50, 40, 4, kind))
        output.write_image(pixels)
        output.close()
    mask = save(tmp_path / "m.png", specks(8, 40, 50))
    result = inpaint(tmp_path / "in", tmp_path / "out", "--masks", mask, "--grow", "0")
    assert result.exit_code == 0, result.output
    assert "last bit may change" in str(outcomes(result)["partial.exr"]["notes"])
    assert "last bit" not in str(outcomes(result)["opaque.exr"]["notes"])
    before, after = (
        OpenImageIO.ImageInput.open(str(tmp_path / folder / "partial.exr")).read_image("float")
        for folder in ("in", "out")
    )
    known = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) == 0
    assert np.allclose(before[known], after[known], rtol=2.0**-10 if kind == "half" else 2.0**-22, atol=1e-7)


def test_a_mask_with_fewer_pages_than_its_picture_says_which_pages_it_leaves(tmp_path: Path, inpaint: Inpaint) -> None:
    source = tmp_path / "in"
    source.mkdir()
    colour = painted(7, 40, 50, 3, np.uint16)
    write_tiff(source / "a.tiff", colour, colour[..., 0], pages=True)
    save(tmp_path / "m" / "a.png", specks(8, 40, 50))
    result = inpaint(source, tmp_path / "out", "--masks", tmp_path / "m")
    assert result.exit_code == 0, result.output
    assert "its mask has 1 page and the picture 2" in str(outcomes(result)["a.tiff"]["notes"])
    pages = [read(folder / "a.tiff").pages[1].pixels for folder in (source, tmp_path / "out")]
    assert np.array_equal(*pages)


def test_saved_masks_are_what_was_filled_and_a_corrected_one_is_never_replaced(
    tree: tuple[Path, Path], tmp_path: Path, inpaint: Inpaint
) -> None:
    source, masks = tree
    saved = tmp_path / "saved"
    inpaint(source, tmp_path / "out", "--masks", masks, "--save-masks", saved, "--grow", "0")
    for name in SIZES:
        paths = (masks / name).with_suffix(".png"), saved / saved_name(Path(name), ".png")
        assert np.array_equal(*(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths))
    corrected = save(saved / "wall.png", np.zeros((48, 64), np.uint8)).read_bytes()
    result = inpaint(source, tmp_path / "again", "--masks", masks, "--save-masks", saved, "--grow", "0")
    assert (saved / "wall.png").read_bytes() == corrected
    assert any("kept as it was" in str(note) for note in outcomes(result)["wall.png"]["notes"])  # type: ignore[attr-defined]


def test_options_that_contradict_each_other_are_named(
    tree: tuple[Path, Path], tmp_path: Path, inpaint: Inpaint
) -> None:
    source, masks = tree
    for options, named in (
        (("--holes", "alpha", "--masks", masks), "--masks and --holes alpha"),
        (("--holes", "auto", "--invert-mask"), "--invert-mask and --holes auto"),
        (("--masks", masks, "--threshold", "5"), "--threshold and --holes masks"),
        (("--masks", masks, "--polarity", "dark"), "--polarity and --holes masks"),
        (("--masks", masks, "--patches", tmp_path / "p"), "--patches contradict each other"),
    ):
        result = inpaint(source, tmp_path / "out", *options)
        assert result.exit_code == 2
        assert named in result.output
    assert "OUT is missing" in inpaint(source).output
    assert not (tmp_path / "out").exists()


def test_the_limit_on_pixels_is_named_and_raising_it_helps(tmp_path: Path, inpaint: Inpaint) -> None:
    save(tmp_path / "in" / "a.png", painted(1, 60, 60))
    save(tmp_path / "in" / "b.png", painted(1, 20, 20))
    mask = save(tmp_path / "m" / "a.png", specks(1, 60, 60)).parent
    result = inpaint(tmp_path / "in", tmp_path / "out", "--masks", mask, "--max-pixels", "1000")
    assert result.exit_code == 3
    assert "--max-pixels" in str(outcomes(result)["a.png"]["error"])
    assert inpaint(tmp_path / "in", tmp_path / "out", "--masks", mask, "--max-pixels", "5000").exit_code == 0


def test_the_report_counts_holes_and_names_the_least_certain(
    tree: tuple[Path, Path], tmp_path: Path, net: Path, inpaint: Inpaint
) -> None:
    source, masks = tree
    (end,) = of(inpaint(source, tmp_path / "out", "--masks", masks), "end")
    told = [said for said in events(inpaint(source, tmp_path / "out", "--masks", masks)) if said["event"] == "outcome"]
    assert told == []
    assert isinstance(end["holes"], int)
    assert end["holes"] > 0
    assert end["unchanged"] == 1
    sure = [one["confidence"] for one in end["uncertain"]]  # type: ignore[attr-defined]
    assert sure == sorted(sure)
    plain = invoke("inpaint", source, tmp_path / "plain", "--masks", masks, "--model", net, "--device", "cpu")
    assert f"{end['holes']} holes filled" in plain.stdout
    assert "least certain" in plain.stdout


def test_dds_keeps_every_block_that_no_hole_touches_and_says_so_later(tmp_path: Path, inpaint: Inpaint) -> None:
    """Uncompressed here; what blocks hold is tested with the format."""
    picture = painted(9, 40, 48, 4)
    head = struct.pack("<4s7I44x", b"DDS ", 124, 0x100F, 40, 48, 4 * 48, 0, 1)
    kind = struct.pack("<2I4s5I", 32, 0x41, b"", 32, 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    data = head + kind + struct.pack("<5I", 0x1000, 0, 0, 0, 0) + picture.tobytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dds").write_bytes(data)
    mask = save(tmp_path / "m.png", specks(9, 40, 48))
    result = inpaint(tmp_path / "in", tmp_path / "out", "--masks", mask, "--grow", "0")
    assert result.exit_code == 0, result.output
    made = (tmp_path / "out" / "a.dds").read_bytes()
    holes = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) > 0
    after = np.frombuffer(made[128:], np.uint8).reshape(40, 48, 4)
    assert made[:128] == data[:128]
    assert np.array_equal(after[~holes], picture[~holes])
    assert (after[holes] != picture[holes]).any()
    assert invoke("verify", tmp_path / "out", "--source", tmp_path / "in").exit_code == 0
    undone = invoke("undo", tmp_path / "out", "a.dds")
    assert undone.exit_code == 2
    assert "take the file from IN" in undone.output
    (tmp_path / "in" / "b.dds").write_bytes(data[:80] + struct.pack("<I4s", 4, b"RXGB") + data[88:])
    refused = inpaint(tmp_path / "in", tmp_path / "other", "--masks", mask)
    assert refused.exit_code == 2
    assert "--format png" in refused.output
