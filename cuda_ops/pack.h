// Weights in the order in which the kernels read them: each lane's share of a tap's matrix B is 16 bytes side by side.
//
//   packed[group][chunk of 16 inputs][tap][pair of 8 outputs][lane][8 numbers]
//
// Lane l (g = l / 4, t = l % 4) of a pair holds for outputs g and 8 + g the inputs 2t, 2t + 1, 8 + 2t, 9 + 2t: the two
// fragments of mma.m16n8k16.  Channels that aren't there are zeros.
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
    const int taps = p.shape.kernel * p.shape.kernel, group = p.shape.group(), pairs = group / 16;
    const int64_t i = int64_t(block) * THREADS + thread;
    if (i >= p.shape.elements()) return;
    int64_t rest = i / 8;
    const int e = int(i % 8), lane = int(rest % 32);
    rest /= 32;
    const int pair = int(rest % pairs);
    rest /= pairs;
    const int tap = int(rest % taps);
    rest /= taps;
    const int chunk = int(rest % p.shape.chunks()), at_group = int(rest / p.shape.chunks());
    const int output = at_group * group + pair * 16 + e / 4 * 8 + lane / 4;
    const int a_chunks = (p.shape.a_channels + 15) / 16;
    const int in_source = (chunk < a_chunks ? chunk : chunk - a_chunks) * 16 + 2 * (lane % 4) + e / 2 % 2 * 8 + e % 2;
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
