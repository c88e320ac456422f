"""Owns the child process that reads a checkpoint nobody has vouched for.

Run as `python -m restore.models.quarantine SOURCE SUFFIX TARGET`: writes canonical safetensors to TARGET and exits 0,
or writes {"reason": ...} and exits 1.  Whatever else goes wrong ends this process with a trace on stderr; the parent
(`checkpoint.py`) makes one clear error of it.
"""

from __future__ import annotations

import json
import pickle
import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore.errors import ModelError
from restore.models import store

if TYPE_CHECKING:
    from torch import Tensor

CPU_LIMIT_S = 240
_SPARE_BYTES = 2 << 30
_WRAPPERS = ("params_ema", "params-ema", "params", "model_state_dict", "state_dict", "model", "net")
_TYPES = ("float16", "bfloat16", "float32", "float64", "int64", "int32", "uint8", "bool")
_PREFIXES = ("module.", "netG.")


def limit_this_process(source_bytes: int) -> None:
    """From here on memory and time are bounded: a few copies of the file, and what a network of its size needs."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    room = in_use + 8 * source_bytes + _SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * source_bytes + (1 << 20), 4 * source_bytes + (1 << 20)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read_tensors(path: Path, suffix: str) -> dict[str, Tensor]:
    """The named tensors of a checkpoint, unwrapped; ModelError when it holds anything else."""
    import torch

    if suffix == ".safetensors":
        import safetensors
        from safetensors.torch import load_file

        try:
            found: Any = load_file(path)
        except safetensors.SafetensorError as error:
            raise ModelError(f"broken safetensors: {error}") from error
    else:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about pickle protocols other than 2, which are read all the same
                found = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise ModelError(_short(error)) from error
    tensors = unwrap(found)
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise ModelError(f"tensor {name} is sparse, quantised or without data")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"tensor {name} holds numbers that are not finite")
    return tensors


def _short(error: pickle.UnpicklingError) -> str:
    """torch's long advice (which ends in "turn the protection off") in one line of fact."""
    found = re.search(r"(?:unsupported GLOBAL|class|GLOBAL|function) ([\w.]+)", str(error))
    what = f"asks for {found[1]}, which is no tensor" if found else "is no plain table of tensors"
    return f"its pickle {what}; nothing was run. Ask its author for a .safetensors file"


def unwrap(found: Any) -> dict[str, Tensor]:
    """The table of tensors in what a checkpoint held, under the names that a network uses."""
    import torch

    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
            break
    if isinstance(found, Mapping) and len(found) == 1:
        (only,) = found.values()
        found = only if isinstance(only, Mapping) else found
    if not isinstance(found, Mapping) or not found:
        raise ModelError(f"holds a {type(found).__name__}, not a table of tensors")
    if len(found) > store.TENSOR_LIMIT:
        raise ModelError(f"{len(found)} tensors are more than the limit of {store.TENSOR_LIMIT}")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise ModelError(f"entry {str(name)[:80]!r} is a {type(tensor).__name__}, not a tensor")
        if str(tensor.dtype).removeprefix("torch.") not in _TYPES:
            raise ModelError(f"tensor {name[:80]} has type {tensor.dtype}, which no network here uses")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return {name: tensor.detach() for name, tensor in found.items()}


def canonical(tensors: Mapping[str, Tensor]) -> bytes:
    """Canonical safetensors bytes; spandrel tells the architecture. ModelError when it knows none or keys don't fit."""
    import torch
    from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError

    from restore.models import compact, rrdb
    from restore.models.network import check_state
    from restore.recipe import Precision

    try:
        found = ModelLoader("cpu").load_from_state_dict(dict(tensors))
    except UnsupportedModelError as error:
        raise ModelError("its tensors are those of no network that spandrel knows") from error
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError, AssertionError, ArithmeticError) as error:
        raise ModelError(
            f"its tensors don't fit the network they look like: {' '.join(str(error).split())[:300]}"
        ) from error
    if not isinstance(found, ImageModelDescriptor) or (found.input_channels, found.output_channels) != (3, 3):
        raise ModelError(f"{found.architecture.name} doesn't turn one RGB picture into another")
    precisions = [Precision.FP32, *([Precision.BF16] if found.supports_bfloat16 else [])]
    precisions += [Precision.FP16] if found.supports_half else []
    state: dict[str, Tensor] = dict(tensors)
    architecture = str(found.architecture.id)
    if architecture == "ESRGAN":
        inner: dict[str, Tensor] = found.model.state_dict()
        if len(inner) != len(state):
            raise ModelError(f"{len(state)} tensors, but the network it looks like has {len(inner)}")
        renamed = rename_esrgan(inner)
        if renamed is not None:
            architecture, state = "rrdb", renamed
            check_state(state, rrdb.wanted(rrdb.shape_of(state, found.scale)))
    elif architecture == "Compact":
        architecture = "compact"
        check_state(state, compact.wanted(state))
    facts = {
        "architecture": architecture,
        "channels": str(found.input_channels),
        "format": "restore 1",
        "precisions": " ".join(precisions),
        "scale": str(found.scale),
    }
    kept = {name: (t.float() if t.dtype == torch.bfloat16 else t).contiguous() for name, t in state.items()}
    return store.canonical_bytes({name: tensor.numpy() for name, tensor in kept.items()}, facts)


def rename_esrgan(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """spandrel's names for RRDB networks (those of the first ESRGAN) -> canonical ones, in canonical order.

    None for variants with other layers (ESRGAN+), which run as spandrel has them.
    """
    from restore.ops import RrdbShape

    top = {int(m[1]) for name in state if (m := re.fullmatch(r"model\.(\d+)\.weight", name))}
    doublings = len(top) - 3
    blocks = {int(m[1]) for name in state if (m := re.match(r"model\.1\.sub\.(\d+)\.RDB1\.", name))}
    if doublings < 0 or not blocks:
        return None
    names = {"conv_first": "model.0", "conv_body": f"model.1.sub.{len(blocks)}"}
    names |= {f"conv_up{i}": f"model.{3 * i}" for i in range(1, doublings + 1)}
    names |= {"conv_hr": f"model.{3 * doublings + 2}", "conv_last": f"model.{3 * doublings + 4}"}
    for i in blocks:
        names |= {
            f"body.{i}.rdb{j}.conv{k}": f"model.1.sub.{i}.RDB{j}.conv{k}.0" for j in (1, 2, 3) for k in (1, 2, 3, 4, 5)
        }
    if {f"{old}.{part}" for old in names.values() for part in ("weight", "bias")} != set(state):
        return None
    ordered = [name for name, _, _ in RrdbShape(len(blocks), 0, 0, doublings, 1, 0).convolutions()]
    return {f"{new}.{part}": state[f"{names[new]}.{part}"] for new in ordered for part in ("weight", "bias")}


def main(source: str, suffix: str, target: str) -> int:
    import torch

    torch.set_num_threads(1)
    limit_this_process(Path(source).stat().st_size)
    try:
        data = canonical(read_tensors(Path(source), suffix))
    except ModelError as error:
        sys.stdout.write(json.dumps({"reason": str(error)}))
        return 1
    Path(target).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
