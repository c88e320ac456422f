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
  if (reinterpret_cast<uintptr_t>(c.room) % 16 != 0) return "room begins at a multiple of 16 bytes";
  if (c.resident < 0 || c.resident > 32) return "0 to 32 blocks on a multiprocessor";
  return nullptr;
}

inline Held held_by(const Source& s, int height) {
  const int begin = s.at.first_row << s.doubled, end = (s.at.first_row + s.at.rows) << s.doubled;
  return {begin > 0 ? begin : 0, end < height ? end : height};
}

// Parts of k, so that a small result has blocks for all multiprocessors; each has some chunks of work at least.
inline int parts_of(int64_t tiles, int chunks) {
  constexpr int least_chunks = 4;
  const int64_t wanted = multiprocessors() / tiles, most = chunks / least_chunks;
  return int(wanted < 1 || most < 1 ? 1 : wanted < most ? wanted : most);
}

// With `room`, only says how many numbers Conv::room should hold.
template <class Kernel>
const char* launch_conv(ConvArgs p, int shared_bytes, void* stream, int64_t* room) {
  const Conv& c = p.c;
  const int64_t tiles = int64_t(c.n) * p.blocks_y * p.blocks_x * (kBlockRows / Kernel::TH) * p.groups;
  if constexpr (Kernel::SPLITS) {
    const int64_t filled = int64_t(c.n) * ((c.row_end - c.row_begin + Kernel::TH - 1) / Kernel::TH) * p.blocks_x * p.groups;
    const int parts = parts_of(filled < 1 ? 1 : filled, p.chunks);
    using Sums = Join<typename Kernel::E, Kernel::ROWS, Kernel::NOUT>;
    if (room != nullptr) *room = parts == 1 ? 0 : tiles * parts * Kernel::TH * kBlockColumns * Kernel::NOUT;
    if (parts > 1 && c.room != nullptr) {
      p.parts = parts;
      if (const char* error = launch<Kernel>(p, tiles * parts, shared_bytes, stream)) return error;
      return launch<Sums>(p, tiles * Sums::WARPS * Sums::SHARES, Sums::shared_bytes(c.kernel, c.stride), stream);
    }
  }
  if (room != nullptr) return nullptr;
  if constexpr (Kernel::MANY) {
    if (tiles > INT32_MAX / 2) return "too many tiles for one launch";
    const int64_t most = int64_t(c.resident) * multiprocessors();
    p.tiles = int(tiles), p.blocks = int(tiles < most ? tiles : most);
    return launch<Kernel>(p, p.blocks, shared_bytes, stream);
  }
  return launch<Kernel>(p, tiles, shared_bytes, stream);
}

template <class E, int NOUT>
const char* launch_3x3(const ConvArgs& p, bool plain, void* stream, int64_t* room) {
  using Masked = Conv3x3<E, NOUT, true>;
  using Plain = Conv3x3<E, NOUT, false>;
  using Many = Conv3x3<E, NOUT, false, true>;
  if (!plain) return launch_conv<Masked>(p, Masked::SHARED_BYTES, stream, room);
  // The first chunks of the next tile follow the last ones of this: it has that many.
  const bool many = p.c.resident > 0 && p.chunks >= Many::STAGES - 1;
  return many ? launch_conv<Many>(p, Many::SHARED_BYTES, stream, room)
              : launch_conv<Plain>(p, Plain::SHARED_BYTES, stream, room);
}

template <class E, int NOUT>
const char* launch_any(const ConvArgs& p, void* stream, int64_t* room) {
  using Kernel = ConvAny<E, NOUT>;
  return launch_conv<Kernel>(p, Kernel::shared_bytes(p.c.kernel, p.c.stride), stream, room);
}

template <class E>
const char* conv(const Conv& c, void* stream, int64_t* room = nullptr) {
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
  p.parts = 1;
  const bool plain = c.a.valid == nullptr && c.b.channels == 0 && p.a_wide && c.a.channels % 16 == 0;
  if (packing.rows()) {
    switch (packing.group()) {
      case 16: return launch_3x3<E, 16>(p, plain, stream, room);
      case 32: return launch_3x3<E, 32>(p, plain, stream, room);
      default: return launch_3x3<E, 64>(p, plain, stream, room);
    }
  }
  switch (packing.group()) {
    case 16: return launch_any<E, 16>(p, stream, room);
    case 32: return launch_any<E, 32>(p, stream, room);
    default: return launch_any<E, 64>(p, stream, room);
  }
}

}  // namespace restore
