// Runs the kernels' own source on a CPU, a block at a time, and checks what a GPU would leave to luck:
//
//   every CUDA thread   is a fiber; warps take turns in random order
//   a warp's collective (matrix load, product, shuffle, ballot) happens when all 32 lanes have come, and only then
//   asynchronous copies arrive at the wait, not before: until then their target holds NaN
//   each shared byte    remembers who wrote and read it since the last barrier
//
// Found and reported, with thread and shared address: access out of bounds or misaligned, reading what nothing wrote,
// a race between two barriers, reading a copy that was not waited for, lanes that part before a collective, a barrier
// that some never reach.  Counted: products, bytes, bank conflicts.  With -fsanitize=address,undefined global memory is
// checked too.  Not modelled: time, registers, memory order between blocks.  One CPU thread at a time may use it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "fiber.h"

namespace restore {
namespace emulator {

constexpr int kWarp = 32;
constexpr size_t kStackBytes = 128 * 1024;

struct Counts {
  int64_t products = 0, matrix_loads = 0, shared_bytes_read = 0, bytes_copied = 0, bytes_zeroed = 0;
  int64_t wavefronts = 0, fewest_wavefronts = 0;  // equal: no bank conflicts
  int64_t barriers = 0, blocks = 0, errors = 0;
};

// What one shared byte remembers.
struct Byte {
  int16_t writer = -1, reader = -1;  // reader kMany: several threads
  int write_epoch = -1, read_epoch = -1;
  bool pending = false;  // an asynchronous copy into it was not waited for yet
};
constexpr int16_t kMany = -2;

struct Copy {
  unsigned char* dst;
  const unsigned char* src;
  int bytes;
};
enum class Meeting : uint8_t { none, barrier, load_matrix, load_shared, product, shuffle, vote };
struct Request {
  Meeting kind = Meeting::none;
  const void* address = nullptr;
  uint32_t* result = nullptr;
  float* sum = nullptr;
  float (*number)(uint16_t) = nullptr;
  uint32_t a[4] = {}, b[2] = {};
};
struct Thread {
  Fiber fiber;
  bool done = false, waiting = false;
  int epoch = 0;  // barriers passed
  Request request;
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> groups;
};

struct Warp {
  int arrived = 0;  // lanes at a collective, or at the block's barrier
  Meeting kind = Meeting::none;
};

struct Block {
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  int at_barrier = 0;
  int current = -1;
  std::vector<unsigned char> storage;
  unsigned char* shared = nullptr;
  std::vector<Byte> bytes;
  std::function<void(int)> body;
};
inline Block* block = nullptr;
inline Counts counts;
inline std::string first_error;
inline unsigned seed = 0;
inline int multiprocessors = 1;

inline Thread& self() { return block->threads[block->current]; }

inline void fail(const char* what, const void* p = nullptr) {
  ++counts.errors;
  if (!first_error.empty()) return;
  char text[256];
  const long offset = p ? long(static_cast<const unsigned char*>(p) - block->shared) : -1;
  std::snprintf(text, sizeof text, "%s (thread %d, shared offset %ld)", what, block->current, offset);
  first_error = text;
}

inline bool inside(const void* p, size_t size) {
  const unsigned char* c = static_cast<const unsigned char*>(p);
  if (c < block->shared || c + size > block->shared + block->bytes.size()) {
    fail("shared access out of bounds", p);
    return false;
  }
  if ((c - block->shared) % size) {
    fail("misaligned shared access", p);
    return false;
  }
  return true;
}

inline void note_read(int thread, const void* p, size_t size) {
  const int epoch = block->threads[thread].epoch;
  Byte* from = &block->bytes[static_cast<const unsigned char*>(p) - block->shared];
  for (Byte* b = from; b < from + size; ++b) {
    if (b->pending) fail("reads an asynchronous copy that was not waited for", p);
    else if (b->writer == -1) fail("reads shared memory that nothing wrote", p);
    else if (b->write_epoch == epoch && b->writer != thread) fail("reads what another thread wrote, no barrier between", p);
    b->reader = b->read_epoch == epoch && b->reader != thread ? kMany : int16_t(thread);
    b->read_epoch = epoch;
  }
}

inline void note_write(int thread, const void* p, size_t size, bool pending) {
  const int epoch = block->threads[thread].epoch;
  Byte* from = &block->bytes[static_cast<const unsigned char*>(p) - block->shared];
  for (Byte* b = from; b < from + size; ++b) {
    if (b->read_epoch == epoch && b->reader != thread) fail("overwrites what another thread reads, no barrier between", p);
    if (b->write_epoch == epoch && b->writer != thread) fail("two threads write one shared byte, no barrier between", p);
    if (b->pending) fail("writes over an asynchronous copy under way", p);
    b->pending = pending;
    b->writer = int16_t(thread);
    b->write_epoch = epoch;
  }
}

// 16 bytes a lane go in four quarter warps; lanes on one bank with different addresses take a turn each.
inline void count_conflicts(const void* const* address) {
  for (int quarter = 0; quarter < 4; ++quarter) {
    int turns[8] = {0};
    for (int i = 0; i < 8; ++i) {
      const void* const* mine = address + quarter * 8;
      if (std::find(mine, mine + i, mine[i]) != mine + i) continue;
      ++turns[(static_cast<const unsigned char*>(mine[i]) - block->shared) / 16 % 8];
    }
    counts.wavefronts += *std::max_element(turns, turns + 8);
    ++counts.fewest_wavefronts;
  }
}

inline void load_together(Thread* lanes, int first, bool matrix) {
  const void* address[kWarp];
  const int keep = block->current;
  bool good = true;
  for (int l = 0; l < kWarp; ++l) {
    block->current = first + l;
    address[l] = lanes[l].request.address;
    good = inside(address[l], 16) && good;
    if (good) note_read(first + l, address[l], 16);
  }
  block->current = keep;
  if (!good) return;
  count_conflicts(address);
  counts.shared_bytes_read += 16 * kWarp;
  counts.matrix_loads += matrix;
  for (int l = 0; l < kWarp; ++l) {
    for (int m = 0; m < 4; ++m) {
      const void* from = matrix ? static_cast<const unsigned char*>(address[m * 8 + l / 4]) + 4 * (l % 4)
                                : static_cast<const unsigned char*>(address[l]) + 4 * m;
      std::memcpy(&lanes[l].request.result[m], from, 4);
    }
  }
}

// mma.m16n8k16 with the fragment layouts of the PTX manual.
inline void multiply_together(Thread* lanes) {
  ++counts.products;
  float a[16][16], b[8][16];
  for (int l = 0; l < kWarp; ++l) {
    const Request& q = lanes[l].request;
    const int g = l / 4, t = l % 4;
    for (int h = 0; h < 4; ++h) {
      const int row = g + h % 2 * 8, column = 2 * t + h / 2 * 8;
      a[row][column] = q.number(uint16_t(q.a[h]));
      a[row][column + 1] = q.number(uint16_t(q.a[h] >> 16));
    }
    for (int h = 0; h < 2; ++h) {
      b[g][2 * t + 8 * h] = q.number(uint16_t(q.b[h]));
      b[g][2 * t + 8 * h + 1] = q.number(uint16_t(q.b[h] >> 16));
    }
  }
  for (int l = 0; l < kWarp; ++l) {
    for (int e = 0; e < 4; ++e) {
      const float* row = a[l / 4 + e / 2 * 8];
      const float* column = b[2 * (l % 4) + e % 2];
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += row[k] * column[k];
      lanes[l].request.sum[e] += sum;
    }
  }
}

inline void perform(int warp) {
  Thread* lanes = &block->threads[warp * kWarp];
  switch (lanes[0].request.kind) {
    case Meeting::load_matrix: load_together(lanes, warp * kWarp, true); break;
    case Meeting::load_shared: load_together(lanes, warp * kWarp, false); break;
    case Meeting::product: multiply_together(lanes); break;
    case Meeting::shuffle:
      for (int l = 0; l < kWarp; ++l) *lanes[l].request.result = lanes[l ^ int(lanes[l].request.b[0])].request.a[0];
      break;
    case Meeting::vote: {
      uint32_t votes = 0;
      for (int l = 0; l < kWarp; ++l) votes |= lanes[l].request.a[0] << l;
      for (int l = 0; l < kWarp; ++l) *lanes[l].request.result = votes;
      break;
    }
    default: break;
  }
  for (int l = 0; l < kWarp; ++l) lanes[l].waiting = false;
}

inline void meet(const Request& request) {
  Thread& mine = self();
  Warp& warp = block->warps[block->current / kWarp];
  mine.request = request;
  mine.waiting = true;
  if (warp.arrived > 0 && warp.kind != request.kind) fail("lanes of a warp part before a collective");
  warp.kind = request.kind;
  ++warp.arrived;
  if (request.kind != Meeting::barrier) {
    if (warp.arrived == kWarp) {
      warp.arrived = 0;
      perform(block->current / kWarp);
      return;
    }
  } else if (++block->at_barrier == int(block->threads.size())) {
    ++counts.barriers;
    block->at_barrier = 0;
    for (Warp& each : block->warps) each.arrived = 0;
    for (Thread& thread : block->threads) {
      ++thread.epoch;
      thread.waiting = false;
    }
    return;
  }
  while (mine.waiting) mine.fiber.leave(false);
}

inline void thread_main() {
  Thread& mine = self();
  mine.fiber.entered();
  block->body(block->current);
  if (!mine.open.empty()) fail("ends with asynchronous copies that no group holds");
  mine.done = true;
  mine.fiber.leave(true);
}

inline void run_block(int threads, int shared_bytes, std::function<void(int)> body) {
  Block here;
  block = &here;
  here.threads = std::vector<Thread>(threads);
  here.warps.resize(threads / kWarp);
  here.storage.assign(shared_bytes + 128, 0xFF);
  here.shared = here.storage.data() + (128 - reinterpret_cast<uintptr_t>(here.storage.data()) % 128) % 128;
  here.bytes.resize(shared_bytes);
  here.body = std::move(body);
  for (Thread& thread : here.threads) thread.fiber.start(kStackBytes, thread_main);
  std::vector<int> order(threads / kWarp);
  for (size_t i = 0; i < order.size(); ++i) order[i] = int(i);
  std::mt19937 random(seed++);
  for (;;) {
    bool live = false, moved = false;
    std::shuffle(order.begin(), order.end(), random);
    for (int warp : order) {
      for (bool again = true; again;) {  // a warp as far as it goes
        again = false;
        for (int l = 0; l < kWarp; ++l) {
          Thread& thread = here.threads[warp * kWarp + l];
          if (thread.done) continue;
          live = true;
          if (thread.waiting) continue;
          here.current = warp * kWarp + l;
          moved = again = true;
          thread.fiber.enter();
        }
      }
    }
    if (!live) break;
    if (!moved) {
      fail("deadlock: threads wait where others never come");
      break;
    }
  }
  ++counts.blocks;
  block = nullptr;
}

}  // namespace emulator

}  // namespace restore
