"""Plants bugs in the kernels, one at a time, and checks that the emulated tests notice each: `make mutants`.

A test that never fails proves nothing.  Every mutant below is a mistake that is easily made in such a kernel; most of
them give right numbers on some GPU on some day.  Takes some minutes; not part of `make test`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CUDA_OPS = HERE.parents[1] / "cuda_ops"

QUICK = """
import dataclasses
import sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
import torch
import emulated
from test_conv_emulated import case, check, decoder, wide_decoder
from test_rrdb_emulated import RrdbShape, exact, packed, random_state
emulator = emulated.Emulator(Path(sys.argv[3]))
for masked in (False, True):
    check(emulator, case((1, 17, 33), channels=64, buffer=96, masked=masked))
    check(emulator, case((2, 9, 34), channels=48, filters=64, masked=masked))
    odd = case((1, 13, 37), kernel=5, channels=20, filters=40, masked=masked)
    odd.stride = 2
    check(emulator, odd)
empty = case((1, 6, 9), masked=True)
empty.valid.zero_()
check(emulator, empty)
check(emulator, decoder())
added = case((1, 9, 34), filters=64, channels=16)
wide = [torch.randn(1, 9, 34, 64).half() for _ in range(2)]
added.residuals = list(zip(wide, (0.2, 0.5)))
check(emulator, added)
sliced = case((1, 9, 34), channels=20, filters=32)
sliced.x = torch.cat([sliced.x, torch.full((1, 9, 34, 20), torch.nan).half()], 3).contiguous()
check(emulator, sliced)
odd = case((1, 9, 34), filters=20, channels=16)
odd.guard = 20
check(emulator, odd)
listed = case((1, 40, 70), channels=16)
listed.active, listed.active_count = torch.tensor([1, 5, 0], dtype=torch.int32), 2
y, _, run = emulated.convolve(emulator, listed)
run.assert_clean()
assert (y[0, :16, :32] == emulated.GUARD).all() and (y[0, :16, 32:64, 16:48] != emulated.GUARD).any()
check(emulator, dataclasses.replace(wide_decoder((32, 96)), multiprocessors=99))
check(emulator, dataclasses.replace(case((1, 20, 70), channels=48), resident=1))
shape = RrdbShape(1, 16, 16, 1, 1, 3)
state, image = random_state(shape), torch.rand(1, 3, 18, 20)
network = packed(state, shape, torch.float16)
whole, run = emulator.rrdb(image, network)
run.assert_clean()
wanted = exact(state, shape, torch.float16, image)
assert (whole - wanted).norm() <= 2e-3 * wanted.norm()
parts, run = emulator.rrdb(image, network, 7, 5)
run.assert_clean()
assert torch.equal(parts, whole)
"""


@dataclass(frozen=True)
class Mutant:
    what: str
    file: str
    right: str
    wrong: str


MUTANTS = (
    Mutant("no barrier in the main loop", "conv3x3.h", "      barrier();  // for everyone", "      // "),
    Mutant("waits for one group of copies too few", "conv3x3.h", "wait_copies<STAGES - 2>()", "wait_copies<STAGES - 1>()"),
    Mutant("a slot is overwritten too early", "conv3x3.h", "full == 0 ? (STAGES - 1) * STAGE_BYTES : full - STAGE_BYTES", "full"),
    Mutant("no barrier after validity", "conv3x3.h", "thread);\n      barrier();", "thread);"),
    Mutant("one weight copy short", "conv3x3.h", "i + thread >= B_BYTES / 16) break;", "i + thread >= B_BYTES / 16 - 1) break;"),
    Mutant("filter rows and columns swapped", "conv_multiply.h", "b + (3 * r + s) * kTapBytes", "b + (3 * s + r) * kTapBytes"),
    Mutant("shared memory a slot too small", "conv3x3.h", "SHARED_BYTES = STAGES *", "SHARED_BYTES = (STAGES - 1) *"),
    Mutant("halo off by one column", "conv3x3.h", "x = at.x0 - c.padding + slot", "x = at.x0 - c.padding + 1 + slot"),
    Mutant("no guard at the upper border", "conv3x3.h", "y >= held.begin && y < held.end", "y < held.end"),
    Mutant("halves alternate on one side only", "conv_multiply.h", "half_at(patch, row, column + tap_column, half)", "(row * patch.pitch + column + tap_column) * 32 + half * 16"),
    Mutant("fragment halves swapped", "conv3x3.h", "(lane & 15), lane >> 4}", "(lane & 15), 1 - (lane >> 4)}"),
    Mutant("no alternating halves: right, but slow", "conv_tile.h", "return in_row >> 2 & 1;", "return in_row * 0;"),
    Mutant("stride 2 without sorting columns: right, but slow", "conv_tile.h", "return stride == 2 ? (column & 1) * half + (column >> 1) : column;", "return column;"),
    Mutant("a hole is read", "conv_tile.h", "load_shared_1(known + patch.slot(row, column)) >> second & 1;", "load_shared_1(known + patch.slot(row, column)) != 0;"),
    Mutant("a hole of the second source is read", "conv3x3.h", "load_shared_1(known + slot) >> bit & 1", "load_shared_1(known + slot) != 0"),
    Mutant("the last chunk reads on", "conv3x3.h", "left >= 8 ? 16 : left <= 0 ? 0 : 2 * left", "left >= 8 ? 16 : 16"),
    Mutant("the swap is forgotten where copies land", "conv3x3.h", "(share.known >> (16 + k) ^ thread) & 1", "thread & 1"),
    Mutant("a residual is not traded back", "conv_epilogue.h", "load_global_16(v, from + t * 8);\n    trade(v, t);", "load_global_16(v, from + t * 8);"),
    Mutant("channels beyond the source are read", "conv_tile.h", "left < 8 ? left : 8;", "8;"),
    Mutant("sources count alike", "conv_tile.h", "in_b * c.b.channels;", "in_b * c.a.channels;"),
    Mutant("the ratio counts a row of the filter only", "conv_tile.h", "const int all = patch.kernel * patch.kernel *", "const int all = patch.kernel *"),
    Mutant("an empty window gets the bias", "conv_epilogue.h", "window.ratio + bias[i] : 0.f", "window.ratio + bias[i] : bias[i]"),
    Mutant("no guard at the right border", "conv_epilogue.h", "y0 + o < c.row_end && x0 + 8 * h < c.out_width", "y0 + o < c.row_end"),
    Mutant("no guard at the lower border", "conv_epilogue.h", "y0 + o < c.row_end && x0 + 8 * h < c.out_width", "x0 + 8 * h < c.out_width"),
    Mutant("a shuffle inside a branch", "conv_epilogue.h", "      trade(v, t);\n      const int own", "      if (inside) trade(v, t);\n      const int own"),
    Mutant("residuals in the other order", "conv_epilogue.h", "add<E>(y, c.first, first + step", "add<E>(y, c.second, first + step"),
    Mutant("channels beyond the result are written", "conv_epilogue.h", "p.y_wide && own + 8 <= c.channels", "p.y_wide"),
    Mutant("the count of the list is ignored", "conv_tile.h", "block >= *p.c.active_count || ", ""),
    Mutant("a chunk is staged before the last one is read", "conv_any.h", "      wait_copies<0>();\n      barrier();", "      wait_copies<0>();"),
    Mutant("a part of the second source begins with its first channels", "conv3x3.h", "second ? begin - p.a_chunks : begin", "second ? 0 : begin"),
    Mutant("every part has the first one's weights", "conv3x3.h", "p.chunks + begin) * B_BYTES", "p.chunks) * B_BYTES"),
    Mutant("the first part's sums are forgotten", "conv_join.h", "int part = 0; part < p.parts", "int part = 1; part < p.parts"),
    Mutant("all shares of a tile get the first one's sums", "conv_join.h", "share * 2 * PAIRS + j", "j"),
    Mutant("a warp's pixels are those of the tile's first", "conv_join.h", "at.y0 += warp_row * ROWS, at.x0", "at.x0"),
    Mutant("the next tile is copied from where this one lies", "conv3x3.h", "find_share(p, next,", "find_share(p, at,"),
    Mutant("the next tile goes on with the weights", "conv3x3.h", "          weights = weights_of(next);", ""),
    Mutant("a tile begins with the last one's sums", "conv3x3.h", "    for (;;) {\n      float sums[ROWS][2 * PAIRS][4];", "    float sums[ROWS][2 * PAIRS][4] = {};\n    for (;;) {\n      if (!MANY)"),
    Mutant("layers of a strip run one row too far", "rrdb.h", "first = end - strip - k, last = end - k;", "first = end - strip - k + 1, last = end - k + 1;"),
    Mutant("a band computes a row too few", "rrdb.h", "rows[i + 1].rows + 1;", "rows[i + 1].rows;"),
    Mutant("the second residual is the wrong buffer", "rrdb.h", "dense[2], dense[b], dense[a], stream)", "dense[2], dense[b], dense[b], stream)"),
)  # fmt: skip


def survives(mutant: Mutant, folder: Path) -> str | None:
    """None: noticed; else why it was not."""
    source = folder / "cuda_ops"
    shutil.copytree(CUDA_OPS, source)
    target = source / mutant.file
    text = target.read_text()
    if text.count(mutant.right) < 1:
        return "the line to break isn't there any more"
    target.write_text(text.replace(mutant.right, mutant.wrong))
    sys.path.insert(0, str(HERE))
    from emulated import build

    try:
        library = build(folder, source=source)
    except AssertionError:
        return None  # the compiler noticed
    command = [sys.executable, "-c", QUICK, str(HERE), str(CUDA_OPS.parent), str(library)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode == 0:
        return "all tests passed"
    print(f"         {(done.stderr.strip().splitlines() or [f'exit code {done.returncode}'])[-1][:120]}")
    return None


def main() -> None:
    wanted = [m for m in MUTANTS if not sys.argv[1:] or any(word in m.what for word in sys.argv[1:])]
    escaped = 0
    for mutant in (Mutant("nothing", "conv3x3.h", "#pragma once", "#pragma once"), *wanted):
        with tempfile.TemporaryDirectory() as folder:
            why = survives(mutant, Path(folder))
        right = (why is None) != (mutant.what == "nothing")
        escaped += not right
        print(f"{'as it should be' if right else 'WRONG'}: {mutant.what}: {why or 'noticed'}", flush=True)
    print(f"{len(wanted)} bugs planted, {escaped} wrong answers")
    sys.exit(int(escaped > 0))


if __name__ == "__main__":
    main()
