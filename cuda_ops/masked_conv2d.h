// What masked_conv2d's two passes are told, on either side of torch's convolution.  No torch header here, so .cu files
// and tests compile without one.
//
// All pictures are NHWC in memory and packed; `valid` is one byte a pixel, 1 = known, 0 = hole.
#pragma once
#include <cstdint>

#include "host_device.h"

namespace restore {

enum class Element { f16, bf16, f32, f64 };

// Pass 1: out = x where a pixel is known, zeros elsewhere.  Bytes are chosen, never multiplied: NaN can't leak.
struct Select {
  const void* x;         // (n, h >> doubled, w >> doubled) pixels
  const uint8_t* valid;  // one a pixel of x
  void* out;             // first channel of (n, h, w) pixels
  int64_t n, h, w;
  int64_t pixel_bytes;      // all channels of one pixel
  int64_t x_pixel_bytes;    // from one pixel of x to the next
  int64_t out_pixel_bytes;  // from one pixel of out to the next
  bool doubled;             // each pixel of x becomes 2 x 2

  RESTORE_HOST_DEVICE int64_t pixels() const { return n * h * w; }
  RESTORE_HOST_DEVICE int64_t source(int64_t pixel) const {
    if (!doubled) return pixel;
    const int64_t column = pixel % w, row = pixel / w;  // rows run on over all pictures, and h is even
    return row / 2 * (w / 2) + column / 2;
  }
};

// Validity of one source: its known pixels count with its channels.
struct Known {
  const uint8_t* valid;  // (n, h >> doubled, w >> doubled); null: no such source
  int64_t channels;
  bool doubled;

  // Channels known at pixel (row, column) of the window's picture; `row` runs on over all pictures.
  RESTORE_HOST_DEVICE int64_t at(int64_t row, int64_t column, int64_t w) const {
    if (valid == nullptr) return 0;
    return valid[doubled ? row / 2 * (w / 2) + column / 2 : row * w + column] != 0 ? channels : 0;
  }
};

// Pass 2, in place on y = conv(out, weight): where the window saw something known, y * (all / known) + bias, counted in
// numbers (pixels times channels), then the activation; else 0.
struct Renormalise {
  void* y;                // (n, out_h, out_w, channels) of `element`
  Known first, second;
  const void* bias;       // (channels) of float, or of double beside Element::f64; may be null
  uint8_t* valid_out;     // (n, out_h, out_w)
  int64_t n, h, w, out_h, out_w, channels;
  int64_t kernel_h, kernel_w, stride, padding;
  double slope;           // of negative results
  Element element;

  RESTORE_HOST_DEVICE int64_t known_at(int64_t row, int64_t column) const {
    return first.at(row, column, w) + second.at(row, column, w);
  }
};

// Pixels outside the picture count as holes, as in NVIDIA's reference: the window keeps its full size.
template <class Sum>
RESTORE_HOST_DEVICE inline Sum window_ratio(const Renormalise& a, int64_t known) {
  const int64_t all = a.kernel_h * a.kernel_w * (a.first.channels + a.second.channels);
  return known > 0 ? Sum(all) / Sum(known) : Sum(0);
}

template <class Sum>
RESTORE_HOST_DEVICE inline Sum activate(const Renormalise& a, Sum v) {
  return v > Sum(0) ? v : v * Sum(a.slope);
}

// Half-open range of filter rows (or columns) that fall inside a picture of `size`, for output position `at`.
struct Taps {
  int64_t begin, end;
};
RESTORE_HOST_DEVICE inline Taps taps_inside(int64_t at, int64_t stride, int64_t padding, int64_t kernel, int64_t size) {
  const int64_t first = at * stride - padding;
  const int64_t begin = first < 0 ? -first : 0;
  const int64_t end = size - first < kernel ? size - first : kernel;
  return {begin, end};
}

// CPU: over pixels [begin, end), and over output rows [begin, end) of all n pictures.
void select_cpu(const Select& a, int64_t begin, int64_t end);
void renormalise_cpu(const Renormalise& a, int64_t begin, int64_t end);

// CUDA: nullptr, or what the runtime says (static text).  The caller has made the device current.
const char* select_cuda(const Select& a, void* stream);
const char* renormalise_cuda(const Renormalise& a, void* stream);

}  // namespace restore
