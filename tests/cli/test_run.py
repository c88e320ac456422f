"""Claims about `restore run`: a recipe's steps in one pass, and what a recipe may say."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from inpaint_tree import SIZES, invoke, make_tree, of, read, tiny_net

from restore.cli.recipe_file import read_recipe
from restore.errors import SetupError
from restore.holes.pairing import saved_name
from restore.recipe import Grain, HolesFrom, Polarity, Precision, Wrap

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "recipes"
ENLARGE = 'model = "animevideov3-x4"\nprecision = "fp32"\nscale = 2\n'


def recipe(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_holes_are_filled_before_pictures_are_enlarged_and_masks_grow_with_them(tmp_path: Path) -> None:
    """The same as two commands one after the other, with one decoding and one encoding."""
    source, masks = make_tree(tmp_path)
    net = tiny_net(tmp_path / "tiny.safetensors")
    both = recipe(
        tmp_path,
        f'[inpaint]\nmasks = "masks"\nmodel = "{net}"\ngrow = 0\n[upscale]\n{ENLARGE}[output]\nformat = "tiff"\n',
    )
    result = invoke("run", both, source, tmp_path / "out", "--device", "cpu", "--save-masks", tmp_path / "m", "--json")
    assert result.exit_code == 0, result.output
    assert len(of(result, "outcome")) == len(SIZES) + 1
    (tmp_path / "steps").mkdir()
    fill = recipe(tmp_path / "steps", f'[inpaint]\nmasks = "{masks}"\nmodel = "{net}"\ngrow = 0\n')
    assert invoke("run", fill, source, tmp_path / "filled", "--device", "cpu").exit_code == 0
    enlarge = recipe(tmp_path / "steps", f'[upscale]\n{ENLARGE}[output]\nformat = "tiff"\n')
    assert invoke("run", enlarge, tmp_path / "filled", tmp_path / "two", "--device", "cpu").exit_code == 0
    for name, (height, width, *_) in SIZES.items():
        made = Path(name).with_suffix(".tiff" if name.endswith(".tiff") else ".tif")
        one, two = (read(folder / made).first.pixels for folder in (tmp_path / "out", tmp_path / "two"))
        assert one.shape[:2] == (2 * height, 2 * width)
        assert np.array_equal(one, two)
        mask = cv2.imread(str((masks / name).with_suffix(".png")), cv2.IMREAD_GRAYSCALE)
        grown = cv2.imread(str(tmp_path / "m" / saved_name(Path(name), ".png")), cv2.IMREAD_GRAYSCALE)
        assert np.array_equal(grown, mask.repeat(2, axis=0).repeat(2, axis=1))
    assert invoke("verify", tmp_path / "out").exit_code == 0
    again = invoke("run", both, source, tmp_path / "out", "--device", "cpu", "--json")
    assert of(again, "started") == []


def test_the_recipes_that_are_shipped_are_understood() -> None:
    photos = read_recipe(EXAMPLES / "old-photos.toml", None)
    assert photos.inpaint is not None
    assert photos.upscale is not None
    assert photos.inpaint.holes.source is HolesFrom.AUTO
    assert (photos.inpaint.holes.threshold_sigmas, photos.upscale.scale) == (6.0, 2.0)
    textures = read_recipe(EXAMPLES / "game-textures.toml", None)
    assert textures.inpaint is not None
    assert textures.inpaint.holes.source is HolesFrom.MASKS
    assert textures.inpaint.holes.grow_px == 1
    assert textures.masks is None
    assert all(tomllib.loads(path.read_text()) for path in EXAMPLES.glob("*.toml"))


def test_every_key_is_read(tmp_path: Path) -> None:
    wanted = read_recipe(
        recipe(
            tmp_path,
            '[inpaint]\nholes = "auto"\npolarity = "dark"\nthreshold = 5\nmax_size = 40\ngrow = "auto"\n'
            'grain = "off"\ncontext = 48\nmodel = "x.safetensors"\nprecision = "fp32"\n'
            '[upscale]\nmodel = "m"\ntile = 256\nhalo = "exact"\ncolor_fix = "off"\nkeep_grain = 0.1\n'
            'max_size = 900\npow2 = "up"\nmultiple_of = 4\n[rules]\nwrap = "x"\n[output]\nformat = "png"\n',
        ),
        None,
    )
    assert wanted.inpaint is not None
    holes = wanted.inpaint.holes
    assert (holes.polarity, holes.threshold_sigmas, holes.max_size_px) == (Polarity.DARK, 5, 40)
    assert (wanted.inpaint.grain, wanted.inpaint.context_px) == (Grain.OFF, 48)
    assert (wanted.inpaint.model, wanted.inpaint.precision) == ("x.safetensors", Precision.FP32)
    assert wanted.upscale is not None
    assert (wanted.upscale_model, wanted.upscale.tile_px, wanted.upscale.keep_grain) == ("m", 256, 0.1)
    assert (wanted.upscale.max_size_px, wanted.upscale.multiple_of_px) == (900, 4)
    assert (wanted.wrap, wanted.upscale.wrap, wanted.format.value) == (Wrap.X, Wrap.X, "png")


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("", "has no step"),
        ("[inpaint\n", "no TOML"),
        ("[inpaint]\nhole = 'auto'\n", "hole: not known; known are"),
        ("[inpaint]\nholes = 'all'\n", "none of: masks, alpha"),
        ("[inpaint]\nholes = 'alpha'\nmasks = 'm'\n", "contradict each other"),
        ("[inpaint]\ncontext = 3\n", "is not from 16 to 256"),
        ("[inpaint]\ngrow = true\n", "is no str or int"),
        ("[inpaint]\nholes = 'auto'\nthreshold = nan\n", "nan is not from 1.0 to 100.0"),
        ("[inpaint]\nholes = 'auto'\nthreshold = -6\n", "-6 is not from 1.0 to 100.0"),
        ("[inpaint]\nholes = 'auto'\nmax_size = 0\n", "0 is not from 1 to"),
        ("[inpaint]\nholes = 'auto'\npolarity = 'up'\n", "'up' is none of both"),
        ("[upscale]\nmax_size = -1\n", "-1 is not from 1 to"),
        ("[upscale]\nscale = 99\n", "scale"),
        ("[upscale]\npow2 = 'left'\n", "none of off"),
        ("[sharpen]\n", "sharpen: not known"),
        ("upscale = 4\n", "is no table"),
    ],
)
def test_what_a_recipe_may_not_say_is_named(tmp_path: Path, text: str, fact: str) -> None:
    path = recipe(tmp_path, text)
    with pytest.raises(SetupError, match=r"recipe\.toml") as told:
        read_recipe(path, None)
    assert fact in str(told.value)


def test_a_recipe_may_start_with_the_mark_that_editors_on_windows_write(tmp_path: Path) -> None:
    path = tmp_path / "notepad.toml"
    path.write_bytes("[inpaint]\r\nholes = 'alpha'\r\n".encode("utf-8-sig"))
    wanted = read_recipe(path, None).inpaint
    assert wanted is not None
    assert wanted.holes.source is HolesFrom.ALPHA


def test_masks_are_relative_to_the_recipe_and_the_command_line_goes_before(tmp_path: Path) -> None:
    path = recipe(tmp_path, "[inpaint]\nmasks = 'here'\n")
    assert read_recipe(path, None).masks == tmp_path / "here"
    assert read_recipe(path, Path("there")).masks == Path("there")
    with pytest.raises(SetupError, match="--masks means nothing"):
        read_recipe(recipe(tmp_path, "[upscale]\n"), Path("there"))
