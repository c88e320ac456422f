"""Owns running the command line of film in processes of its own, and killing them at a chosen event."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from restore.errors import ExitCode

_PROGRAM = "from restore.cli import main; main()"
SMALL = ("--inpaint", "off", "--segment-frames", "6", "--json")


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PROGRAM, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, errors="surrogateescape"
    )


def run(*arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    """(exit code, events)."""
    done = start(*arguments)
    said, complaint = done.communicate(timeout=300)
    assert done.returncode in tuple(ExitCode), complaint
    return done.returncode, [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def kill_after(event: str, count: int, *arguments: str | Path) -> int:
    """Starts a command and kills it, children and all left to themselves, at its `count`-th `event`; events seen."""
    process = start(*arguments)
    assert process.stdout is not None
    seen = 0
    for line in process.stdout:
        seen += line.startswith("{") and json.loads(line)["event"] == event
        if seen == count:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    return seen


def of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]
