"""The package from Python: read, enlarge, write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

import restore
from restore.errors import ImageError, ModelError

MODEL = "animevideov3-x4"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 14, 3), dtype=np.uint8)
    path = tmp_path / "wall.png"
    PillowImage.fromarray(pixels).save(path, dpi=(72, 72))
    return path


def test_three_lines_enlarge_a_file(source: Path) -> None:
    document = restore.read(source)
    larger = restore.enlarge(document, MODEL, name=source.name)
    restore.write(larger, source.with_suffix(".tif"))
    with PillowImage.open(source.with_suffix(".tif")) as result:
        assert (result.format, result.size, result.mode) == ("TIFF", (56, 36), "RGB")
        assert round(result.info["dpi"][0]) == 288
    assert isinstance(larger, restore.Document)
    assert isinstance(larger.first, restore.Image)


def test_the_result_is_the_command_line_s_own(source: Path, tmp_path: Path) -> None:
    restore.write(restore.enlarge(restore.read(source), MODEL, scale=2), tmp_path / "api.png")
    command = [sys.executable, "-m", "restore", "upscale", str(source), str(tmp_path / "out" / "wall.png")]
    subprocess.run([*command, "--model", MODEL, "--scale", "2"], check=True, capture_output=True)
    assert (tmp_path / "api.png").read_bytes() == (tmp_path / "out" / "wall.png").read_bytes()


def test_a_name_without_a_known_suffix_keeps_the_document_s_format(source: Path, tmp_path: Path) -> None:
    restore.write(restore.read(source), tmp_path / "wall.texture")
    with PillowImage.open(tmp_path / "wall.texture") as result:
        assert result.format == "PNG"


def test_a_format_that_cannot_hold_the_picture_leaves_the_old_file_alone(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "old.exr"
    target.write_bytes(b"precious")
    with pytest.raises(ImageError, match=r"old\.exr.*use --format"):
        restore.write(restore.read(source), target)
    assert target.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old.exr", "wall.png"]


def test_errors_are_of_one_family(source: Path) -> None:
    with pytest.raises(restore.RestoreError, match="no format 'jpg', but png, tga"):
        restore.write(restore.read(source), source, "jpg")
    with pytest.raises(restore.RestoreError, match=r"absent\.png"):
        restore.read(source.with_name("absent.png"))
    with pytest.raises(ModelError, match="no-such-model"):
        restore.enlarge(restore.read(source), "no-such-model")


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, restore; print(sorted(m for m in sys.modules if m.startswith(('restore.', 'torch', 'numpy'))))"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "[]"
    assert set(restore.__all__) <= set(dir(restore))
    with pytest.raises(AttributeError, match="nothing"):
        _ = restore.nothing


def test_holes_of_a_document_are_filled_and_the_rest_is_untouched(source: Path, tmp_path: Path) -> None:
    import torch

    from restore.models import pconv

    torch.manual_seed(0)
    net = tmp_path / "tiny.safetensors"
    net.write_bytes(pconv.canonical(pconv.PconvUnet((4, 6)).state_dict(), {"max_width_px": "8", "licence": "none"}))
    document = restore.read(source)
    holes = np.zeros((9, 14), np.bool_)
    holes[3:5, 4:7] = True
    whole = restore.fill(document, holes, str(net), device="cpu")
    before, after = document.first.pixels, whole.first.pixels
    assert after.dtype == before.dtype
    assert np.array_equal(after[~holes], before[~holes])
    assert (after[holes] != before[holes]).any()
    assert np.array_equal(restore.fill(document, [None], str(net), device="cpu").first.pixels, before)
    with pytest.raises(ImageError, match="px"):
        restore.fill(document, holes[:-1], str(net), device="cpu")
    with pytest.raises(ImageError, match="2 pages"):
        restore.fill(document, [holes, holes], str(net), device="cpu")
