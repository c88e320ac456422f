// The products of one column of taps: ROWS + 2 rows of 16 pixels a warp, three taps, NOUT filters.
//
//   weights of a tap in shared memory (pack.h):    k 0 ... 7     k 8 ... 15
//                                                 +-----------+ +-----------+
//                                      filter 0   | 16 bytes  | |           |      eight filters are 128 bytes: one
//                                      filter 1   |           | |           |      matrix for ldmatrix, and what wgmma
//                                        ...      |           | |           |      calls a core matrix
//                                                 +-----------+ +-----------+
//
//   sm_90a      wgmma: four warps at once, the weights straight from shared memory, pixels from registers
//   others      mma.sync: a warp at a time; weights come into registers and serve all its rows
#pragma once

#include "device.h"

namespace restore {

// sums[o] += sum over r: a[o + r] (16 pixels x 16 channels) * weights at b + 3 * r taps.
template <class E, int ROWS, int NOUT>
RESTORE_DEVICE void multiply_column(float (&sums)[ROWS][NOUT / 8][4], const uint32_t (&a)[ROWS + 2][4],
                                    const unsigned char* b, int lane) {
  constexpr int kTapBytes = NOUT * 32;
#if defined(RESTORE_WGMMA)
  (void)lane;
  begin_group_products();
  RESTORE_UNROLL for (int r = 0; r < 3; ++r) RESTORE_UNROLL for (int o = 0; o < ROWS; ++o) {
    group_multiply_add<E, NOUT>(sums[o], a[o + r], b + 3 * r * kTapBytes);
  }
  finish_group_products();
#else
  // This lane's row of the four matrices of a load: filters 0 ... 7 and 8 ... 15, each with both halves of k.
  b += (lane >> 3 & 1) * (NOUT * 16) + ((lane >> 4) * 8 + (lane & 7)) * 16;
  RESTORE_UNROLL for (int r = 0; r < 3; ++r) RESTORE_UNROLL for (int j = 0; j < NOUT / 16; ++j) {
    uint32_t w[4];
    load_matrix_x4(w, b + 3 * r * kTapBytes + j * 256);
    RESTORE_UNROLL for (int o = 0; o < ROWS; ++o) {
      multiply_add<E>(sums[o][2 * j], a[o + r], w[0], w[1]);
      multiply_add<E>(sums[o][2 * j + 1], a[o + r], w[2], w[3]);
    }
  }
#endif
}

}  // namespace restore
