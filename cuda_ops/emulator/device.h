// The operations of ../device.h and ../launch.h, on the emulator.
#pragma once

#include "emulator.h"

#define RESTORE_DEVICE inline
#define RESTORE_UNROLL
#define RESTORE_NO_UNROLL
#define RESTORE_UNROLL_2

namespace restore {

constexpr int kLargeBlocks = 1;

inline unsigned char* shared_memory() { return emulator::block->shared; }

inline void copy_async_16(void* dst, const void* src, int bytes) {
  using namespace emulator;
  if (!inside(dst, 16)) return;
  if (bytes < 0 || bytes > 16) fail("asynchronous copy of a size that there isn't", dst);
  if (bytes > 0 && reinterpret_cast<uintptr_t>(src) % 16) fail("asynchronous copy from a misaligned address", dst);
  note_write(block->current, dst, 16, true);
  std::memset(dst, 0xFF, 16);
  self().open.push_back({static_cast<unsigned char*>(dst), static_cast<const unsigned char*>(src), bytes});
  (bytes > 0 ? counts.bytes_copied : counts.bytes_zeroed) += 16;
}
inline void show_copies_to_group_products() {}
inline void commit_copies() {
  emulator::Thread& mine = emulator::self();
  mine.groups.push_back(std::move(mine.open));
  mine.open.clear();
}
template <int N>
inline void wait_copies() {
  using namespace emulator;
  Thread& mine = self();
  while (int(mine.groups.size()) > N) {
    for (const Copy& copy : mine.groups.front()) {
      std::memset(copy.dst, 0, 16);
      if (copy.bytes > 0) std::memcpy(copy.dst, copy.src, copy.bytes);
      for (int i = 0; i < 16; ++i) {
        Byte& b = block->bytes[copy.dst - block->shared + i];
        b.pending = false;
        b.write_epoch = mine.epoch;
      }
    }
    mine.groups.pop_front();
  }
}

inline void load_matrix_x4(uint32_t (&r)[4], const void* p) {
  emulator::Request q;
  q.kind = emulator::Meeting::load_matrix, q.address = p, q.result = r;
  emulator::meet(q);
}
inline void load_shared_16(uint32_t (&r)[4], const void* p) {
  emulator::Request q;
  q.kind = emulator::Meeting::load_shared, q.address = p, q.result = r;
  emulator::meet(q);
}
inline void store_shared_16(void* p, const uint32_t (&v)[4]) {
  if (!emulator::inside(p, 16)) return;
  emulator::note_write(emulator::block->current, p, 16, false);
  std::memcpy(p, v, 16);
}
inline uint8_t load_shared_1(const uint8_t* p) {
  if (!emulator::inside(p, 1)) return 0;
  emulator::note_read(emulator::block->current, p, 1);
  return *p;
}
inline void store_shared_1(uint8_t* p, uint8_t v) {
  if (!emulator::inside(p, 1)) return;
  emulator::note_write(emulator::block->current, p, 1, false);
  *p = v;
}
inline void load_global_16(uint32_t (&r)[4], const void* p) {
  if (reinterpret_cast<uintptr_t>(p) % 16) emulator::fail("misaligned global load");
  std::memcpy(r, p, 16);
}
inline void store_global_16(void* p, const uint32_t (&v)[4]) {
  if (reinterpret_cast<uintptr_t>(p) % 16) emulator::fail("misaligned global store");
  std::memcpy(p, v, 16);
}
inline uint32_t shuffle_xor(uint32_t v, int mask) {
  uint32_t result = 0;
  emulator::Request q;
  q.kind = emulator::Meeting::shuffle, q.result = &result, q.a[0] = v, q.b[0] = uint32_t(mask);
  emulator::meet(q);
  return result;
}
inline uint32_t ballot(bool v) {
  uint32_t result = 0;
  emulator::Request q;
  q.kind = emulator::Meeting::vote, q.result = &result, q.a[0] = v;
  emulator::meet(q);
  return result;
}
inline int count_bits(uint32_t v) { return __builtin_popcount(v); }
inline void barrier() {
  emulator::Request q;
  q.kind = emulator::Meeting::barrier;
  emulator::meet(q);
}

struct Half {
  static uint32_t pack(float low, float high) { return bits(low) | uint32_t(bits(high)) << 16; }
  static float number(uint16_t bits) {
    _Float16 v;
    std::memcpy(&v, &bits, 2);
    return float(v);
  }
  static uint16_t bits(float v) {
    const _Float16 narrow = _Float16(v > 65504.f ? 65504.f : v < -65504.f ? -65504.f : v);
    uint16_t result;
    std::memcpy(&result, &narrow, 2);
    return result;
  }
};
struct Bf16 {
  static uint32_t pack(float low, float high) { return bits(low) | uint32_t(bits(high)) << 16; }
  static float number(uint16_t bits) {
    const uint32_t wide = uint32_t(bits) << 16;
    float v;
    std::memcpy(&v, &wide, 4);
    return v;
  }
  static uint16_t bits(float v) {
    uint32_t wide;
    std::memcpy(&wide, &v, 4);
    if ((wide & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return uint16_t((wide + 0x7fff + (wide >> 16 & 1)) >> 16);  // to nearest, ties to even
  }
};
template <class E>
inline void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulator::Request q;
  q.kind = emulator::Meeting::product, q.sum = d, q.number = &E::number, q.b[0] = b0, q.b[1] = b1;
  std::copy(a, a + 4, q.a);
  emulator::meet(q);
}

// Of a warp alone, and at once: what four warps share is only that they go on together.
#if defined(RESTORE_WGMMA)
inline void begin_group_products() {}
inline void send_group_products() {}
inline void finish_group_products() {}
template <class E, int NOUT>
inline void group_multiply_add(float (&d)[NOUT / 8][4], const uint32_t (&a)[4], const void* b) {
  const int lane = emulator::block->current % emulator::kWarp;
  const unsigned char* row = static_cast<const unsigned char*>(b) + (lane >> 3 & 1) * (NOUT * 16) + (lane & 7) * 16;
  for (int j = 0; j < NOUT / 16; ++j) {
    uint32_t w[4];
    load_matrix_x4(w, row + ((lane >> 4) + 2 * j) * 128);
    multiply_add<E>(d[2 * j], a, w[0], w[1]);
    multiply_add<E>(d[2 * j + 1], a, w[2], w[3]);
  }
}
#endif

// Of the device that is emulated: what depends on it can be tested for any number.
inline int multiprocessors() { return emulator::multiprocessors; }

// launch.h's launch: all blocks, one after the other.
template <class Kernel>
const char* launch(const typename Kernel::Args& args, int64_t blocks, int shared_bytes, void* /*stream*/) {
  static_assert(Kernel::THREADS % emulator::kWarp == 0, "whole warps");
  constexpr int kMostSharedBytes = 99 * 1024;  // of compute capability 8.6, 8.9 and 12.0; others have more
  static_assert(Kernel::MOST_SHARED_BYTES <= kMostSharedBytes, "too much shared memory for some of the targets");
  if (shared_bytes > Kernel::MOST_SHARED_BYTES) return "more shared memory than the kernel says";
  for (int64_t b = 0; b < blocks; ++b) {
    emulator::run_block(Kernel::THREADS, shared_bytes, [&](int thread) { Kernel::run(args, int(b), thread); });
  }
  return nullptr;
}

}  // namespace restore
