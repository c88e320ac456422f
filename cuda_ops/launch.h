// One way to start a kernel.  A kernel is a struct with
//   using Args = ...;                                     what a launch is told, passed by value
//   static constexpr int THREADS, MIN_BLOCKS;             a block, and how many of them a multiprocessor shall hold
//   static constexpr int MOST_SHARED_BYTES;               that any launch asks for
//   static RESTORE_DEVICE void run(const Args&, int block, int thread);
// `launch` returns nullptr, or what the runtime says (static text).  The caller has made the device current: this file
// never does, since its static CUDA runtime may have another idea of it than torch's.
#pragma once

#include "device.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>

namespace restore {

// Of the current device; 1 if the runtime doesn't say.
inline int multiprocessors() {
  int device = 0, count = 0;
  if (cudaGetDevice(&device) == cudaSuccess &&
      cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) == cudaSuccess) {
    return count;
  }
  cudaGetLastError();
  return 1;
}

template <class Kernel>
__global__ void __launch_bounds__(Kernel::THREADS, Kernel::MIN_BLOCKS) start(const __grid_constant__
                                                                             typename Kernel::Args args) {
  Kernel::run(args, blockIdx.x, threadIdx.x);
}

template <class Kernel>
const char* launch(const typename Kernel::Args& args, int64_t blocks, int shared_bytes, void* stream) {
  if (blocks == 0) return nullptr;
  if (blocks > INT32_MAX) return "too many blocks for one launch";
  cudaError_t error = cudaSuccess;
  if constexpr (Kernel::MOST_SHARED_BYTES > 48 * 1024) {
    // The same values at each launch, so that threads that launch at once don't take them from each other.
    error = cudaFuncSetAttribute(start<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, Kernel::MOST_SHARED_BYTES);
    if (error == cudaSuccess) {
      error = cudaFuncSetAttribute(start<Kernel>, cudaFuncAttributePreferredSharedMemoryCarveout,
                                   cudaSharedmemCarveoutMaxShared);
    }
  }
  if (error == cudaSuccess) {
    start<Kernel><<<unsigned(blocks), Kernel::THREADS, shared_bytes, static_cast<cudaStream_t>(stream)>>>(args);
    error = cudaGetLastError();
  }
  if (error == cudaSuccess) return nullptr;
  cudaGetLastError();  // or the next launch, a good one, would report it
  return cudaGetErrorString(error);
}

}  // namespace restore
#endif
