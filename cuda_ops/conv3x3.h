// 3 x 3, stride 1: the kernel that nearly all of an RRDB network's time goes to.
//
//   a block (8 warps)      ROWS = 4: 16 x 32 output pixels; ROWS = 2: 8 x 32; all NOUT channels of them
//
//          32 columns                 a warp: ROWS rows of 16 pixels        one row of the input, 16 pixels x 16 channels
//     +--------+--------+                  +----------------+               (matrix A), serves the three output rows
//     | warp 0 | warp 1 |  ROWS rows   r   |................|               that see it: ROWS + 2 loads of A instead
//     +--------+--------+              r+1 |................|               of 3 * ROWS, for each of three columns
//     | warp 2 | warp 3 |                  |................|
//     +--------+--------+              ...
//     |  ...   |  ...   |
//
//   input channels         in chunks of 16.  A chunk of the patch (tile and border) and its weights come into one of
//                          STAGES slots of shared memory while the tensor cores work on the one before:
//
//                          copy  | chunk 0 | chunk 1 | chunk 2 | chunk 3 | ...
//                          multiply        .         | chunk 0 | chunk 1 | ...      one barrier a chunk
//
//   loaded once, used by all nine taps: a tap is another address in the same slot.
//
//   MANY                   a block takes one tile after the other.  Chunks of the next one follow those of this one without
//                          a gap: while sums are finished and stored, the first of them are under way.
//
//                          copy     ... | tile 0, last | tile 1, chunk 0 | tile 1, chunk 1 |         | chunk 2 | ...
//                          multiply ...                | last but one    | last            | finish  | chunk 0 | ...
#pragma once

#include "conv_join.h"
#include "conv_multiply.h"

namespace restore {

template <class E_, int NOUT_, bool MASKED_, bool MANY_ = false>
struct Conv3x3 {
  using Args = ConvArgs;
  using E = E_;
  static constexpr bool MASKED = MASKED_, MANY = MANY_, SPLITS = MASKED;
  static_assert(!(MASKED && MANY), "there is room for the validity of one tile");
  // 64 filters, or 32 and what validity needs, leave registers for two rows of sums.
  static constexpr int NOUT = NOUT_, ROWS = NOUT == 64 || (MASKED && NOUT == 32) ? 2 : 4, PAIRS = NOUT / 16, STAGES = 3;
  static constexpr int TH = ROWS * kWarpRows, THREADS = kConvThreads, MIN_BLOCKS = kLargeBlocks;
  static constexpr int PATCH_ROWS = TH + 2, PITCH = kBlockColumns + 2, SLOTS = PATCH_ROWS * PITCH;
  static constexpr int A_BYTES = SLOTS * 32, B_BYTES = 9 * PAIRS * 512, STAGE_BYTES = A_BYTES + B_BYTES;
  static constexpr int KNOWN_BYTES = MASKED ? (SLOTS + 15) / 16 * 16 : 0;
  static constexpr int SHARED_BYTES = STAGES * STAGE_BYTES + KNOWN_BYTES;
  static constexpr int MOST_SHARED_BYTES = SHARED_BYTES;
  static_assert(STAGE_BYTES % 16 == 0, "16-byte copies");

  static constexpr int COPIES = (SLOTS * 2 + THREADS - 1) / THREADS;

  // What one thread copies of each chunk of a source: the same pixels every time, so their addresses are found once.
  // Copy k is of slot thread / 2 + k * THREADS / 2, half thread % 2.
  struct Share {
    const uint16_t* from;  // at or before all of them
    int offset[COPIES];    // elements from there
    uint32_t known;        // bit k: copy k reads, else it brings zeros; bit 16 + k: to the other half's place
  };

  static RESTORE_DEVICE void find_share(const Args& p, const TileAt& at, const Source& source, const Held& held,
                                        const uint8_t* known, int bit, int thread, Share& share) {
    const Conv& c = p.c;
    int top = at.y0 - c.padding;
    top = top < held.begin ? held.begin : top >= held.end ? held.end - 1 : top;
    top >>= source.doubled;
    const int half = (thread & 1) * 8;
    share.from = static_cast<const uint16_t*>(source.data) + half;
    share.from += pixel_at(source.at, source.width, at.n, top, 0) * source.pixel;
    share.known = 0;
    RESTORE_UNROLL for (int k = 0; k < COPIES; ++k) {
      const int slot = (thread >> 1) + k * (THREADS / 2);
      const int y = at.y0 - c.padding + slot / PITCH, x = at.x0 - c.padding + slot % PITCH;
      const bool inside = slot < SLOTS && y >= held.begin && y < held.end && x >= 0 && x < c.width;
      const bool there = inside && (!MASKED || load_shared_1(known + slot) >> bit & 1);
      const int row = (y >> source.doubled) - top, column = x >> source.doubled;
      share.offset[k] = there ? (row * source.width + column) * source.pixel : 0;
      share.known |= uint32_t(there) << k | uint32_t(swapped(slot % PITCH)) << (16 + k);
    }
  }

  // The next chunk of the share's source, which has `left` more channels.
  static RESTORE_DEVICE void stage_share(Share& share, unsigned char* stage, int left, int thread) {
    left -= (thread & 1) * 8;
    const int bytes = !MASKED || left >= 8 ? 16 : left <= 0 ? 0 : 2 * left;
    unsigned char* to = stage + (thread >> 1) * 32;
    RESTORE_UNROLL for (int k = 0; k < COPIES; ++k) {
      if ((k + 1) * THREADS > SLOTS * 2 && k * THREADS + thread >= SLOTS * 2) break;
      const int half = (share.known >> (16 + k) ^ thread) & 1;
      copy_async_16(to + k * (THREADS / 2 * 32) + half * 16, share.from + share.offset[k],
                    share.known >> k & 1 ? bytes : 0);
    }
    share.from += 16;
  }

  // `share` and `weights` (this thread's first 16 bytes) go on to the next chunk.
  static RESTORE_DEVICE void stage(const Args& p, const TileAt& at, const Patch& patch, const uint8_t* known,
                                   Share& share, const unsigned char*& weights, unsigned char* slot, int chunk,
                                   int thread) {
    const bool second = MASKED && chunk >= p.a_chunks;
    if (MASKED && !(second ? p.b_wide : p.a_wide)) {
      stage_chunk(p, at, patch, known, slot, chunk, thread);
    } else {
      if (MASKED && chunk == p.a_chunks) find_share(p, at, p.c.b, p.b_held, known, 1, thread, share);
      const int left = second ? p.c.b.channels - (chunk - p.a_chunks) * 16 : p.c.a.channels - chunk * 16;
      stage_share(share, slot, left, thread);
    }
    unsigned char* to = slot + A_BYTES + thread * 16;
    RESTORE_UNROLL for (int i = 0; i < B_BYTES / 16; i += THREADS) {
      if (i + THREADS > B_BYTES / 16 && i + thread >= B_BYTES / 16) break;
      copy_async_16(to + i * 16, weights + i * 16, 16);
    }
    weights += B_BYTES;
  }

  // The first tile that there is, from `block` on; of those that this block takes.
  static RESTORE_DEVICE bool find(const Args& p, int& block, TileAt& at) {
    if constexpr (MANY) {
      while (block < p.tiles && !find_tile<TH>(p, block, at)) block += p.blocks;
      return block < p.tiles;
    } else {
      return find_tile<TH>(p, block, at);
    }
  }

  static RESTORE_DEVICE void run(const Args& p, int block, int thread) {
    const int part = SPLITS ? block % p.parts : 0;
    int tile = SPLITS ? block / p.parts : block;
    TileAt at;
    if (!find(p, tile, at)) return;
    unsigned char* shared = shared_memory();
    uint8_t* known = shared + STAGES * STAGE_BYTES;
    const Patch patch{PATCH_ROWS, PITCH, 1, 3, 0, PITCH};
    const int lane = thread & 31, warp = thread >> 5, warp_row = warp / kWarpColumns, warp_column = warp % kWarpColumns;
    if (MASKED) {
      stage_validity<THREADS>(p, at, patch, known, thread);
      barrier();
    }
    const int begin = SPLITS ? chunk_at(p, part) : 0, end = SPLITS ? chunk_at(p, part + 1) : p.chunks;
    const bool second = MASKED && begin >= p.a_chunks;
    Share share;
    find_share(p, at, second ? p.c.b : p.c.a, second ? p.b_held : p.a_held, known, second, thread, share);
    if (SPLITS) share.from += 16 * (second ? begin - p.a_chunks : begin);
    const auto weights_of = [&p, begin, thread](const TileAt& of) {
      const unsigned char* weights = static_cast<const unsigned char*>(p.c.weights) + thread * 16;
      return weights + (int64_t(of.group) * p.chunks + begin) * B_BYTES;
    };
    const unsigned char* weights = weights_of(at);
    RESTORE_UNROLL for (int s = 0; s < STAGES - 1; ++s) {
      if (begin + s < end) stage(p, at, patch, known, share, weights, shared + s * STAGE_BYTES, begin + s, thread);
      commit_copies();
    }
    int full = 0;  // where this chunk's slot begins; the one before it is filled next
    for (;;) {
      float sums[ROWS][2 * PAIRS][4];
      RESTORE_UNROLL for (int o = 0; o < ROWS; ++o) RESTORE_UNROLL for (int j = 0; j < 2 * PAIRS; ++j) {
        RESTORE_UNROLL for (int e = 0; e < 4; ++e) sums[o][j][e] = 0.f;
      }
      TileAt next = at;
      bool more = false;  // `next` is there, and its chunks are staged
      for (int chunk = begin; chunk < end; ++chunk) {
        wait_copies<STAGES - 2>();  // this chunk is here,
        show_copies_to_group_products();
        barrier();  // for everyone; and everyone has left the slot that is filled next
        if (MANY && chunk + STAGES - 1 == end) {
          tile += p.blocks;
          more = find(p, tile, next);
          if (more) find_share(p, next, p.c.a, p.a_held, known, 0, thread, share);
          weights = weights_of(next);
        }
        if (chunk + STAGES - 1 < end || more) {
          const int empty = full == 0 ? (STAGES - 1) * STAGE_BYTES : full - STAGE_BYTES;
          stage(p, at, patch, known, share, weights, shared + empty, chunk + STAGES - 1, thread);
        }
        commit_copies();
        const unsigned char* slot = shared + full;
        multiply_chunk<E, ROWS, NOUT, NOUT == 64 && !MASKED>(
            sums, Pixels{slot, patch, warp_row * ROWS, warp_column * 16 + (lane & 15), lane >> 4}, slot + A_BYTES, lane);
        full = full == (STAGES - 1) * STAGE_BYTES ? 0 : full + STAGE_BYTES;
      }
      if (!SPLITS || p.parts == 1) {
        finish<E, ROWS, PAIRS, MASKED>(p, at, patch, known, sums, warp_row, warp_column, lane);
      } else if (has_pixels<ROWS>(p, at, warp_row, warp_column)) {
        leave_part<ROWS, PAIRS>(p, tile, part, sums, thread);
      }
      if (!more) return;
      at = next;
    }
  }
};

}  // namespace restore
