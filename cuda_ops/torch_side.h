// What every file that speaks to torch needs: streams, errors, guards.  Only *_op.cpp files include it;
// no .cu file does.
#pragma once

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <optional>

// It lives in libtorch_cuda.so, which a CPU-only torch does not have.  Weak: null there, and the library still loads.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device_index,
                                                                                  void** ret_stream);

namespace restore {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;

#ifdef RESTORE_EMULATED
// For tests: the same ops with the emulator's launches behind them, on CPU tensors.
#define RESTORE_KERNEL_KEY CPU
inline bool kernels_serve(const Tensor&) { return true; }
inline void* current_stream(const Tensor&) { return nullptr; }
struct DeviceGuard {
  explicit DeviceGuard(int32_t) {}
};
#else
#define RESTORE_KERNEL_KEY CUDA
inline bool kernels_serve(const Tensor& x) { return x.is_cuda(); }
inline void* current_stream(const Tensor& x) {
  STD_TORCH_CHECK(aoti_torch_get_current_cuda_stream != nullptr, "this torch was built without CUDA");
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &stream));
  return stream;
}
using DeviceGuard = torch::stable::accelerator::DeviceGuard;
#endif

// `error`: what a launch returned.
inline void check_launch(const char* error) {
  STD_TORCH_CHECK(error == nullptr, "restore's CUDA kernel: ", error, " (RESTORE_OPS=off runs torch's operators instead)");
}

inline void check_same_device(const Tensor& x, const Tensor& t, const char* name) {
  STD_TORCH_CHECK(t.is_cuda() == x.is_cuda() && t.get_device_index() == x.get_device_index(), name,
                  " must be on the device of x");
}

}  // namespace restore
