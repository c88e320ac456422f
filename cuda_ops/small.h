// What the kernels around the networks are told: lists of blocks (blocks.h), tiles out of and into pictures (tiles.h).
// Torch-free.  What lies in device memory can't be checked before a launch: kernels clip what corners and keeps say.
#pragma once

#include "conv_args.h"

#include <cstdint>

namespace restore {

// Which blocks of kBlockRows x kBlockColumns pixels of a result have an active pixel near them.
struct ActiveBlocks {
  const uint8_t* plane = nullptr;  // (n, height, width), not 0 = active
  int n = 0, height = 0, width = 0;
  int scale = 1;   // the result is so many times larger
  int pad_px = 0;  // in pixels of the result
  uint8_t* flags = nullptr;  // (blocks), scratch
  int32_t* list = nullptr;   // (blocks)
  int32_t* count = nullptr;  // one number

  RESTORE_HOST_DEVICE int rows() const { return int((int64_t(height) * scale + kBlockRows - 1) / kBlockRows); }
  RESTORE_HOST_DEVICE int columns() const { return int((int64_t(width) * scale + kBlockColumns - 1) / kBlockColumns); }
  RESTORE_HOST_DEVICE int blocks() const { return n * rows() * columns(); }
};

// Type of a tile's numbers.
enum class TileNumber : int { half, bf16, single };

// A picture of 8 or 16 bit numbers, which may be some channels of a wider one.  Steps are in numbers.
struct PictureShape {
  int height = 0, width = 0, channels = 0;
  int64_t row = 0, pixel = 0, channel = 0;
  bool sixteen_bit = false;
};

struct GatherTiles {
  const void* picture = nullptr;
  PictureShape shape;
  const int32_t* corners = nullptr;  // (count, 2): y0, x0, anywhere
  bool wrap_y = false, wrap_x = false;
  bool grey_as_rgb = false;  // channels 0, 1 and 2 of a tile are all the picture's first
  void* tiles = nullptr;     // (count, height, width, channels)
  TileNumber number = TileNumber::half;
  int count = 0, height = 0, width = 0, channels = 0;
};

struct ScatterTiles {
  void* canvas = nullptr;
  PictureShape shape;
  const void* tiles = nullptr;  // (count, height, width, channels), channels >= the canvas's
  TileNumber number = TileNumber::half;
  int count = 0, height = 0, width = 0, channels = 0;
  const int32_t* corners = nullptr;  // (count, 2): y0, x0
  const int32_t* keeps = nullptr;    // (count, 4): y0, x0, y1, x1
  int feather_px = 0;
};

// nullptr, or what is wrong (static text).
const char* active_blocks(const ActiveBlocks& p, void* stream);
const char* gather_tiles(const GatherTiles& p, void* stream);
const char* scatter_tiles(const ScatterTiles& p, void* stream);

}  // namespace restore
