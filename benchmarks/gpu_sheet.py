"""Owns what the parts of `gpu.py` write down: a JSON file that is whole after every line, and its tables as text."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TEXT_LIMIT = 600
"""Characters of an exception's text that are kept."""


@dataclass(frozen=True)
class Options:
    """What a part is told."""

    seed: int
    quick: bool
    model: str | None
    compile_side: int
    peak_tflops: float | None
    """Of the measured matrix product."""
    withhold: str
    """Why no time may be reported as this project's; empty: it may."""


@dataclass(frozen=True)
class Sheet:
    """Facts of one part, saved with every addition, so that a killed part keeps what it had found."""

    path: Path
    deadline: float
    """In time.monotonic()."""
    facts: dict[str, Any] = field(default_factory=dict)

    def put(self, **facts: Any) -> None:
        self.facts.update(facts)
        save(self.path, self.facts)

    def add(self, name: str, row: dict[str, Any]) -> None:
        """One more row of the list `name`."""
        self.facts.setdefault(name, []).append(row)
        save(self.path, self.facts)

    def left(self) -> float:
        """Seconds."""
        return self.deadline - time.monotonic()

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """An exception becomes a line under "errors", and the caller goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - written down, and makes the command fail
            self.add("errors", {"what": what, "error": in_words(error)})
            print(f"FAILED  {what}: {in_words(error)}", flush=True)


def in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_TEXT_LIMIT]


def save(path: Path, facts: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(json.dumps(_finite(facts), indent=1) + "\n")
    os.replace(temporary, path)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become words."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def text_table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Numbers flush right, words flush left; a row with a reason instead of figures ends with it."""
    lines = [list(columns)]
    for row in rows:
        shown = [_cell(row.get(name)) for name in columns]
        if "reason" in row:
            shown = [*shown[:2], row["reason"].splitlines()[0][:90]]
        lines.append(shown)
    full = [line for line in lines if len(line) == len(columns)]
    widths = [max(len(line[i]) for line in full) for i in range(len(columns))]
    widths[:2] = [max(len(line[i]) for line in lines) for i in range(2)]
    return "\n".join(_line(cells, widths) for cells in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    if len(cells) < len(widths):
        return "  ".join([*(c.ljust(w) for c, w in zip(cells[:2], widths, strict=False)), *cells[2:]])
    return "  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True)))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
    return "" if value is None else str(value)
