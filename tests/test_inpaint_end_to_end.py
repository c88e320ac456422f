"""Repairing through the command line, in processes of their own: killed at any point, the tree comes out the same."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "cli"))
sys.path.insert(0, str(Path(__file__).parent))

from inpaint_tree import make_tree, painted, save, specks, tiny_net
from shell import Ended, Shell, assert_gone, temporaries, tree

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="starts the command by forking a warm process")

MORE = 8


@dataclass(frozen=True)
class World:
    source: Path
    masks: Path
    target: Path
    shell: Shell
    first: Ended


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An uninterrupted run: what every other one is compared with."""
    base = tmp_path_factory.mktemp("repaired")
    source, masks = make_tree(base)
    for i in range(MORE):
        save(source / f"more/{i}.png", painted(50 + i, 60, 60))
        save(masks / f"more/{i}.png", specks(50 + i, 60, 60, 6))
    net = tiny_net(base / "tiny.safetensors")
    settings = ("--masks", str(masks), "--model", str(net), "--device", "cpu", "--json")
    shell = Shell(tmp_path_factory.mktemp("shell"), "inpaint", *settings)
    first = shell.run(source, base / "out")
    assert first.code == 0, first.events
    yield World(source, masks, base / "out", shell, first)
    shell.close()


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_tree_with_the_same_ledgers(world: World, tmp_path: Path) -> None:
    whole, rng = tree(world.target), random.Random(5)
    kept = sorted(path.relative_to(world.target) for path in world.target.rglob("*.patches"))
    kills, trial = 0, 0
    while kills < 4:
        trial += 1
        assert trial < 12, "runs end before they can be killed"
        target = tmp_path / f"out{trial}"
        for _ in range(3):
            run = world.shell.start(world.source, target)
            run.wait_for("started")
            time.sleep(rng.uniform(0.0, world.first.summary["seconds"] / 2))
            children = run.children()
            os.kill(run.pid, signal.SIGKILL)
            ended = world.shell.end(run)
            assert_gone(children)
            for name, data in tree(target).items():
                assert data == whole[name], f"{name!r} is not whole"
            if ended.code != -signal.SIGKILL:
                break
            kills += 1
        resumed = world.shell.run(world.source, target)
        assert resumed.code == 0, resumed.events
        assert tree(target) == whole
        assert temporaries(target) == []
        assert sorted(path.relative_to(target) for path in target.rglob("*.patches")) == kept
        assert world.shell.run(world.source, target).started == []
