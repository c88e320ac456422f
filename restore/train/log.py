"""Owns how a training run is shown: a CSV with one row a measurement, and a plot of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Row = Mapping[str, float]
"""step, minutes, lr, loss, and BUCKET_METHOD in dB."""

_SIZE_PX = (900, 420)
"""Width and height of one of the two panels."""
_MARGIN_PX = 56
_PAPER, _INK, _GRID = (255, 255, 255), (60, 60, 60), (225, 225, 225)
_COLORS = ((180, 119, 31), (14, 127, 255), (44, 160, 44), (40, 39, 214), (189, 103, 148))
"""BGR."""


def as_csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    return text.getvalue().encode()


def as_png(rows: Sequence[Row]) -> bytes:
    """Two panels: the loss, and by how many dB the network is above Navier-Stokes in each bucket."""
    steps = [row["step"] for row in rows]
    gains = {
        name.removesuffix("_net"): [row[name] - row[name.removesuffix("net") + "ns"] for row in rows]
        for name in rows[0]
        if name.endswith("_net")
    }
    panels = [
        _panel("loss", steps, {"loss": [row["loss"] for row in rows]}),
        _panel("held-out PSNR above Navier-Stokes, dB", steps, gains),
    ]
    done, png = cv2.imencode(".png", np.vstack(panels))
    if not done:
        raise ValueError("OpenCV could not write a PNG")
    return png.tobytes()


def _panel(title: str, steps: Sequence[float], lines: Mapping[str, Sequence[float]]) -> NDArray[np.uint8]:
    width, height = _SIZE_PX
    page = np.full((height, width, 3), _PAPER, np.uint8)
    finite = [value for values in lines.values() for value in values if np.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    pad = 0.05 * (high - low) or 0.5
    low, high = low - pad, high + pad
    left, right, top, bottom = _MARGIN_PX, width - _MARGIN_PX // 4, _MARGIN_PX // 2, height - _MARGIN_PX // 2
    last = max(steps[-1], 1.0)

    def at(step: float, value: float) -> tuple[int, int]:
        return (
            round(left + (right - left) * step / last),
            round(bottom - (bottom - top) * (value - low) / (high - low)),
        )

    for value in np.linspace(low + pad, high - pad, 6):
        y = at(0, float(value))[1]
        cv2.line(page, (left, y), (right, y), _GRID, 1)
        _write(page, f"{value:.3g}", (4, y + 4), _INK)
    if low < 0 < high:
        cv2.line(page, at(0, 0.0), at(last, 0.0), _INK, 1)
    _write(page, title, (left, top - 8), _INK)
    _write(page, f"{int(last)} steps", (right - 90, bottom + 20), _INK)
    for index, (name, values) in enumerate(lines.items()):
        color = _COLORS[index % len(_COLORS)]
        points = [at(step, value) for step, value in zip(steps, values, strict=True) if np.isfinite(value)]
        cv2.polylines(page, [np.array(points, np.int32).reshape(-1, 1, 2)], False, color, 2, cv2.LINE_AA)
        for point in points[-1:]:
            cv2.circle(page, point, 4, color, -1, cv2.LINE_AA)
        _write(page, f"{name} {values[-1]:.3g}", (left + 10 + 145 * index, bottom + 20), color)
    return page


def _write(page: NDArray[np.uint8], text: str, at: tuple[int, int], color: tuple[int, int, int]) -> None:
    cv2.putText(page, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)
