"""The kernels' own source on the CPU: builds cuda_ops/emulator and calls it with torch tensors in NHWC."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restore.ops import PackedRrdb

CUDA_OPS = Path(__file__).resolve().parents[2] / "cuda_ops"
COUNTS = (
    "products", "matrix_loads", "shared_bytes_read", "bytes_copied", "bytes_zeroed",
    "wavefronts", "fewest_wavefronts", "barriers", "blocks", "errors",
)  # fmt: skip


class Rows(ctypes.Structure):
    _fields_ = (("first_row", ctypes.c_int), ("rows", ctypes.c_int))


class Source(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p), ("valid", ctypes.c_void_p), ("at", Rows),
        ("channels", ctypes.c_int), ("pixel", ctypes.c_int), ("width", ctypes.c_int), ("doubled", ctypes.c_bool),
    )  # fmt: skip


class Residual(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("at", Rows), ("pixel", ctypes.c_int), ("factor", ctypes.c_float))


class Target(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p), ("valid", ctypes.c_void_p), ("at", Rows),
        ("pixel", ctypes.c_int), ("single", ctypes.c_bool),
    )  # fmt: skip


class Conv(ctypes.Structure):
    _fields_ = (
        ("a", Source), ("b", Source),
        *((name, ctypes.c_int) for name in ("n", "height", "width", "kernel", "stride", "padding")),
        ("weights", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("slope", ctypes.c_float),
        ("first", Residual), ("second", Residual), ("y", Target),
        *((name, ctypes.c_int) for name in ("out_height", "out_width", "channels", "row_begin", "row_end")),
        ("active", ctypes.c_void_p), ("active_count", ctypes.c_void_p), ("active_length", ctypes.c_int),
        ("room", ctypes.c_void_p), ("resident", ctypes.c_int),
    )  # fmt: skip


class RrdbCall(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("blocks", "features", "growth", "doublings", "fold", "channels")),
        ("weights", ctypes.c_void_p), ("biases", ctypes.c_void_p), ("bf16", ctypes.c_bool),
        ("image", ctypes.c_void_p), ("y", ctypes.c_void_p),
        *((name, ctypes.c_int) for name in ("n", "height", "width", "strip_rows", "band_rows", "resident")),
        ("workspace", ctypes.c_void_p),
    )  # fmt: skip


class Packing(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int) for name in ("kernel", "channels", "a_channels", "b_channels", "stride"))


def compiler() -> str:
    """g++, or what stands for it; without one the test is skipped, or fails where the library is required."""
    found = shutil.which("g++") or shutil.which("c++")
    if found is None and os.environ.get("RESTORE_REQUIRE_OPS") == "1":
        pytest.fail("RESTORE_REQUIRE_OPS=1, but there is no C++ compiler", pytrace=False)
    if found is None:
        pytest.skip("no C++ compiler to build the emulated kernels with")
    return found


def build(folder: Path, *flags: str, source: Path = CUDA_OPS) -> Path:
    """Compile the emulator and the kernels under `source` into `folder`/emulated.so."""
    target = folder / "emulated.so"
    command = [
        compiler(),
        "-std=c++17",
        "-O2",
        "-fvisibility=hidden",
        "-fPIC",
        "-shared",
        "-Wno-unknown-pragmas",
        *flags,
    ]
    done = subprocess.run(
        [*command, str(source / "emulator" / "library.cpp"), "-o", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


@dataclass
class Run:
    """What the emulator saw during one call."""

    counts: dict[str, int]
    error: str

    def assert_clean(self) -> None:
        assert self.counts["errors"] == 0, f"{self.counts['errors']} errors, the first: {self.error}"
        assert self.counts["wavefronts"] == self.counts["fewest_wavefronts"], "bank conflicts"


class Emulator:
    def __init__(self, path: Path) -> None:
        self.library = ctypes.CDLL(str(path))
        for name in (
            "emulate_conv",
            "emulate_pack",
            "emulate_rrdb",
            "emulate_active_blocks",
            "emulate_gather",
            "emulate_scatter",
        ):
            if hasattr(self.library, name):
                getattr(self.library, name).restype = ctypes.c_char_p
        self.library.packed_elements.restype = ctypes.c_int64
        self.library.rrdb_workspace.restype = ctypes.c_int64
        self.library.conv_room_numbers.restype = ctypes.c_int64
        assert self.library.size_of_conv() == ctypes.sizeof(Conv), "the structure in this file is out of date"
        assert self.library.size_of_rrdb_call() == ctypes.sizeof(RrdbCall), "the structure here is out of date"

    def call(self, function: Callable[..., bytes | None], *arguments: object, seed: int = 0) -> Run:
        self.library.emulator_reset(seed)
        complaint = function(*arguments)
        if complaint is not None:
            raise ValueError(complaint.decode())
        numbers = (ctypes.c_int64 * len(COUNTS))()
        error = ctypes.create_string_buffer(300)
        self.library.emulator_counts(numbers, error, 300)
        return Run(dict(zip(COUNTS, numbers, strict=True)), error.value.decode())

    def pack(self, weight: Tensor, a_channels: int, b_channels: int = 0, stride: int = 1) -> Tensor:
        packing = Packing(weight.shape[2], weight.shape[0], a_channels, b_channels, stride)
        packed = torch.empty(self.library.packed_elements(ctypes.byref(packing)), dtype=weight.dtype)
        dense = weight.contiguous()
        places = (ctypes.c_void_p(t.data_ptr()) for t in (dense, packed))
        self.call(self.library.emulate_pack, *places, ctypes.byref(packing)).assert_clean()
        return packed

    def room_bytes(self, x: Tensor, weight: Tensor, stride: int, multiprocessors: int) -> int:
        """For sums of parts, of one convolution over x (N, C, H, W) with `same` padding and holes."""
        n, channels, height, width = x.shape
        padding = weight.shape[2] // 2
        c = Conv(Source(16, 16, Rows(0, height), channels, channels, width, False))
        c.n, c.height, c.width, c.kernel, c.stride, c.padding = n, height, width, weight.shape[2], stride, padding
        c.out_height, c.out_width = ((s + 2 * padding - c.kernel) // stride + 1 for s in (height, width))
        c.row_end, c.channels, c.weights = c.out_height, len(weight), 16
        self.library.emulator_set_multiprocessors(multiprocessors)
        numbers = int(self.library.conv_room_numbers(ctypes.byref(c)))
        self.library.emulator_set_multiprocessors(1)
        return 4 * numbers

    def rrdb(
        self, image: Tensor, network: PackedRrdb, strip_rows: int = 0, band_rows: int = 0, resident: int = 0
    ) -> tuple[Tensor, Run]:
        """What the library's rrdb_forward does on a GPU; memory that nothing wrote is NaN."""
        shape, (n, _, height, width) = network.shape, image.shape
        dense = image.contiguous()
        y = torch.full((n, height * shape.scale, width * shape.scale, shape.channels), float("nan"))
        call = RrdbCall(*astuple(shape), network.weights.data_ptr(), network.singles.data_ptr())
        call.bf16 = network.weights.dtype == torch.bfloat16
        call.image, call.y = dense.data_ptr(), y.data_ptr()
        call.n, call.height, call.width, call.strip_rows, call.band_rows = n, height, width, strip_rows, band_rows
        call.resident = resident
        workspace = torch.full((self.library.rrdb_workspace(ctypes.byref(call)),), 0xFF, dtype=torch.uint8)
        call.workspace = workspace.data_ptr()
        run = self.call(self.library.emulate_rrdb, ctypes.byref(call))
        return y.permute(0, 3, 1, 2), run


@dataclass
class Case:
    """One convolution: tensors are NHWC (the last axis may be wider than what is read), validity is (N, H, W) uint8."""

    x: Tensor
    weight: Tensor
    channels: int
    """Read from x."""
    bias: Tensor | None = None
    valid: Tensor | None = None
    doubled: bool = False
    skip: Tensor | None = None
    skip_valid: Tensor | None = None
    stride: int = 1
    padding: int = 1
    slope: float = 1.0
    residuals: Sequence[tuple[Tensor, float]] = ()
    rows: tuple[int, int] | None = None
    active: Tensor | None = None
    active_count: int = 0
    single: bool = False
    guard: int = 16
    """Elements of the target beside the result that nothing may touch."""
    before: int = 16
    """Of them, in front."""
    multiprocessors: int = 1
    """Of the device that is emulated; with 1, k is never split over blocks."""
    resident: int = 0

    def size(self) -> tuple[int, int, int, int]:
        n, h, w, _ = self.x.shape
        h, w = (2 * h, 2 * w) if self.doubled else (h, w)
        k = self.weight.shape[2]
        return (
            n,
            (h + 2 * self.padding - k) // self.stride + 1,
            (w + 2 * self.padding - k) // self.stride + 1,
            len(self.weight),
        )


GUARD = 5.0
GUARD_NUMBERS = 64
"""After the room for sums of parts, all NaN."""


def convolve(emulator: Emulator, case: Case, seed: int = 0) -> tuple[Tensor, Tensor | None, Run]:
    """(y with its guard channels, NHWC; validity or None; what was seen)."""
    n, out_h, out_w, k = case.size()
    y = torch.full((n, out_h, out_w, k + case.guard), GUARD, dtype=torch.float32 if case.single else case.x.dtype)
    valid = torch.full((n, out_h, out_w), 9, dtype=torch.uint8) if case.valid is not None else None
    skip_channels = 0 if case.skip is None else case.skip.shape[3]
    packed = emulator.pack(case.weight.to(case.x.dtype), case.channels, skip_channels, case.stride)

    def source(x: Tensor, known: Tensor | None, channels: int, doubled: bool) -> Source:
        assert x.is_contiguous()
        place = known.data_ptr() if known is not None else None
        return Source(x.data_ptr(), place, Rows(0, x.shape[1]), channels, x.shape[3], x.shape[2], doubled)

    c = Conv()
    c.a = source(case.x, case.valid, case.channels, case.doubled)
    if case.skip is not None:
        c.b = source(case.skip, case.skip_valid, skip_channels, False)
    c.n, c.height, c.width = n, case.x.shape[1] << case.doubled, case.x.shape[2] << case.doubled
    c.kernel, c.stride, c.padding = case.weight.shape[2], case.stride, case.padding
    c.weights = packed.data_ptr()
    c.bias = case.bias.data_ptr() if case.bias is not None else None
    c.slope = case.slope
    for name, (residual, factor) in zip(("first", "second"), case.residuals, strict=False):
        setattr(c, name, Residual(residual.data_ptr(), Rows(0, out_h), residual.shape[3], factor))
    place = y.data_ptr() + case.before * y.element_size()
    c.y = Target(place, valid.data_ptr() if valid is not None else None, Rows(0, out_h), y.shape[3], case.single)
    c.out_height, c.out_width, c.channels = out_h, out_w, k
    c.row_begin, c.row_end = case.rows or (0, out_h)
    count = torch.tensor([case.active_count], dtype=torch.int32)
    if case.active is not None:
        c.active, c.active_count, c.active_length = case.active.data_ptr(), count.data_ptr(), len(case.active)
    c.resident = case.resident
    emulator.library.emulator_set_multiprocessors(case.multiprocessors)
    room = torch.full((emulator.library.conv_room_numbers(ctypes.byref(c)) + GUARD_NUMBERS,), torch.nan)
    c.room = room.data_ptr() if len(room) > GUARD_NUMBERS else None
    run = emulator.call(emulator.library.emulate_conv, ctypes.byref(c), int(case.x.dtype == torch.bfloat16), seed=seed)
    emulator.library.emulator_set_multiprocessors(1)
    assert room[-GUARD_NUMBERS:].isnan().all(), "more sums were left than there is room for"
    return y, valid, run


def expected(case: Case) -> tuple[Tensor, Tensor | None]:
    """The same in float64, from the formula."""

    def planes(x: Tensor, known: Tensor | None, channels: int, doubled: bool) -> tuple[Tensor, Tensor]:
        values = x[..., :channels].double().permute(0, 3, 1, 2)
        mask = torch.ones_like(values[:, :1]) if known is None else known[:, None].double()
        values = torch.where(mask > 0, values, 0.0)
        if doubled:
            values, mask = (F.interpolate(t, scale_factor=2, mode="nearest") for t in (values, mask))
        return values, mask.expand_as(values)

    parts = [planes(case.x, case.valid, case.channels, case.doubled)]
    if case.skip is not None:
        parts.append(planes(case.skip, case.skip_valid, case.skip.shape[3], False))
    x, known = (torch.cat(list(t), 1) for t in zip(*parts, strict=True))
    weight = case.weight.to(case.x.dtype).double()
    y = F.conv2d(x, weight, None, case.stride, case.padding)
    seen = None
    if case.valid is not None:
        count = F.conv2d(known, torch.ones_like(weight[:1]), None, case.stride, case.padding)
        seen = count > 0
        y = torch.where(seen, y * weight[0].numel() / count.clamp_min(1), 0.0)
        if case.bias is not None:
            y = torch.where(seen, y + case.bias.double().view(1, -1, 1, 1), y)
        seen = seen[:, 0]
    elif case.bias is not None:
        y = y + case.bias.double().view(1, -1, 1, 1)
    y = F.leaky_relu(y, case.slope).permute(0, 2, 3, 1)
    for residual, factor in case.residuals:
        y = residual[..., : y.shape[3]].double() + factor * y
    return y, seen
