"""The child may crash, hang, eat memory or meet any damaged file: that file fails, and the next one is read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from restore.errors import ImageError, SetupError
from restore.formats import Decoder, encode, facts_of, shared
from restore.formats.png import _chunk

linux = pytest.mark.skipif(not shared.BY_DESCRIPTOR, reason="needs memfd and /proc")


def a_huge_png(path: Path, side: int) -> Path:
    """`side` x `side` black pixels of grey in a few kilobytes."""
    squeeze = zlib.compressobj(9)
    row = bytes(side + 1)
    data = b"".join(squeeze.compress(row) for _ in range(side)) + squeeze.flush()
    header = side.to_bytes(4, "big") * 2 + bytes((8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b""))
    return path


def read_in_thread(decoder: Decoder, path: Path) -> tuple[threading.Thread, list[Any]]:
    """Starts a read and returns once the decoder holds the file open."""
    results: list[Any] = []

    def read() -> None:
        try:
            results.append(decoder.read(path))
        except ImageError as error:
            results.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not results:
        if any(Path(f"/proc/self/fd/{name}").resolve() == path for name in os.listdir("/proc/self/fd")):
            break
    return thread, results


@pytest.fixture
def picture(save: Callable[..., Path], rgba: np.ndarray[Any, Any]) -> Path:
    return save(rgba, "picture.png")


@linux
def test_a_child_that_crashes_fails_one_file_and_is_replaced(picture: Path) -> None:
    with Decoder(timeout_s=30) as decoder:
        decoder.probe(picture)
        child = decoder.child_pid
        assert child is not None
        os.kill(child, signal.SIGSTOP)
        thread, results = read_in_thread(decoder, picture)
        os.kill(child, signal.SIGSEGV)
        os.kill(child, signal.SIGCONT)
        thread.join()
        assert isinstance(results[0], ImageError)
        assert "picture.png" in str(results[0])
        assert "SIGSEGV" in str(results[0])
        assert decoder.read(picture).first.width == 7
        assert decoder.child_pid != child


@linux
def test_a_child_that_hangs_is_stopped_after_its_time(picture: Path) -> None:
    with Decoder(timeout_s=0.5) as decoder:
        decoder.probe(picture)
        assert decoder.child_pid is not None
        os.kill(decoder.child_pid, signal.SIGSTOP)
        with pytest.raises(ImageError, match=r"picture\.png: decoding took longer than 0\.5 s"):
            decoder.read(picture)
        assert decoder.read(picture).first.width == 7


@linux
def test_a_file_that_needs_too_much_memory_fails_alone(picture: Path, tmp_path: Path) -> None:
    wide = a_huge_png(tmp_path / "wide.png", 20000)  # 381 MiB of pixels, which the limit itself would allow
    with Decoder(memory_bytes=500 << 20, timeout_s=60) as decoder:
        with pytest.raises(ImageError, match=r"wide\.png: .*500 MiB"):
            decoder.read(wide)
        assert decoder.read(picture).first.width == 7


def test_a_pixel_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    bomb = a_huge_png(tmp_path / "bomb.png", 3000)
    with Decoder(max_pixels=1_000_000) as decoder:
        for ask in (decoder.probe, decoder.read):
            with pytest.raises(ImageError, match="3000 x 3000 pixels are more than the limit"):
                ask(bomb)


def test_more_pages_than_the_limit_are_refused(tmp_path: Path) -> None:
    frames = [PillowImage.new("L", (4, 4), shade) for shade in range(6)]
    frames[0].save(tmp_path / "pages.tif", save_all=True, append_images=frames[1:])
    with Decoder(max_pages=5) as decoder, pytest.raises(ImageError, match="more than 5 pages"):
        decoder.read(tmp_path / "pages.tif")


@linux
def is_open(path: Path) -> bool:
    """This process holds the file."""
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    return any(os.path.realpath(link) == str(path.resolve()) for link in links)


def test_a_source_that_changes_while_it_is_read_is_refused(picture: Path) -> None:
    with Decoder(timeout_s=30) as decoder:
        decoder.probe(picture)
        assert decoder.child_pid is not None
        os.kill(decoder.child_pid, signal.SIGSTOP)
        thread, results = read_in_thread(decoder, picture)
        while not is_open(picture):
            time.sleep(0.01)
        time.sleep(0.5)  # the file is open; give its first stat the time to happen, on a busy machine too
        os.utime(picture, ns=(1, 1))
        os.kill(decoder.child_pid, signal.SIGCONT)
        thread.join()
        assert "changed while it was being read" in str(results[0])


def test_every_damaged_file_gets_a_verdict_and_the_decoder_survives(
    shared_data: Path, picture: Path, decoder: Decoder
) -> None:
    readable: list[str] = []
    verdicts: dict[str, str] = {}
    for path in sorted((shared_data / "bad").iterdir()):
        try:
            decoder.read(path)
            readable.append(path.name)
        except ImageError as error:
            verdicts[path.name] = str(error)
    # a TIFF that libtiff reads to its end, and a whole JPEG whose EXIF is damaged
    assert readable == ["crash-74d2a78403a5a59db1fb0a2b8735ac068a75f6e3.tif", "truncated_exif_dpi.jpg"]
    assert all(name in verdict and len(verdict) < 2500 for name, verdict in verdicts.items())
    assert decoder.read(picture).first.width == 7


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cut.png", {}),
        ("cut.jpg", {"quality": 90}),
        ("progressive.jpg", {"progressive": True}),
        ("cut.bmp", {}),
        ("cut.tif", {"compression": "tiff_lzw"}),
        ("cut.webp", {"lossless": True}),
        ("cut.ppm", {}),
        ("cut.tga", {}),
        ("rle.tga", {"compression": "tga_rle"}),
    ],
)
def test_truncated_pictures_never_give_pixels(
    name: str, options: dict[str, Any], decoder: Decoder, save: Callable[..., Path]
) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    path = save(pixels, name, **options)
    whole = path.read_bytes()
    decoder.read(path)
    without_footer = len(whole) - (26 if name.endswith("tga") else 0)
    for kept in {without_footer * part // 11 for part in range(1, 11)} | {without_footer - 1, without_footer - 2}:
        path.write_bytes(whole[:kept])
        with pytest.raises(ImageError):
            decoder.read(path)


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.png", "Stra\u00dfe \u58c1 +1.PNG".encode(), b"no\nline.png", b"a" * 251 + b".png"]
)
def test_any_name_can_be_read(name: bytes, picture: Path, decoder: Decoder) -> None:
    odd = Path(os.fsdecode(os.fsencode(picture.parent) + b"/" + name))
    try:
        picture.rename(odd)
    except OSError:
        pytest.skip("this filesystem refuses such names")
    assert decoder.read(odd).first.width == 7
    odd.write_bytes(b"nonsense")
    with pytest.raises(ImageError) as caught:
        decoder.read(odd)
    str(caught.value).encode()  # can be printed


def test_what_is_no_file_is_an_image_error(tmp_path: Path, decoder: Decoder) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "empty.png", "folder.png", "missing.png"):
        with pytest.raises(ImageError, match=name):
            decoder.read(tmp_path / name)


def test_a_jpeg_named_tga_is_read_as_what_it_is(decoder: Decoder, save: Callable[..., Path]) -> None:
    path = save(np.full((8, 8, 3), 90, np.uint8), "wall.jpg")
    path = path.rename(path.with_suffix(".tga"))
    document = decoder.read(path)
    assert document.first.stored.format == "jpeg"
    assert any("JPEG" in note for note in document.first.stored.notes)


def test_check_tells_black_and_broken_outputs(decoder: Decoder, save: Callable[..., Path]) -> None:
    document = decoder.read(save(np.random.default_rng(0).integers(0, 256, (9, 9, 4), dtype=np.uint8), "a.png"))
    black = document.first.pixels.copy()
    black[..., :3] = 0  # alpha still varies
    page = document.first.with_pixels(black)
    with encode(type(document)((page,)), "png") as file:
        assert decoder.check(file, "png")[1].constant
        assert facts_of(type(document)((page,))).constant
    with encode(document, "png") as file:
        assert not decoder.check(file, "png")[1].constant
        with pytest.raises(ImageError, match="was to be jpeg"):
            decoder.check(file, "jpeg")
        file.truncate(len(file.read()) - 9)
        with pytest.raises(ImageError, match="truncated"):
            decoder.check(file, "png")


def test_check_finds_nan(decoder: Decoder, save_oiio: Callable[..., Path]) -> None:
    pixels = np.random.default_rng(0).random((6, 6, 3)).astype(np.float32)
    document = decoder.read(save_oiio(pixels, "f.exr", ("R", "G", "B")))
    pixels[3, 3, 1] = np.nan
    bad = type(document)((document.first.with_pixels(pixels),))
    with encode(bad, "exr") as file:
        assert not decoder.check(file, "exr")[1].finite
    assert not facts_of(bad).finite


def test_pixels_arrive_in_shared_memory_and_outlive_the_decoder(picture: Path, rgba: np.ndarray[Any, Any]) -> None:
    with Decoder() as decoder:
        pixels = decoder.read(picture).first.pixels
    assert not pixels.flags.owndata
    np.testing.assert_array_equal(pixels, rgba)


def test_without_memfd_everything_goes_through_temporary_files(
    picture: Path, rgba: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "BY_DESCRIPTOR", False)
    with Decoder(timeout_s=60) as decoder:
        document = decoder.read(picture)
        np.testing.assert_array_equal(document.first.pixels, rgba)
        for target in ("png", "tga", "tiff", "webp", "bmp"):
            with encode(document, target) as file:
                assert decoder.check(file, target)[0].channels == ("R", "G", "B", "A")


def test_the_child_never_imports_torch_and_leaves_no_folder_behind(picture: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from restore.formats import Decoder\n"
        "with Decoder() as d: print(d.read(Path(sys.argv[1])).first.width, d.child_pid)\n"
        "assert 'torch' not in sys.modules"
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    root = Path(shared.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(picture)],
        env={**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("7 ")
    assert list(scratch.iterdir()) == []


@linux
def test_the_child_ends_when_its_parent_is_killed(picture: Path, tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from restore.formats import Decoder\n"
        "d = Decoder(); d.probe(Path(sys.argv[1])); print(d.child_pid, flush=True); time.sleep(60)"
    )
    root = Path(shared.__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(picture)],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}/cmdline").exists() and time.monotonic() < deadline:
        if not Path(f"/proc/{child}/cmdline").read_bytes():
            break  # a zombie that nobody collects
        time.sleep(0.02)
    assert not list(tmp_path.glob("restore-decode-*"))


def test_a_library_that_cannot_be_loaded_gives_one_line_with_the_remedy(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text("import sys; sys.modules['OpenImageIO'] = None")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    with Decoder() as decoder, pytest.raises(SetupError) as caught:
        decoder.read(picture)
    assert "OpenImageIO can't be loaded" in str(caught.value)
    assert "pip install" in str(caught.value)
    assert "Traceback" not in str(caught.value)
