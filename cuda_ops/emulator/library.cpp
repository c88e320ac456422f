// The kernels as a plain C library that runs on the CPU, for tests/cuda_ops: same sources, same launches.
#include "../conv_launch.h"
#include "../pack.h"
#include "../rrdb.h"
#include "small_entry.h"

#include <cstdio>

using namespace restore;

namespace restore {
const char* conv_half(const Conv& c, void* stream) { return conv<Half>(c, stream); }
const char* conv_bf16(const Conv& c, void* stream) { return conv<Bf16>(c, stream); }
const char* pack_weights(const uint16_t* weight, uint16_t* packed, const Packing& packing, void* stream) {
  return launch_pack(weight, packed, packing, stream);
}
int64_t conv_room(const Conv& c) {
  int64_t room = 0;
  conv<Bf16>(c, nullptr, &room);  // the same for either type
  return room;
}
int64_t rrdb_workspace_bytes(const RrdbCall& call) { return rrdb_detail::Plan(call).bytes(); }
const char* rrdb_forward(const RrdbCall& call, void* stream) { return rrdb_detail::forward(call, stream); }
}  // namespace restore

#pragma GCC visibility push(default)
extern "C" {
// Forgets counts and the first error; warps take turns by `seed`.
void emulator_reset(unsigned seed) {
  emulator::counts = {};
  emulator::first_error.clear();
  emulator::seed = seed;
}
// The counts, in emulator.h's order, and the first error's text.
void emulator_counts(int64_t* counts, char* error, int size) {
  std::memcpy(counts, &emulator::counts, sizeof emulator::counts);
  std::snprintf(error, size, "%s", emulator::first_error.c_str());
}
const char* emulate_pack(const uint16_t* weight, uint16_t* packed, const Packing* packing) {
  return pack_weights(weight, packed, *packing, nullptr);
}
int64_t packed_elements(const Packing* packing) { return packing->elements(); }
const char* emulate_conv(const Conv* c, int bf16) { return bf16 ? conv_bf16(*c, nullptr) : conv_half(*c, nullptr); }
void emulator_set_multiprocessors(int count) { emulator::multiprocessors = count; }
int64_t conv_room_numbers(const Conv* c) { return conv_room(*c); }
int size_of_conv() { return sizeof(Conv); }
int size_of_rrdb_call() { return sizeof(RrdbCall); }
int64_t rrdb_workspace(const RrdbCall* call) { return rrdb_workspace_bytes(*call); }
const char* emulate_rrdb(const RrdbCall* call) { return rrdb_forward(*call, nullptr); }
}
#pragma GCC visibility pop
