"""Pictures that don't fit into memory are repaired in bands of rows, with the outcome of whole ones."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "cli"))

from inpaint_tree import invoke, read, save, tiny_net

from restore.batch import large, memory, plan
from restore.batch.job import Job
from restore.formats import encode as encode_document
from restore.formats import ifd
from restore.image import Alpha, Document, Image, Stored, Transfer
from restore.trust import patches as patch_files
from restore.trust.ledger import Fill
from restore.trust.patches import Patches

HEIGHT, WIDTH, BAND = 1300, 200, 448
NAMES = {
    1: ("Y",),
    3: ("R", "G", "B"),
    4: ("R", "G", "B", "A"),
}


def scan(dtype: type, channels: int, extras: dict[str, Any] | None = None, *, infrared: bool = False) -> Image:
    """Smooth, with grain."""
    rng = np.random.default_rng(channels)
    coarse = rng.random((HEIGHT // 60, WIDTH // 60, channels), np.float32)
    pixels = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).reshape(HEIGHT, WIDTH, channels)
    pixels = pixels * 0.5 + 0.25 + rng.normal(0, 0.02, pixels.shape)
    names, alpha = NAMES[channels], Alpha.NONE
    if infrared:
        names = ("R", "G", "B", "infrared")
    elif channels == 4:
        alpha = Alpha.STRAIGHT
        pixels[..., 3] = cv2.GaussianBlur((rng.random((HEIGHT, WIDTH)) < 0.001).astype(np.float32), (0, 0), 6) * 600
    top = np.iinfo(dtype).max
    stored = Stored("tiff", np.dtype(dtype).itemsize * 8, False, Transfer.SRGB, alpha, names, extras or {})
    return Image((pixels.clip(0, 1) * top).round().astype(dtype), stored)


def damage() -> np.ndarray:
    """(H, W) uint8: dust everywhere, holes across both borders between bands, wide ones, lines."""
    rng, mask = np.random.default_rng(9), np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(60):
        cv2.circle(mask, (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))), int(rng.integers(0, 4)), 255, -1)
    for border in (BAND, 2 * BAND):
        for x, y, radius in ((20, 0, 3), (60, -3, 3), (100, 3, 4), (150, -10, 25), (180, -2, 1), (190, 1, 1)):
            cv2.circle(mask, (x, border + y), radius, 255, -1)
        cv2.line(mask, (120, border - 150), (128, border + 190), 255, 2)
    cv2.circle(mask, (60, 1100), 40, 255, -1)
    return mask


def write(path: Path, *pages: Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with encode_document(Document(pages), "tiff") as data:
        path.write_bytes(data.read())
    return path


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_net(tmp_path_factory.mktemp("net") / "tiny.safetensors")


@pytest.fixture
def in_bands(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes every picture too large for memory from then on."""

    def inside(job: Job, canvas_scale: int, *, repaired: bool) -> int:
        del canvas_scale, repaired
        return 0 if job.in_bands else 1 << 62

    def begin() -> None:
        monkeypatch.setattr(plan, "bytes_inside", inside)
        monkeypatch.setattr(large, "BAND_ROWS", BAND)
        monkeypatch.setattr(memory, "free_bytes", lambda device: 0)

    return begin


@dataclass(frozen=True)
class Case:
    pages: tuple[Image, ...]
    options: tuple[str, ...] = ()
    mask: bool = True


def cases() -> dict[str, Case]:
    rgb = scan(np.uint16, 3, {"tiff.compression": "zip", "tiff.predictor": 2})
    dusty = rgb.pixels.copy()
    dusty[(damage() > 0) & (np.indices((HEIGHT, WIDTH)).sum(0) % 3 < 2)] = 65535
    keyed = scan(np.uint8, 3, {"tiff.compression": "lzw", "tiff.tile": [64, 64]})
    keyed.pixels[damage() > 0] = (255, 0, 255)
    film = scan(np.uint16, 4, infrared=True)
    through = np.exp(-0.8 * cv2.GaussianBlur((damage() > 0).astype(np.float32), (0, 0), 0.8))[..., None]
    through *= np.where(np.indices((HEIGHT, WIDTH))[1] < WIDTH // 2, 0.2, 1.0)[..., None] ** (damage() > 0)[..., None]
    colour = film.pixels[..., :3] * through ** (1 / 2.2)
    film = film.with_pixels(np.concatenate([colour, 40_000 * through], 2).round().astype(np.uint16))
    return {
        "infrared": Case((film,), ("--holes", "ir:channel=3"), mask=False),
        "rgb16-masks": Case((rgb,)),
        "grey8-big": Case((scan(np.uint8, 1, {"tiff.compression": "none", "tiff.big": True}),)),
        "rgba16": Case((scan(np.uint16, 4, {"tiff.compression": "lzw"}),)),
        "infrared-kept": Case((scan(np.uint16, 4, infrared=True),)),
        "key": Case((keyed,), ("--holes", "key:#ff00ff"), mask=False),
        "auto": Case((rgb.with_pixels(dusty),), ("--holes", "auto", "--threshold", "5"), mask=False),
    }


@pytest.mark.parametrize("name", ["rgb16-masks", "grey8-big", "rgba16", "infrared-kept", "infrared", "key", "auto"])
def test_pixels_and_ledger_are_those_of_the_whole_picture(
    tmp_path: Path, net: Path, in_bands: Callable[[], None], name: str
) -> None:
    case = cases()[name]
    write(tmp_path / "in/scan.tif", *case.pages)
    if case.mask:
        save(tmp_path / "masks/scan.png", damage())
    masks = ("--masks", tmp_path / "masks") if case.mask else ()
    options = (*masks, *case.options, "--wrap", "none", "--model", net, "--device", "cpu", "--json")
    whole = invoke("inpaint", tmp_path / "in", tmp_path / "whole", *options)
    assert whole.exit_code == 0, whole.output
    in_bands()
    banded = invoke("inpaint", tmp_path / "in", tmp_path / "bands", *options)
    assert banded.exit_code == 0, banded.output
    made = (tmp_path / "bands/scan.tif").stat().st_mtime_ns
    results = [read(tmp_path / out / "scan.tif").pages for out in ("whole", "bands")]
    for page, one, other in zip(case.pages, *results, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert not np.array_equal(one.pixels, page.pixels)
    first, second = (ledger(tmp_path / out) for out in ("whole", "bands"))
    assert len(first.patches) > 20
    assert patch_files.same(first, second)
    if name == "infrared":
        assert {patch.repair.fill for patch in first.patches} > {Fill.DIVIDED}
    verified = invoke("verify", tmp_path / "bands", "--source", tmp_path / "in", "--json")
    assert verified.exit_code == 0, verified.output
    assert invoke("inpaint", tmp_path / "in", tmp_path / "bands", *options).exit_code == 0
    assert (tmp_path / "bands/scan.tif").stat().st_mtime_ns == made


def ledger(target: Path) -> Patches:
    (path,) = target.rglob("*.patches")
    with path.open("rb") as file:
        return patch_files.read(file)


def small(tmp_path: Path, *, height: int = 1000, compression: str = "none") -> Path:
    """IN with one picture and, in masks, its few holes."""
    page = scan(np.uint16, 3, {"tiff.compression": compression})
    write(tmp_path / "in/scan.tif", page.with_pixels(page.pixels[:height, :90]))
    mask = np.zeros((height, 90), np.uint8)
    for x, y in ((20, 100), (40, BAND), (60, 2 * BAND - 2)):
        cv2.circle(mask, (x, y), 3, 255, -1)
    save(tmp_path / "masks/scan.png", mask)
    return tmp_path / "in"


def repair(tmp_path: Path, net: Path, target: str, *more: str | Path) -> Any:
    settings = ("--masks", tmp_path / "masks", "--model", net, "--device", "cpu", "--json")
    return invoke("inpaint", tmp_path / "in", tmp_path / target, *settings, *more)


def test_without_compression_only_bytes_of_repairs_change_and_undo_gives_the_source_s_file_back(
    tmp_path: Path, net: Path, in_bands: Callable[[], None]
) -> None:
    source, result = small(tmp_path) / "scan.tif", tmp_path / "out/scan.tif"
    in_bands()
    assert repair(tmp_path, net, "out").exit_code == 0
    before, after = (np.fromfile(path, np.uint8) for path in (source, result))
    assert len(before) == len(after)
    held = sum(patch.after.nbytes for patch in ledger(tmp_path / "out").patches)
    assert 0 < np.count_nonzero(before != after) <= held
    undone = invoke("undo", tmp_path / "out", "scan.tif", "--blob", "1", "--json")
    assert undone.exit_code == 0, undone.output
    assert np.array_equal(
        read(result).first.pixels[BAND - 9 : BAND + 9], read(source).first.pixels[BAND - 9 : BAND + 9]
    )
    assert invoke("verify", tmp_path / "out", "--source", tmp_path / "in").exit_code == 0
    assert invoke("undo", tmp_path / "out", "scan.tif").exit_code == 0
    assert result.read_bytes() == source.read_bytes()


KILLED_WHILE_WRITING = """
import os, signal
from restore.batch import large_files, plan
from restore.formats import tiff_strips

def rewrite(file, changes, rows):
    tiff_strips.rewrite(file, changes[: len(changes) // 2], rows)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

plan.bytes_inside = lambda job, scale, *, repaired: 0 if job.in_bands else 1 << 62
large_files.rewrite = rewrite
from restore.cli import main
main()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system can't kill a process at once")
def test_killed_while_strips_are_written_the_next_run_makes_the_same_file(
    tmp_path: Path, net: Path, in_bands: Callable[[], None]
) -> None:
    small(tmp_path, compression="lzw")
    options = ["--masks", tmp_path / "masks", "--model", net, "--device", "cpu", "--json"]
    command = [sys.executable, "-c", KILLED_WHILE_WRITING, "inpaint", tmp_path / "in", tmp_path / "out", *options]
    killed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "out/scan.tif").exists()
    assert list((tmp_path / "out").glob(".restore-*.part"))
    in_bands()
    assert repair(tmp_path, net, "out").exit_code == 0
    assert repair(tmp_path, net, "whole").exit_code == 0
    assert (tmp_path / "out/scan.tif").read_bytes() == (tmp_path / "whole/scan.tif").read_bytes()
    assert not list((tmp_path / "out").glob(".restore-*.part"))


def test_patches_are_kept_alone_and_put_on_another_copy(
    tmp_path: Path, net: Path, in_bands: Callable[[], None]
) -> None:
    small(tmp_path, compression="lzw")
    in_bands()
    assert repair(tmp_path, net, "out").exit_code == 0
    settings = ("--masks", tmp_path / "masks", "--model", net, "--device", "cpu", "--json")
    kept = invoke("inpaint", tmp_path / "in", "--patches", tmp_path / "patches", *settings)
    assert kept.exit_code == 0, kept.output
    applied = invoke("apply", tmp_path / "patches", tmp_path / "in", tmp_path / "applied", "--json")
    assert applied.exit_code == 0, applied.output
    assert (tmp_path / "applied/scan.tif").read_bytes() == (tmp_path / "out/scan.tif").read_bytes()


def test_verify_finds_a_pixel_that_was_changed_later(tmp_path: Path, net: Path, in_bands: Callable[[], None]) -> None:
    small(tmp_path)
    in_bands()
    assert repair(tmp_path, net, "out").exit_code == 0
    data = bytearray((tmp_path / "out/scan.tif").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "out/scan.tif").write_bytes(data)
    told = invoke("verify", tmp_path / "out", "--json")
    assert told.exit_code == 3
    assert "its bytes were changed" in told.output


def test_masks_of_what_was_repaired_are_saved(tmp_path: Path, net: Path, in_bands: Callable[[], None]) -> None:
    small(tmp_path)
    in_bands()
    assert repair(tmp_path, net, "out", "--save-masks", tmp_path / "saved").exit_code == 0
    touched = ledger(tmp_path / "out").touched()[0]
    assert np.array_equal(read(tmp_path / "saved/scan.tif.png").first.pixels[..., 0] > 0, touched)


def test_a_picture_without_holes_is_passed_on_byte_for_byte(
    tmp_path: Path, net: Path, in_bands: Callable[[], None]
) -> None:
    source = small(tmp_path) / "scan.tif"
    save(tmp_path / "masks/scan.png", np.zeros((1000, 90), np.uint8))
    in_bands()
    assert repair(tmp_path, net, "out").exit_code == 0
    assert (tmp_path / "out/scan.tif").read_bytes() == source.read_bytes()


def test_a_hole_over_several_bands_is_filled_in_parts_and_that_is_told(
    tmp_path: Path, net: Path, in_bands: Callable[[], None]
) -> None:
    source = small(tmp_path, height=1300) / "scan.tif"
    mask = np.zeros((1300, 90), np.uint8)
    mask[200:1200, 30:33] = 255
    save(tmp_path / "masks/scan.png", mask)
    in_bands()
    done = repair(tmp_path, net, "out", "--grow", "0")
    assert done.exit_code == 0, done.output
    assert "filled in parts" in done.output
    before, after = read(source).first.pixels, read(tmp_path / "out/scan.tif").first.pixels
    assert np.array_equal((before != after).any(2) & (mask == 0), np.zeros_like(mask, np.bool_))
    assert (before != after).any(2)[mask > 0].mean() > 0.9
    assert [patch.repair.box.y0 for patch in ledger(tmp_path / "out").patches] == [200, BAND, 2 * BAND]


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("scan.png", (), "convert it to TIFF"),
        ("scan.tif", ("--wrap", "y"), "leave --wrap out"),
        ("scan.tif", ("--format", "png"), "leave --format out"),
    ],
)
def test_what_cannot_be_worked_on_in_bands_is_refused_with_the_way_out(
    tmp_path: Path, net: Path, in_bands: Callable[[], None], name: str, more: tuple[str, ...], words: str
) -> None:
    small(tmp_path)
    if name.endswith("png"):
        (tmp_path / "in/scan.tif").unlink()
        save(tmp_path / "in/scan.png", np.zeros((1000, 90, 3), np.uint8))
    in_bands()
    told = repair(tmp_path, net, "out", *more)
    assert told.exit_code == 3
    assert words in told.output
    assert "--max-pixels" in told.output


def test_strict_reads_a_large_mask_in_bands(tmp_path: Path, net: Path, in_bands: Callable[[], None]) -> None:
    small(tmp_path)
    save(tmp_path / "masks/scan.png", np.full((1000, 90), 255, np.uint8))
    in_bands()
    told = repair(tmp_path, net, "out", "--strict")
    assert told.exit_code == 2
    assert "every pixel" in told.output


FREE = 5 << 30


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("RESTORE_TEST_LARGE"), reason="writes 3 GB: set RESTORE_TEST_LARGE=1")
def test_a_scan_of_240_megapixels_needs_little_memory(tmp_path: Path, net: Path) -> None:
    height, width = 12_000, 20_000
    make_large(tmp_path / "in/scan.tif", height, width)
    mask = np.zeros((height, width), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(300):
        cv2.circle(mask, (int(rng.integers(width)), int(rng.integers(height))), int(rng.integers(1, 6)), 255, -1)
    save(tmp_path / "masks/scan.png", mask)
    del mask
    script = Path(__file__).with_name("limited_memory.py")
    command = [sys.executable, script, f"{FREE}", "inpaint", tmp_path / "in", tmp_path / "out"]
    command += ["--masks", tmp_path / "masks", "--model", net, "--device", "cpu", "--json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scans don't" in done.stdout
    assert int(done.stderr.split()[-1]) < FREE  # the whole picture would take 11 GiB


def make_large(path: Path, height: int, width: int) -> None:
    """An uncompressed TIFF of 16-bit RGB, written row by row."""
    entries = [
        ifd.Entry(256, 4, struct.pack("<I", width)),
        ifd.Entry(257, 4, struct.pack("<I", height)),
        ifd.Entry(258, 3, struct.pack("<3H", 16, 16, 16)),
        *(ifd.short(tag, value) for tag, value in ((259, 1), (262, 2), (277, 3), (284, 1))),
        ifd.Entry(278, 4, struct.pack("<I", 16)),
    ]
    strips, start = height // 16, 16
    entries.append(ifd.Entry(273, 16, struct.pack(f"<{strips}Q", *(start + i * 96 * width for i in range(strips)))))
    entries.append(ifd.Entry(279, 16, struct.pack(f"<{strips}Q", *([96 * width] * strips))))
    path.parent.mkdir(parents=True)
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(struct.pack("<2s3HQ", b"II", 43, 8, 0, start + 6 * height * width))
        for y in range(0, height, 16):
            level = 20_000 + 15_000 * np.sin(np.arange(width) / 300 + y / 500)
            band = level[None, :, None] + rng.normal(0, 500, (16, width, 3))
            file.write(band.astype("<u2").tobytes())
        file.write(ifd.directory(tuple(entries), file.tell(), True))
