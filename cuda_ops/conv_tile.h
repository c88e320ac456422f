// What all convolution kernels share: which tile a block computes, how its input comes into shared memory, and what
// validity makes of a window.
#pragma once

#include "conv_args.h"
#include "device.h"

namespace restore {

constexpr int kWarpRows = 4, kWarpColumns = 2;  // warps of a block, over its tile
constexpr int kConvThreads = 32 * kWarpRows * kWarpColumns;

// Rows of the window's picture that a source holds.  A band doesn't hold all, and a tile may reach beyond the band: those
// results are never used, but what they would read isn't there.
struct Held {
  int begin, end;
};

struct ConvArgs {
  Conv c;
  Held a_held, b_held;
  int a_chunks, chunks;  // of 16 channels
  int groups;            // of output channels
  int blocks_y, blocks_x;
  bool a_wide, b_wide, y_wide, first_wide, second_wide;  // 16 bytes at a time: aligned, and so is every pixel
  int parts;          // of k: so many blocks share a tile, and conv_join.h adds up
  int tiles, blocks;  // of all there could be; how many blocks were launched, of kernels that take many
};

// Output pixels of one block: rows [y0, y0 + TH), columns [x0, x0 + 32).
struct TileAt {
  int n, y0, x0, group;
};

template <int TH>
RESTORE_DEVICE bool find_tile(const ConvArgs& p, int block, TileAt& at) {
  constexpr int parts = kBlockRows / TH;
  at.group = block % p.groups;
  block /= p.groups;
  const int part = block % parts;
  block /= parts;
  if (p.c.active != nullptr) {
    if (block >= *p.c.active_count || block >= p.c.active_length) return false;
    block = p.c.active[block];
    if (block < 0 || block >= p.c.n * p.blocks_y * p.blocks_x) return false;
  }
  at.x0 = block % p.blocks_x * kBlockColumns;
  block /= p.blocks_x;
  at.y0 = p.c.row_begin + block % p.blocks_y * kBlockRows + part * TH;
  at.n = block / p.blocks_y;
  return at.y0 < p.c.row_end;
}

// The input under a tile: `rows` x `columns` pixels, in shared memory at `slot`s.  For stride 2 even columns come first,
// then odd ones: a warp's 16 pixels are side by side for every tap, and matrix loads meet no bank conflict.
struct Patch {
  int rows, columns, stride, kernel;
  int half;   // stride 2: slots of the even columns
  int pitch;  // slots in a row

  RESTORE_DEVICE int slots() const { return rows * pitch; }
  RESTORE_DEVICE int in_row(int column) const { return stride == 2 ? (column & 1) * half + (column >> 1) : column; }
  RESTORE_DEVICE int slot(int row, int column) const { return row * pitch + in_row(column); }
};

// Under so many output pixels.
RESTORE_DEVICE Patch patch_of(const Conv& c, int out_rows, int out_columns) {
  Patch patch;
  patch.stride = c.stride;
  patch.kernel = c.kernel;
  patch.rows = (out_rows - 1) * c.stride + c.kernel;
  patch.columns = (out_columns - 1) * c.stride + c.kernel;
  patch.half = (patch.columns + 1) / 2;
  patch.pitch = c.stride == 2 ? 2 * patch.half : patch.columns;
  return patch;
}

// 16 channels of a pixel are 32 bytes, as two halves of 16; which half comes first alternates every four slots of a row,
// so that eight neighbours fall on eight different banks.  (Of a row: the rows of a column differ by a constant then.)
RESTORE_DEVICE int swapped(int in_row) { return in_row >> 2 & 1; }
RESTORE_DEVICE int half_at(const Patch& patch, int row, int column, int half) {
  const int in_row = patch.in_row(column);
  return (row * patch.pitch + in_row) * 32 + ((half ^ swapped(in_row)) << 4);
}

RESTORE_DEVICE int64_t pixel_at(const Rows& at, int width, int n, int y, int x) {
  return (int64_t(n) * at.rows + (y - at.first_row)) * width + x;
}

// 8 channels of one input pixel -> shared memory; zeros where `known` is false or the source has no such channel.
RESTORE_DEVICE void stage_eight(void* dst, const Source& s, bool wide, int n, int y, int x, int channel, bool known) {
  const int left = s.channels - channel;
  const int count = !known || left <= 0 ? 0 : left < 8 ? left : 8;
  const uint16_t* src = static_cast<const uint16_t*>(s.data);
  if (count > 0) src += pixel_at(s.at, s.width, n, y >> s.doubled, x >> s.doubled) * s.pixel + channel;
  if (wide) {
    copy_async_16(dst, src, 2 * count);
  } else {  // RGB and the like: pixels that no 16-byte copy can begin at
    uint32_t v[4] = {0, 0, 0, 0};
    RESTORE_UNROLL for (int i = 0; i < 8; ++i) {
      if (i < count) v[i / 2] |= uint32_t(src[i]) << (i % 2 * 16);
    }
    store_shared_16(dst, v);
  }
}

RESTORE_DEVICE bool is_known(const Source& s, const Held& held, int n, int y, int x) {
  if (y < held.begin || y >= held.end) return false;
  return s.valid == nullptr || s.valid[pixel_at(s.at, s.width, n, y >> s.doubled, x >> s.doubled)] != 0;
}

// Which pixels of the patch are known, one byte each: bit 0 in a, bit 1 in b.  Outside the picture: none.
template <int THREADS>
RESTORE_DEVICE void stage_validity(const ConvArgs& p, const TileAt& at, const Patch& patch, uint8_t* known, int thread) {
  const Conv& c = p.c;
  for (int i = thread; i < patch.rows * patch.columns; i += THREADS) {
    const int row = i / patch.columns, column = i % patch.columns;
    const int y = at.y0 * c.stride - c.padding + row, x = at.x0 * c.stride - c.padding + column;
    int bits = 0;
    if (x >= 0 && x < c.width) {
      if (is_known(c.a, p.a_held, at.n, y, x)) bits |= 1;
      if (c.b.channels > 0 && is_known(c.b, p.b_held, at.n, y, x)) bits |= 2;
    }
    store_shared_1(known + patch.slot(row, column), uint8_t(bits));
  }
}

// 16 channels of the patch.  A hole is a copy of zero bytes: what lies under it is never read.
RESTORE_DEVICE void stage_chunk(const ConvArgs& p, const TileAt& at, const Patch& patch, const uint8_t* known,
                                unsigned char* stage, int chunk, int thread) {
  const Conv& c = p.c;
  const bool second = chunk >= p.a_chunks;
  const Source& source = second ? c.b : c.a;
  const int channel = (second ? chunk - p.a_chunks : chunk) * 16;
  for (int i = thread; i < patch.rows * patch.columns * 2; i += kConvThreads) {
    const int pixel = i >> 1, half = i & 1;
    const int row = pixel / patch.columns, column = pixel % patch.columns;
    const int y = at.y0 * c.stride - c.padding + row, x = at.x0 * c.stride - c.padding + column;
    const bool there = load_shared_1(known + patch.slot(row, column)) >> second & 1;
    stage_eight(stage + half_at(patch, row, column, half), source, second ? p.b_wide : p.a_wide, at.n, y, x, channel + half * 8, there);
  }
}

// What partial convolution makes of a window (Liu et al., ECCV 2018, eq. 1 and 2; with two sources each counts with its
// channels).  Whole numbers until the one division; a window that knows nothing gives 0, and no bias.
struct Window {
  bool any;
  float ratio;
};

RESTORE_DEVICE Window window_at(const Conv& c, const Patch& patch, const uint8_t* known, int row, int column) {
  int in_a = 0, in_b = 0;
  for (int r = 0; r < patch.kernel; ++r) {
    for (int s = 0; s < patch.kernel; ++s) {
      const int bits = load_shared_1(known + patch.slot(row * patch.stride + r, column * patch.stride + s));
      in_a += bits & 1;
      in_b += bits >> 1;
    }
  }
  const int sum = in_a * c.a.channels + in_b * c.b.channels;
  const int all = patch.kernel * patch.kernel * (c.a.channels + c.b.channels);
  return {sum > 0, sum > 0 ? float(all) / float(sum) : 0.f};
}

}  // namespace restore
