"""Claims about training: it learns, goes on exactly where it stopped, measures, and says what doesn't fit."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from restore.errors import SetupError
from restore.models import pconv, store
from restore.models.pconv import PconvUnet
from restore.navier_stokes import navier_stokes_8bit
from restore.train import inpainter
from restore.train.checkpoint import State
from restore.train.crops import open_shard
from restore.train.damage import training_damage
from restore.train.evaluate import make_probe
from restore.train.inpainter import Training, loss_of, make_batch, train


@pytest.fixture
def told(shard: Path, tmp_path: Path) -> Training:
    """A run of seconds."""
    return Training(
        crops=shard,
        out=tmp_path / "run",
        steps=6,
        batch=2,
        crop_px=32,
        lr=3e-3,
        widths=(4, 6, 8),
        max_width_px=8,
        every=3,
        probe_crops=2,
        device="cpu",
    )


def weights_of(told: Training) -> dict[str, torch.Tensor]:
    held = torch.load(told.out / inpainter.CHECKPOINT, weights_only=True)
    return {f"{part}.{name}": tensor for part in ("net", "average") for name, tensor in held[part].items()}


def interrupted(told: Training, at_step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run `told` until its time is up, which is when it has done so many steps."""

    class Clock:
        now_s = 0.0

        @classmethod
        def monotonic(cls) -> float:
            return cls.now_s

    def step(state: State, *arguments: object) -> torch.Tensor:
        loss = own_step(state, *arguments)
        Clock.now_s = 3600.0 if state.step == at_step else 0.0
        return loss

    own_step = inpainter._step
    with monkeypatch.context() as patch:
        patch.setattr(inpainter, "time", Clock)
        patch.setattr(inpainter, "_step", step)
        trained = train(replace(told, minutes=1.0))
    assert (trained.step, trained.finished) == (at_step, False)


def test_a_resumed_run_gives_the_same_weights_and_log(told: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = replace(told, out=told.out.with_name("whole"))
    assert train(whole).finished
    interrupted(told, 2, monkeypatch)
    interrupted(told, 5, monkeypatch)
    assert train(told).finished
    ours, theirs = weights_of(told), weights_of(whole)
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    rows = [list(csv.DictReader((run.out / inpainter.TABLE).open())) for run in (told, whole)]
    assert [row | {"minutes": ""} for row in rows[0]] == [row | {"minutes": ""} for row in rows[1]]


def test_training_moves_weights_and_writes_what_it_promises(told: Training) -> None:
    rows = []
    trained = train(told, rows.append)
    assert trained.finished
    assert [row["step"] for row in rows] == [3, 6]
    assert trained.row == rows[-1]
    for bucket in ("dust", "strokes", "wide", "irregular"):
        assert all(5 < rows[0][f"{bucket}_{method}"] < 80 for method in ("net", "push_pull", "ns"))
    assert rows[0]["dust_ns"] == rows[1]["dust_ns"]
    net = pconv.load(trained.weights)
    assert net.widths == told.widths
    assert net.last.get_parameter("weight").abs().sum() > 0
    facts = store.facts_of(trained.weights)
    assert (facts["steps"], facts["max_width_px"], facts["licences"]) == ("6", "8", "CC0, made by a test")
    header = (told.out / inpainter.TABLE).read_text().splitlines()[0].split(",")
    assert header[:4] == ["step", "minutes", "lr", "loss"]
    assert cv2.imread(str(told.out / inpainter.PLOT)) is not None
    assert not list(told.out.glob(".*"))


def test_it_learns_to_fill_a_batch_better_than_push_pull(shard: Path) -> None:
    torch.manual_seed(0)
    crops, holes = make_batch(open_shard(shard), training_damage(8), (), 4, 32, 0, 0)
    x = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    valid = ~torch.from_numpy(holes).unsqueeze(1)
    net = PconvUnet((8, 8, 8))
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss = loss_of(net(x, valid), x, valid)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_batches_depend_on_seed_and_step_alone(shard: Path) -> None:
    opened = open_shard(shard)
    first, again, other = (make_batch(opened, training_damage(8), (), 2, 32, 1, step) for step in (7, 7, 8))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert first[0].shape == (2, 32, 32, 3)
    assert first[1].shape == (2, 32, 32)


def test_the_number_of_workers_changes_nothing(told: Training) -> None:
    other = replace(told, out=told.out.with_name("threads"), workers=3)
    train(replace(told, steps=3))
    train(replace(other, steps=3))
    ours, theirs = weights_of(told), weights_of(other)
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_the_loss_is_zero_for_a_perfect_fill_and_ignores_what_is_known(shard: Path) -> None:
    x, valid = torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16, dtype=torch.bool)
    net = PconvUnet((4, 4)).requires_grad_(False)
    assert float(loss_of(net(x, valid), x, valid)) == 0
    valid[..., 4:8, 4:8] = False
    filled = net(x, valid)
    assert float(loss_of(replace(filled, image=x), x, valid)) == 0
    assert float(loss_of(filled, x, valid)) > 0


def test_overlays_give_a_bucket_of_their_own(shard: Path) -> None:
    overlay = np.zeros((48, 48), bool)
    overlay[20:22] = True
    probe = make_probe(open_shard(shard), [overlay], each=2)
    scores = probe.scores(PconvUnet((4, 4)), "cpu")
    assert scores["real_net"] == scores["real_push_pull"]  # untrained
    assert len(probe.buckets["real"]) == 2


def test_navier_stokes_changes_holes_only() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    holes = np.zeros((20, 20), bool)
    holes[5:9, 5:9] = True
    filled = navier_stokes_8bit(pixels, holes)
    assert np.array_equal(filled[~holes], pixels[~holes])
    assert not np.array_equal(filled, pixels)


def test_what_does_not_fit_is_refused_with_the_way_out(told: Training) -> None:
    with pytest.raises(SetupError, match="--crop-px 64"):
        train(replace(told, crop_px=64))
    with pytest.raises(SetupError, match="--widths"):
        train(replace(told, widths=(512, 512, 512)))
    train(replace(told, steps=3))
    with pytest.raises(SetupError, match=r"other settings \(steps, lr\).*--out"):
        train(replace(told, lr=1e-3))
    (told.out / inpainter.CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(SetupError, match="no checkpoint"):
        train(replace(told, steps=3))


def test_a_loss_that_is_no_number_stops_the_run_and_leaves_the_last_checkpoint(
    told: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def broken(*arguments: object) -> torch.Tensor:
        loss = own(*arguments)
        seen.append(loss)
        return loss * torch.nan if len(seen) > 4 else loss

    own = inpainter.loss_of
    monkeypatch.setattr(inpainter, "loss_of", broken)
    with pytest.raises(SetupError, match="--lr"):
        train(told)
    assert torch.load(told.out / inpainter.CHECKPOINT, weights_only=True)["step"] == 3


@pytest.mark.needs_cuda
def test_it_trains_in_bfloat16_on_cuda(told: Training) -> None:
    trained = train(replace(told, device="cuda"))
    assert trained.finished
    assert all(torch.isfinite(tensor).all() for tensor in weights_of(told).values())
