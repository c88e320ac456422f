"""Owns what inpainting is measured on: crops of pictures that nothing was trained or fitted with, and holes in them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restore.errors import ImageError
from restore.formats import SUFFIXES, Decoder
from restore.image import Arrangement, Image
from restore.recipe import TraitRules
from restore.train.damage import BUCKETS, draw, lay_overlay, narrowed, radius_limit_px
from restore.train.overlays import read_overlays
from restore.traits import Content, classify

Pixels = NDArray[np.uint8]
"""(H, W, 3) sRGB."""
Holes = NDArray[np.bool_]
"""(H, W), True = missing."""

SETS = {"set14": "sr/Set14", "old-photos": "old-photos/old", "textures": "dds"}
"""Where they lie below the folder of real data."""
OVERLAYS = "film-damage"
REAL = "real"
"""The bucket of scanned damage."""
_SMALLEST_PX = 128
_FLAT_DEVIATION = 4.0
"""Steps of 255: a crop that varies less is even, and every method fills it."""


@dataclass(frozen=True)
class Picture:
    """A crop, and which set it is of."""

    group: str
    name: str
    pixels: Pixels


@dataclass(frozen=True)
class Case:
    """A crop with holes of one kind."""

    picture: Picture
    bucket: str
    holes: Holes

    @property
    def damaged(self) -> Pixels:
        """(H, W, 3): 0 in holes, so that nobody can look."""
        return np.where(self.holes[..., None], np.uint8(0), self.picture.pixels)


def read_pictures(data: Path, crop_px: int, most: int) -> tuple[list[Picture], list[str]]:
    """At most `most` crops a set, from the middle of evenly chosen pictures, at most `crop_px` a side; and which files
    were left out and why."""
    chosen: list[Picture] = []
    left_out: list[str] = []
    with Decoder() as decoder:
        for group, folder in SETS.items():
            found: list[Picture] = []
            for path in sorted(p for p in (data / folder).rglob("*") if p.suffix.lower() in SUFFIXES):
                name = path.relative_to(data / folder).as_posix()
                try:
                    document = decoder.read(path)
                    crop = _middle(document.first, crop_px)
                    why = _why_not(document.first, document.arrangement, path.name, crop)
                except ImageError as error:
                    why = str(error)
                if why:
                    left_out.append(f"{group}/{name}: {why}")
                else:
                    found.append(Picture(group, name, crop))
            at = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int)) if found else ()
            chosen += [found[i] for i in at]
    return chosen, left_out


def _middle(image: Image, crop_px: int) -> Pixels:
    channels = image.color_channels
    color = image.pixels[..., list(channels if len(channels) == 3 else channels[:1] * 3)]
    height, width = min(crop_px, image.height), min(crop_px, image.width)
    y, x = (image.height - height) // 2, (image.width - width) // 2
    return np.ascontiguousarray(color[y : y + height, x : x + width])


def _why_not(image: Image, arrangement: Arrangement, name: str, crop: Pixels) -> str:
    """Empty where it is measured."""
    if image.pixels.dtype != np.uint8:
        return f"{image.pixels.dtype}, not 8 bits, which is all that most methods take"
    if arrangement is Arrangement.CUBE_STRIP:
        return "a cube's faces"
    if classify(image, name, TraitRules()).content is not Content.COLOR:
        return "no colours: normals or data"
    if min(crop.shape[:2]) < _SMALLEST_PX:
        return f"{crop.shape[1]} x {crop.shape[0]} px, smaller than {_SMALLEST_PX} px"
    if crop.mean(2).std() < _FLAT_DEVIATION:
        return "even in the middle"
    return ""


def make_cases(pictures: list[Picture], data: Path) -> Iterator[Case]:
    """Each picture with holes of each kind; the same picture gets the same holes in every run.

    Scanned damage is every second held-out overlay: the first, third, ... serve to fit the arbiter.
    """
    overlays = read_overlays(data / OVERLAYS).held_out[1::2]
    for picture in pictures:
        height, width = picture.pixels.shape[:2]
        for bucket in (*BUCKETS, REAL):
            rng = np.random.default_rng(zlib.crc32(f"{picture.group}/{picture.name}/{bucket}".encode()))
            damage = narrowed(BUCKETS.get(bucket, BUCKETS["irregular"]), min(height, width))
            holes = np.zeros((height, width), np.bool_)
            while not holes.any():
                if bucket == REAL:
                    overlay = overlays[int(rng.integers(len(overlays)))]
                    holes = lay_overlay(overlay, height, width, radius_limit_px(damage), rng).view(np.bool_)
                else:
                    holes = draw(damage, height, width, rng)
            yield Case(picture, bucket, holes)
