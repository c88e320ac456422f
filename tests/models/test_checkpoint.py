"""What is promised of checkpoints that nobody has vouched for."""

from __future__ import annotations

import io
import json
import multiprocessing.util
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from restore import models
from restore.errors import ModelError
from restore.models import checkpoint, quarantine

Tensors = Mapping[str, torch.Tensor]


class _Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def _payloads(marker: Path) -> dict[str, Any]:
    touch = f"touch {marker}"
    return {
        "system": _Calls(os.system, touch),
        "spawnv_passfds": _Calls(
            multiprocessing.util.spawnv_passfds, b"/bin/touch", [b"touch", os.fsencode(marker)], []
        ),
        "eval": _Calls(eval, f"open({str(marker)!r}, 'w')"),
        "inside": {"params_ema": {"body.0.weight": _Calls(os.system, touch)}},
    }


def _written(payload: Any, form: str) -> bytes:
    buffer = io.BytesIO()
    if form == "zip":
        torch.save(payload, buffer)
    elif form == "legacy":
        torch.save(payload, buffer, _use_new_zipfile_serialization=False)
    else:
        buffer.write(pickle.dumps(payload, protocol=int(form)))
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["zip", "legacy", "0", "2", "4"])
@pytest.mark.parametrize("kind", ["system", "spawnv_passfds", "eval", "inside"])
def test_a_pickle_that_calls_something_is_refused_and_nothing_runs(tmp_path: Path, kind: str, form: str) -> None:
    marker = tmp_path / "PWNED"
    hostile = tmp_path / "hostile.pth"
    hostile.write_bytes(_written(_payloads(marker)[kind], form))
    # In this process: the child has the same reader, and takes seconds to start.
    with pytest.raises(ModelError, match="nothing was run"):
        quarantine.read_tensors(hostile, ".pth")
    assert not marker.exists()


def test_the_marker_of_these_tests_does_appear_when_a_pickle_is_trusted(tmp_path: Path) -> None:
    marker = tmp_path / "PWNED"
    pickle.loads(_written(_payloads(marker)["system"], "2"))  # noqa: S301 - trusting it is the point
    assert marker.exists()


def test_import_gives_one_error_that_names_the_file_and_the_reason(tmp_path: Path) -> None:
    marker = tmp_path / "PWNED"
    hostile = tmp_path / "hostile.pth"
    hostile.write_bytes(_written(_payloads(marker)["system"], "zip"))
    with pytest.raises(ModelError) as caught:
        models.import_file(hostile)
    assert str(hostile) in str(caught.value)
    assert "asks for posix.system" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not marker.exists()


def test_torchscript_is_refused_without_running_it(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated; old files stay
        torch.jit.script(torch.nn.Identity()).save(str(path))  # type: ignore[no-untyped-call]
    with pytest.raises(ModelError, match=r"script\.pt: no usable checkpoint"):
        checkpoint.convert(path, described_as=str(path))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 junk"])
def test_files_that_are_no_checkpoint_at_all_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "junk.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"junk\.pth"):
        checkpoint.convert(path, described_as=str(path))


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(50_000_000))
    with pytest.raises(ModelError, match=r"bomb\.pth: its archive unpacks to more"):
        checkpoint.convert(path, described_as=str(path))


def test_a_pickle_that_asks_for_endless_memory_dies_alone(tmp_path: Path) -> None:
    path = tmp_path / "hungry.pth"
    huge = torch.zeros(1).expand(1 << 38)  # a terabyte as soon as anybody touches it
    torch.save({"body.0.weight": huge, "body.1.weight": huge}, path)
    assert path.stat().st_size < 10_000
    with pytest.raises(ModelError, match=r"hungry\.pth: no usable checkpoint"):
        checkpoint.convert(path, described_as=str(path))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (struct.pack("<Q", 1 << 60) + b"{}", "claims a header"),
        (struct.pack("<Q", 9 << 20) + b" " * (10 << 20), "claims a header"),
        (struct.pack("<Q", 2) + b"[]", "no table"),
        (struct.pack("<Q", 4) + b"nope", "no JSON"),
        (struct.pack("<Q", 17) + b'{"a":{},  "a":{}}', "twice"),
        (b"abc", "only 3 bytes"),
    ],
)
def test_safetensors_with_a_false_header_are_refused(tmp_path: Path, header: bytes, reason: str) -> None:
    path = tmp_path / "false.safetensors"
    path.write_bytes(header)
    with pytest.raises(ModelError, match=rf"false\.safetensors: .*{reason}"):
        checkpoint.convert(path, described_as=str(path))


def test_safetensors_whose_offsets_lie_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lie.safetensors"
    text = json.dumps({"a": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    with pytest.raises(ModelError, match="broken safetensors"):
        quarantine.read_tensors(path, ".safetensors")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path, compact_state: Tensors) -> None:
    path = tmp_path / "nan.safetensors"
    spoilt = dict(compact_state)
    spoilt["body.6.weight"] = spoilt["body.6.weight"].clone()
    spoilt["body.6.weight"][3, 2, 1, 0] = float("nan")
    save_file(spoilt, path)
    with pytest.raises(ModelError, match=r"tensor body\.6\.weight holds numbers that are not finite"):
        quarantine.read_tensors(path, ".safetensors")


def _without(state: Tensors, name: str) -> Tensors:
    return {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize("spoil", ["missing", "extra", "shape", "type"])
@pytest.mark.parametrize("network", ["compact", "rrdb"])
def test_tensors_that_are_not_those_of_the_network_are_refused(
    network: str, spoil: str, compact_state: Tensors, rrdb_state: Tensors
) -> None:
    state = compact_state if network == "compact" else rrdb_state
    name = "body.8.bias" if network == "compact" else "body.3.rdb2.conv4.bias"
    spoilt = {
        "missing": _without(state, name),
        "extra": {**state, "surprise": torch.zeros(3)},
        "shape": {**state, name: torch.zeros(5)},
        "type": {**state, name: torch.zeros(state[name].shape, dtype=torch.complex64)},
    }[spoil]
    with pytest.raises(ModelError, match="tensor"):
        quarantine.canonical(quarantine.unwrap(spoilt))


def test_entries_that_are_no_tensors_are_refused() -> None:
    with pytest.raises(ModelError, match="entry 'epoch' is a int"):
        quarantine.unwrap({"body.0.weight": torch.zeros(1), "epoch": 3})
    with pytest.raises(ModelError, match="holds a list"):
        quarantine.unwrap([torch.zeros(1)])


@pytest.mark.usefixtures("empty_cache")
def test_an_imported_checkpoint_is_the_same_network_and_is_found_again(tmp_path: Path, compact_state: Tensors) -> None:
    path = tmp_path / "2x My Model.v1.pth"
    torch.save({"params": dict(compact_state)}, path)
    ref = models.import_file(path)
    assert (ref.name, ref.architecture, ref.scale, ref.licence) == ("2x-My-Model-v1", "compact", 4, "unknown")
    assert models.resolve(ref.name) == ref
    assert models.resolve(str(path)) == ref
    path.write_bytes(path.read_bytes())  # the name doesn't matter, nor the time: the content does
    moved = path.rename(tmp_path / "moved.pth")
    assert models.import_file(moved) == ref
    assert [listing.name for listing in models.list_models() if listing.licence == "unknown"] == [ref.name]


def test_names_of_the_first_esrgan_become_canonical_ones(rrdb_state: Tensors) -> None:
    from spandrel import ModelLoader

    old = ModelLoader("cpu").load_from_state_dict(dict(rrdb_state)).model.state_dict()
    assert "model.1.sub.0.RDB1.conv1.0.weight" in old
    renamed = quarantine.rename_esrgan(old)
    assert renamed is not None
    assert list(renamed) == list(rrdb_state)
    assert all(torch.equal(renamed[name], rrdb_state[name]) for name in rrdb_state)
