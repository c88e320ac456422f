// Splitting k: where a result has too few tiles for all multiprocessors, several blocks share a tile.  Each takes some of
// the chunks and leaves its sums in memory; a second launch adds them up, always in the same order, and finishes.
//
//   chunks    0 1 2 3 | 4 5 6 7 | 8 9 10 11          room of a tile: [part][row of a warp][8 filters][thread][4 sums]
//             part 0    part 1    part 2
//                \         |        /                Join: a block is one warp, with the pixels of one of the tile's
//                 sums in Conv::room                 warps and up to 32 of its filters
//                          |
//                        Join                        Results depend on how many parts there are, by rounding: on the
//                          |                         shape and the multiprocessors, never on what runs when.
//                   conv_epilogue.h
#pragma once

#include "conv_epilogue.h"

#include <cstring>

namespace restore {

// The first chunk of a part; of the part after the last one: the number of chunks.
RESTORE_DEVICE int chunk_at(const ConvArgs& p, int part) { return part * p.chunks / p.parts; }

// Where the sums of one part of a tile begin.  `tile`: a block's number without its part.
template <int ROWS, int PAIRS>
RESTORE_DEVICE float* room_at(const ConvArgs& p, int tile, int part) {
  return p.c.room + (int64_t(tile) * p.parts + part) * (ROWS * 2 * PAIRS * kConvThreads * 4);
}

// Some of the warp's pixels lie in the result.
template <int ROWS>
RESTORE_DEVICE bool has_pixels(const ConvArgs& p, const TileAt& at, int warp_row, int warp_column) {
  return at.y0 + warp_row * ROWS < p.c.row_end && at.x0 + warp_column * 16 < p.c.out_width;
}

template <int ROWS, int PAIRS>
RESTORE_DEVICE void leave_part(const ConvArgs& p, int tile, int part, const float (&sums)[ROWS][2 * PAIRS][4], int thread) {
  float* to = room_at<ROWS, PAIRS>(p, tile, part) + thread * 4;
  RESTORE_UNROLL for (int o = 0; o < ROWS; ++o) RESTORE_UNROLL for (int j = 0; j < 2 * PAIRS; ++j) {
    uint32_t v[4];
    std::memcpy(v, sums[o][j], 16);
    store_global_16(to + (o * 2 * PAIRS + j) * (kConvThreads * 4), v);
  }
}

// E, ROWS and NOUT are those of the kernel that left the parts.
template <class E, int ROWS, int NOUT>
struct Join {
  using Args = ConvArgs;
  static constexpr int FILTERS = NOUT < 32 ? NOUT : 32, SHARES = NOUT / FILTERS;  // of a block; of a tile's filters
  static constexpr int PAIRS = FILTERS / 16, TILE_PAIRS = NOUT / 16;
  static constexpr int WARPS = kWarpRows * kWarpColumns, THREADS = 32, MIN_BLOCKS = 8;

  static constexpr int shared_bytes(int kernel, int stride) {
    const int rows = (ROWS - 1) * stride + kernel, columns = 15 * stride + kernel;
    return (rows * (stride == 2 ? (columns + 1) / 2 * 2 : columns) + 15) / 16 * 16;
  }
  static constexpr int MOST_SHARED_BYTES = shared_bytes(7, 2);

  static RESTORE_DEVICE void run(const Args& p, int block, int lane) {
    const int warp = block % WARPS, share = block / WARPS % SHARES, tile = block / WARPS / SHARES;
    const int warp_row = warp / kWarpColumns, warp_column = warp % kWarpColumns;
    TileAt at;
    if (!find_tile<ROWS * kWarpRows>(p, tile, at) || !has_pixels<ROWS>(p, at, warp_row, warp_column)) return;
    at.y0 += warp_row * ROWS, at.x0 += warp_column * 16;
    at.group = at.group * SHARES + share;
    uint8_t* known = shared_memory();
    const Patch patch = patch_of(p.c, ROWS, 16);
    stage_validity<THREADS>(p, at, patch, known, lane);
    barrier();
    float sums[ROWS][2 * PAIRS][4];
    RESTORE_UNROLL for (int o = 0; o < ROWS; ++o) RESTORE_UNROLL for (int j = 0; j < 2 * PAIRS; ++j) {
      RESTORE_UNROLL for (int e = 0; e < 4; ++e) sums[o][j][e] = 0.f;
    }
    RESTORE_UNROLL_2 for (int part = 0; part < p.parts; ++part) {
      const float* from = room_at<ROWS, TILE_PAIRS>(p, tile, part) + (warp * 32 + lane) * 4;
      RESTORE_UNROLL for (int o = 0; o < ROWS; ++o) RESTORE_UNROLL for (int j = 0; j < 2 * PAIRS; ++j) {
        uint32_t v[4];
        load_global_16(v, from + (o * 2 * TILE_PAIRS + share * 2 * PAIRS + j) * (kConvThreads * 4));
        float add[4];
        std::memcpy(add, v, 16);
        RESTORE_UNROLL for (int e = 0; e < 4; ++e) sums[o][j][e] += add[e];
      }
    }
    finish<E, ROWS, PAIRS, true>(p, at, patch, known, sums, 0, 0, lane);
  }
};

}  // namespace restore
