"""Owns training our inpainting network: its loss and its loop.

Each step's crops and holes are drawn from a generator seeded with (seed, step), and nothing else is random: there is no
state of a generator to save, threads may prepare batches ahead, and a resumed run meets the batches it would have met.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from restore import device as devices
from restore.errors import SetupError
from restore.models.pconv import DEFAULT_WIDTHS, Filled, PconvUnet, canonical
from restore.train import checkpoint, log
from restore.train.ahead import ahead
from restore.train.checkpoint import State
from restore.train.crops import Crops, Shard, open_shard, sample
from restore.train.damage import Damage, Holes, draw, narrowed, training_damage
from restore.train.evaluate import Probe, as_tensors, make_probe
from restore.train.files import write_whole
from restore.train.gradients import Gradients, eager, replayed
from restore.train.overlays import Overlays, read_overlays

CHECKPOINT, WEIGHTS, TABLE, PLOT = "checkpoint.pt", "inpainter.safetensors", "log.csv", "log.png"
_WARM_UP = 0.06
"""Share of all steps in which the rate rises."""
_WEIGHT_DECAY = 1e-4
_LARGEST_GRADIENT = 1.0
_HOLE_WEIGHT = 6.0
_FAINTEST, _UNIT = 0.02, 0.1
"""The error in a hole is weighted _UNIT / (deviation + _FAINTEST): a deviation of 0.08 counts once."""


@dataclass(frozen=True)
class Training:
    """What one run is told."""

    crops: Path
    out: Path
    overlays: Path | None = None
    steps: int = 20_000
    batch: int = 12
    crop_px: int = 96
    lr: float = 6e-4
    widths: tuple[int, ...] = DEFAULT_WIDTHS
    max_width_px: float = 40.0
    """The widest holes; the network is good for holes up to this and no wider."""
    ema: float = 0.995
    every: int = 500
    """Steps between measurements; each also writes the checkpoint."""
    probe_crops: int = 16
    seed: int = 0
    device: str = "auto"
    minutes: float | None = None
    """Stop after so long; the same command then goes on."""
    workers: int = 1
    """Processes that prepare batches; 1 stays in this one, in a thread."""


@dataclass(frozen=True)
class Trained:
    """How a run ended."""

    step: int
    finished: bool
    weights: Path
    row: log.Row | None
    """The last measurement."""


def train(told: Training, on_row: Callable[[log.Row], None] = lambda _: None) -> Trained:
    """Train, or go on where the checkpoint in `told.out` stopped; the weights there are the running average (fp16).

    SetupError when shard, overlays, device or an older checkpoint don't allow it.
    """
    _check(told)
    shard = open_shard(told.crops)
    if told.crop_px > shard.crops.shape[1]:
        raise SetupError(f"--crop-px {told.crop_px} is more than the shard's {shard.crops.shape[1]}")
    if not len(shard.training):
        raise SetupError(f"{told.crops}: holds no crop to train with; pack more pictures")
    overlays = read_overlays(told.overlays) if told.overlays else Overlays((), (), ())
    device = devices.resolve_device(told.device)
    decides = _what_decides(told, shard, overlays)
    state = _begin(told, device)
    checkpoint.resume(state, told.out / CHECKPOINT, decides, device)
    probe = make_probe(shard, overlays.held_out, each=told.probe_crops)
    before, started = state.seconds, time.monotonic()
    losses: list[Tensor] = []
    gradients = _gradients(state, told, device)
    make = partial(make_batch, shard, narrowed(training_damage(told.max_width_px), told.crop_px), overlays.training)
    for crops, holes in ahead(partial(make, told.batch, told.crop_px, told.seed), state.step, told.steps, told.workers):
        losses.append(_step(state, told, gradients(*as_tensors(crops, holes, device))))
        state.seconds = before + time.monotonic() - started
        late = told.minutes is not None and time.monotonic() - started >= 60 * told.minutes
        due = state.step % told.every == 0 or state.step == told.steps
        if due or late:
            _add_losses(state, losses)
            if due:
                _measure(state, probe, device)
                on_row(state.rows[-1])
            _write(state, told.out, decides, shard)
        if late:
            break
    last = state.rows[-1] if state.rows else None
    return Trained(state.step, state.step >= told.steps, told.out / WEIGHTS, last)


def loss_of(filled: Filled, truth: Tensor, valid: Tensor) -> Tensor:
    """Absolute error in holes in terms of the local deviation, and of the gradient in and around them."""
    holes = (~valid).float()
    weight = holes * (_UNIT / (filled.deviation + _FAINTEST))
    in_holes = ((filled.image - truth).abs() * weight).sum() / (3 * holes.sum()).clamp_min(1)
    around = F.max_pool2d(holes, 3, 1, 1)
    across, down = (torch.diff(filled.image, dim=d) - torch.diff(truth, dim=d) for d in (3, 2))
    edges = (across.abs() * around[..., 1:]).sum() + (down.abs() * around[..., 1:, :]).sum()
    return _HOLE_WEIGHT * in_holes + edges / (3 * around.sum()).clamp_min(1)


def make_batch(
    shard: Shard, damage: Damage, overlays: Sequence[Holes], count: int, crop_px: int, seed: int, step: int
) -> tuple[Crops, Holes]:
    """(count, crop_px, crop_px, 3) and (count, crop_px, crop_px), a function of its arguments alone."""
    rng = np.random.default_rng([seed, step])
    crops = sample(shard, rng, count, crop_px)
    return crops, np.stack([draw(damage, crop_px, crop_px, rng, overlays) for _ in range(count)])


def _gradients(state: State, told: Training, device: str) -> Gradients:
    state.net.train()
    if not device.startswith("cuda"):
        return eager(state.net, loss_of, torch.float32)
    torch.backends.cudnn.benchmark = True  # all batches have one shape
    return replayed(state.net, loss_of, torch.bfloat16, (told.batch, 3, told.crop_px, told.crop_px))


def _step(state: State, told: Training, loss: Tensor) -> Tensor:
    """With the gradients that `loss` left."""
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), _LARGEST_GRADIENT)
    state.optimizer.step()
    state.schedule.step()
    state.step += 1
    keep = min(told.ema, (1 + state.step) / (10 + state.step))  # at the start, what is old is worth little
    with torch.no_grad():
        torch._foreach_lerp_(list(state.average.parameters()), list(state.net.parameters()), 1 - keep)
    return loss


def _add_losses(state: State, losses: list[Tensor]) -> None:
    """Into the state; read from the device only now, so that no step waits for it."""
    values = torch.stack(losses).double().cpu()
    losses.clear()
    if not bool(torch.isfinite(values).all()):
        raise SetupError(
            f"the loss is not a number any more before step {state.step}; the last checkpoint is from before that: "
            "begin anew, in another --out, with a lower --lr"
        )
    state.loss_sum += float(values.sum())
    state.loss_count += len(values)


def _measure(state: State, probe: Probe, device: str) -> None:
    row = {
        "step": float(state.step),
        "minutes": state.seconds / 60,
        "lr": float(state.optimizer.param_groups[0]["lr"]),
        "loss": state.loss_sum / state.loss_count,
    }
    state.rows.append(row | probe.scores(state.average, device))
    state.loss_sum, state.loss_count = 0.0, 0


def _begin(told: Training, device: str) -> State:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(told.seed)
        try:
            net = PconvUnet(told.widths)
        except ValueError as error:
            raise SetupError(f"--widths: {error}") from error
    average = PconvUnet(told.widths)
    average.load_state_dict(net.state_dict())
    net, average = net.to(device), average.to(device)
    fused = device.startswith("cuda")  # one kernel for all parameters
    optimizer = torch.optim.AdamW(net.parameters(), told.lr, weight_decay=_WEIGHT_DECAY, fused=fused)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, told.lr, told.steps, pct_start=_WARM_UP)
    return State(net, average, optimizer, schedule)


def _what_decides(told: Training, shard: Shard, overlays: Overlays) -> dict[str, Any]:
    """All that a run's weights depend on, except the machine."""
    names = ("steps", "batch", "crop_px", "lr", "max_width_px", "ema", "seed")
    counts = [int(holes.sum()) for holes in overlays.training]
    return {
        **{name: getattr(told, name) for name in names},
        "widths": list(told.widths),
        "shard": shard.sha256,
        "overlays": counts,
    }


def _write(state: State, out: Path, decides: dict[str, Any], shard: Shard) -> None:
    """Checkpoint last: what stands beside it is never older."""
    if state.rows:
        write_whole(out / TABLE, log.as_csv(state.rows))
        write_whole(out / PLOT, log.as_png(state.rows))
    facts = {
        "steps": str(state.step),
        "max_width_px": f"{decides['max_width_px']:g}",
        "licences": shard.licences,
        "trained_on": shard.sha256,
    }
    write_whole(out / WEIGHTS, canonical(state.average.state_dict(), facts, half=True))
    checkpoint.write(state, decides, out / CHECKPOINT)


def _check(told: Training) -> None:
    for name in ("steps", "batch", "crop_px", "every", "probe_crops", "workers"):
        if getattr(told, name) < 1:
            raise SetupError(f"{name} must be at least 1, got {getattr(told, name)}")
    if not (told.lr > 0 and told.max_width_px >= 1 and 0 <= told.ema < 1):
        raise SetupError(
            f"a rate above 0, holes of 1 px or more and an average below 1 are needed, got lr {told.lr}, "
            f"{told.max_width_px} px, {told.ema}"
        )
    if told.out.exists() and not (told.out.is_dir() and os.access(told.out, os.W_OK)):
        raise SetupError(f"{told.out}: is no folder that can be written; choose another --out")
