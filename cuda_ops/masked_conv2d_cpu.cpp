// The two passes around torch's convolution on the CPU.  oneDNN convolves at nearly this machine's peak, so only what
// torch would spread over several passes is done here.
#include "masked_conv2d.h"

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <cstring>
#include <vector>

namespace restore {
namespace {

template <class T, class Sum>
void renormalise_rows(const Renormalise& a, int64_t begin, int64_t end) {
  const Sum* bias = static_cast<const Sum*>(a.bias);
  std::vector<int64_t> column(a.w);  // what is known in each input column within the window's rows
  for (int64_t row = begin; row < end; ++row) {
    const int64_t n = row / a.out_h, oy = row % a.out_h;
    const Taps rows = taps_inside(oy, a.stride, a.padding, a.kernel_h, a.h);
    column.assign(a.w, 0);
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const int64_t line = n * a.h + oy * a.stride - a.padding + r;
      for (int64_t ix = 0; ix < a.w; ++ix) column[ix] += a.known_at(line, ix);
    }
    for (int64_t ox = 0; ox < a.out_w; ++ox) {
      const Taps columns = taps_inside(ox, a.stride, a.padding, a.kernel_w, a.w);
      int64_t known = 0;
      for (int64_t s = columns.begin; s < columns.end; ++s) known += column[ox * a.stride - a.padding + s];
      a.valid_out[row * a.out_w + ox] = known > 0;
      T* y = static_cast<T*>(a.y) + (row * a.out_w + ox) * a.channels;
      if (known == 0) {
        std::memset(static_cast<void*>(y), 0, a.channels * sizeof(T));
        continue;
      }
      const Sum ratio = window_ratio<Sum>(a, known);
      if (bias != nullptr) {
        for (int64_t c = 0; c < a.channels; ++c) y[c] = T(activate(a, Sum(y[c]) * ratio + bias[c]));
      } else {
        for (int64_t c = 0; c < a.channels; ++c) y[c] = T(activate(a, Sum(y[c]) * ratio));
      }
    }
  }
}

}  // namespace

void select_cpu(const Select& a, int64_t begin, int64_t end) {
  const char* x = static_cast<const char*>(a.x);
  char* out = static_cast<char*>(a.out);
  const auto known = [&](int64_t pixel) { return a.valid[a.source(pixel)] != 0; };
  if (a.doubled || a.pixel_bytes != a.out_pixel_bytes || a.pixel_bytes != a.x_pixel_bytes) {
    for (int64_t pixel = begin; pixel < end; ++pixel) {
      char* to = out + pixel * a.out_pixel_bytes;
      if (known(pixel)) std::memcpy(to, x + a.source(pixel) * a.x_pixel_bytes, a.pixel_bytes);
      else std::memset(to, 0, a.pixel_bytes);
    }
    return;
  }
  for (int64_t from = begin; from < end;) {  // runs of equal validity: few, long copies
    int64_t to = from + 1;
    while (to < end && known(to) == known(from)) ++to;
    const int64_t offset = from * a.pixel_bytes, bytes = (to - from) * a.pixel_bytes;
    if (known(from)) {
      std::memcpy(out + offset, x + offset, bytes);
    } else {
      std::memset(out + offset, 0, bytes);
    }
    from = to;
  }
}

void renormalise_cpu(const Renormalise& a, int64_t begin, int64_t end) {
  switch (a.element) {
    case Element::f16: return renormalise_rows<torch::headeronly::Half, float>(a, begin, end);
    case Element::bf16: return renormalise_rows<torch::headeronly::BFloat16, float>(a, begin, end);
    case Element::f32: return renormalise_rows<float, float>(a, begin, end);
    case Element::f64: return renormalise_rows<double, double>(a, begin, end);
  }
}

}  // namespace restore
