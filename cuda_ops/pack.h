// Weights in the order in which the kernels read them; channels that aren't there are zeros.
//
//   conv3x3.h    packed[group][chunk of 16 inputs][tap][half of the chunk][output][8 inputs]
//                8 outputs are 128 bytes side by side: a matrix for ldmatrix and for wgmma
//   conv_any.h   packed[group][chunk of 16 inputs][tap][pair of 8 outputs][lane][8 numbers]
//                each lane's share of a tap's matrix B is 16 bytes side by side: lane l (g = l / 4, t = l % 4) of a pair
//                holds for outputs g and 8 + g the inputs 2t, 2t + 1, 8 + 2t, 9 + 2t, as mma.m16n8k16 wants them
#pragma once

#include "conv_args.h"
#include "launch.h"

namespace restore {

struct PackArgs {
  const uint16_t* weight;
  uint16_t* packed;
  Packing shape;
};

// Input channel `in_chunk` of a chunk, counted over both sources, and how many its source has from there on.
struct Inputs {
  int first, left;
};

RESTORE_DEVICE Inputs inputs_at(const Packing& shape, int chunk, int in_chunk) {
  const int a_chunks = (shape.a_channels + 15) / 16;
  if (chunk < a_chunks) return {chunk * 16 + in_chunk, shape.a_channels - (chunk * 16 + in_chunk)};
  const int in_b = (chunk - a_chunks) * 16 + in_chunk;
  return {shape.a_channels + in_b, shape.b_channels - in_b};
}

// For conv_any.h; a thread has one number.
struct Pack {
  using Args = PackArgs;
  static constexpr int THREADS = 256, MIN_BLOCKS = 1, MOST_SHARED_BYTES = 0;

  static int64_t blocks(const Packing& shape) { return (shape.elements() + THREADS - 1) / THREADS; }

  static RESTORE_DEVICE void run(const Args& p, int block, int thread) {
    const int taps = p.shape.kernel * p.shape.kernel, group = p.shape.group();
    const int64_t i = int64_t(block) * THREADS + thread;
    if (i >= p.shape.elements()) return;
    int64_t rest = i / 8;
    const int e = int(i % 8), lane = int(rest % 32);
    rest /= 32;
    const int pair = int(rest % (group / 16));
    rest /= group / 16;
    const int tap = int(rest % taps);
    rest /= taps;
    const int chunk = int(rest % p.shape.chunks()), at_group = int(rest / p.shape.chunks());
    const int output = at_group * group + pair * 16 + e / 4 * 8 + lane / 4;
    const Inputs from = inputs_at(p.shape, chunk, 2 * (lane % 4) + e / 2 % 2 * 8 + e % 2);
    const bool there = output < p.shape.channels && from.left > 0;
    p.packed[i] = there ? p.weight[(int64_t(output) * p.shape.inputs() + from.first) * taps + tap] : uint16_t(0);
  }
};

// For conv3x3.h; a thread has eight inputs of one output: 72 numbers that lie side by side, to be 9 x 8 of them.
struct PackRows {
  using Args = PackArgs;
  static constexpr int THREADS = 256, MIN_BLOCKS = 1, MOST_SHARED_BYTES = 0, TAPS = 9;

  static int64_t shares(const Packing& shape) { return shape.elements() / (8 * TAPS); }
  static int64_t blocks(const Packing& shape) { return (shares(shape) + THREADS - 1) / THREADS; }

  static RESTORE_DEVICE void run(const Args& p, int block, int thread) {
    const int group = p.shape.group();
    const int64_t i = int64_t(block) * THREADS + thread;
    const int filter = int(i % group), half = int(i / group % 2);
    const int64_t matrix = i / (2 * group);  // group of outputs and chunk
    const int chunk = int(matrix % p.shape.chunks()), output = int(matrix / p.shape.chunks()) * group + filter;
    if (output >= p.shape.groups() * group) return;
    const Inputs from = inputs_at(p.shape, chunk, half * 8);
    const uint16_t* weight = p.weight + (int64_t(output) * p.shape.inputs() + from.first) * TAPS;
    const int count = output >= p.shape.channels || from.left <= 0 ? 0 : from.left < 8 ? from.left * TAPS : 8 * TAPS;
    uint32_t v[TAPS][4];  // as they lie: number n is half n % 2 of word n / 2
    if (count == 8 * TAPS && reinterpret_cast<uintptr_t>(weight) % 16 == 0) {
      RESTORE_UNROLL for (int k = 0; k < TAPS; ++k) load_global_16(v[k], weight + 8 * k);
    } else {
      RESTORE_UNROLL for (int n = 0; n < 8 * TAPS; n += 2) {
        const uint32_t low = n < count ? weight[n] : 0, high = n + 1 < count ? weight[n + 1] : 0;
        v[n / 8][n % 8 / 2] = low | high << 16;
      }
    }
    uint16_t* to = p.packed + (matrix * TAPS * 2 + half) * group * 8 + filter * 8;
    RESTORE_UNROLL for (int tap = 0; tap < TAPS; ++tap) {
      uint32_t packed[4];
      RESTORE_UNROLL for (int k = 0; k < 4; ++k) {
        packed[k] = number(v, 2 * k * TAPS + tap) | number(v, (2 * k + 1) * TAPS + tap) << 16;
      }
      store_global_16(to + tap * 2 * group * 8, packed);
    }
  }

  static RESTORE_DEVICE uint32_t number(const uint32_t (&v)[TAPS][4], int n) {
    return v[n / 8][n % 8 / 2] >> (n % 2 * 16) & 0xffff;
  }
};

inline const char* launch_pack(const uint16_t* weight, uint16_t* packed, const Packing& shape, void* stream) {
  if (shape.rows()) return launch<PackRows>({weight, packed, shape}, PackRows::blocks(shape), 0, stream);
  return launch<Pack>({weight, packed, shape}, Pack::blocks(shape), 0, stream);
}

}  // namespace restore
