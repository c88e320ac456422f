"""The ops' C++ side as torch calls it (boxing, checks, allocation, choice of kernel) with CPU tensors and the emulated
launches behind it: all of what a GPU would run but the GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from emulated import compiler

CUDA_OPS = Path(__file__).resolve().parents[2] / "cuda_ops"
SOURCES = ("masked_conv2d_op.cpp", "rrdb_op.cpp", "tiles_op.cpp", "masked_conv2d_cpu.cpp", "emulator/library.cpp")

PROGRAM = """
import ctypes
import dataclasses
import torch
from restore import ops
from restore.ops import masked_conv_reference as reference, rrdb

assert ops.LIBRARY.facts == {"compiler": "emulated"}, ops.LIBRARY
torch.manual_seed(1)
LAST = torch.channels_last


def close(y, exact, bound=1e-3):
    assert (y.double() - exact.double()).norm() <= bound * exact.double().norm()


def wide(*tensors):  # what the reference computes when storage isn't the limit
    return tuple(t.double() if t is not None and t.is_floating_point() else t for t in tensors)


x, valid = torch.randn(2, 5, 9, 12).half(), torch.rand(2, 1, 9, 12) > 0.4
skip, skip_valid = torch.randn(2, 3, 18, 24).half(), torch.rand(2, 1, 18, 24) > 0.4
x, skip = x.masked_fill(~valid, float("nan")), skip.masked_fill(~skip_valid, float("nan"))
weight, bias = torch.randn(20, 8, 3, 3).half() / 8, torch.randn(20).half()

# Every argument in its place: two sources, doubling, slope.
decoder = dict(padding=1, skip=skip, skip_valid=skip_valid, doubled=True, slope=0.2)
y, seen = ops.masked_conv2d(x, valid, weight, bias, **decoder)
args = wide(x, valid, weight, bias), (1, 1), wide(skip, skip_valid), (True, 0.2)
exact, known = reference.masked_conv2d_reference(*(a for part in args for a in part))
close(y, exact)
assert torch.equal(seen, known) and y.is_contiguous(memory_format=LAST)

# The same with k split over blocks, as on a device of many multiprocessors.
multiprocessors = ctypes.CDLL(str(ops.LIBRARY.path)).emulator_set_multiprocessors
deep, deep_valid = torch.randn(1, 136, 5, 6).half(), torch.rand(1, 1, 5, 6) > 0.4
w = torch.randn(20, 136, 3, 3).half() / 35
whole, seen = ops.masked_conv2d(deep, deep_valid, w, bias, padding=1)
multiprocessors(99)
parts, also = ops.masked_conv2d(deep, deep_valid, w, bias, padding=1)
multiprocessors(1)
close(parts, whole)
assert torch.equal(seen, also) and not torch.equal(parts, whole)

# Stride, another kernel, memory in another order, bf16.
for dtype, bound in ((torch.float16, 1e-3), (torch.bfloat16, 8e-3)):
    w = torch.randn(7, 5, 5, 5).to(dtype) / 8
    given = x.nan_to_num(7.0).to(dtype)
    y, seen = ops.masked_conv2d(given.contiguous(), valid, w, None, stride=2, padding=2)
    exact, known = reference.masked_conv2d_reference(*wide(given, valid, w), None, 2, 2)
    close(y, exact, bound)
    assert torch.equal(seen, known)

# Into a slice of a buffer, both residuals, validity, some blocks only.
size = (2, 20, 18, 24)
first, second = torch.randn(size).half().contiguous(memory_format=LAST), torch.randn(size).half()  # in either order
for active in (None, ops.active_blocks(torch.ones(1, 1, 40, 70, dtype=torch.bool))):
    buffer = torch.full((2, 36, 18, 24), 7.0).half().contiguous(memory_format=LAST)
    again = buffer.clone(memory_format=torch.preserve_format)
    out = torch.zeros(2, 1, 18, 24, dtype=torch.bool)
    if active is not None:
        active = (torch.tensor([1, 3, 0], dtype=torch.int32), torch.tensor([2], dtype=torch.int32))
    added = dict(residuals=((first, 0.2), (second, 0.5)), active=active)
    ops.masked_conv2d_into(buffer, x, valid, weight, bias, at_channel=8, valid_out=out, **added, **decoder)
    also = torch.zeros_like(out)
    lists = (None, None) if active is None else active
    reference.into_reference(
        again, also, 8, x, valid, weight, bias, 1, 1, skip, skip_valid, True, 0.2, first, 0.2, second, 0.5, *lists
    )
    close(buffer, again)
    assert torch.equal(out, also)
    assert (buffer[:, :8] == 7).all() and (buffer[:, 28:] == 7).all()

# A dense block in one buffer, no validity: x's own buffer is written.
dense = torch.randn(1, 64, 17, 33).half().contiguous(memory_format=LAST)
w = torch.randn(32, 32, 3, 3).half() / 17
before = dense.clone()
ops.masked_conv2d_into(dense, dense[:, :32], None, w, None, at_channel=32, padding=1, slope=0.2)
exact = torch.nn.functional.conv2d(before[:, :32].double(), w.double(), None, 1, 1)
close(dense[:, 32:], torch.nn.functional.leaky_relu(exact, 0.2))
assert torch.equal(dense[:, :32], before[:, :32])

narrow = torch.zeros(2, 8, 6, 1).half().contiguous(memory_format=LAST)  # one pixel wide
thin, w3 = torch.randn(2, 4, 6, 1).half(), torch.randn(4, 4, 3, 3).half() / 6
ops.masked_conv2d_into(narrow, thin, None, w3, None, at_channel=4, padding=1)
close(narrow[:, 4:], torch.nn.functional.conv2d(thin.double(), w3.double(), None, 1, 1))
assert (narrow[:, :4] == 0).all()
try:
    ops.masked_conv2d_into(dense, dense[:, :32], None, w, None, at_channel=31, padding=1)
except RuntimeError as error:
    assert "overlaps" in str(error)
else:
    raise AssertionError("channels that are read were written")

# A whole network.
shape = rrdb.RrdbShape(1, 16, 16, 1, 2, 3)
state = {}
for name, outputs, inputs in shape.convolutions():
    state[f"{name}.weight"] = (torch.randn(outputs, inputs, 3, 3) / (9 * inputs) ** 0.5).half().float()
    state[f"{name}.bias"] = 0.1 * torch.randn(outputs)
image = torch.rand(2, 3, 18, 26)
cpu = torch.device("cpu")
packed = rrdb.pack(state, shape, rrdb.Layout.FRAGMENTS, torch.float16, cpu)
y = ops.rrdb_forward(image, packed, strip_rows=4, resident=1)
flat = rrdb.pack(state, shape, rrdb.Layout.FLAT, torch.float32, cpu)
close(y, rrdb.reference(image, flat.weights, flat.singles, list(dataclasses.astuple(shape)), int(flat.layout), 0), 2e-3)
# What Python sees to beforehand is what the library then takes: the folded image, features, dense buffers, two tails.
pixels, tail = 2 * 9 * 13, 2 * (9 * 2 + 4) * (13 * 2) * 16
assert rrdb._workspace_bytes(shape, 2, 18, 26) == 2 * (pixels * (16 + 2 * 16 + 3 * 80) + 2 * tail)
try:
    ops.rrdb_forward(image, flat)
except RuntimeError as error:
    assert "fragments" in str(error)
else:
    raise AssertionError("the kernels took weights in another layout")

# Tiles and lists.
plane = torch.zeros(1, 1, 40, 70, dtype=torch.bool)
plane[0, 0, 20, 5] = True
blocks, count = ops.active_blocks(plane, pad_px=5)
assert count.tolist() == [2] and blocks[:2].tolist() == [0, 3]
picture = torch.randint(0, 256, (20, 30, 3), dtype=torch.uint8)
corners = torch.tensor([[0, 0], [5, 12]], dtype=torch.int32)
tiles = ops.gather_tiles(picture, corners, size=(15, 18), wraps=(False, True), dtype=torch.float16)
keeps = torch.tensor([[0, 0, 15, 12], [5, 12, 20, 30]], dtype=torch.int32)
canvas = torch.zeros_like(picture)
ops.scatter_tiles(canvas, tiles, corners, keeps)
assert torch.equal(canvas[5:, 12:], picture[5:, 12:]) and torch.equal(canvas[:15, :12], picture[:15, :12])
print("clean")
"""


def test_every_op_does_through_torch_what_its_reference_does(tmp_path: Path) -> None:
    package = Path(torch.__file__).parent
    library = tmp_path / "_ops.so"
    built = subprocess.run(
        [
            *(compiler(), "-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-Wno-unknown-pragmas"),
            *("-isystem", str(package / "include"), "-DTORCH_TARGET_VERSION=0x020b000000000000", "-DUSE_CUDA"),
            *("-DRESTORE_WITH_CUDA", "-DRESTORE_EMULATED", '-DRESTORE_FACTS="compiler=emulated"'),
            *(str(CUDA_OPS / source) for source in SOURCES),
            *(f"-L{package / 'lib'}", "-Wl,--no-as-needed", "-ltorch", "-Wl,--allow-shlib-undefined"),
            *("-o", str(library)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "RESTORE_OPS": str(library), "PYTHONPATH": str(CUDA_OPS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "clean", done.stderr[-3000:]
