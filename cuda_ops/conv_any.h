// Every other convolution: kernels of 1 to 7, strides 1 and 2.  The inpainting network's first layers; few products, so
// nothing here is tuned to one shape.
//
//   a block (8 warps)      8 x 32 output pixels x NOUT channels; a warp: 2 rows of 16 pixels
//   input                  chunks of 16 channels in two slots of shared memory, as in conv3x3.h; for stride 2 the even
//                          columns of the patch come first, so that a warp's 16 pixels are side by side for every tap:
//
//                          column   0 1 2 3 4 5 6      slot   0 2 4 6 | 1 3 5
//                          tap s=0  x   x   x   x             x x x x
//                          tap s=1    x   x   x                         x x x
//   weights                straight from global memory, 16 bytes a lane: all blocks want the same ones, so they come
//                          from the caches
#pragma once

#include "conv_join.h"

namespace restore {

template <class E_, int NOUT_>
struct ConvAny {
  using Args = ConvArgs;
  using E = E_;
  static constexpr int NOUT = NOUT_, ROWS = 2, PAIRS = NOUT / 16, STAGES = 2;
  static constexpr int TH = ROWS * kWarpRows, THREADS = kConvThreads, MIN_BLOCKS = kLargeBlocks;
  static constexpr bool MANY = false, SPLITS = true;

  static constexpr int shared_bytes(int kernel, int stride) {
    const int rows = (TH - 1) * stride + kernel, columns = (kBlockColumns - 1) * stride + kernel;
    const int slots = rows * (stride == 2 ? (columns + 1) / 2 * 2 : columns);
    return slots * 32 * STAGES + (slots + 15) / 16 * 16;
  }
  static constexpr int MOST_SHARED_BYTES = shared_bytes(7, 2);

  static RESTORE_DEVICE void run(const Args& p, int block, int thread) {
    const int tile = block / p.parts, part = block % p.parts;
    TileAt at;
    if (!find_tile<TH>(p, tile, at)) return;
    const Conv& c = p.c;
    const Patch patch = patch_of(c, TH, kBlockColumns);
    const int stage_bytes = patch.slots() * 32, taps = c.kernel * c.kernel;
    unsigned char* shared = shared_memory();
    uint8_t* known = shared + STAGES * stage_bytes;
    const int lane = thread & 31, warp = thread >> 5, warp_row = warp / kWarpColumns, warp_column = warp % kWarpColumns;
    stage_validity<THREADS>(p, at, patch, known, thread);
    barrier();
    float sums[ROWS][2 * PAIRS][4];
    RESTORE_UNROLL for (int o = 0; o < ROWS; ++o) RESTORE_UNROLL for (int j = 0; j < 2 * PAIRS; ++j) {
      RESTORE_UNROLL for (int e = 0; e < 4; ++e) sums[o][j][e] = 0.f;
    }
    const int begin = chunk_at(p, part), end = chunk_at(p, part + 1);
    stage_chunk(p, at, patch, known, shared, begin, thread);
    commit_copies();
    const int lane_pixel = lane & 15, lane_half = lane >> 4;
    for (int chunk = begin; chunk < end; ++chunk) {
      wait_copies<0>();
      barrier();
      if (chunk + 1 < end) {
        stage_chunk(p, at, patch, known, shared + (chunk + 1 - begin) % STAGES * stage_bytes, chunk + 1, thread);
      }
      commit_copies();
      const unsigned char* a_at = shared + (chunk - begin) % STAGES * stage_bytes;
      const unsigned char* weights = static_cast<const unsigned char*>(c.weights) +
                                     (int64_t(at.group) * p.chunks + chunk) * taps * PAIRS * 512 + lane * 16;
      for (int r = 0; r < c.kernel; ++r) {
        for (int s = 0; s < c.kernel; ++s) {
          uint32_t b[PAIRS][4];
          RESTORE_UNROLL for (int j = 0; j < PAIRS; ++j) {
            load_global_16(b[j], weights + ((r * c.kernel + s) * PAIRS + j) * 512);
          }
          RESTORE_UNROLL for (int o = 0; o < ROWS; ++o) {
            const int row = (warp_row * ROWS + o) * c.stride + r, column = (warp_column * 16 + lane_pixel) * c.stride + s;
            uint32_t a[4];
            load_matrix_x4(a, a_at + half_at(patch, row, column, lane_half));
            RESTORE_UNROLL for (int j = 0; j < PAIRS; ++j) {
              multiply_add<E>(sums[o][2 * j], a, b[j][0], b[j][1]);
              multiply_add<E>(sums[o][2 * j + 1], a, b[j][2], b[j][3]);
            }
          }
        }
      }
    }
    if (p.parts == 1) {
      finish<E, ROWS, PAIRS, true>(p, at, patch, known, sums, warp_row, warp_column, lane);
    } else if (has_pixels<ROWS>(p, at, warp_row, warp_column)) {
      leave_part<ROWS, PAIRS>(p, tile, part, sums, thread);
    }
  }
};

}  // namespace restore
