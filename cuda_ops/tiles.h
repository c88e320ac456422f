// Owns the way of tiles: out of a picture of 8 or 16 bit numbers as floats, and their results back into a canvas.
//
//   GatherTiles                                            ScatterTiles
//   picture            tile t                              tiles t, u (u after t)      canvas
//   +-----------+      +---------+  a block of threads     +---------+                 +---------------+
//   |  +........|..    |         |  takes 128 x 16 bytes   |    +---------+            | t t t t t     |
//   |  :  tile  | : -> |#########|  of one row; what lies  |  t |  :  u   |   ------>  | t t t t t u u |
//   |  :        | :    |         |  outside the picture is |    |  :      |            |       u u u u |
//   +-----------+ :    +---------+  repeated or mirrored   +---------+    |            +---------------+
//                                                               +---------+
// A thread of ScatterTiles has one pixel of one tile.  Where several tiles count, the first of them computes the pixel
// and adds the others in order: no atomics, always the same sum, and work only where there are tiles.  Each thread
// looks at all keeps, so this is for the few tiles (tens) that a network answers at once.
//
// How much a tile counts around the left edge of its keep, along one axis; the product of both axes is its weight.
// In multiples of feather_px, so that weights are whole numbers:
//
//   4 |                      ______     An edge of the keep that is the canvas's own has no ramp.  With feather_px = 0
//   2 |              __..--''           a tile counts just inside its keep.  Nothing counts where the tile has no
//   0 |______..--''                     pixels.
//           -feather  edge   +feather
#pragma once

#include "launch.h"
#include "small.h"

#include <cmath>
#include <cstring>

namespace restore {

// The third type of tiles' numbers, after device.h's Half and Bf16.
struct Single {};

// How a tile's numbers lie in memory, 16 bytes at a time.
template <class E>
struct Stored {
  using Bits = uint16_t;
  static constexpr int PER_16_BYTES = 8;
  static RESTORE_DEVICE void pack(uint32_t (&r)[4], const float (&v)[8]) {
    RESTORE_UNROLL for (int i = 0; i < 4; ++i) r[i] = E::pack(v[2 * i], v[2 * i + 1]);
  }
  static RESTORE_DEVICE Bits bits(const uint32_t (&r)[4], int i) { return Bits(r[i / 2] >> (i % 2 * 16)); }
  static RESTORE_DEVICE float number(Bits v) { return E::number(v); }
};
template <>
struct Stored<Single> {
  using Bits = uint32_t;
  static constexpr int PER_16_BYTES = 4;
  static RESTORE_DEVICE void pack(uint32_t (&r)[4], const float (&v)[4]) { std::memcpy(r, v, 16); }
  static RESTORE_DEVICE Bits bits(const uint32_t (&r)[4], int i) { return r[i]; }
  static RESTORE_DEVICE float number(Bits v) {
    float result;
    std::memcpy(&result, &v, 4);
    return result;
  }
};

// Of 8 or 16 bit numbers.
template <class P>
struct Peak {
  static constexpr float VALUE = sizeof(P) == 1 ? 255.f : 65535.f;
};

// A product that stays one: compilers may join it with a following sum, and bytes would depend on the machine.
RESTORE_DEVICE float rounded_product(float a, float b) {
#if defined(__CUDACC__)
  return __fmul_rn(a, b);
#else
  volatile float result = a * b;
  return result;
#endif
}

// Position in a picture that goes on for ever: repeated (abcabc), or mirrored about the edge pixel (cbabcba).
RESTORE_DEVICE int extended(int64_t position, int size, bool wraps) {
  if (position >= 0 && position < size) return int(position);
  const int64_t period = wraps || size == 1 ? size : 2 * (int64_t(size) - 1);
  int64_t at = position % period;
  if (at < 0) at += period;
  return int(at < size ? at : period - at);
}

template <class P, class E>
struct Gather {
  using Args = GatherTiles;
  using To = Stored<E>;
  static constexpr int THREADS = 128, MIN_BLOCKS = 1, MOST_SHARED_BYTES = 0;

  static RESTORE_HOST_DEVICE int groups(const Args& p) { return (p.channels + To::PER_16_BYTES - 1) / To::PER_16_BYTES; }
  // Blocks of threads for one row of a tile.
  static RESTORE_HOST_DEVICE int64_t pieces(const Args& p) { return (int64_t(p.width) * groups(p) + THREADS - 1) / THREADS; }

  static RESTORE_DEVICE void run(const Args& p, int block, int thread) {
    const int row_pieces = int(pieces(p)), row = block / row_pieces;  // counted over all tiles
    const int at = block % row_pieces * THREADS + thread;
    const int x = at / groups(p), channel = at % groups(p) * To::PER_16_BYTES;
    if (x >= p.width) return;
    const int32_t* corner = p.corners + row / p.height * int64_t(2);
    const PictureShape& s = p.shape;
    const int from_y = extended(int64_t(corner[0]) + row % p.height, s.height, p.wrap_y);
    const int from_x = extended(int64_t(corner[1]) + x, s.width, p.wrap_x);
    const P* from = static_cast<const P*>(p.picture) + from_y * s.row + from_x * s.pixel;
    float v[To::PER_16_BYTES];
    RESTORE_UNROLL for (int i = 0; i < To::PER_16_BYTES; ++i) {
      const int c = p.grey_as_rgb && channel + i < 3 ? 0 : channel + i;
      v[i] = c < s.channels ? float(from[c * s.channel]) / Peak<P>::VALUE : 0.f;
    }
    uint32_t r[4];
    To::pack(r, v);
    typename To::Bits* to =
        static_cast<typename To::Bits*>(p.tiles) + (int64_t(row) * p.width + x) * p.channels + channel;
    if (p.channels % To::PER_16_BYTES == 0) {
      store_global_16(to, r);
    } else {
      RESTORE_UNROLL for (int i = 0; i < To::PER_16_BYTES; ++i) {
        if (channel + i < p.channels) to[i] = To::bits(r, i);
      }
    }
  }
};

// Where a tile counts along one axis: canvas positions [begin, end), and the edges of its keep.
struct Reach {
  int64_t begin, end, edge0, edge1;
  int size, feather;

  RESTORE_DEVICE bool holds(int64_t at) const { return begin <= at && at < end; }
  // 1 to 4 * feather inside [begin, end); without feathering 1.
  RESTORE_DEVICE int64_t weight(int64_t at) const {
    if (feather == 0) return 1;
    const int64_t full = 4 * int64_t(feather);
    const int64_t rise = edge0 == 0 ? full : 2 * (at - edge0) + 1 + full / 2;
    const int64_t fall = edge1 == size ? full : 2 * (edge1 - at) - 1 + full / 2;
    const int64_t least = rise < fall ? rise : fall;
    return least < full ? least : full;
  }
};

RESTORE_DEVICE Reach reach_of(int corner, int length, int keep0, int keep1, int size, int feather) {
  Reach r;
  r.size = size, r.feather = feather;
  r.edge0 = keep0 > 0 ? keep0 : 0;
  r.edge1 = keep1 < size ? keep1 : size;
  const int64_t corner1 = int64_t(corner) + length, begin = r.edge0 - feather, end = r.edge1 + feather;
  r.begin = begin > corner ? begin : corner;
  r.end = end < corner1 ? end : corner1;
  if (r.begin < 0) r.begin = 0;
  if (r.end > size) r.end = size;
  if (r.edge0 >= r.edge1) r.end = r.begin;  // keeps nothing
  return r;
}

template <class P, class E>
struct Scatter {
  using Args = ScatterTiles;
  using From = Stored<E>;
  static constexpr int THREADS = 128, MIN_BLOCKS = 1, MOST_SHARED_BYTES = 0;
  static constexpr int CHANNELS = 4;  // at once

  static RESTORE_HOST_DEVICE int64_t pieces(const Args& p) { return (int64_t(p.width) + THREADS - 1) / THREADS; }

  static RESTORE_DEVICE void run(const Args& p, int block, int thread) {
    const int row_pieces = int(pieces(p)), row = block / row_pieces, tile = row / p.height;
    const int tile_x = block % row_pieces * THREADS + thread;
    if (tile_x >= p.width) return;
    const int64_t y = int64_t(p.corners[tile * int64_t(2)]) + row % p.height;
    const int64_t x = int64_t(p.corners[tile * int64_t(2) + 1]) + tile_x;
    const int64_t mine = weight(p, tile, y, x);
    if (mine == 0) return;
    for (int t = 0; t < tile; ++t) {
      if (weight(p, t, y, x) > 0) return;  // that tile's thread computes this pixel
    }
    P* to = static_cast<P*>(p.canvas) + y * p.shape.row + x * p.shape.pixel;
    for (int channel = 0; channel < p.shape.channels; channel += CHANNELS) {
      float first[CHANNELS], sum[CHANNELS];
      RESTORE_UNROLL for (int i = 0; i < CHANNELS; ++i) {
        first[i] = value(p, tile, y, x, channel + i);
        sum[i] = 0;
      }
      int64_t total = mine;
      for (int t = tile + 1; t < p.count; ++t) {
        const int64_t w = weight(p, t, y, x);
        if (w == 0) continue;
        total += w;
        // Differences from the first: tiles that agree give just what they agree on.
        RESTORE_UNROLL for (int i = 0; i < CHANNELS; ++i) {
          sum[i] += rounded_product(float(w), value(p, t, y, x, channel + i) - first[i]);
        }
      }
      RESTORE_UNROLL for (int i = 0; i < CHANNELS; ++i) {
        const float mean = first[i] + sum[i] / float(total);
        if (channel + i < p.shape.channels) {
          to[(channel + i) * p.shape.channel] = P(int(rintf(mean * Peak<P>::VALUE)));  // half to even
        }
      }
    }
  }

  // How much a tile counts at a canvas pixel; 0: not at all, or the pixel isn't in the canvas.
  static RESTORE_DEVICE int64_t weight(const Args& p, int tile, int64_t y, int64_t x) {
    const int32_t* corner = p.corners + tile * int64_t(2);
    const int32_t* keep = p.keeps + tile * int64_t(4);
    const Reach rows = reach_of(corner[0], p.height, keep[0], keep[2], p.shape.height, p.feather_px);
    if (!rows.holds(y)) return 0;
    const Reach columns = reach_of(corner[1], p.width, keep[1], keep[3], p.shape.width, p.feather_px);
    return columns.holds(x) ? rows.weight(y) * columns.weight(x) : 0;
  }

  // A tile's number at a canvas pixel where it counts, in [0, 1]; NaN is 0.
  static RESTORE_DEVICE float value(const Args& p, int tile, int64_t y, int64_t x, int channel) {
    if (channel >= p.shape.channels) return 0;
    const int64_t tile_y = y - p.corners[tile * int64_t(2)], tile_x = x - p.corners[tile * int64_t(2) + 1];
    const int64_t pixel = (int64_t(tile) * p.height + tile_y) * p.width + tile_x;
    const float v = From::number(static_cast<const typename From::Bits*>(p.tiles)[pixel * p.channels + channel]);
    return v > 0.f ? v < 1.f ? v : 1.f : 0.f;
  }
};

}  // namespace restore
