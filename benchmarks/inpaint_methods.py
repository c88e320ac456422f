"""Owns the contestants of `inpaint.py`: each takes a damaged picture and its holes and gives it back filled, in 8 bits.

OpenCV's two and push-pull need nothing more; biharmonic comes with scikit-image, PatchMatch with `pypatchmatch` and
with `patchmatch-cython`.  What isn't installed is left out, and the result says so.  Peers run with their own defaults;
PatchMatch with the patch size of its examples, since its default of 31 x 31 px is meant for large objects.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib import metadata

import cv2
import numpy as np
import torch
from inpaint_cases import Holes, Pixels
from numpy.typing import NDArray

from restore.image import Alpha, Image, Stored, Transfer
from restore.inpaint import inpaint
from restore.inpaint.fills import push_pull_planes
from restore.models.inpainting import INPUTS, InpaintModel
from restore.navier_stokes import navier_stokes_8bit
from restore.recipe import Grain, Inpaint

Method = Callable[[Pixels, Holes], Pixels]

NS, PUSH_PULL, NET, OFF, ON = "Navier-Stokes", "push-pull", "network alone", "restore --grain off", "restore"
_RADIUS_PX = 3
_STORED = Stored("png", 8, False, Transfer.SRGB, Alpha.NONE, ("R", "G", "B"))
PEERS = {
    "biharmonic": ("scikit-image", "skimage.restoration"),
    "PatchMatch (pypatchmatch)": ("pypatchmatch", "patchmatch"),
    "PatchMatch (patchmatch-cython)": ("patchmatch-cython", "patchmatch_cython"),
}


def all_methods(model: InpaintModel, context_px: int = Inpaint.context_px) -> tuple[dict[str, Method], dict[str, str]]:
    """Methods by name, and for each peer its package's version, or why it is missing."""
    methods: dict[str, Method] = {"Telea": _telea, NS: navier_stokes_8bit}
    packages: dict[str, str] = {}
    for name, (package, module) in PEERS.items():
        try:
            importlib.import_module(module)
            packages[name] = f"{package} {metadata.version(package)}"
        except (ImportError, metadata.PackageNotFoundError) as error:
            packages[name] = f"left out: {error}"
            continue
        methods[name] = _OF[name]
    methods |= {PUSH_PULL: _push_pull, NET: _network(model)}
    for name, grain in ((OFF, Grain.OFF), (ON, Grain.AUTO)):
        methods[name] = _restore(model, context_px, grain)
    return methods, packages


def _telea(damaged: Pixels, holes: Holes) -> Pixels:
    return cv2.inpaint(damaged, holes.view(np.uint8), _RADIUS_PX, cv2.INPAINT_TELEA).astype(np.uint8, copy=False)


def _biharmonic(damaged: Pixels, holes: Holes) -> Pixels:
    from skimage.restoration import inpaint_biharmonic

    return _rounded(inpaint_biharmonic(damaged, holes, split_into_regions=True, channel_axis=-1))


def _pypatchmatch(damaged: Pixels, holes: Holes) -> Pixels:
    import patchmatch

    patchmatch.set_random_seed(0)
    return patchmatch.inpaint(damaged, holes, patch_size=3)


def _patchmatch_cython(damaged: Pixels, holes: Holes) -> Pixels:
    from patchmatch_cython import inpaint_pyramid

    return inpaint_pyramid(damaged, holes, seed=0)


_OF: dict[str, Method] = {
    "biharmonic": _biharmonic,
    "PatchMatch (pypatchmatch)": _pypatchmatch,
    "PatchMatch (patchmatch-cython)": _patchmatch_cython,
}


def _push_pull(damaged: Pixels, holes: Holes) -> Pixels:
    return _rounded(push_pull_planes(damaged.astype(np.float32) / 255, ~holes))


def _network(model: InpaintModel) -> Method:
    """All of the picture at once, nothing but the network's answer in holes."""

    def run(damaged: Pixels, holes: Holes) -> Pixels:
        height, width = holes.shape
        step = model.multiple_of
        planes = torch.zeros(1, INPUTS, -(-height // step) * step, -(-width // step) * step)
        planes[0, :3, :height, :width] = torch.from_numpy(damaged).permute(2, 0, 1) / 255
        planes[0, 3, :height, :width] = torch.from_numpy(~holes)
        planes[0, 4, :height, :width] = torch.from_numpy(holes)
        with torch.inference_mode():
            answer = model.net(planes.to(model.device))[0, :3, :height, :width].permute(1, 2, 0).cpu().numpy()
        return np.where(holes[..., None], _rounded(answer), damaged)

    return run


def _restore(model: InpaintModel, context_px: int, grain: Grain) -> Method:
    """As a user gets it: examined, cut into crops, filled, arbitrated."""

    def run(damaged: Pixels, holes: Holes) -> Pixels:
        return inpaint(Image(damaged, _STORED), holes, model, context_px=context_px, grain=grain).page.pixels

    return run


def _rounded(unit: NDArray[np.floating]) -> Pixels:
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)
