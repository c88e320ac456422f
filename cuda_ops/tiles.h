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
// A block of ScatterTiles has 8 rows of 128 pixels of one tile.  It first lists the other tiles that count somewhere
// there: a bit for each tile, in shared memory.  Where several count, the first of them computes the pixel and adds the
// others in order: no atomics, always the same sum, and work only where there are tiles.
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
  static constexpr int THREADS = 128, MIN_BLOCKS = 1, MOST_SHARED_BYTES = 0, MOST_TILES = INT32_MAX;

  static RESTORE_HOST_DEVICE int groups(const Args& p) { return (p.channels + To::PER_16_BYTES - 1) / To::PER_16_BYTES; }
  // Blocks of threads for one row of a tile.
  static RESTORE_HOST_DEVICE int64_t pieces(const Args& p) { return (int64_t(p.width) * groups(p) + THREADS - 1) / THREADS; }
  static RESTORE_HOST_DEVICE int64_t blocks(const Args& p) { return int64_t(p.count) * p.height * pieces(p); }
  static RESTORE_HOST_DEVICE int shared_bytes(const Args&) { return 0; }

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
  int begin, end, edge0, edge1, size, feather;

  RESTORE_DEVICE bool holds(int at) const { return begin <= at && at < end; }
  RESTORE_DEVICE bool meets(int from, int to) const { return begin < to && end > from; }
  // 1 to 4 * feather inside [begin, end); without feathering 1.
  RESTORE_DEVICE int weight(int at) const {
    if (feather == 0) return 1;
    const int64_t full = 4 * int64_t(feather);
    const int64_t rise = edge0 == 0 ? full : 2 * (int64_t(at) - edge0) + 1 + full / 2;
    const int64_t fall = edge1 == size ? full : 2 * (int64_t(edge1) - at) - 1 + full / 2;
    const int64_t least = rise < fall ? rise : fall;
    return int(least < full ? least : full);
  }
};

RESTORE_DEVICE int clipped(int64_t v, int least, int most) { return v < least ? least : v > most ? most : int(v); }

RESTORE_DEVICE Reach reach_of(int corner, int length, int keep0, int keep1, int size, int feather) {
  Reach r;
  r.size = size, r.feather = feather;
  r.edge0 = keep0 > 0 ? keep0 : 0;
  r.edge1 = keep1 < size ? keep1 : size;
  const int64_t begin = int64_t(r.edge0) - feather, end = int64_t(r.edge1) + feather;
  const int64_t corner1 = int64_t(corner) + length;
  r.begin = clipped(begin > corner ? begin : corner, 0, size);
  r.end = clipped(end < corner1 ? end : corner1, r.begin, size);
  if (r.edge0 >= r.edge1) r.end = r.begin;  // keeps nothing
  return r;
}

// Along both axes.
struct Place {
  Reach rows, columns;

  // How much the tile counts at a canvas pixel; 0: not at all, or the pixel isn't in the canvas.
  RESTORE_DEVICE int64_t weight(int y, int x) const {
    return rows.holds(y) && columns.holds(x) ? int64_t(rows.weight(y)) * columns.weight(x) : 0;
  }
};

template <class P, class E>
struct Scatter {
  using Args = ScatterTiles;
  using From = Stored<E>;
  static constexpr int THREADS = 128, WARPS = THREADS / 32, MIN_BLOCKS = 8, MOST_SHARED_BYTES = 48 * 1024;
  static constexpr int ROWS = 8;      // of a tile, by one block
  static constexpr int CHANNELS = 4;  // at once
  static constexpr int MOST_TILES = MOST_SHARED_BYTES / 16 * 32;

  static RESTORE_HOST_DEVICE int strips(const Args& p) { return (p.height - 1) / ROWS + 1; }
  static RESTORE_HOST_DEVICE int64_t pieces(const Args& p) { return (int64_t(p.width) + THREADS - 1) / THREADS; }
  static RESTORE_HOST_DEVICE int64_t blocks(const Args& p) { return int64_t(p.count) * strips(p) * pieces(p); }
  // 32 tiles are one word, which has 16 bytes to itself.
  static RESTORE_HOST_DEVICE int words(const Args& p) { return (p.count + 31) / 32; }
  static RESTORE_HOST_DEVICE int shared_bytes(const Args& p) { return 16 * words(p); }

  static RESTORE_DEVICE void run(const Args& p, int block, int thread) {
    const int row_pieces = int(pieces(p)), piece = block % row_pieces, strip = block / row_pieces % strips(p);
    const int tile = block / row_pieces / strips(p);
    const Place own = place_of(p, tile);
    // The block's pixels where its tile counts: [y0, y1) x [x0, x1) of the canvas.
    const int64_t top = int64_t(p.corners[tile * int64_t(2)]) + strip * ROWS;
    const int64_t left = int64_t(p.corners[tile * int64_t(2) + 1]) + piece * THREADS;
    const int y0 = clipped(top, own.rows.begin, own.rows.end), y1 = clipped(top + ROWS, own.rows.begin, own.rows.end);
    const int x0 = clipped(left, own.columns.begin, own.columns.end);
    const int x1 = clipped(left + THREADS, own.columns.begin, own.columns.end);
    if (y0 >= y1 || x0 >= x1) return;  // all threads alike
    for (int word = thread / 32; word < words(p); word += WARPS) {
      const int t = word * 32 + thread % 32;
      bool counts = t < p.count && t != tile;
      if (counts) {
        const Place other = place_of(p, t);
        counts = other.rows.meets(y0, y1) && other.columns.meets(x0, x1);
      }
      const uint32_t listed = ballot(counts);
      if (thread % 32 == 0) store_shared_16(shared_memory() + 16 * word, {listed, 0, 0, 0});
    }
    barrier();
    const bool mine = left + thread >= x0 && left + thread < x1;
    const int x = mine ? int(left + thread) : x0;
    for (int y = y0; y < y1; ++y) {
      for (int channel = 0; channel < p.shape.channels; channel += CHANNELS) lay(p, own, tile, y, x, channel, mine);
    }
  }

  // Some channels of one canvas pixel; `mine`: the tile counts there.  All lanes of a warp come along.
  static RESTORE_DEVICE void lay(const Args& p, const Place& own, int tile, int y, int x, int channel, bool mine) {
    float first[CHANNELS], sum[CHANNELS];
    RESTORE_UNROLL for (int i = 0; i < CHANNELS; ++i) {
      first[i] = mine ? value(p, tile, y, x, channel + i) : 0.f;
      sum[i] = 0;
    }
    int64_t total = mine ? own.weight(y, x) : 0;
    for (int word = 0; word < words(p); ++word) {
      uint32_t listed[4];
      load_shared_16(listed, shared_memory() + 16 * word);
      for (uint32_t rest = listed[0]; rest != 0; rest &= rest - 1) {
        const int t = word * 32 + count_bits((rest & (0 - rest)) - 1);
        const int64_t w = mine ? place_of(p, t).weight(y, x) : 0;
        if (w == 0) continue;
        if (t < tile) {
          mine = false;  // that tile's block computes this pixel
          continue;
        }
        total += w;
        // Differences from the first: tiles that agree give just what they agree on.
        RESTORE_UNROLL for (int i = 0; i < CHANNELS; ++i) {
          sum[i] += rounded_product(float(w), value(p, t, y, x, channel + i) - first[i]);
        }
      }
    }
    if (!mine) return;
    P* to = static_cast<P*>(p.canvas) + y * p.shape.row + x * p.shape.pixel;
    RESTORE_UNROLL for (int i = 0; i < CHANNELS; ++i) {
      const float mean = first[i] + sum[i] / float(total);
      if (channel + i < p.shape.channels) {
        to[(channel + i) * p.shape.channel] = P(int(rintf(mean * Peak<P>::VALUE)));  // half to even
      }
    }
  }

  static RESTORE_DEVICE Place place_of(const Args& p, int tile) {
    const int32_t* corner = p.corners + tile * int64_t(2);
    const int32_t* keep = p.keeps + tile * int64_t(4);
    return {reach_of(corner[0], p.height, keep[0], keep[2], p.shape.height, p.feather_px),
            reach_of(corner[1], p.width, keep[1], keep[3], p.shape.width, p.feather_px)};
  }

  // A tile's number at a canvas pixel where it counts, in [0, 1]; NaN is 0.
  static RESTORE_DEVICE float value(const Args& p, int tile, int y, int x, int channel) {
    if (channel >= p.shape.channels) return 0;
    const int64_t tile_y = int64_t(y) - p.corners[tile * int64_t(2)];
    const int64_t tile_x = int64_t(x) - p.corners[tile * int64_t(2) + 1];
    const int64_t pixel = (int64_t(tile) * p.height + tile_y) * p.width + tile_x;
    const float v = From::number(static_cast<const typename From::Bits*>(p.tiles)[pixel * p.channels + channel]);
    return v > 0.f ? v < 1.f ? v : 1.f : 0.f;
  }
};

}  // namespace restore
