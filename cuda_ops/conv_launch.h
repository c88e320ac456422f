// Chooses the kernel for a convolution and starts it.  The only place that checks a Conv.
#pragma once

#include "conv3x3.h"
#include "conv_any.h"
#include "launch.h"

namespace restore {

// 16-byte copies can begin at every pixel.
inline bool is_wide(const void* data, int pixel) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && pixel % 8 == 0;
}

inline const char* wrong_with(const Conv& c) {
  const auto misses = [](const Source& s, const Conv& conv) {
    return s.data == nullptr || s.pixel < s.channels || s.width << s.doubled != conv.width;
  };
  const auto unfit = [](const Residual& r, const Conv& conv) {
    return r.data != nullptr && (r.pixel % 2 != 0 || conv.channels % 2 != 0 || reinterpret_cast<uintptr_t>(r.data) % 4 != 0);
  };
  if (c.kernel < 1 || c.kernel > 7 || c.stride < 1 || c.stride > 2) return "a kernel of 1 to 7 and a stride of 1 or 2";
  if (c.padding < 0 || c.padding > c.kernel) return "padding beyond the kernel";
  if (c.a.channels < 1 || c.channels < 1 || c.n < 1 || c.out_height < 1 || c.out_width < 1) return "nothing to convolve";
  if (misses(c.a, c)) return "the first source doesn't fit";
  if (c.b.channels > 0 && misses(c.b, c)) return "the second source doesn't fit";
  if (c.b.channels > 0 && (c.a.valid == nullptr) != (c.b.valid == nullptr)) return "validity of one source only";
  if (unfit(c.first, c) || unfit(c.second, c)) return "residuals come in pairs of channels";
  if (c.row_begin < 0 || c.row_end > c.out_height || c.row_begin > c.row_end) return "rows outside the result";
  if (reinterpret_cast<uintptr_t>(c.weights) % 16 != 0) return "packed weights begin at a multiple of 16 bytes";
  if ((c.active == nullptr) != (c.active_count == nullptr)) return "an active list comes with its count";
  if (c.y.valid != nullptr && c.a.valid == nullptr) return "validity comes of validity";
  return nullptr;
}

inline Held held_by(const Source& s, int height) {
  const int begin = s.at.first_row << s.doubled, end = (s.at.first_row + s.at.rows) << s.doubled;
  return {begin > 0 ? begin : 0, end < height ? end : height};
}

template <class Kernel>
const char* launch_conv(ConvArgs p, int shared_bytes, void* stream) {
  const int64_t blocks = int64_t(p.c.n) * p.blocks_y * p.blocks_x * (kBlockRows / Kernel::TH) * p.groups;
  return launch<Kernel>(p, blocks, shared_bytes, stream);
}

template <class E>
const char* conv(const Conv& c, void* stream) {
  if (const char* wrong = wrong_with(c)) return wrong;
  const Packing packing{c.kernel, c.channels, c.a.channels, c.b.channels, c.stride};
  ConvArgs p{};
  p.c = c;
  p.a_held = held_by(c.a, c.height);
  p.b_held = held_by(c.b, c.height);
  p.a_chunks = (c.a.channels + 15) / 16;
  p.chunks = packing.chunks();
  p.groups = packing.groups();
  p.blocks_y = (c.row_end - c.row_begin + kBlockRows - 1) / kBlockRows;
  p.blocks_x = (c.out_width + kBlockColumns - 1) / kBlockColumns;
  p.a_wide = is_wide(c.a.data, c.a.pixel);
  p.b_wide = is_wide(c.b.data, c.b.pixel);
  p.y_wide = is_wide(c.y.data, c.y.pixel);
  p.first_wide = is_wide(c.first.data, c.first.pixel) && c.channels % 8 == 0;
  p.second_wide = is_wide(c.second.data, c.second.pixel) && c.channels % 8 == 0;
  const bool plain = c.a.valid == nullptr && c.b.channels == 0 && p.a_wide && c.a.channels % 16 == 0;
  if (packing.rows()) {
    switch (packing.group()) {
      case 16: return plain ? launch_conv<Conv3x3<E, 16, false>>(p, Conv3x3<E, 16, false>::SHARED_BYTES, stream)
                            : launch_conv<Conv3x3<E, 16, true>>(p, Conv3x3<E, 16, true>::SHARED_BYTES, stream);
      case 32: return plain ? launch_conv<Conv3x3<E, 32, false>>(p, Conv3x3<E, 32, false>::SHARED_BYTES, stream)
                            : launch_conv<Conv3x3<E, 32, true>>(p, Conv3x3<E, 32, true>::SHARED_BYTES, stream);
      default: return plain ? launch_conv<Conv3x3<E, 64, false>>(p, Conv3x3<E, 64, false>::SHARED_BYTES, stream)
                            : launch_conv<Conv3x3<E, 64, true>>(p, Conv3x3<E, 64, true>::SHARED_BYTES, stream);
    }
  }
  switch (packing.group()) {
    case 16: return launch_conv<ConvAny<E, 16>>(p, ConvAny<E, 16>::shared_bytes(c.kernel, c.stride), stream);
    case 32: return launch_conv<ConvAny<E, 32>>(p, ConvAny<E, 32>::shared_bytes(c.kernel, c.stride), stream);
    default: return launch_conv<ConvAny<E, 64>>(p, ConvAny<E, 64>::shared_bytes(c.kernel, c.stride), stream);
  }
}

}  // namespace restore
