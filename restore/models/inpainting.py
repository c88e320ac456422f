"""Owns turning a name or a file into a network that fills holes: ours, or one in the paper's layout.

The answer to a crop is always the same seven planes, so that whoever asks needs not know which network it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from restore import device as devices
from restore.errors import ModelError
from restore.models import pconv, pconv_paper, store
from restore.models.network import DTYPES
from restore.models.pconv import PconvUnet, local_statistics
from restore.models.pconv_paper import PaperUnet
from restore.models.push_pull import push_pull
from restore.models.side_by_side import side_by_side
from restore.recipe import Precision

DEFAULT = "pconv"
SHIPPED = Path(__file__).parent / "weights" / "inpainter.safetensors"
INPUTS = 5
"""Planes of a crop: R, G, B in [0, 1]; 1 where known; 1 where the answer matters."""
OUTPUTS = 7
"""Planes of the answer: the network's R, G, B; push-pull's; the local deviation.  Where the answer doesn't matter, the
first three may be push-pull's."""
_PAPER_WIDTH_PX = 128.0
"""Its masks had holes up to half of 512 px; beyond a quarter, eight levels see next to nothing."""
_GRID_PX = 16
"""Our networks take any side; finer steps than this would only make more shapes of crops."""
_OWN_LICENCE = "Apache-2.0"
_REMEDY = (
    "this installation has no weights for inpainting; give --model FILE.safetensors: one that "
    "`restore train inpainter` made, or one of the paper's layout"
)


@dataclass(frozen=True)
class InpaintModel:
    """A network that fills holes, on its device.

    `net` takes (N, INPUTS, H, W) float32 on `device`, H and W multiples of `multiple_of`, and returns
    (N, OUTPUTS, H, W) float32, not clamped.  It changes to its precision inside.
    """

    net: Callable[[Tensor], Tensor]
    name: str
    sha256: str
    """Of the file, as it is."""
    licence: str
    device: str
    precision: Precision
    max_width_px: float
    """The widest holes that it was trained for."""
    multiple_of: int
    """Of sides."""


def load(
    name_or_path: str | os.PathLike[str] = DEFAULT, device: str = "cpu", precision: Precision = Precision.AUTO
) -> InpaintModel:
    """The shipped network (`DEFAULT`), or that of a file, on `device` ("cpu", "cuda:0", ...).

    Feature maps are fp32 on CPUs and fp16 on CUDA, unless `precision` says otherwise.  Raises ModelError when there is
    no such file, or no such network in it.
    """
    path = SHIPPED if str(name_or_path) == DEFAULT else Path(name_or_path)
    name = DEFAULT if path == SHIPPED else path.stem
    if path == SHIPPED and not path.is_file():
        raise ModelError(f"{DEFAULT}: {_REMEDY}")
    if not path.is_file():
        raise ModelError(
            f"no model for inpainting is called {str(name_or_path)!r}, nor is it a file; known is {DEFAULT}"
        )
    if precision is Precision.AUTO:  # bf16 gains nothing here on CPUs, whose time goes into small crops
        precision = Precision.FP32 if device == "cpu" else devices.resolve_precision(precision, device)
    sha256 = store.sha256_of(path)
    facts = store.facts_of(path) if path.suffix.lower() == ".safetensors" else {}
    net: nn.Module
    if facts.get("architecture") == pconv.ARCHITECTURE:
        ours = pconv.load(path)
        net, run, multiple_of = (
            ours,
            _run_ours(ours, DTYPES[precision], one_by_one=device == "cpu"),
            min(ours.multiple_of, _GRID_PX),
        )
        width_px = _width_px(path, facts)
        licence = facts.get("licence", _OWN_LICENCE if path == SHIPPED else "unknown")
    else:
        if precision is not Precision.FP32 and device == "cpu":
            raise ModelError(f"{path}: networks of the paper's layout run in fp32; use --precision fp32")
        paper, precision = pconv_paper.load(path), Precision.FP32
        net, run, multiple_of = paper, _run_paper(paper), 1 << len(paper.enc)
        width_px, licence = _PAPER_WIDTH_PX, "unknown"
    net.to(device).requires_grad_(False)
    if device == "cpu":
        net.to(
            memory_format=torch.channels_last
        )  # else oneDNN turns all weights round for every crop: a quarter of 64 px
        run = _one_by_one(run)
    return InpaintModel(run, name, sha256, licence, device, precision, width_px, multiple_of)


def of_net(net: PconvUnet, *, max_width_px: float, name: str = "made here", device: str = "cpu") -> InpaintModel:
    """A network that is in no file: one in training, or a test's."""
    run = _run_ours(net.to(device).eval(), torch.float32, one_by_one=device == "cpu")
    run = _one_by_one(run) if device == "cpu" else run
    return InpaintModel(
        run, name, "0" * 64, "none", device, Precision.FP32, max_width_px, min(net.multiple_of, _GRID_PX)
    )


def _width_px(path: Path, facts: dict[str, str]) -> float:
    try:
        width_px = float(facts["max_width_px"])
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"{path}: doesn't say for how wide holes it was trained (max_width_px); train it again"
        ) from error
    if not 1 <= width_px <= 4096:
        raise ModelError(f"{path}: says that it was trained for holes of {width_px} px")
    return width_px


def _run_ours(net: PconvUnet, dtype: torch.dtype, *, one_by_one: bool) -> Callable[[Tensor], Tensor]:
    def run(planes: Tensor) -> Tensor:
        # Which part matters depends on the crop, so on a GPU, where crops share a batch, all of it is computed.
        wanted = _bounds(planes[0, 4]) if one_by_one else None
        filled = net(planes[:, :3].contiguous(), planes[:, 3:4] > 0, dtype, wanted)
        return torch.cat([filled.image, filled.fill, filled.deviation], 1)

    return run


def _bounds(plane: Tensor) -> tuple[int, int, int, int] | None:
    rows, columns = (plane.amax(axis).nonzero() for axis in (1, 0))
    if not len(rows):
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _run_paper(net: PaperUnet) -> Callable[[Tensor], Tensor]:
    def run(planes: Tensor) -> Tensor:
        x, valid = planes[:, :3].contiguous(), planes[:, 3:4] > 0
        _, deviation = local_statistics(x, valid)
        return torch.cat([net(x, valid), push_pull(x, valid), deviation], 1)

    return run


def _one_by_one(run: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`run` on each crop alone: on a CPU a crop's result then can't depend on which others shared its batch.

    Crops of a batch run side by side, each on one thread; one that is large enough to be a batch has all threads.
    Crops of which nothing is wanted only fill a batch up, and aren't computed.
    """

    def each(planes: Tensor) -> Tensor:
        answers = planes.new_zeros((len(planes), OUTPUTS, *planes.shape[2:]))
        wanted = [i for i, one in enumerate(planes) if bool(one[4].any())]
        crops = [planes[i : i + 1] for i in wanted]
        found = side_by_side(run, crops) if len(planes) > 1 else [run(crop) for crop in crops]
        for i, answer in zip(wanted, found, strict=True):
            answers[i] = answer[0]
        return answers

    return each
