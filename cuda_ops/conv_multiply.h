// The products of one chunk of 16 channels: ROWS + 2 rows of 16 pixels a warp, nine taps, NOUT filters.
//
//   weights of a tap in shared memory (pack.h):    k 0 ... 7     k 8 ... 15
//                                                 +-----------+ +-----------+
//                                      filter 0   | 16 bytes  | |           |      eight filters are 128 bytes: one
//                                      filter 1   |           | |           |      matrix for ldmatrix, and what wgmma
//                                        ...      |           | |           |      calls a core matrix
//                                                 +-----------+ +-----------+
//
//   sm_90a      wgmma: four warps at once, the weights straight from shared memory, pixels from registers.  With AHEAD the
//               pixels of the next column of taps are loaded while the products of this one run
//   others      mma.sync: a warp at a time; weights come into registers and serve all its rows
#pragma once

#include "conv_tile.h"

namespace restore {

// Where a lane's pixels are: of the first of the warp's rows, at its column `column` of the patch.
struct Pixels {
  const unsigned char* chunk;
  const Patch& patch;
  int row, column, half;

  template <int COUNT>
  RESTORE_DEVICE void load(uint32_t (&a)[COUNT][4], int tap_column) const {
    const unsigned char* first = chunk + half_at(patch, row, column + tap_column, half);
    RESTORE_UNROLL for (int i = 0; i < COUNT; ++i) load_matrix_x4(a[i], first + i * patch.pitch * 32);
  }
};

#if defined(RESTORE_WGMMA)
// sums[o] += sum over r: a[o + r] (16 pixels x 16 channels) * weights at b + 3 * r taps; begun, not finished.
template <class E, int ROWS, int NOUT>
RESTORE_DEVICE void begin_column(float (&sums)[ROWS][NOUT / 8][4], const uint32_t (&a)[ROWS + 2][4],
                                 const unsigned char* b) {
  begin_group_products();
  RESTORE_UNROLL for (int r = 0; r < 3; ++r) RESTORE_UNROLL for (int o = 0; o < ROWS; ++o) {
    group_multiply_add<E, NOUT>(sums[o], a[o + r], b + 3 * r * (NOUT * 32));
  }
  send_group_products();
}
#endif

// sums[o] += the products of output row o.  b: the chunk's weights.
template <class E, int ROWS, int NOUT, bool AHEAD>
RESTORE_DEVICE void multiply_chunk(float (&sums)[ROWS][NOUT / 8][4], const Pixels& pixels, const unsigned char* b,
                                   int lane) {
  constexpr int kTapBytes = NOUT * 32;
#if defined(RESTORE_WGMMA)
  (void)lane;
  if constexpr (AHEAD) {
    uint32_t a[2][ROWS + 2][4];
    pixels.load(a[0], 0);
    RESTORE_UNROLL for (int s = 0; s < 3; ++s) {
      begin_column<E, ROWS, NOUT>(sums, a[s & 1], b + s * kTapBytes);
      if (s < 2) pixels.load(a[(s + 1) & 1], s + 1);
      finish_group_products();
    }
  } else {
    RESTORE_NO_UNROLL for (int s = 0; s < 3; ++s) {
      uint32_t a[ROWS + 2][4];
      pixels.load(a, s);
      begin_column<E, ROWS, NOUT>(sums, a, b + s * kTapBytes);
      finish_group_products();
    }
  }
#else
  // This lane's row of the four matrices of a load: filters 0 ... 7 and 8 ... 15, each with both halves of k.
  b += (lane >> 3 & 1) * (NOUT * 16) + ((lane >> 4) * 8 + (lane & 7)) * 16;
  RESTORE_NO_UNROLL for (int s = 0; s < 3; ++s) {  // unrolled, ptxas would load so far ahead that registers spill
    uint32_t a[ROWS + 2][4];
    pixels.load(a, s);
    RESTORE_UNROLL for (int r = 0; r < 3; ++r) RESTORE_UNROLL for (int j = 0; j < NOUT / 16; ++j) {
      uint32_t w[4];
      load_matrix_x4(w, b + (3 * r + s) * kTapBytes + j * 256);
      RESTORE_UNROLL for (int o = 0; o < ROWS; ++o) {
        multiply_add<E>(sums[o][2 * j], a[o + r], w[0], w[1]);
        multiply_add<E>(sums[o][2 * j + 1], a[o + r], w[2], w[3]);
      }
    }
  }
#endif
}

}  // namespace restore
