// 3 x 3, stride 1: the kernel that nearly all of an RRDB network's time goes to.
//
//   a block (8 warps)      NOUT = 16, 32: 16 x 32 output pixels; NOUT = 64: 8 x 32; all NOUT channels of them
//
//          32 columns                 a warp: ROWS rows of 16 pixels        one row of the input, 16 pixels x 16 channels
//     +--------+--------+                  +----------------+               (matrix A), serves the three output rows
//     | warp 0 | warp 1 |  ROWS rows   r   |................|               that see it: ROWS + 2 loads of A instead
//     +--------+--------+              r+1 |................|               of 3 * ROWS, for each of three columns
//     | warp 2 | warp 3 |                  |................|
//     +--------+--------+              ...
//     |  ...   |  ...   |
//
//   input channels         in chunks of 16.  A chunk of the patch (tile and border) and its weights come into one of
//                          STAGES slots of shared memory while the tensor cores work on the one before:
//
//                          copy  | chunk 0 | chunk 1 | chunk 2 | chunk 3 | ...
//                          multiply        .         | chunk 0 | chunk 1 | ...      one barrier a chunk
//
//   loaded once, used by all nine taps: a tap is another address in the same slot.
#pragma once

#include "conv_epilogue.h"

namespace restore {

template <class E_, int NOUT_, bool MASKED_>
struct Conv3x3 {
  using Args = ConvArgs;
  using E = E_;
  static constexpr int NOUT = NOUT_, ROWS = NOUT == 64 ? 2 : 4, PAIRS = NOUT / 16, STAGES = 3;
  static constexpr bool MASKED = MASKED_;
  static constexpr int TH = ROWS * kWarpRows, THREADS = kConvThreads, MIN_BLOCKS = kLargeBlocks;
  static constexpr int PATCH_ROWS = TH + 2, PITCH = kBlockColumns + 2, SLOTS = PATCH_ROWS * PITCH;
  static constexpr int A_BYTES = SLOTS * 32, B_BYTES = 9 * PAIRS * 512, STAGE_BYTES = A_BYTES + B_BYTES;
  static constexpr int KNOWN_BYTES = MASKED ? (SLOTS + 15) / 16 * 16 : 0;
  static constexpr int SHARED_BYTES = STAGES * STAGE_BYTES + KNOWN_BYTES;
  static constexpr int MOST_SHARED_BYTES = SHARED_BYTES;
  static_assert(STAGE_BYTES % 16 == 0, "16-byte copies");

  // Without validity, from one source whose pixels and channels suit 16-byte copies.
  static RESTORE_DEVICE void stage_plain(const Args& p, const TileAt& at, unsigned char* stage, int chunk, int thread) {
    const Conv& c = p.c;
    const uint16_t* from = static_cast<const uint16_t*>(c.a.data) + chunk * 16;
    for (int i = thread; i < SLOTS * 2; i += THREADS) {
      const int slot = i >> 1, half = i & 1;
      const int y = at.y0 - c.padding + slot / PITCH, x = at.x0 - c.padding + slot % PITCH;
      const bool inside = y >= p.a_held.begin && y < p.a_held.end && x >= 0 && x < c.width;
      const int64_t pixel = inside ? pixel_at(c.a.at, c.a.width, at.n, y >> c.a.doubled, x >> c.a.doubled) : 0;
      copy_async_16(stage + half_at(slot, half), from + pixel * c.a.pixel + half * 8, inside ? 16 : 0);
    }
  }

  static RESTORE_DEVICE void stage(const Args& p, const TileAt& at, const Patch& patch, const uint8_t* known,
                                   unsigned char* slot, int chunk, int thread) {
    if (MASKED) stage_chunk(p, at, patch, known, slot, chunk, thread);
    else stage_plain(p, at, slot, chunk, thread);
    const unsigned char* weights =
        static_cast<const unsigned char*>(p.c.weights) + (int64_t(at.group) * p.chunks + chunk) * B_BYTES;
    for (int i = thread; i < B_BYTES / 16; i += THREADS) copy_async_16(slot + A_BYTES + i * 16, weights + i * 16, 16);
  }

  static RESTORE_DEVICE void run(const Args& p, int block, int thread) {
    TileAt at;
    if (!find_tile<TH>(p, block, at)) return;
    unsigned char* shared = shared_memory();
    uint8_t* known = shared + STAGES * STAGE_BYTES;
    const Patch patch{PATCH_ROWS, PITCH, 1, 3, 0, PITCH};
    const int lane = thread & 31, warp = thread >> 5, warp_row = warp / kWarpColumns, warp_column = warp % kWarpColumns;
    if (MASKED) {
      stage_validity<TH>(p, at, patch, known, thread);
      barrier();
    }
    float sums[ROWS][2 * PAIRS][4];
    RESTORE_UNROLL for (int o = 0; o < ROWS; ++o) RESTORE_UNROLL for (int j = 0; j < 2 * PAIRS; ++j) {
      RESTORE_UNROLL for (int e = 0; e < 4; ++e) sums[o][j][e] = 0.f;
    }
    RESTORE_UNROLL for (int s = 0; s < STAGES - 1; ++s) {
      if (s < p.chunks) stage(p, at, patch, known, shared + s * STAGE_BYTES, s, thread);
      commit_copies();
    }
    const int lane_pixel = lane & 15, lane_half = lane >> 4;  // what this lane addresses in a matrix load
    for (int chunk = 0; chunk < p.chunks; ++chunk) {
      wait_copies<STAGES - 2>();  // this chunk is here
      barrier();                  // for everyone; and everyone has left the slot that is filled next
      const int next = chunk + STAGES - 1;
      if (next < p.chunks) stage(p, at, patch, known, shared + next % STAGES * STAGE_BYTES, next, thread);
      commit_copies();
      const unsigned char* a_at = shared + chunk % STAGES * STAGE_BYTES;
      const unsigned char* b_at = a_at + A_BYTES;
      RESTORE_UNROLL for (int s = 0; s < 3; ++s) {
        uint32_t b[3][PAIRS][4];
        RESTORE_UNROLL for (int r = 0; r < 3; ++r) RESTORE_UNROLL for (int j = 0; j < PAIRS; ++j) {
          load_shared_16(b[r][j], b_at + ((r * 3 + s) * PAIRS + j) * 512 + lane * 16);
        }
        RESTORE_UNROLL for (int i = 0; i < ROWS + 2; ++i) {
          const int slot = (warp_row * ROWS + i) * PITCH + warp_column * 16 + s + lane_pixel;
          uint32_t a[4];
          load_matrix_x4(a, a_at + half_at(slot, lane_half));
          RESTORE_UNROLL for (int r = 0; r < 3; ++r) {
            if (i - r < 0 || i - r >= ROWS) continue;
            RESTORE_UNROLL for (int j = 0; j < PAIRS; ++j) {
              multiply_add<E>(sums[i - r][2 * j], a, b[r][j][0], b[r][j][1]);
              multiply_add<E>(sums[i - r][2 * j + 1], a, b[r][j][2], b[r][j][3]);
            }
          }
        }
      }
    }
    finish<E, ROWS, PAIRS, MASKED>(p, at, patch, known, sums, warp_row, warp_column, lane);
  }
};

}  // namespace restore
