// The only file that speaks to torch, through its stable ABI: checks, allocation, dispatch, registration.
// Python (restore/ops.py) owns the schemas; a change of one raises INTERFACE there.
#include "masked_conv2d.h"

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <array>
#include <optional>
#include <tuple>
#include <vector>

// It lives in libtorch_cuda.so, which a CPU-only torch does not have.  Weak: null there, and the library still loads.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device_index,
                                                                                  void** ret_stream);

namespace {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;

restore::Element element_of(const Tensor& x) {
  switch (x.scalar_type()) {
    case ScalarType::Half: return restore::Element::f16;
    case ScalarType::BFloat16: return restore::Element::bf16;
    case ScalarType::Float: return restore::Element::f32;
    case ScalarType::Double: return restore::Element::f64;
    default: STD_TORCH_CHECK(false, "x must be float16, bfloat16, float32 or float64");
  }
}

void check_like_x(const Tensor& x, const Tensor& t, const char* name, int64_t dimensions) {
  STD_TORCH_CHECK(t.dim() == dimensions, name, " must have ", dimensions, " dimensions, has ", t.dim());
  STD_TORCH_CHECK(t.is_cuda() == x.is_cuda() && t.get_device_index() == x.get_device_index(), name,
                  " must be on the device of x");
}

#ifdef RESTORE_WITH_CUDA
void* current_stream(const Tensor& x) {
  STD_TORCH_CHECK(aoti_torch_get_current_cuda_stream != nullptr, "this torch was built without CUDA");
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &stream));
  return stream;
}

void check_launch(const char* error) {
  STD_TORCH_CHECK(error == nullptr, "restore's CUDA kernel: ", error, " (RESTORE_OPS=off runs torch's operators instead)");
}
#endif

void select(const restore::Select& a, const Tensor& x) {
#ifdef RESTORE_WITH_CUDA
  if (x.is_cuda()) return check_launch(restore::select_cuda(a, current_stream(x)));
#endif
  constexpr int64_t kPixelsPerThread = 4096;
  torch::stable::parallel_for(0, a.pixels, kPixelsPerThread,
                              [&](int64_t begin, int64_t end) { restore::select_cpu(a, begin, end); });
}

void renormalise(const restore::Renormalise& a, const Tensor& x) {
#ifdef RESTORE_WITH_CUDA
  if (x.is_cuda()) return check_launch(restore::renormalise_cuda(a, current_stream(x)));
#endif
  constexpr int64_t kRowsPerThread = 8;
  torch::stable::parallel_for(0, a.n * a.out_h, kRowsPerThread,
                              [&](int64_t begin, int64_t end) { restore::renormalise_cpu(a, begin, end); });
}

Tensor empty_channels_last(const Tensor& like, std::array<int64_t, 4> size) {
  return torch::stable::empty({size.data(), size.size()}, like.scalar_type(), std::nullopt, like.device(), std::nullopt,
                              MemoryFormat::ChannelsLast);
}

// torch's own convolution: oneDNN or cuDNN.
Tensor conv2d(const Tensor& x, const Tensor& weight, int64_t stride, int64_t padding) {
  const std::array<int64_t, 2> strides{stride, stride}, paddings{padding, padding}, dilations{1, 1};
  using Ints = torch::headeronly::IntHeaderOnlyArrayRef;
  using torch::stable::detail::from;
  std::array<StableIValue, 7> stack{from(x),
                                    from(weight),
                                    from(OptionalTensor()),
                                    from(Ints(strides.data(), strides.size())),
                                    from(Ints(paddings.data(), paddings.size())),
                                    from(Ints(dilations.data(), dilations.size())),
                                    from(int64_t(1))};
  TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::conv2d", "", stack.data(), TORCH_ABI_VERSION));
  return torch::stable::detail::to<Tensor>(stack[0]);
}

std::tuple<Tensor, Tensor> masked_conv2d(const Tensor& x, const Tensor& valid, const Tensor& weight,
                                         const OptionalTensor& bias, int64_t stride, int64_t padding) {
  STD_TORCH_CHECK(x.dim() == 4, "x must be (N, C, H, W)");
  check_like_x(x, valid, "valid", 4);
  check_like_x(x, weight, "weight", 4);
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
  STD_TORCH_CHECK(valid.scalar_type() == ScalarType::Bool, "valid must be bool");
  STD_TORCH_CHECK(valid.size(0) == n && valid.size(1) == 1 && valid.size(2) == h && valid.size(3) == w,
                  "valid must be (N, 1, H, W), like x");
  STD_TORCH_CHECK(weight.scalar_type() == x.scalar_type() && weight.size(1) == c, "weight must be of x's type and channels");
  STD_TORCH_CHECK(stride >= 1 && padding >= 0, "stride must be >= 1 and padding >= 0");
  const int64_t k = weight.size(0), kernel_h = weight.size(2), kernel_w = weight.size(3);
  const int64_t span_h = h + 2 * padding - kernel_h, span_w = w + 2 * padding - kernel_w;
  STD_TORCH_CHECK(kernel_h >= 1 && kernel_w >= 1 && span_h >= 0 && span_w >= 0, "the kernel is larger than the padded picture");
  STD_TORCH_CHECK(kernel_h <= UINT16_MAX, "the kernel has too many rows");
  const restore::Element element = element_of(x);
  OptionalTensor sum_bias;
  if (bias.has_value()) {
    check_like_x(x, *bias, "bias", 1);
    STD_TORCH_CHECK(bias->size(0) == k, "bias must have one value a filter");
    const ScalarType sum_type = element == restore::Element::f64 ? ScalarType::Double : ScalarType::Float;
    sum_bias = torch::stable::contiguous(torch::stable::to(*bias, sum_type));
  }
  std::optional<torch::stable::accelerator::DeviceGuard> guard;
  if (x.is_cuda()) guard.emplace(x.get_device_index());

  const Tensor packed_x = torch::stable::contiguous(x, MemoryFormat::ChannelsLast);
  const Tensor packed_valid = torch::stable::contiguous(valid);
  const uint8_t* valid_bytes = static_cast<const uint8_t*>(packed_valid.const_data_ptr());
  const Tensor known = empty_channels_last(x, {n, c, h, w});
  select({packed_x.const_data_ptr(), valid_bytes, known.mutable_data_ptr(), n * h * w, c * int64_t(x.element_size())}, x);

  // Under autocast torch may convolve in a narrower type; the result has x's type all the same.
  const Tensor raw = torch::stable::to(conv2d(known, weight, stride, padding), x.scalar_type());
  const Tensor y = torch::stable::contiguous(raw, MemoryFormat::ChannelsLast);
  const int64_t out_h = span_h / stride + 1, out_w = span_w / stride + 1;
  const Tensor valid_out = torch::stable::new_empty(valid, {n, 1, out_h, out_w});
  renormalise({y.mutable_data_ptr(), valid_bytes, sum_bias ? sum_bias->const_data_ptr() : nullptr,
               static_cast<uint8_t*>(valid_out.mutable_data_ptr()), n, h, w, out_h, out_w, k, kernel_h, kernel_w, stride,
               padding, element},
              x);
  return {y, valid_out};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(restore, CPU, m) { m.impl("masked_conv2d", TORCH_BOX(&masked_conv2d)); }
#ifdef RESTORE_WITH_CUDA
STABLE_TORCH_LIBRARY_IMPL(restore, CUDA, m) { m.impl("masked_conv2d", TORCH_BOX(&masked_conv2d)); }
#endif

// What was compiled, as "key=value" lines; read by restore/ops.py through ctypes.
extern "C" __attribute__((visibility("default"))) const char* restore_ops_facts() { return RESTORE_FACTS; }
