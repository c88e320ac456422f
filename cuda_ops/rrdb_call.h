// What a whole RRDB network is told.  Torch-free; rrdb.h has the launches.
#pragma once

#include "conv_args.h"

namespace restore {

struct RrdbNetwork {
  int blocks, features, growth, doublings, fold, channels;
  const uint16_t* weights;  // packed, one convolution after the other
  const float* biases;
  bool bf16;

  int inputs() const { return channels * fold * fold; }
  int dense() const { return features + 4 * growth; }

  // f(outputs, inputs) for each convolution, in the order of the packed weights.
  template <class F>
  void each(F f) const {
    f(features, inputs());
    for (int i = 0; i < 3 * blocks; ++i) {
      for (int k = 0; k < 5; ++k) f(k < 4 ? growth : features, features + k * growth);
    }
    for (int i = 0; i < doublings + 2; ++i) f(features, features);  // conv_body, conv_up 1 ... n, conv_hr
    f(channels, features);
  }
  int64_t weight_count() const {
    int64_t sum = 0;
    each([&](int outputs, int inputs) { sum += Packing{3, outputs, inputs, 0}.elements(); });
    return sum;
  }
  int64_t bias_count() const {
    int64_t sum = 0;
    each([&](int outputs, int) { sum += outputs; });
    return sum;
  }
};

struct RrdbCall {
  RrdbNetwork net;
  const float* image;  // (n, channels, height, width) in memory order
  float* y;            // (n, height * scale, width * scale, channels) in memory order
  int n, height, width;
  int strip_rows;   // of a dense block; 0: whole
  int band_rows;    // of the network's input, for the enlarging layers; 0: as memory suggests
  int resident;     // of Conv; the result is the same bytes
  void* workspace;  // rrdb_workspace_bytes, aligned to 16
};

// nullptr, or what is wrong (static text).
const char* rrdb_forward(const RrdbCall& call, void* stream);
int64_t rrdb_workspace_bytes(const RrdbCall& call);

}  // namespace restore
