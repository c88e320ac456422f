// The two passes around torch's convolution on a CUDA device: one launch each, one read and one write of the picture.
#include "masked_conv2d.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>

namespace restore {
namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr int64_t kMostBlocks = 1 << 20;  // the loops stride over whatever is left

unsigned blocks_for(int64_t items, int64_t items_per_block) {
  return unsigned(std::min((items + items_per_block - 1) / items_per_block, kMostBlocks));
}

// This file has a static CUDA runtime of its own.  Its idea of the current device may differ from torch's, so it never
// calls cudaSetDevice: masked_conv2d_op.cpp holds torch's guard.
const char* launch_error() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

template <class Unit>
__global__ void select_kernel(Select a, int64_t units, int units_per_pixel) {
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < units; i += step) {
    const int64_t pixel = i / units_per_pixel, unit = i % units_per_pixel, source = a.source(pixel);
    Unit value{};
    if (a.valid[source]) value = static_cast<const Unit*>(a.x)[source * (a.x_pixel_bytes / int64_t(sizeof(Unit))) + unit];
    static_cast<Unit*>(a.out)[pixel * (a.out_pixel_bytes / int64_t(sizeof(Unit))) + unit] = value;
  }
}

template <class Unit>
const char* run_select(const Select& a, cudaStream_t stream) {
  const int units_per_pixel = int(a.pixel_bytes / int64_t(sizeof(Unit)));
  const int64_t units = a.pixels() * units_per_pixel;
  select_kernel<Unit><<<blocks_for(units, kThreads), kThreads, 0, stream>>>(a, units, units_per_pixel);
  return launch_error();
}

// A warp owns an output pixel: its lanes first share the counting, then the channels.
template <class T, class Sum>
__global__ void renormalise_kernel(Renormalise a) {
  const int lane = threadIdx.x % kWarp;
  const int64_t pixels = a.n * a.out_h * a.out_w;
  const int64_t step = int64_t(gridDim.x) * (kThreads / kWarp);
  for (int64_t q = int64_t(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp; q < pixels; q += step) {
    const int64_t ox = q % a.out_w, oy = q / a.out_w % a.out_h, n = q / (a.out_w * a.out_h);
    const Taps rows = taps_inside(oy, a.stride, a.padding, a.kernel_h, a.h);
    const Taps columns = taps_inside(ox, a.stride, a.padding, a.kernel_w, a.w);
    int mine = 0;
    for (int tap = lane; tap < int(a.kernel_h * a.kernel_w); tap += kWarp) {
      const int64_t r = tap / a.kernel_w, s = tap % a.kernel_w;
      if (r < rows.begin || r >= rows.end || s < columns.begin || s >= columns.end) continue;
      const int64_t iy = oy * a.stride - a.padding + r, ix = ox * a.stride - a.padding + s;
      mine += int(a.known_at(n * a.h + iy, ix));
    }
    const int known = __reduce_add_sync(0xffffffffu, mine);
    if (lane == 0) a.valid_out[q] = known > 0;
    const Sum ratio = window_ratio<Sum>(a, known);
    const Sum* bias = static_cast<const Sum*>(a.bias);
    T* y = static_cast<T*>(a.y) + q * a.channels;
    for (int64_t c = lane; c < a.channels; c += kWarp) {
      y[c] = known > 0 ? T(activate(a, Sum(y[c]) * ratio + (bias != nullptr ? bias[c] : Sum(0)))) : T(Sum(0));
    }
  }
}

template <class T, class Sum>
const char* run_renormalise(const Renormalise& a, cudaStream_t stream) {
  const int64_t pixels = a.n * a.out_h * a.out_w;
  renormalise_kernel<T, Sum><<<blocks_for(pixels, kThreads / kWarp), kThreads, 0, stream>>>(a);
  return launch_error();
}

bool aligned_to_16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace

const char* select_cuda(const Select& a, void* stream) {
  const cudaStream_t s = static_cast<cudaStream_t>(stream);
  if (a.pixels() == 0) return nullptr;
  const bool wide = a.pixel_bytes % 16 == 0 && a.x_pixel_bytes % 16 == 0 && a.out_pixel_bytes % 16 == 0;
  if (wide && aligned_to_16(a.x) && aligned_to_16(a.out)) return run_select<uint4>(a, s);
  return run_select<uint16_t>(a, s);  // every element type is a multiple of two bytes
}

const char* renormalise_cuda(const Renormalise& a, void* stream) {
  const cudaStream_t s = static_cast<cudaStream_t>(stream);
  if (a.n * a.out_h * a.out_w == 0) return nullptr;
  switch (a.element) {
    case Element::f16: return run_renormalise<__half, float>(a, s);
    case Element::bf16: return run_renormalise<__nv_bfloat16, float>(a, s);
    case Element::f32: return run_renormalise<float, float>(a, s);
    case Element::f64: return run_renormalise<double, double>(a, s);
  }
  return "unknown element type";
}

}  // namespace restore
