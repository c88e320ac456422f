"""Owns a training run's state, and its file: a run that was stopped goes on as if nothing had happened."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from restore.errors import SetupError
from restore.models.pconv import PconvUnet
from restore.train.files import write_whole


@dataclass
class State:
    """All that changes while a run goes on."""

    net: PconvUnet
    average: PconvUnet
    optimizer: torch.optim.AdamW
    schedule: torch.optim.lr_scheduler.OneCycleLR
    step: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)


def write(state: State, decides: Mapping[str, Any], path: Path) -> None:
    """`state`, and the settings that decide what becomes of it."""
    held = {
        "decides": json.dumps(dict(decides)),
        "step": state.step,
        "seconds": state.seconds,
        "loss_sum": state.loss_sum,
        "loss_count": state.loss_count,
        "rows": state.rows,
        "net": state.net.state_dict(),
        "average": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "schedule": state.schedule.state_dict(),
    }
    data = io.BytesIO()
    torch.save(held, data)
    write_whole(path, data.getvalue())


def resume(state: State, path: Path, decides: Mapping[str, Any], device: str) -> None:
    """The checkpoint's state into `state`, if there is one; SetupError when it was begun with other settings."""
    if not path.exists():
        return
    try:
        held = torch.load(path, map_location=device, weights_only=True)
        before = json.loads(held["decides"])
        changed = [name for name in decides if decides[name] != before.get(name)]
        if changed:
            told = ", ".join(changed)
            raise SetupError(
                f"{path}: this run was begun with other settings ({told}); repeat them, or choose another --out"
            )
        state.net.load_state_dict(held["net"])
        state.average.load_state_dict(held["average"])
        state.optimizer.load_state_dict(held["optimizer"])
        state.schedule.load_state_dict(held["schedule"])
        state.step, state.seconds = held["step"], held["seconds"]
        state.loss_sum, state.loss_count, state.rows = held["loss_sum"], held["loss_count"], held["rows"]
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SetupError(f"{path}: no checkpoint that can be used ({reason}); choose another --out") from error
