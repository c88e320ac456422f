// rrdb_forward for torch: checks, workspace, registration.  The reference serves every other device and layout.
#ifdef RESTORE_WITH_CUDA
#include "rrdb_call.h"
#include "torch_side.h"

#include <array>
#include <vector>

namespace restore {
namespace {

constexpr int64_t kFragments = 2;  // restore/ops/rrdb_layout.py: Layout.FRAGMENTS

Tensor rrdb_on_cuda(const Tensor& image, const Tensor& weights, const Tensor& singles, std::vector<int64_t> shape,
                    int64_t layout, int64_t strip_rows, int64_t resident) {
  STD_TORCH_CHECK(layout == kFragments, "the kernels read weights packed as fragments");
  STD_TORCH_CHECK(shape.size() == 6, "shape must be (blocks, features, growth, doublings, fold, channels)");
  for (const int64_t size : shape) STD_TORCH_CHECK(size >= 0 && size < 4096, "a network of impossible size");
  STD_TORCH_CHECK(shape[4] <= 16 && shape[5] <= 64, "a network of impossible size");
  STD_TORCH_CHECK(strip_rows >= 0 && strip_rows <= INT32_MAX, "strip_rows must be 0 or more");
  STD_TORCH_CHECK(resident >= 0 && resident <= 32, "resident must be 0 to 32 blocks on a multiprocessor");
  STD_TORCH_CHECK(shape[1] > 0 && shape[2] > 0 && shape[3] <= 4 && shape[4] > 0 && shape[5] > 0, "an empty network");
  STD_TORCH_CHECK(image.dim() == 4 && image.scalar_type() == ScalarType::Float, "image must be (N, C, H, W) float32");
  STD_TORCH_CHECK(weights.scalar_type() == ScalarType::Half || weights.scalar_type() == ScalarType::BFloat16,
                  "weights must be float16 or bfloat16");
  STD_TORCH_CHECK(singles.scalar_type() == ScalarType::Float, "biases must be float32");
  check_same_device(image, weights, "weights");
  check_same_device(image, singles, "biases");
  const DeviceGuard guard(image.get_device_index());

  RrdbCall call{};
  call.net = {int(shape[0]), int(shape[1]), int(shape[2]), int(shape[3]), int(shape[4]), int(shape[5]), nullptr, nullptr,
              weights.scalar_type() == ScalarType::BFloat16};
  const int64_t n = image.size(0), height = image.size(2), width = image.size(3), fold = shape[4];
  STD_TORCH_CHECK(image.size(1) == shape[5] && height % fold == 0 && width % fold == 0,
                  "image must have the network's channels, and sides that are multiples of its fold");
  STD_TORCH_CHECK(weights.dim() == 1 && weights.stride(0) == 1 && weights.numel() == call.net.weight_count() &&
                      singles.dim() == 1 && singles.stride(0) == 1 && singles.numel() == call.net.bias_count(),
                  "weights of another network");
  const int64_t growth = int64_t(1) << shape[3];
  const int64_t out_h = height / fold * growth, out_w = width / fold * growth;
  STD_TORCH_CHECK(n * out_h * out_w <= INT32_MAX, "too many pixels for one call");
  const std::array<int64_t, 4> size{n, shape[5], out_h, out_w};
  const Tensor y = torch::stable::empty({size.data(), size.size()}, ScalarType::Float, std::nullopt, image.device(),
                                        std::nullopt, MemoryFormat::ChannelsLast);
  if (n * height * width == 0) return y;
  const Tensor planes = torch::stable::contiguous(image);
  call.net.weights = static_cast<const uint16_t*>(weights.const_data_ptr());
  call.net.biases = static_cast<const float*>(singles.const_data_ptr());
  call.image = static_cast<const float*>(planes.const_data_ptr());
  call.y = static_cast<float*>(y.mutable_data_ptr());
  call.n = int(n), call.height = int(height), call.width = int(width), call.strip_rows = int(strip_rows);
  call.resident = int(resident);
  const std::array<int64_t, 1> bytes{rrdb_workspace_bytes(call)};
  const Tensor workspace = torch::stable::empty({bytes.data(), bytes.size()}, ScalarType::Byte, std::nullopt,
                                                image.device(), std::nullopt, std::nullopt);
  call.workspace = workspace.mutable_data_ptr();
  check_launch(rrdb_forward(call, current_stream(image)));
  return y;
}

}  // namespace
}  // namespace restore

// Bytes that a call takes beside its result.  Asked by restore/ops/rrdb.py, which sees to it that they are there: an
// allocation that fails in here comes back as an error of no particular kind.
extern "C" __attribute__((visibility("default"))) int64_t restore_ops_rrdb_bytes(const int64_t* shape, int64_t n,
                                                                                int64_t height, int64_t width) {
  restore::RrdbCall call{};
  call.net = {int(shape[0]), int(shape[1]), int(shape[2]), int(shape[3]), int(shape[4]), int(shape[5]), nullptr, nullptr,
              false};
  call.n = int(n), call.height = int(height), call.width = int(width);
  return n * height * width == 0 ? 0 : restore::rrdb_workspace_bytes(call);
}

STABLE_TORCH_LIBRARY_IMPL(restore, RESTORE_KERNEL_KEY, m) { m.impl("rrdb_forward", TORCH_BOX(&restore::rrdb_on_cuda)); }
#endif
