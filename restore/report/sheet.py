"""Owns the contact sheet: one PNG in which every row shows a source beside what became of it.

Each row has the whole source small, with a frame round the window that the other cells show; then that window of the
source, enlarged with bicubic interpolation (what a game engine's filtering comes nearest to), and of every result at
100 %: one pixel of the largest result is one pixel of the sheet.  Small textures are enlarged by a whole number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from restore.image import Image, Transfer
from restore.report.visible import visible

CELL_PX = 384
THUMB_PX = 192
GAP_PX = 12
NAME_SIZE_PX = 16
TEXT_SIZE_PX = 13
LINE_PX = 20

BACKGROUND = (32, 33, 36)
NAME_COLOR = (240, 240, 240)
TEXT_COLOR = (165, 168, 173)
FRAME_COLOR = (255, 196, 0)
CHECKER = (102, 153)
CHECKER_PX = 8

Shown = NDArray[np.uint8]
"""(H, W, 3) sRGB."""


@dataclass(frozen=True)
class After:
    """One result and what made it: the model's name, or that it failed."""

    label: str
    image: Image


@dataclass(frozen=True)
class Row:
    """One source, what became of it (one result a model), and what a person should know about it."""

    name: str
    before: Image
    afters: tuple[After, ...]
    notes: tuple[str, ...] = ()
    """Lines under the name: what it was taken for and why, what failed."""


@dataclass(frozen=True)
class Window:
    """A part of a picture as shares of its sides, so that it means the same at every size."""

    top: float
    left: float
    bottom: float
    right: float

    def cut(self, pixels: NDArray[Any]) -> NDArray[Any]:
        height, width = pixels.shape[:2]
        top, left = round(self.top * height), round(self.left * width)
        bottom, right = round(self.bottom * height), round(self.right * width)
        return pixels[top : max(bottom, top + 1), left : max(right, left + 1)]


def sheet(rows: Iterable[Row], path: Path, title: str = "") -> int:
    """Draw `rows` onto one sheet, write it to `path` as PNG, and return how many rows it has.

    Rows may come from a generator: each is drawn, and its pictures let go, before the next is asked for.
    Raises ValueError where there is no row at all, OSError where `path` can't be written.
    """
    strips = [_strip(row) for row in rows]
    if not strips:
        raise ValueError("a contact sheet needs at least one row")
    if title:
        strips.insert(0, _text_strip(title))
    width = max(strip.width for strip in strips)
    page = Pillow.new("RGB", (width, sum(strip.height for strip in strips) + GAP_PX), BACKGROUND)
    top = 0
    for strip in strips:
        page.paste(strip, (0, top))
        top += strip.height
    page.save(path, format="PNG")
    return len(strips) - bool(title)


def to_shown(image: Image, top_value: float | None = None, checker_px: int = CHECKER_PX) -> Shown:
    """Any `Image` as (H, W, 3) uint8 sRGB: alpha over a checkerboard, 16 bits rounded to 8, light encoded as sRGB.

    `top_value` is what shows as white in a float image (see `brightest`); integers always show their full range.
    Channels beyond colour and alpha are left out.
    """
    channels = list(image.color_channels)
    channels = channels[:3] if len(channels) >= 3 else channels[:1] or [0]
    color = _unit(image.pixels[..., channels])
    if image.stored.is_float:
        white = top_value if top_value is not None else brightest(image)
        color = np.clip(np.nan_to_num(color, posinf=white, neginf=0.0) / white, 0.0, 1.0)
        if image.stored.transfer is Transfer.LINEAR:
            color = _encode_srgb(color)
    if color.shape[2] == 1:
        color = np.repeat(color, 3, axis=2)
    if image.alpha_channel is not None:
        alpha = np.clip(np.nan_to_num(_unit(image.pixels[..., image.alpha_channel, None])), 0.0, 1.0)
        color = color * alpha + _checkerboard(image.height, image.width, checker_px) * (1.0 - alpha)
    shown: Shown = np.rint(color * 255.0).astype(np.uint8)
    return shown


def brightest(image: Image) -> float:
    """The value of a float image to show as white: 1, or where it holds more, its 99.5th percentile."""
    if not image.stored.is_float:
        return 1.0
    values = image.pixels[..., list(image.color_channels) or [0]].astype(np.float32, copy=False)
    values = values[np.isfinite(values)]
    return max(1.0, float(np.percentile(values, 99.5))) if values.size else 1.0


def detail_window(image: Image, height: int, width: int) -> Window:
    """The `height` x `width` window of `image` with the most visible fine structure (summed |Laplacian|).

    A side that isn't longer than the window is shown whole.
    """
    full_height, full_width = image.height, image.width
    # One plain square instead of a checkerboard: its edges would be the finest structure of all.
    shown = to_shown(image, checker_px=max(full_height, full_width))
    height, width = min(height, full_height), min(width, full_width)
    grey = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY).astype(np.float32)
    energy = np.zeros((full_height + 1, full_width + 1))
    energy[1:, 1:] = np.abs(cv2.Laplacian(grey, cv2.CV_32F)).cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    sums = energy[height:, width:] - energy[:-height, width:] - energy[height:, :-width] + energy[:-height, :-width]
    top, left = (int(i) for i in np.unravel_index(int(np.argmax(sums)), sums.shape))
    return Window(top / full_height, left / full_width, (top + height) / full_height, (left + width) / full_width)


def _strip(row: Row) -> Pillow.Image:
    """One row, drawn."""
    white = brightest(row.before)
    before = to_shown(row.before, white)
    largest = max((after.image for after in row.afters), key=lambda i: i.width * i.height, default=row.before)
    window = detail_window(
        row.before,
        height=max(1, CELL_PX * row.before.height // max(largest.height, 1)),
        width=max(1, CELL_PX * row.before.width // max(largest.width, 1)),
    )
    part = window.cut(largest.pixels)
    zoom = max(1, CELL_PX // max(part.shape[:2]))
    size = (part.shape[1], part.shape[0])

    def cell(image: Image) -> Shown:
        # The window is cut before anything is converted (a result may be hundreds of megapixels), and the checkerboard
        # is drawn as much smaller as it is about to be enlarged.
        checker_px = max(1, round(CHECKER_PX * image.width / largest.width))
        return _enlarged(to_shown(image.with_pixels(window.cut(image.pixels)), white, checker_px), size, zoom)

    cells = [("before" if size == window.cut(row.before.pixels).shape[1::-1] else "before, bicubic", cell(row.before))]
    cells += [(f"{one.label}  {one.image.width}x{one.image.height}", cell(one.image)) for one in row.afters]

    percent = f" at {zoom * 100} %" if zoom > 1 else ""
    facts = f"{row.before.width}x{row.before.height} {row.before.stored.format}{percent}"
    lines = [facts, *row.notes]
    head = NAME_SIZE_PX + 6 + LINE_PX * len(lines)
    body = max(LINE_PX + max(pixels.shape[0] for _, pixels in cells), THUMB_PX)
    columns = len(cells)
    strip = Pillow.new(
        "RGB", (2 * GAP_PX + THUMB_PX + columns * (CELL_PX + GAP_PX), head + body + 2 * GAP_PX), BACKGROUND
    )
    draw = ImageDraw.Draw(strip)
    _write(draw, (GAP_PX, GAP_PX), row.name, NAME_SIZE_PX, NAME_COLOR, strip.width - 2 * GAP_PX)
    for number, line in enumerate(lines):
        top = GAP_PX + NAME_SIZE_PX + 6 + LINE_PX * number
        _write(draw, (GAP_PX, top), line, TEXT_SIZE_PX, TEXT_COLOR, strip.width - 2 * GAP_PX)
    top = GAP_PX + head
    strip.paste(_thumb(before, window), (GAP_PX, top + LINE_PX))
    for column, (label, pixels) in enumerate(cells):
        left = 2 * GAP_PX + THUMB_PX + column * (CELL_PX + GAP_PX)
        _write(draw, (left, top), label, TEXT_SIZE_PX, TEXT_COLOR, CELL_PX)
        strip.paste(Pillow.fromarray(pixels), (left, top + LINE_PX))
    return strip


def _text_strip(text: str) -> Pillow.Image:
    strip = Pillow.new("RGB", (2 * GAP_PX + THUMB_PX + 2 * (CELL_PX + GAP_PX), LINE_PX + 2 * GAP_PX), BACKGROUND)
    _write(ImageDraw.Draw(strip), (GAP_PX, GAP_PX), text, NAME_SIZE_PX, NAME_COLOR, strip.width - 2 * GAP_PX)
    return strip


def _thumb(shown: Shown, window: Window) -> Pillow.Image:
    """The whole picture within THUMB_PX, with a frame round `window`."""
    height, width = shown.shape[:2]
    shrink = THUMB_PX / max(height, width)
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = cv2.resize(shown, size, interpolation=cv2.INTER_AREA if shrink < 1 else cv2.INTER_NEAREST)
    thumb = Pillow.fromarray(small)
    frame = [
        round(window.left * (size[0] - 1)),
        round(window.top * (size[1] - 1)),
        round(window.right * (size[0] - 1)),
        round(window.bottom * (size[1] - 1)),
    ]
    ImageDraw.Draw(thumb).rectangle(frame, outline=FRAME_COLOR)
    return thumb


def _enlarged(shown: Shown, size: tuple[int, int], zoom: int) -> Shown:
    """`shown` brought to `size` (width, height) with bicubic interpolation, then by whole pixels."""
    if (shown.shape[1], shown.shape[0]) != size:
        smaller = size[0] < shown.shape[1]
        shown = cv2.resize(shown, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)  # type: ignore[assignment]
    return shown.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _unit(values: NDArray[Any]) -> NDArray[np.float32]:
    """Integers as 0..1 of their type's range; floats as they are."""
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    return values.astype(np.float32)


def _encode_srgb(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear light in 0..1 to sRGB code values in 0..1 (IEC 61966-2-1)."""
    encoded = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.power(light, 1 / 2.4) - 0.055)
    return encoded.astype(np.float32)


def _checkerboard(height: int, width: int, checker_px: int) -> NDArray[np.float32]:
    """(H, W, 1) of two greys in 0..1."""
    rows, columns = np.arange(height)[:, None] // checker_px, np.arange(width)[None, :] // checker_px
    return np.where((rows + columns) % 2, *CHECKER).astype(np.float32)[..., None] / np.float32(255)


def _write(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, color: tuple[int, int, int], room_px: int
) -> None:
    """One line of text, shortened in its middle where it wouldn't fit."""
    font = ImageFont.load_default(size)
    # Pillow's own font ends with Latin: other letters would all be the same empty box.
    text = visible(text, can_show=lambda c: ord(c) < 0x180)
    if draw.textlength(text, font=font) > room_px:
        keep = min(len(text), room_px // 4)  # no letter that could matter is narrower than that
        while keep > 2 and draw.textlength(_shortened(text, keep), font=font) > room_px:
            keep -= 1
        text = _shortened(text, keep)
    draw.text(at, text, font=font, fill=color)


def _shortened(text: str, keep: int) -> str:
    half = keep // 2
    return f"{text[:half]}...{text[len(text) - half :]}"
