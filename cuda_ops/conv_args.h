// What a convolution launch is told.  Torch-free; pictures are NHWC in 16-bit storage, sums are fp32.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace restore {

// A block is what an active list names: 16 x 32 output pixels, whatever the kernel's own tile is.
constexpr int kBlockRows = 16, kBlockColumns = 32;

// Some rows of a picture in memory: row `first_row` of picture 0 is at `data`, and each picture has `rows` of them.
// Whole pictures have first_row = 0.
struct Rows {
  int first_row = 0, rows = 0;
};

// Where channels come from.
struct Source {
  const void* data = nullptr;      // first channel that is read
  const uint8_t* valid = nullptr;  // (N, rows, width), 1 = known; nullptr: all known
  Rows at;
  int channels = 0;      // read from each pixel
  int pixel = 0;         // elements from one pixel to the next
  int width = 0;         // of the stored picture
  bool doubled = false;  // each stored pixel counts as 2 x 2 (nearest-neighbour enlargement, on load)
};

// y = addend + factor * y
struct Residual {
  const void* data = nullptr;  // first channel; nullptr: none
  Rows at;
  int pixel = 0;  // even
  float factor = 1;
};

struct Target {
  void* data = nullptr;          // first channel that is written
  uint8_t* valid = nullptr;      // (N, rows, width) or nullptr
  Rows at;
  int pixel = 0;        // elements from one pixel to the next
  bool single = false;  // fp32 instead of the storage type
};

struct Conv {
  // What the window slides over: a's channels, then b's.  Both have the same size, after doubling.
  Source a, b;
  int n = 0, height = 0, width = 0;
  int kernel = 3, stride = 1, padding = 1;  // kernel 1 to 7; stride 1 or 2
  const void* weights = nullptr;            // packed: pack.h
  const float* bias = nullptr;              // (channels) or nullptr
  float slope = 1;                          // of negative results: 1 none, 0.2 LeakyReLU, 0 ReLU
  Residual first, second;                   // first, then second
  Target y;
  int out_height = 0, out_width = 0, channels = 0;
  int row_begin = 0, row_end = 0;        // output rows to compute
  const int32_t* active = nullptr;       // blocks to compute, counted over (n, rows of blocks, columns of blocks), the
                                         // first row of them at row_begin
  const int32_t* active_count = nullptr;  // one number, on the device: graphs replay with another one
  int active_length = 0;                  // of the list; the count may not be trusted
  float* room = nullptr;  // conv_room() numbers, aligned to 16: with them k may be split over blocks
  int resident = 0;       // blocks on each multiprocessor that take one tile after the other; 0: a block a tile
};

// nullptr, or what is wrong (static text).  E is Half or Bf16.
const char* conv_half(const Conv& conv, void* stream);
const char* conv_bf16(const Conv& conv, void* stream);
// Numbers that `room` should hold; 0: k stays whole, since there are tiles for all multiprocessors of the current device.
int64_t conv_room(const Conv& conv);

// How the weights of one convolution are laid out for it.
struct Packing {
  int kernel, channels, a_channels, b_channels;  // `channels` are the outputs
  int stride = 1;

  RESTORE_HOST_DEVICE bool rows() const { return kernel == 3 && stride == 1; }  // for conv3x3.h; else for conv_any.h
  RESTORE_HOST_DEVICE int inputs() const { return a_channels + b_channels; }
  RESTORE_HOST_DEVICE int group() const { return channels <= 16 ? 16 : channels <= 32 ? 32 : 64; }  // outputs of one tile
  RESTORE_HOST_DEVICE int groups() const { return (channels + group() - 1) / group(); }
  RESTORE_HOST_DEVICE int chunks() const { return (a_channels + 15) / 16 + (b_channels + 15) / 16; }  // of 16 input channels
  RESTORE_HOST_DEVICE int64_t elements() const { return int64_t(groups()) * chunks() * kernel * kernel * 16 * group(); }
};

// weight (channels, a_channels + b_channels, kernel, kernel), contiguous -> packed, 16-byte aligned.
const char* pack_weights(const uint16_t* weight, uint16_t* packed, const Packing& packing, void* stream);

}  // namespace restore
