// The convolution kernels in bf16, and what is the same for every 16-bit type.
#include "conv_launch.h"
#include "pack.h"

namespace restore {
const char* conv_bf16(const Conv& c, void* stream) { return conv<Bf16>(c, stream); }
int64_t conv_room(const Conv& c) {
  int64_t room = 0;
  conv<Bf16>(c, nullptr, &room);  // the same for either type
  return room;
}
const char* pack_weights(const uint16_t* weight, uint16_t* packed, const Packing& packing, void* stream) {
  return launch_pack(weight, packed, packing, stream);
}

// nullptr, or why the kernels of this file can't start on the current device.
const char* first_error() {
  cudaFuncAttributes attributes;
  const cudaError_t error = cudaFuncGetAttributes(&attributes, start<Pack>);
  if (error == cudaSuccess) return nullptr;
  cudaGetLastError();
  return cudaGetErrorString(error);
}
}  // namespace restore

// Asked once a device by restore/ops/library.py, through ctypes.
extern "C" __attribute__((visibility("default"))) const char* restore_ops_cuda_error() { return restore::first_error(); }
