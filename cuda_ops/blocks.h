// Owns active lists: which blocks of a result must be computed, in order, without a word to the host.
//
//   plane                     result, cut into blocks
//   . . . . . . . .           +--------+--------+--------+
//   . . . # . . . .    --->   | warp 0 | warp 1 | warp 2 |    FlagBlocks: a warp looks at the plane's pixels under its
//   . . . . . . . .           +--------+--------+--------+    block and pad_px around it, row by row, 32 at a time
//                             | warp 3 | ...
//
//   flags   0 1 1 0 1 0 | 1 0 0 0 0 0 | ...                   ListBlocks: one block of 32 warps, each with its stretch
//             warp 0        warp 1                            of flags.  They count, learn how many come before their
//   list    1 2 4 6 ... -1 -1 -1                              own, and write.
#pragma once

#include "launch.h"
#include "small.h"

namespace restore {

struct FlagBlocks {
  using Args = ActiveBlocks;
  static constexpr int THREADS = 256, MIN_BLOCKS = 1, MOST_SHARED_BYTES = 0;

  static RESTORE_DEVICE void run(const Args& p, int block, int thread) {
    const int number = block * (THREADS / 32) + thread / 32, lane = thread % 32;
    if (number >= p.blocks()) return;  // a whole warp
    const int columns = p.columns(), rows = p.rows();
    const int top = number / columns % rows * kBlockRows, left = number % columns * kBlockColumns;
    const int y0 = from(top, p), y1 = to(top + kBlockRows, p.height, p);
    const int x0 = from(left, p), x1 = to(left + kBlockColumns, p.width, p);
    const uint8_t* picture = p.plane + int64_t(number / columns / rows) * p.height * p.width;
    uint32_t found = 0;
    for (int y = y0; y < y1 && found == 0; ++y) {
      bool any = false;
      for (int x = x0 + lane; x < x1; x += 32) any |= picture[int64_t(y) * p.width + x] != 0;
      found = ballot(any);
    }
    if (lane == 0) p.flags[number] = found != 0;
  }

  // The plane's pixels that matter along one axis: pad_px and the result's sides are at most kLongestSide (small.cu):
  // nothing overflows.
  static RESTORE_DEVICE int from(int first, const Args& p) {
    return first > p.pad_px ? (first - p.pad_px) / p.scale : 0;
  }
  static RESTORE_DEVICE int to(int end, int size, const Args& p) {
    const int stop = (end + p.pad_px - 1) / p.scale + 1;
    return stop < size ? stop : size;
  }
};

struct ListBlocks {
  using Args = ActiveBlocks;
  static constexpr int WARPS = 32;  // as many as lanes, so that each lane can hold one warp's count
  static constexpr int THREADS = 32 * WARPS, MIN_BLOCKS = 1, MOST_SHARED_BYTES = 16 * WARPS;
  static constexpr int SHARED_BYTES = 16 * WARPS;

  static RESTORE_DEVICE void run(const Args& p, int /*block*/, int thread) {
    const int warp = thread / 32, lane = thread % 32, blocks = p.blocks();
    const int stretch = (blocks + THREADS - 1) / THREADS * 32;
    const int begin = warp * stretch, end = begin + stretch < blocks ? begin + stretch : blocks;
    int mine = 0;
    for (int i = begin; i < end; i += 32) mine += count_bits(ballot(is_active(p, i + lane, end)));
    if (lane == 0) store_shared_16(shared_memory() + 16 * warp, {uint32_t(mine), 0, 0, 0});
    barrier();
    uint32_t others[4];
    load_shared_16(others, shared_memory() + 16 * lane);
    uint32_t before = lane < warp ? others[0] : 0, all = others[0];
    for (int mask = 16; mask > 0; mask /= 2) {
      before += shuffle_xor(before, mask);
      all += shuffle_xor(all, mask);
    }
    int at = int(before);
    for (int i = begin; i < end; i += 32) {
      const bool active = is_active(p, i + lane, end);
      const uint32_t votes = ballot(active);
      if (active) p.list[at + count_bits(votes & ((1u << lane) - 1))] = i + lane;
      at += count_bits(votes);
    }
    for (int i = int(all) + thread; i < blocks; i += THREADS) p.list[i] = -1;
    if (thread == 0) *p.count = int32_t(all);
  }

  static RESTORE_DEVICE bool is_active(const Args& p, int number, int end) {
    return number < end && p.flags[number] != 0;
  }
};

}  // namespace restore
