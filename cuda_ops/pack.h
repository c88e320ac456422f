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

struct Pack {
  using Args = PackArgs;
  static constexpr int THREADS = 256, MIN_BLOCKS = 1, MOST_SHARED_BYTES = 0;

  static RESTORE_DEVICE void run(const Args& p, int block, int thread) {
    const int taps = p.shape.kernel * p.shape.kernel, group = p.shape.group();
    const int64_t i = int64_t(block) * THREADS + thread;
    if (i >= p.shape.elements()) return;
    int64_t rest = i / 8;
    const int e = int(i % 8), place = int(rest % (2 * group));  // of 8 numbers within a tap
    rest /= 2 * group;
    const int tap = int(rest % taps);
    rest /= taps;
    const int chunk = int(rest % p.shape.chunks()), at_group = int(rest / p.shape.chunks());
    const int pair = place / 32, lane = place % 32;
    const int output = at_group * group + (p.shape.rows() ? place % group : pair * 16 + e / 4 * 8 + lane / 4);
    const int in_chunk = p.shape.rows() ? place / group * 8 + e : 2 * (lane % 4) + e / 2 % 2 * 8 + e % 2;
    const int a_chunks = (p.shape.a_channels + 15) / 16;
    const int in_source = (chunk < a_chunks ? chunk : chunk - a_chunks) * 16 + in_chunk;
    const bool there = output < p.shape.channels &&
                       in_source < (chunk < a_chunks ? p.shape.a_channels : p.shape.b_channels);
    const int input = chunk < a_chunks ? in_source : p.shape.a_channels + in_source;
    const int64_t inputs = p.shape.a_channels + p.shape.b_channels;
    p.packed[i] = there ? p.weight[(output * inputs + input) * taps + tap] : uint16_t(0);
  }
};

inline const char* launch_pack(const uint16_t* weight, uint16_t* packed, const Packing& shape, void* stream) {
  return launch<Pack>({weight, packed, shape}, (shape.elements() + Pack::THREADS - 1) / Pack::THREADS, 0, stream);
}

}  // namespace restore
