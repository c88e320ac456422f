// A whole RRDB network (ESRGAN) as a list of convolution launches: what reads which buffer, and in which order.  Torch-free; runs
// on a GPU and in the emulator.
//
//   dense buffers   features + 4 * growth channels a pixel.  A layer reads the first channels and writes the next ones:
//
//       | x (features)             | x1 | x2 | x3 | x4 |         no torch.cat, no copies
//       conv1 reads x               -> x1
//       conv2 reads x, x1                -> x2
//       ...
//       conv5 reads x, x1 ... x4   -> x of another buffer, = x + 0.2 * conv5; and after three of these blocks
//                                     = start + 0.2 * (x + 0.2 * conv5): both residuals happen where the sum is
//
//   three buffers   one for where a group of three blocks started, two that take turns
//
//   strips          a dense block over a few rows at a time, so that x1 ... x4 are read from the L2 cache and not from
//                   memory.  Layer k sees one row more than layer k - 1 has, so it runs k rows behind: every row is
//                   computed once, and the result is the same bytes as without strips.
//
//       rows      0         S         2S                       strip 0: conv1 [0, S)  conv2 [0, S-1)  ... conv5 [0, S-4)
//       conv1     |---------|---------|--                      strip 1: conv1 [S, 2S) conv2 [S-1, 2S-1) ...
//       conv2     |--------|---------|---
//       conv3     |-------|---------|----
//
//   bands           the enlarging layers hold 4^doublings times as many pixels: they run for some rows at a time, and each
//                   band computes what it sees
#pragma once

#include "launch.h"
#include "rrdb_call.h"

namespace restore {

// (N, C, H, W) fp32 -> (N, H / fold, W / fold, 16s) in storage type: fold x fold pixels become channels (pixel unshuffle:
// channel, row, column), channels that aren't there are zeros.
struct FoldArgs {
  const float* image;
  uint16_t* folded;
  int n, channels, height, width, fold, pixel;  // height and width of the result; pixel: its channels
};
template <class E>
struct Fold {
  using Args = FoldArgs;
  static constexpr int THREADS = 256, MIN_BLOCKS = 1, MOST_SHARED_BYTES = 0;

  static RESTORE_DEVICE void run(const Args& p, int block, int thread) {
    const int64_t i = int64_t(block) * THREADS + thread;  // 8 channels of one pixel
    const int eights = p.pixel / 8;
    if (i >= int64_t(p.n) * p.height * p.width * eights) return;
    const int first = int(i % eights) * 8;
    const int64_t at = i / eights;
    const int x = int(at % p.width), y = int(at / p.width % p.height), n = int(at / p.width / p.height);
    uint32_t v[4];
    RESTORE_UNROLL for (int e = 0; e < 4; ++e) {
      float two[2];
      RESTORE_UNROLL for (int k = 0; k < 2; ++k) {
        const int channel = first + 2 * e + k, area = p.fold * p.fold, c = channel / area, in_fold = channel % area;
        const int64_t row = (int64_t(n) * p.channels + c) * p.height * p.fold + y * p.fold + in_fold / p.fold;
        two[k] = c < p.channels ? p.image[row * p.width * p.fold + x * p.fold + in_fold % p.fold] : 0.f;
      }
      v[e] = E::pack(two[0], two[1]);
    }
    store_global_16(p.folded + i * 8, v);
  }
};

namespace rrdb_detail {

constexpr int kBandPixels = 1 << 16;  // network-input pixels of one band of the enlarging layers
constexpr float kSlope = 0.2f, kResidual = 0.2f;

inline int round_to_16(int channels) { return (channels + 15) / 16 * 16; }

// Sizes in elements.  `height` and `width` are after folding.
struct Plan {
  int height, width, band_rows, growth;
  int64_t input, features, dense, tail;

  explicit Plan(const RrdbCall& call)
      : height(call.height / call.net.fold), width(call.width / call.net.fold), growth(1 << call.net.doublings) {
    const RrdbNetwork& net = call.net;
    const int64_t n = call.n, pixels = n * height * width;
    const int64_t rows = call.band_rows > 0 ? call.band_rows : kBandPixels / (n * width);
    band_rows = int(rows < 1 ? 1 : rows > height ? height : rows);
    input = pixels * round_to_16(net.inputs());
    features = pixels * net.features;
    dense = pixels * net.dense();
    tail = n * (band_rows * growth + 4) * width * growth * net.features;
  }
  int64_t bytes() const { return 2 * (input + 2 * features + 3 * dense + 2 * tail); }
};

// Takes each convolution's numbers off the packed ones.
struct Reader {
  const uint16_t* weights;
  const float* biases;

  void next(Conv& c, int outputs, int inputs) {
    c.weights = weights, c.bias = biases;
    c.channels = outputs;
    weights += Packing{3, outputs, inputs, 0}.elements();
    biases += outputs;
  }
};

inline const char* run(const RrdbCall& call, Conv& c, void* stream) {
  c.resident = call.resident;
  return call.net.bf16 ? conv_bf16(c, stream) : conv_half(c, stream);
}

// A 3 x 3 convolution over whole pictures of height x width.
inline Conv whole(int n, int height, int width) {
  Conv c;
  c.n = n, c.height = c.out_height = c.row_end = height, c.width = c.out_width = width;
  return c;
}
inline Source read(const uint16_t* data, int channels, int pixel, int width, Rows at) {
  Source s;
  s.data = data, s.channels = channels, s.pixel = pixel, s.width = width, s.at = at;
  return s;
}
inline Target write(void* data, int pixel, Rows at) {
  Target t;
  t.data = data, t.pixel = pixel, t.at = at;
  return t;
}
inline Residual add(const uint16_t* data, int pixel, Rows at, float factor) {
  Residual r;
  r.data = data, r.pixel = pixel, r.at = at, r.factor = factor;
  return r;
}

// `from`, `to`: dense buffers; `start`: where a group began, nullptr within it.
inline const char* dense_block(const RrdbCall& call, const Plan& plan, Reader& reader, uint16_t* from, uint16_t* to,
                               const uint16_t* start, void* stream) {
  const RrdbNetwork& net = call.net;
  const int pixel = net.dense();
  const Rows all{0, plan.height};
  Conv layers[5];
  for (int k = 0; k < 5; ++k) {
    const int inputs = net.features + k * net.growth;
    Conv& c = layers[k] = whole(call.n, plan.height, plan.width);
    c.a = read(from, inputs, pixel, plan.width, all);
    if (k < 4) {
      reader.next(c, net.growth, inputs);
      c.slope = kSlope;
      c.y = write(from + inputs, pixel, all);
    } else {
      reader.next(c, net.features, inputs);
      c.first = add(from, pixel, all, kResidual);
      if (start != nullptr) c.second = add(start, pixel, all, kResidual);
      c.y = write(to, pixel, all);
    }
  }
  const int strip = call.strip_rows > 0 && call.strip_rows < plan.height ? call.strip_rows : plan.height + 4;
  for (int end = strip; end - strip < plan.height + 4; end += strip) {
    for (int k = 0; k < 5; ++k) {
      Conv& c = layers[k];
      const int first = end - strip - k, last = end - k;
      c.row_begin = first > 0 ? first : 0;
      c.row_end = last < plan.height ? last : plan.height;
      if (c.row_begin >= c.row_end) continue;
      if (const char* error = run(call, c, stream)) return error;
    }
  }
  return nullptr;
}

// Rows [begin, end) of `trunk`, enlarged: conv_up 1 ... n, conv_hr, conv_last.
inline const char* enlarge_band(const RrdbCall& call, const Plan& plan, Reader reader, const uint16_t* trunk,
                                uint16_t* const (&tails)[2], int begin, int end, void* stream) {
  const RrdbNetwork& net = call.net;
  constexpr int kMostLayers = 10;
  const int layers = net.doublings + 2, hr = net.doublings, last = net.doublings + 1;
  if (layers > kMostLayers) return "more doublings than a network has";
  // What each layer must compute, from the last one back: a row more on either side for the layer after it.
  Rows rows[kMostLayers];
  rows[last] = {begin * plan.growth, (end - begin) * plan.growth};
  for (int i = last - 1; i >= 0; --i) {
    int from = rows[i + 1].first_row - 1, to = rows[i + 1].first_row + rows[i + 1].rows + 1;
    const int reader_height = plan.height << (i + 1 < hr ? i + 2 : hr);
    from = from > 0 ? from : 0;
    to = to < reader_height ? to : reader_height;
    if (i + 1 < hr) from = from / 2, to = (to + 1) / 2;  // the layer after it reads each row twice
    rows[i] = {from, to - from};
  }
  Source source = read(trunk, net.features, net.features, plan.width, {0, plan.height});
  for (int i = 0; i < layers; ++i) {
    const int level = i < hr ? i + 1 : hr;
    Conv c = whole(call.n, plan.height << level, plan.width << level);
    reader.next(c, i == last ? net.channels : net.features, net.features);
    c.a = source;
    c.a.doubled = i < hr;
    c.row_begin = rows[i].first_row;
    c.row_end = rows[i].first_row + rows[i].rows;
    if (i == last) {
      c.y = write(call.y, net.channels, {0, c.height});
      c.y.single = true;
    } else {
      c.slope = kSlope;
      c.y = write(tails[i % 2], net.features, rows[i]);
      source = read(tails[i % 2], net.features, net.features, c.width, rows[i]);
    }
    if (const char* error = run(call, c, stream)) return error;
  }
  return nullptr;
}

inline const char* forward(const RrdbCall& call, void* stream) {
  const RrdbNetwork& net = call.net;
  if (net.features % 16 != 0 || net.growth % 16 != 0) return "features and growth come in sixteens";
  const Plan plan(call);
  const Rows all{0, plan.height};
  uint16_t* at = static_cast<uint16_t*>(call.workspace);
  const auto take = [&at](int64_t elements) { return (at += elements) - elements; };
  uint16_t* const folded = take(plan.input);
  uint16_t* const shallow = take(plan.features);  // conv_first's answer, wanted again after the body
  uint16_t* const trunk = take(plan.features);
  uint16_t* dense[3] = {take(plan.dense), take(plan.dense), take(plan.dense)};
  uint16_t* const tails[2] = {take(plan.tail), take(plan.tail)};
  Reader reader{net.weights, net.biases};

  const int inputs = round_to_16(net.inputs());
  const FoldArgs fold{call.image, folded, call.n, net.channels, plan.height, plan.width, net.fold, inputs};
  const int64_t fold_blocks = (plan.input / 8 + Fold<Half>::THREADS - 1) / Fold<Half>::THREADS;
  const char* error = net.bf16 ? launch<Fold<Bf16>>(fold, fold_blocks, 0, stream)
                               : launch<Fold<Half>>(fold, fold_blocks, 0, stream);
  if (error != nullptr) return error;

  // Twice, once into the first dense buffer: 0.05 % of the work, and no copy.
  Conv c = whole(call.n, plan.height, plan.width);
  c.a = read(folded, inputs, inputs, plan.width, all);
  reader.next(c, net.features, inputs);
  for (const Target& y : {write(shallow, net.features, all), write(dense[0], net.dense(), all)}) {
    c.y = y;
    if ((error = run(call, c, stream)) != nullptr) return error;
  }

  int a = 0, b = 1;
  for (int block = 0; block < net.blocks; ++block) {  // a -> b -> 2 -> b, where `a` still holds the start
    if ((error = dense_block(call, plan, reader, dense[a], dense[b], nullptr, stream)) != nullptr) return error;
    if ((error = dense_block(call, plan, reader, dense[b], dense[2], nullptr, stream)) != nullptr) return error;
    if ((error = dense_block(call, plan, reader, dense[2], dense[b], dense[a], stream)) != nullptr) return error;
    const int start = a;
    a = b, b = start;
  }

  c = whole(call.n, plan.height, plan.width);  // conv_body
  c.a = read(dense[a], net.features, net.dense(), plan.width, all);
  reader.next(c, net.features, net.features);
  c.first = add(shallow, net.features, all, 1.f);
  c.y = write(trunk, net.features, all);
  if ((error = run(call, c, stream)) != nullptr) return error;

  for (int begin = 0; begin < plan.height; begin += plan.band_rows) {
    const int end = begin + plan.band_rows < plan.height ? begin + plan.band_rows : plan.height;
    if ((error = enlarge_band(call, plan, reader, trunk, tails, begin, end, stream)) != nullptr) return error;
  }
  return nullptr;
}

}  // namespace rrdb_detail
}  // namespace restore
