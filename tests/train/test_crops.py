"""Claims about shards of crops: what gets in, what stays out and why, what is held out, and what a batch is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from restore.errors import SetupError
from restore.train.crops import open_shard, pack, sample, squeeze

Save = Callable[..., Path]
RNG = np.random.default_rng


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return RNG(height * width).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_crops_are_the_pictures_own_pixels_and_sources_are_told(save: Save, tmp_path: Path) -> None:
    pixels = noise(32, 70)
    path = save(pixels, "in/a.png")
    packed = pack([tmp_path / "in"], tmp_path / "out", crop_px=32, licences="CC0, mine")
    assert (packed.crops, packed.pictures) == (2, 1)
    shard = open_shard(tmp_path / "out")
    assert np.array_equal(shard.crops[0], pixels[:, 3:35])
    assert np.array_equal(shard.crops[1], pixels[:, 35:67])
    assert shard.licences == "CC0, mine"
    facts = json.loads((tmp_path / "out.json").read_text())
    assert facts["sources"][0]["path"] == str(path)
    assert len(facts["sources"][0]["sha256"]) == 64


def test_large_pictures_are_also_taken_at_half_and_a_quarter(save: Save, tmp_path: Path) -> None:
    coarse = np.kron(noise(20, 20), np.ones((8, 8, 1), np.uint8))
    save(coarse, "in/a.png")
    assert pack([tmp_path / "in"], tmp_path / "out", crop_px=40).crops == 16 + 4 + 1
    assert pack([tmp_path / "in"], tmp_path / "few", crop_px=40, most_per_picture=5).crops == 5


def test_what_teaches_nothing_or_cannot_be_read_is_left_out_with_a_reason(save: Save, tmp_path: Path) -> None:
    save(noise(40, 40), "in/good.png")
    save(np.full((40, 40, 3), 90, np.uint8), "in/even.png")
    save(noise(10, 40), "in/small.png")
    clear = noise(40, 40, 4)
    clear[..., 3] = 0
    save(clear, "in/clear.png")
    (tmp_path / "in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 50)
    shutil.copy(tmp_path / "in/good.png", tmp_path / "in/twice.png")
    (tmp_path / "in/text.txt").write_text("no picture")
    packed = pack([tmp_path / "in"], tmp_path / "out", crop_px=32)
    assert packed.crops == 1
    reasons = {name: next(r for r in packed.skipped if f"{name}.png" in r) for name in ("even", "small", "clear")}
    assert "transparent" in reasons["clear"]
    assert any("broken.png" in reason for reason in packed.skipped)
    assert any("twice.png" in reason and "the same file" in reason for reason in packed.skipped)
    assert len(packed.skipped) == 5


def test_the_same_pictures_give_the_same_bytes_wherever_they_lie(pictures: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in pictures.iterdir():
        shutil.copy(path, moved / f"renamed-{9 - int(path.stem)}.png")
    pack([pictures], tmp_path / "a.npy", crop_px=40, most_per_picture=3)
    pack([moved], tmp_path / "b.npy", crop_px=40, most_per_picture=3)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_sixteen_bits_grey_and_alpha_become_eight_bit_colour(tmp_path: Path) -> None:
    import cv2

    (tmp_path / "in").mkdir()
    grey = RNG(1).integers(0, 65536, (32, 32), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "in/grey16.png"), grey)
    pack([tmp_path / "in"], tmp_path / "out", crop_px=32)
    crop = open_shard(tmp_path / "out").crops[0]
    assert np.array_equal(crop, np.rint(grey / 257).astype(np.uint8)[..., None].repeat(3, 2))


def test_held_out_crops_come_from_pictures_never_trained_with(shard: Path) -> None:
    opened = open_shard(shard)
    assert len(opened.held_out)
    assert len(opened.training)
    assert set(opened.held_out.tolist()).isdisjoint(opened.training.tolist())
    assert len(opened.held_out) + len(opened.training) == len(opened.crops)
    facts = json.loads(shard.with_name(f"{shard.name}.json").read_text())
    for source in facts["sources"]:
        own = set(range(source["first"], source["first"] + source["count"]))
        assert own <= set((opened.held_out if source["held_out"] else opened.training).tolist())


def test_samples_are_windows_of_training_crops_mirrored_and_turned(shard: Path) -> None:
    opened = open_shard(shard)
    batch = sample(opened, RNG(3), 6, 24)
    assert np.array_equal(batch, sample(opened, RNG(3), 6, 24))
    assert not np.array_equal(batch, sample(opened, RNG(4), 6, 24))
    known = np.lib.stride_tricks.sliding_window_view(opened.crops[opened.training], (24, 24), (1, 2))[:, :, :, 0]
    for crop in batch:
        turns = [np.rot90(flipped, k) for k in range(4) for flipped in (crop, crop[:, ::-1])]
        first = {turned[0, 0, 0] for turned in turns}
        places = np.argwhere(np.isin(known[..., 0, 0], list(first)))
        assert any(np.array_equal(known[tuple(place)], t[..., 0]) for place in places for t in turns)


def test_nothing_to_pack_and_broken_shards_are_refused_with_the_way_out(
    save: Save, tmp_path: Path, shard: Path
) -> None:
    save(noise(10, 10), "in/small.png")
    with pytest.raises(SetupError, match=r"small\.png.*--crop-px"):
        pack([tmp_path / "in"], tmp_path / "out", crop_px=32)
    assert not list(tmp_path.glob("*out*"))
    with pytest.raises(SetupError, match="no such"):
        pack([tmp_path / "nowhere"], tmp_path / "out")
    with pytest.raises(SetupError, match="restore train crops"):
        open_shard(tmp_path / "nowhere")
    shutil.copy(f"{shard}.json", tmp_path / "cut.json")
    np.save(tmp_path / "cut.npy", open_shard(shard).crops[1:])
    with pytest.raises(SetupError, match="restore train crops"):
        open_shard(tmp_path / "cut")
    (tmp_path / "cut.json").write_text("{}")
    with pytest.raises(SetupError, match="no shard"):
        open_shard(tmp_path / "cut")


def test_a_squeezed_shard_is_a_shard_of_much_the_same_crops(shard: Path, tmp_path: Path) -> None:
    count = squeeze(shard, tmp_path / "small", most_bytes=1 << 20)
    whole, small = open_shard(shard), open_shard(tmp_path / "small")
    assert count == len(whole.crops) == len(small.crops)
    assert list(small.held_out) == list(whole.held_out)
    differences = np.abs(small.crops.astype(int) - whole.crops)
    assert differences.mean() < 4
    assert (tmp_path / "small.avifs").stat().st_size < whole.crops.nbytes / 4


def test_squeezing_keeps_as_many_crops_as_fit_and_says_whose_they_are(shard: Path, tmp_path: Path) -> None:
    whole = open_shard(shard)
    squeeze(shard, tmp_path / "all", most_bytes=1 << 20)
    most = (tmp_path / "all.avifs").stat().st_size // 2
    count = squeeze(shard, tmp_path / "half", most_bytes=most)
    half = open_shard(tmp_path / "half")
    assert 0 < count < len(whole.crops)
    assert (tmp_path / "half.avifs").stat().st_size <= most
    assert len(half.training) + len(half.held_out) == count


@pytest.mark.parametrize("harm", ["shorter", "noise"])
def test_a_harmed_squeezed_shard_is_refused(shard: Path, tmp_path: Path, harm: str) -> None:
    squeeze(shard, tmp_path / "small", most_bytes=1 << 20)
    file = tmp_path / "small.avifs"
    data = file.read_bytes()
    file.write_bytes(data[:-1] if harm == "shorter" else bytes(len(data)))
    with pytest.raises(SetupError, match="no shard of crops"):
        open_shard(file)
